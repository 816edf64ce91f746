"""Joins scores with labels, in the parent only, and derives what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.errors import RecordError
from idbench.results import (
    BinSummary,
    BlindComparison,
    Decision,
    DefenseRef,
    Estimate,
    GroupSummary,
    RateSummary,
    Run,
    ScoreTable,
    Summary,
)
from idbench.splits import Split

RATES = (0.10, 0.01, 0.001)


@dataclass(frozen=True, slots=True)
class LabelledScores:
    """Scores with labels, one row per identity of one part, in the order of the ids.

    Args:
        identities: opaque ids, (n,).
        scores: float (n,), finite; abstentions below every score.
        members: bool (n,).
        occurrences: training pictures, int (n,); 0 for non-members.
    """

    identities: tuple[str, ...]
    scores: NDArray[np.float64]
    members: NDArray[np.bool_]
    occurrences: NDArray[np.int64]


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
    strata = _strata(test, seed)
    return Summary(
        run_id=run.record.run_id,
        scores_sha256=run.record.scores_sha256,
        split_digest=run.record.split.digest,
        corpus=corpus,
        control=control,
        n_members=int(test.members.sum()),
        n_nonmembers=int((~test.members).sum()),
        auc=_auc(test.scores, test.members),
        tpr=tuple(_rate(test, fpr) for fpr in RATES),
        p_chance=metrics.permutation_test(test.scores, test.members).p_two_sided,
        blind=_against_blind(run, test, split, corpus, blind),
        bins=() if strata is None else _bins(strata),
        trend_p=None if strata is None or strata.trend is None else strata.trend.p_rising,
        macro_auc=None if strata is None else estimate_of(strata.macro_auc, strata.macro_interval),
        decision=_decision(with_labels(table, split, corpus, "calibration"), test),
        groups=group_summaries(test, run.record.defense),
        marks=marks_estimate(test, run.record.defense),
    )


def group_summaries(test: LabelledScores, defense: DefenseRef | None) -> tuple[GroupSummary, ...]:
    """Protected and unprotected people apart; a group without members or without non-members is left out."""
    if defense is None:
        return ()
    inside = _protected(test, defense)
    sides: tuple[tuple[Literal["protected", "unprotected"], NDArray[np.bool_]], ...] = (
        ("protected", inside),
        ("unprotected", ~inside),
    )
    groups = [(name, _part(test, rows)) for name, rows in sides]
    return tuple(
        GroupSummary(
            group=name,
            n_members=int(own.members.sum()),
            n_nonmembers=int((~own.members).sum()),
            auc=_auc(own.scores, own.members),
            tpr=tuple(_rate(own, fpr) for fpr in RATES),
        )
        for name, own in groups
        if own.members.any() and not own.members.all()
    )


def marks_estimate(test: LabelledScores, defense: DefenseRef | None) -> Estimate | None:
    """How well the scores tell who was protected, regardless of membership."""
    if defense is None:
        return None
    inside = _protected(test, defense)
    if not inside.any() or inside.all():
        return None
    return _auc(test.scores, inside)


def _protected(test: LabelledScores, defense: DefenseRef) -> NDArray[np.bool_]:
    ids = frozenset(defense.protected)
    return np.array([name in ids for name in test.identities], dtype=np.bool_)


def _part(test: LabelledScores, rows: NDArray[np.bool_]) -> LabelledScores:
    names = tuple(name for name, wanted in zip(test.identities, rows, strict=True) if wanted)
    return LabelledScores(names, test.scores[rows], test.members[rows], test.occurrences[rows])


def best_blind(blind: Sequence[Run], split: Split, corpus: str) -> tuple[Run, LabelledScores] | None:
    """The blind attack with the highest AUC on the test part, with its labelled scores; None without any."""
    labelled = [(run, with_labels(run.scores(), split, corpus, "test")) for run in blind]
    return max(labelled, key=lambda pair: metrics.auc(pair[1].scores, pair[1].members), default=None)


def estimate_of(value: float, interval: metrics.Interval) -> Estimate:
    """A number with its interval, as records hold it."""
    return Estimate(value=value, low=interval.low, high=interval.high, level=interval.level, method=interval.method)


def _auc(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> Estimate:
    found = metrics.auc_estimate(scores, members)
    return estimate_of(found.value, found.interval)


def _rate(test: LabelledScores, fpr: float) -> RateSummary:
    found = metrics.tpr_at_fpr(test.scores, test.members, fpr)
    # This interval knows that the threshold, too, was read off a few non-members.
    interval = metrics.tpr_at_fpr_interval(test.scores, test.members, fpr)
    if isinstance(found, metrics.NotEstimable) or isinstance(interval, metrics.NotEstimable):
        lacking = found if isinstance(found, metrics.NotEstimable) else interval
        assert isinstance(lacking, metrics.NotEstimable)
        return unresolved(fpr, lacking)
    return RateSummary(
        fpr=fpr,
        value=found.value,
        low=interval.low,
        high=interval.high,
        threshold=found.threshold if np.isfinite(found.threshold) else None,
        resolution=found.resolution,
        reason=None,
    )


def unresolved(fpr: float, lacking: metrics.NotEstimable) -> RateSummary:
    """A rate that the non-members cannot resolve."""
    return RateSummary(
        fpr=fpr,
        value=None,
        low=None,
        high=None,
        threshold=None,
        resolution=lacking.resolution,
        reason=lacking.reason,
    )


def _against_blind(
    run: Run, test: LabelledScores, split: Split, corpus: str, blind: Sequence[Run]
) -> BlindComparison | None:
    best = best_blind([other for other in blind if other.record.run_id != run.record.run_id], split, corpus)
    if best is None or min(test.members.sum(), (~test.members).sum()) < 2:
        return None  # with one person of a kind a difference has no variance
    other, labelled = best
    found = metrics.delong_test(test.scores, labelled.scores, test.members)
    return BlindComparison(attack=other.record.attack.name, auc=found.auc_b, difference=found.difference, p=found.p)


def _strata(test: LabelledScores, seed: int) -> metrics.Strata | None:
    """Metrics by number of training pictures; None where these are not known."""
    if test.occurrences[test.members].min(initial=1) < 1:
        return None
    return metrics.by_stratum(test.scores, test.members, test.occurrences, fprs=RATES, seed=seed)


def _bins(strata: metrics.Strata) -> tuple[BinSummary, ...]:
    return tuple(
        BinSummary(
            occurrences=int(stratum.label),
            n_members=stratum.n_members,
            auc=estimate_of(stratum.auc, stratum.interval),
            tpr=tuple(None if isinstance(rate, metrics.NotEstimable) else rate.value for rate in stratum.rates),
        )
        for stratum in strata.strata
    )


def _decision(calibration: LabelledScores, test: LabelledScores) -> Decision | None:
    """The threshold with the best balanced accuracy on the calibration part, applied to the test part."""
    if calibration.members.all() or not calibration.members.any():
        return None
    threshold = metrics.best_balanced_accuracy(calibration.scores, calibration.members).threshold
    if not np.isfinite(threshold):
        return None
    found = metrics.decision_metrics(test.scores, test.members, threshold)
    return Decision(threshold=threshold, tpr=found.tpr.value, fpr=found.fpr.value, accuracy=found.accuracy.value)
