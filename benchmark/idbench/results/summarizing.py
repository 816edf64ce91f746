"""What the scores of a run are worth against labels: what `bench run` prints, and what submissions are held against."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.escaping import line
from idbench.metrics.batch import decisions
from idbench.metrics.strata import without_macro_rates
from idbench.results.record import (
    BinSummary,
    BlindComparison,
    Decision,
    DefenseRef,
    Estimate,
    GroupSummary,
    RateSummary,
    RunRecord,
    Summary,
)

RATES: Final = (0.10, 0.01, 0.001)
_TOLERANCE: Final = 1e-6
"""Of a number computed again, where another processor rounds otherwise; relative to it where it is above one."""


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


def derived(
    record: RunRecord,
    test: LabelledScores,
    calibration: LabelledScores | None,
    corpus: str,
    blind: BlindComparison | None = None,
    seed: int = 0,
    *,
    control: bool = False,
) -> Summary:
    """Everything that `bench run` prints.

    Args:
        record: of the run.
        test: its scores of the test part.
        calibration: those of the calibration part; None unless all of it was scored.
        corpus: whose labels they have.
        blind: the comparison with the best blind attack; None without any.
        seed: of the trend test.
        control: whether the target's corpus holds nobody under test.
    """
    strata = _strata(test, seed)
    return Summary(
        run_id=record.run_id,
        scores_sha256=record.scores_sha256,
        split_digest=record.split.digest,
        corpus=corpus,
        control=control,
        n_members=int(test.members.sum()),
        n_nonmembers=int((~test.members).sum()),
        auc=_auc(test.scores, test.members),
        tpr=tuple(_rate(test, fpr) for fpr in RATES),
        p_chance=metrics.permutation_test(test.scores, test.members).p_two_sided,
        blind=blind,
        bins=() if strata is None else _bins(strata),
        trend_p=None if strata is None or strata.trend is None else strata.trend.p_rising,
        macro_auc=None if strata is None else estimate_of(strata.macro_auc, strata.macro_interval),
        decision=None if calibration is None else _decision(calibration, test),
        groups=group_summaries(test, record.defense),
        marks=marks_estimate(test, record.defense),
    )


def compared(name: str, test: LabelledScores, blind: LabelledScores) -> BlindComparison | None:
    """Scores against those of a blind attack, paired by identity; None where a difference has no variance.

    Args:
        name: of the blind attack.
        test: of the run.
        blind: about the same people.
    """
    if min(test.members.sum(), (~test.members).sum()) < 2:
        return None
    found = metrics.delong_test(test.scores, blind.scores, test.members)
    return BlindComparison(attack=name, auc=found.auc_b, difference=found.difference, p=found.p)


def contradiction(stated: Summary, true: Summary) -> str:
    """The first thing that metrics say and the scores contradict; empty if there is none."""
    given, computed = (each.model_dump() for each in (stated, true))
    if any(given[name] != computed[name] for name in ("run_id", "scores_sha256", "split_digest")):
        return "was derived from another record"
    for (where, value), (_, true_value) in zip(_leaves("", given), _leaves("", computed), strict=False):
        if not agree(value, true_value):
            return f"says {where} {_number(value)}, and the scores have {_number(true_value)}"
    return ""


def _leaves(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every number and text with its place, after the length of what holds it, so that both sides stay in step."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{where}.{key}".strip("."), item)
    elif isinstance(value, (list, tuple)):
        yield f"{where} (how many)", len(value)
        for index, item in enumerate(value):
            yield from _leaves(f"{where}[{index}]", item)
    else:
        yield where, value


def agree(stated: Any, computed: Any) -> bool:
    """Whether two values are one, but for rounding."""
    if isinstance(stated, float) and isinstance(computed, float):
        return math.isclose(stated, computed, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(stated == computed)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else line(str(value))[:60]


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


def _strata(test: LabelledScores, seed: int) -> metrics.Strata | None:
    """Metrics by number of training pictures; None where these are not known."""
    if test.occurrences[test.members].min(initial=1) < 1:
        return None
    return without_macro_rates(test.scores, test.members, test.occurrences, fprs=RATES, seed=seed)


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
    found = decisions(calibration.scores[None], calibration.members, test.scores[None], test.members)
    if found.threshold is None or found.tpr is None or found.fpr is None or found.accuracy is None:
        return None
    return Decision(threshold=found.threshold, tpr=found.tpr, fpr=found.fpr, accuracy=found.accuracy)
