"""Joins scores with labels, in the parent only, and derives what they are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idbench import metrics
from idbench.errors import RecordError
from idbench.results import BlindComparison, Run, ScoreTable, Summary
from idbench.results.summarizing import LabelledScores, compared, derived
from idbench.splits import Split


def with_labels(table: ScoreTable, split: Split, corpus: str, part: str) -> LabelledScores:
    """Join the scores of a run with the labels of a corpus.

    Args:
        table: scores by identity id.
        split: where the labels are.
        corpus: whose labels.
        part: `calibration` or `test`.

    Raises:
        RecordError: an identity of the part has no score.
    """
    labels = split.labels(corpus)
    row = {name: i for i, name in enumerate(table.identities)}
    wanted = sorted((identity.id, i) for i, identity in enumerate(split.identities) if identity.part == part)
    missing = [name for name, _ in wanted if name not in row]
    if missing:
        raise RecordError(
            f"{len(missing)} of {len(wanted)} {part} identities have no score (first: {missing[0]}).",
            hint="The run belongs to another version of the split: run it again.",
        )
    where = np.array([i for _, i in wanted], dtype=np.int64)
    rows = np.array([row[name] for name, _ in wanted], dtype=np.int64)
    return LabelledScores(
        identities=tuple(name for name, _ in wanted),
        scores=table.ranked()[rows],
        members=np.asarray(labels.member, dtype=np.bool_)[where],
        occurrences=np.asarray(labels.occurrences, dtype=np.int64)[where],
    )


def summarize(
    run: Run, split: Split, corpus: str, blind: Sequence[Run] = (), seed: int = 0, *, control: bool = False
) -> Summary:
    """Everything that `bench run` prints, from a run and the labels of one corpus.

    Args:
        run: its scores are read from disk.
        split: the split that it ran on.
        corpus: whose labels.
        blind: runs of blind attacks on the same split; the best by AUC is compared with, which favours the baseline.
        seed: of the trend test.
        control: whether the target's corpus holds nobody under test.
    """
    table = run.scores()
    test = with_labels(table, split, corpus, "test")
    calibration = with_labels(table, split, corpus, "calibration")
    against = _against_blind(run, test, split, corpus, blind)
    return derived(run.record, test, calibration, corpus, against, seed, control=control)


def best_blind(blind: Sequence[Run], split: Split, corpus: str) -> tuple[Run, LabelledScores] | None:
    """The blind attack with the highest AUC on the test part, with its labelled scores; None without any."""
    labelled = [(run, with_labels(run.scores(), split, corpus, "test")) for run in blind]
    return max(labelled, key=lambda pair: metrics.auc(pair[1].scores, pair[1].members), default=None)


def _against_blind(
    run: Run, test: LabelledScores, split: Split, corpus: str, blind: Sequence[Run]
) -> BlindComparison | None:
    best = best_blind([other for other in blind if other.record.run_id != run.record.run_id], split, corpus)
    if best is None:
        return None
    other, labelled = best
    return compared(other.record.attack.name, test, labelled)
