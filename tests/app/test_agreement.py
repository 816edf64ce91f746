"""A board built from real runs says what the command line says of the same runs, on every number that both show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from tests.conftest import Bench

from idbench.api import Silent
from idbench.metrics import NotEstimable, ranks
from idbench.metrics.chance import chance_ps
from idbench.results import Run, collect, find_runs
from idbench.results.labels import CorpusLabels, SplitLabels
from idbench.runner.evaluate import with_labels
from idbench.splits import Split, load_split
from idbench.studies.estimates import Reading, graded
from idbench_leaderboard import words
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.building import build

CORPUS, LABELS = "avatars-a", "avatars-tiny-a"
TARGETS = ("avatars-a", "avatars-a-vit-b-32")
METHODS = ("cosine", "random")
OPTIONS = ("--split", "avatars-tiny", "--corpus", LABELS)


@dataclass(frozen=True)
class Both:
    """What was run, what `bench run --json` printed, and the board of the same records."""

    printed: dict[str, Any]
    results: Path
    board: Board

    def selection(self, target: str) -> pd.DataFrame:
        """Rows of the board on one target, by method."""
        labels = self.board.targets("avatars-tiny", 1)
        assert target in labels, labels
        return self.board.rows(Selection("avatars-tiny", 1, target, CORPUS)).set_index("method")

    def summaries(self, method: str, target: str) -> list[dict[str, Any]]:
        """What was printed of each seed."""
        return [run for run in self.printed["runs"] if f"/{target}/{method}-" in run["record"]]


@pytest.fixture(scope="module")
def split() -> Split:
    return load_split("avatars-tiny")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Both:
    folder = tmp_path_factory.mktemp("agreement")
    chosen = [word for method in METHODS for word in ("--method", method)]
    done = Bench(folder)("run", *chosen, *OPTIONS, "--target", ",".join(TARGETS), "--json")
    assert done.returncode == 0, done.stderr
    found = collect([folder / "results"])
    built = build(found, [labels_of(split)], folder / "board", Silent())
    # Blind attacks that learn were given the split's own labels, whose corpus has another name here.
    assert all("was given labels" in each.reason for each in built.rejected)
    return Both(json.loads(done.stdout), folder / "results", Board(folder / "board"))


def labels_of(split: Split) -> SplitLabels:
    """The labels that the runs were scored with, under the name of the corpus that the targets were trained on."""
    labels = split.labels(LABELS)
    return SplitLabels(
        name=split.manifest.name,
        version=split.manifest.version,
        digest=split.digest,
        identities=tuple(identity.id for identity in split.identities),
        test=np.array([identity.part == "test" for identity in split.identities]),
        corpora={CORPUS: CorpusLabels(np.asarray(labels.member), np.asarray(labels.occurrences))},
    )


def close(found: object, expected: object) -> bool:
    """Equal beyond any digit that is shown."""
    return found == pytest.approx(expected, abs=1e-9)


def same_rates(row: pd.Series[Any], printed: Sequence[Mapping[str, Any]]) -> None:
    """TPR at every rate with its interval, or the reason why there is none."""
    for name, rate in zip(("tpr_10", "tpr_1", "tpr_01"), printed, strict=True):
        if rate["value"] is None:
            assert pd.isna(row[name])
            assert row[f"{name}_reason"] == rate["reason"]
        else:
            shown = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
            assert close(shown, [rate["value"], rate["low"], rate["high"]])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", TARGETS)
def test_one_run_has_the_same_numbers(both: Both, method: str, target: str) -> None:
    row, (summary,) = both.selection(target).loc[method], both.summaries(method, target)
    assert close([row["auc"], row["auc_low"], row["auc_high"]], [summary["auc"][k] for k in ("value", "low", "high")])
    assert close(row["p_chance"], summary["p_chance"])
    same_rates(row, summary["tpr"])
    bins = both.board.bins[both.board.bins["entry"] == row["entry"]].set_index("occurrences")
    printed = {each["occurrences"]: each for each in summary["bins"] if each["n_members"] > 1}
    assert set(bins.index) == set(printed)
    for occurrences, each in printed.items():
        shown = bins.loc[occurrences]
        assert shown["n_members"] == each["n_members"]
        assert close([shown[k] for k in ("auc", "low", "high")], [each["auc"][k] for k in ("value", "low", "high")])
    decided = [row[f"decision_{name}"] for name in ("threshold", "tpr", "fpr", "accuracy")]
    if summary["decision"] is None:
        assert pd.isna(decided[0])
    else:
        assert close(decided, list(summary["decision"].values()))


@pytest.mark.parametrize("method", METHODS)
def test_pools_have_the_same_numbers(both: Both, method: str) -> None:
    row = both.selection(f"all of {CORPUS}").loc[method]
    (printed,) = [each for each in both.printed["pooled"] if each["method"] == method]
    assert row["pooled"] == len(printed["targets"]) == 2
    assert close([row["auc"], row["auc_low"], row["auc_high"]], [printed["auc"][k] for k in ("value", "low", "high")])
    assert close(row["auc_spread"], printed["spread"])
    same_rates(row, printed["tpr"])


def test_a_study_of_the_same_scores_has_the_same_numbers(both: Both, split: Split) -> None:
    for method in METHODS:
        runs = [run for run in find_runs(both.results) if run.record.attack.name == method]
        area, at_10 = graded([reading(run, split) for run in runs])
        row = both.selection(f"all of {CORPUS}").loc[method]
        assert close([area.value, area.low, area.high], [row["auc"], row["auc_low"], row["auc_high"]])
        assert close([at_10.value, at_10.low, at_10.high], [row[f"tpr_10{end}"] for end in ("", "_low", "_high")])


def reading(run: Run, split: Split) -> Reading:
    judged = with_labels(run.scores(), split, LABELS, "test")
    return Reading(judged.scores, judged.members, ~judged.members)


def test_score_prints_what_the_board_shows(both: Both) -> None:
    run = next(run for run in find_runs(both.results) if run.record.attack.name == "cosine")
    found = Bench(both.results.parent)("score", run.record.run_id, "--corpus", LABELS, "--json")
    summary = json.loads(found.stdout)
    row = both.selection(run.record.target.name).loc["cosine"]
    assert close([row["auc_low"], row["auc_high"]], [summary["auc"]["low"], summary["auc"]["high"]])
    same_rates(row, summary["tpr"])
    assert close(row["p_chance"], summary["p_chance"])
    assert summary["blind"] is not None
    assert close(summary["blind"]["difference"], row["auc"] - summary["blind"]["auc"])


def test_compare_prints_what_the_board_shows(both: Both) -> None:
    options = (*OPTIONS, "--target", "avatars-a", "--json")
    found = Bench(both.results.parent)("compare", "cosine", "random", *options)
    auc = json.loads(found.stdout)["comparison"]["auc"]
    rows = both.selection("avatars-a")
    (pair,) = both.board.pairs(rows.loc[["cosine", "random"], "entry"].tolist())
    assert close(pair.found.difference, auc["difference"])
    assert close([pair.found.interval.low, pair.found.interval.high], [auc["interval"]["low"], auc["interval"]["high"]])
    assert close(pair.found.p, auc["p"])
    assert words.p_value(pair.found.p).endswith(f"{auc['p']:.3f}" if auc["p"] >= 0.001 else "0.001")


def test_compare_over_targets_prints_what_the_pooled_board_shows(both: Both) -> None:
    options = (*OPTIONS, "--target", ",".join(TARGETS), "--json")
    printed = json.loads(Bench(both.results.parent)("compare", "cosine", "random", *options).stdout)
    rows = both.selection(f"all of {CORPUS}")
    (pair,) = both.board.pairs(rows.loc[["cosine", "random"], "entry"].tolist())
    auc = printed["comparison"]["auc"]
    assert close([pair.found.auc_a, pair.found.auc_b], [auc["auc_a"], auc["auc_b"]])
    assert close([pair.found.difference, pair.found.p], [auc["difference"], auc["p"]])
    assert close([pair.found.interval.low, pair.found.interval.high], [auc["interval"]["low"], auc["interval"]["high"]])


@pytest.mark.parametrize("target", [*TARGETS, f"all of {CORPUS}"])
def test_the_board_ranks_as_the_engine_does(both: Both, split: Split, target: str) -> None:
    """Rank intervals, and the p against chance that pools show, from the scores alone."""
    rows = both.selection(target)
    names = [target] if target in TARGETS else TARGETS
    found = {(run.record.attack.name, run.record.target.name): reading(run, split) for run in find_runs(both.results)}
    scores = np.array([[found[method, name].scores for name in names] for method in rows.index])
    members = found[rows.index[0], names[0]].members
    ranking = ranks(scores, np.array([members] * len(names)), list(rows.index))
    assert not isinstance(ranking, NotEstimable)
    for one in ranking.methods:
        row = rows.loc[one.name]
        assert [row["rank"], row["rank_low"], row["rank_high"]] == [one.rank, one.rank_low, one.rank_high]
        assert close([row["auc"], row["auc_low"], row["auc_high"]], [one.estimate, one.interval.low, one.interval.high])
    middle = np.array([rankdata(method, axis=1).mean(axis=0) for method in scores])
    assert close(rows["p_chance"].tolist(), chance_ps(middle, members)[0].tolist())
