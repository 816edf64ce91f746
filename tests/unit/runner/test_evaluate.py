"""Scores are joined with the right labels, in the parent, and summarized as the reference metrics say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.records import record

from idbench import metrics
from idbench.errors import RecordError
from idbench.results import Run, ScoreTable, write_run
from idbench.results.summarizing import LabelledScores
from idbench.runner.audit import holds_chance, verdict
from idbench.runner.evaluate import summarize, with_labels
from idbench.splits import Split, load_split

A, B = "avatars-tiny-a", "avatars-tiny-b"


@pytest.fixture(scope="module")
def split() -> Split:
    return load_split("avatars-tiny")


def table_of(split: Split, scores: np.ndarray) -> ScoreTable:
    ids = tuple(identity.id for identity in split.identities)
    n = len(ids)
    return ScoreTable(ids, scores, np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64))


def run_of(split: Split, scores: np.ndarray, root: Path, run_id: str = "0" * 16) -> Run:
    return write_run(root, record(run_id), table_of(split, scores))


def test_join_is_by_identity_whatever_the_order(split: Split) -> None:
    labels = split.labels(A)
    table = table_of(split, labels.occurrences.astype(float))
    order = np.random.default_rng(0).permutation(len(table.identities))
    mixed = replace(
        table,
        identities=tuple(table.identities[i] for i in order),
        scores=table.scores[order],
    )
    for part in ("test", "calibration"):
        judged = with_labels(mixed, split, A, part)
        assert np.array_equal(judged.scores, judged.occurrences.astype(float))
        assert np.array_equal(judged.members, judged.occurrences > 0)
        assert judged.members.sum() * 2 == len(judged.identities)


@pytest.mark.parametrize("part", ["test", "calibration"])
def test_missing_scores_are_refused(split: Split, part: str) -> None:
    table = table_of(split, np.zeros(len(split.identities)))
    kept = np.ones(len(split.identities), dtype=bool)
    kept[next(i for i, identity in enumerate(split.identities) if identity.part == part)] = False
    ids = tuple(name for name, keep in zip(table.identities, kept, strict=True) if keep)
    short = ScoreTable(ids, table.scores[kept], table.abstained[kept], table.photos_used[kept])
    with pytest.raises(RecordError, match="identities have no score"):
        with_labels(short, split, A, part)


def test_summary_says_what_the_metrics_say(split: Split, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    members = np.asarray(split.labels(A).member)
    run = run_of(split, rng.normal(size=members.size) + 1.5 * members, tmp_path)
    blind = run_of(split, rng.normal(size=members.size), tmp_path, "1" * 16)
    summary = summarize(run, split, A, [blind])
    judged = with_labels(run.scores(), split, A, "test")
    assert summary.auc.value == metrics.auc(judged.scores, judged.members)
    assert summary.n_members == int(judged.members.sum())
    assert summary.tpr[0].value == pytest.approx(metrics.tpr_at_fpr(judged.scores, judged.members, 0.1).value)  # type: ignore[union-attr]
    assert summary.tpr[1].value is None
    assert "non-members" in (summary.tpr[1].reason or "")
    assert summary.p_chance < 0.01
    assert summary.blind is not None
    assert summary.blind.difference == pytest.approx(summary.auc.value - summary.blind.auc)
    assert [b.occurrences for b in summary.bins] == sorted({int(o) for o in judged.occurrences if o})
    assert summary.decision is not None
    assert summary.decision.accuracy > 0.6


def test_a_run_turns_around_with_the_other_corpus(split: Split, tmp_path: Path) -> None:
    members = np.asarray(split.labels(A).member)
    run = run_of(split, np.random.default_rng(2).normal(size=members.size) + members, tmp_path)
    assert summarize(run, split, B).auc.value == pytest.approx(1 - summarize(run, split, A).auc.value)


@pytest.mark.parametrize("members", [[True, False, False], [True, True, False]])
def test_one_person_of_a_kind_is_compared_with_no_blind_attack(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[bool]
) -> None:
    """Its variance has no estimate; the rest of the summary is shown."""
    scores = np.linspace(0, 1, len(split.identities))
    run, other = run_of(split, scores, tmp_path), run_of(split, scores[::-1], tmp_path, "1" * 16)
    few = LabelledScores(("a", "b", "c"), np.arange(3.0), np.array(members), np.zeros(3, np.int64))
    monkeypatch.setattr("idbench.runner.evaluate.with_labels", lambda *_: few)
    summary = summarize(run, split, A, [other])
    assert (summary.blind, summary.n_members) == (None, sum(members))


def test_verdict_finds_what_is_not_honest(split: Split, tmp_path: Path) -> None:
    members = np.asarray(split.labels(A).member)
    rng = np.random.default_rng(3)
    leak = summarize(run_of(split, rng.normal(size=members.size) + 2.0 * members, tmp_path), split, A).auc
    chance = summarize(run_of(split, rng.normal(size=members.size), tmp_path), split, A).auc
    assert holds_chance(chance)
    assert not holds_chance(leak)
    assert verdict(chance, ()) == "honest"
    assert verdict(leak, ()) == "the control is not at chance"
    assert verdict(leak, (), turns=True).startswith("honest by the paired contrast")
    assert f"{leak.value - 0.5:+.3f}" in verdict(leak, (), turns=True)
    assert verdict(chance, (), turns=True) == "honest"
    assert verdict(chance, (chance, leak)) == "a blind attack is not at chance"
