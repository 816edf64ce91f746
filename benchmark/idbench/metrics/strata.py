"""Metrics per stratum of the members (occurrence bins), their trend, and the average over the strata."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from idbench.metrics.batch import BatchSettings
from idbench.metrics.curve import (
    BestThreshold,
    RateAtFpr,
    best_of,
    curve_of,
    partial_auc_of,
    tpr_of,
)
from idbench.metrics.delong import auc_estimates, matched_interval, placements
from idbench.metrics.pooled import rates_of_mean
from idbench.metrics.resampling import DEFAULT_FPRS, checked_plan
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    MetricError,
    NotEstimable,
    Sample,
    checked_count,
    checked_fraction,
    checked_members,
    checked_scores,
)

_KEPT_BYTES: Final = 1 << 24
"""Of permutations that are kept for the next record."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """The members of one stratum against all non-members.

    Attributes:
        label: the stratum, for instance the number of training pictures.
        n_members: members in it.
        auc: AUC of these members against all non-members, in [0, 1].
        interval: of the AUC.
        partial_auc: standardized area up to 10 % FPR, or why it cannot be estimated.
        rates: TPR at each false-positive rate asked for, or why it cannot be estimated.
        best: best balanced accuracy and advantage.
    """

    label: float | str
    n_members: int
    auc: float
    interval: Interval
    partial_auc: float | NotEstimable
    rates: tuple[RateAtFpr | NotEstimable, ...]
    best: BestThreshold


@dataclass(frozen=True, slots=True)
class Trend:
    """Do members of higher strata score higher?

    Attributes:
        rho: Spearman's correlation of the members' scores with their stratum, in [-1, 1].
        p_two_sided: probability, if strata are random, of a correlation at least as far from 0, by permuting the
            strata among the members.
        p_rising: probability, if strata are random, of a correlation at least as high.
        draws: permutations drawn.
    """

    rho: float
    p_two_sided: float
    p_rising: float
    draws: int


@dataclass(frozen=True, slots=True)
class MacroRate:
    """TPR at one false-positive rate, averaged over the strata with equal weight.

    Attributes:
        fpr: the false-positive rate.
        value: mean TPR, in [0, 1].
        interval: as of `pooled`, the strata being the readings.
    """

    fpr: float
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Strata:
    """Metrics per stratum and over all strata.

    Attributes:
        strata: one entry per stratum, in the order of the labels.
        fprs: the false-positive rates of `rates` and `macro_rates`.
        macro_auc: mean AUC over the strata, each with equal weight.
        macro_interval: of the mean AUC.
        macro_rates: mean TPR at each false-positive rate.
        trend: None if there is one stratum only, or if the labels are not numbers.
        n_nonmembers: non-members, the same for all strata.
    """

    strata: tuple[Stratum, ...]
    fprs: tuple[float, ...]
    macro_auc: float
    macro_interval: Interval
    macro_rates: tuple[MacroRate | NotEstimable, ...]
    trend: Trend | None
    n_nonmembers: int


def by_stratum(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    strata: npt.ArrayLike,
    *,
    fprs: Sequence[float] = DEFAULT_FPRS,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Strata:
    """Every metric per stratum of the members, each against all non-members, with trend and macro average.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present, at least two non-members.
        strata: (n,) label per identity, numbers (occurrences) or text; values at non-members are ignored.
        fprs: false-positive rates in (0, 1).
        level: confidence of the intervals, in (0, 1).
        draws: permutations of the trend test.
        seed: seed of the permutations.

    Returns:
        `Strata`.

    Raises:
        MetricError: see `auc`; or fewer than two non-members, not one stratum for each identity, a number outside its
            range, fewer than one draw, or a negative seed.

    Source: DeLong et al. 1988 for the variance of the mean AUC (the strata share their non-members); Spearman,
    American Journal of Psychology 15 (1904), with a permutation p-value, for the trend.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen = np.repeat([0, 1, 10, 75], 100)
        >>> result = by_stratum(rng.normal(size=400) + np.log1p(seen), seen > 0, seen, draws=500)
        >>> [(s.label, round(s.auc, 2)) for s in result.strata]
        [(1.0, 0.66), (10.0, 0.94), (75.0, 1.0)]
        >>> result.trend.p_rising < 0.01
        True
    """
    found = without_macro_rates(scores, members, strata, fprs=fprs, level=level, draws=draws, seed=seed)
    values = checked_scores(scores)
    codes = _checked_labels(strata, checked_members(members, values.size))[1]
    return replace(found, macro_rates=_macro_rates(values, codes, found.fprs, level))


def without_macro_rates(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    strata: npt.ArrayLike,
    *,
    fprs: Sequence[float],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Strata:
    """`by_stratum` without its costliest part, the mean rates, which records do not state."""
    plan = checked_plan(draws, seed, level)
    values = checked_scores(scores)
    flags = checked_members(members, values.size)
    if int((~flags).sum()) < 2:
        raise MetricError("strata need at least two non-members.")
    labels, codes = _checked_labels(strata, flags)
    rates = tuple(checked_fraction(fpr, "fpr") for fpr in fprs)
    macro, interval = _macro_auc(values, flags, codes, plan.level)
    return Strata(
        strata=_strata(labels, (values, flags), codes, rates, plan.level),
        fprs=rates,
        macro_auc=macro,
        macro_interval=interval,
        macro_rates=(),
        trend=trend_test(values[flags], codes[flags], draws=draws, seed=seed) if _ordered(labels) else None,
        n_nonmembers=int((~flags).sum()),
    )


def _checked_labels(strata: npt.ArrayLike, flags: BoolArray) -> tuple[list[float | str], IntArray]:
    """Sorted labels of the members and (n,) codes: place in the labels, or -1 for non-members."""
    try:
        given = np.asarray(strata)
    except ValueError as error:
        raise MetricError("strata must be a flat list of numbers or text.") from error
    if given.shape != flags.shape:
        raise MetricError(f"strata must give one label per identity; got shape {given.shape} for {flags.size}.")
    if given.dtype.kind in "iuf" and not np.isfinite(given[flags].astype(np.float64)).all():
        raise MetricError("every member needs a stratum; some labels are not finite.")
    if given.dtype.kind not in "iufU":
        raise MetricError(f"strata must be numbers or text; got {given.dtype} values.")
    found, inverse = np.unique(given[flags], return_inverse=True)
    codes = np.full(flags.size, -1, dtype=np.int64)
    codes[flags] = inverse
    return [str(v) if given.dtype.kind == "U" else float(v) for v in found], codes


def _ordered(labels: Sequence[float | str]) -> bool:
    return len(labels) > 1 and not isinstance(labels[0], str)


def _strata(
    labels: Sequence[float | str],
    scored: tuple[FloatArray, BoolArray],
    codes: IntArray,
    fprs: Sequence[float],
    level: float,
) -> tuple[Stratum, ...]:
    scores, flags = scored
    outside = scores[~flags]
    samples = [Sample(scores[codes == k], outside) for k in range(len(labels))]
    return tuple(
        Stratum(
            label=label,
            n_members=sample.members.size,
            auc=found.value,
            interval=found.interval,
            partial_auc=partial_auc_of(curve, 0.1),
            rates=tuple(tpr_of(curve, fpr) for fpr in fprs),
            best=best_of(curve),
        )
        for label, sample, found, curve in zip(
            labels, samples, auc_estimates(samples, level), map(curve_of, samples), strict=True
        )
    )


def _macro_auc(scores: FloatArray, flags: BoolArray, codes: IntArray, level: float) -> tuple[float, Interval]:
    parts = placements(scores[None], flags)
    sizes = np.bincount(codes[flags])
    inside = codes[flags]
    means = np.bincount(inside, weights=parts.members[0]) / sizes
    value = float(means.mean())
    # A stratum of one has no spread of its own; it borrows the largest that its mean allows.
    squares = np.bincount(inside, weights=(parts.members[0] - means[inside]) ** 2)
    spread = np.where(sizes > 1, squares / np.maximum(sizes - 1, 1), means * (1 - means))
    weights = (1 / (sizes.size * sizes))[inside]
    outside = np.sort(scores[~flags])
    ordered = np.argsort(scores[flags])
    sums = np.concatenate([[0.0], np.cumsum(weights[ordered])])
    rising = scores[flags][ordered]
    above = 1 - (sums[rising.searchsorted(outside, "left")] + sums[rising.searchsorted(outside, "right")]) / 2
    variance = float((spread / sizes).sum() / sizes.size**2 + above.var(ddof=1) / outside.size)
    return value, matched_interval(value, variance, (int(flags.sum()), outside.size), level)


def _macro_rates(
    scores: FloatArray, codes: IntArray, fprs: Sequence[float], level: float
) -> tuple[MacroRate | NotEstimable, ...]:
    """Each stratum against all non-members is one reading of the people."""
    inside = np.arange(int(codes.max()) + 1)[:, None] == codes
    rows = np.broadcast_to(scores, inside.shape)
    found = rates_of_mean(rows, inside, np.broadcast_to(codes < 0, inside.shape), BatchSettings(tuple(fprs), level))
    return tuple(
        one if isinstance(one, NotEstimable) else MacroRate(fpr, one.value, one.interval)
        for fpr, one in zip(fprs, found, strict=True)
    )


def trend_test(scores: npt.ArrayLike, strata: npt.ArrayLike, *, draws: int = 2000, seed: int = 0) -> Trend:
    """Do members of higher strata score higher?

    Args:
        scores: (m,) finite scores of the members. An abstention is given the lowest score by the caller.
        strata: (m,) finite numbers, for instance the number of training pictures; only their order counts.
        draws: permutations drawn.
        seed: seed of the draws.

    Returns:
        `Trend`; without any spread in either, rho is 0 and p is 1.

    Raises:
        MetricError: scores or strata not finite or not flat, or of different lengths; fewer than one draw, or a
            negative seed.

    Source: Spearman, American Journal of Psychology 15 (1904), with a permutation p-value.

    Example:
        >>> round(trend_test([1, 2, 2, 3, 5, 8], [1, 1, 5, 5, 75, 75]).rho, 3)
        0.91
    """
    values, steps = checked_scores(scores), checked_scores(strata, "strata")
    if values.size != steps.size or values.size == 0:
        raise MetricError(f"every member needs one score and one stratum; got {values.size} and {steps.size}.")
    repeats, start = checked_count(draws, "draws"), checked_count(seed, "seed", at_least=0)
    ranked, steps = stats.rankdata(values), stats.rankdata(steps)
    ranked, steps = ranked - ranked.mean(), steps - steps.mean()
    size = float(np.sqrt((ranked @ ranked) * (steps @ steps)))
    if size == 0.0:
        return Trend(0.0, 1.0, 1.0, repeats)
    observed = float(ranked @ steps)
    drawn = np.concatenate([rows @ ranked for rows in _shuffled(steps, repeats, start)])
    # Sums that are equal in exact arithmetic may differ in the last bits.
    slack = 1e-9 * size
    two = (int(np.sum(np.abs(drawn) >= abs(observed) - slack)) + 1) / (repeats + 1)
    rising = (int(np.sum(drawn >= observed - slack)) + 1) / (repeats + 1)
    return Trend(observed / size, two, rising, repeats)


def _shuffled(steps: FloatArray, draws: int, seed: int) -> Iterable[FloatArray]:
    """`draws` permutations of m steps, in rows (k, m) of one or more blocks."""
    if draws * steps.nbytes <= _KEPT_BYTES:
        return [_kept_shuffles(steps.tobytes(), draws, seed)]
    generator = np.random.default_rng(seed)
    return (generator.permutation(steps)[None] for _ in range(draws))


@lru_cache(maxsize=4)  # records of one target are judged one after another, and have the same few seeds
def _kept_shuffles(steps: bytes, draws: int, seed: int) -> FloatArray:
    values, generator = np.frombuffer(steps), np.random.default_rng(seed)
    rows = np.stack([generator.permutation(values) for _ in range(draws)])
    rows.flags.writeable = False  # shared by all who ask again
    return rows
