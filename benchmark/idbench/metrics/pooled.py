"""Means over several readings of the same people (seeds, draws of photos, targets), with people as what varies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from idbench.metrics.batch import BatchSettings, KnownLabels, judge, rate_end
from idbench.metrics.delong import AucDifference, AucEstimate, difference_from, matched_intervals
from idbench.metrics.low_fpr import common_share, narrowed
from idbench.metrics.rates import clopper_pearson
from idbench.metrics.resampling import DEFAULT_FPRS
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    MetricError,
    NotEstimable,
    allowed_false_positives,
    as_numbers,
    checked_flags,
    checked_fraction,
    checked_scores,
    not_estimable,
)


@dataclass(frozen=True, slots=True)
class PooledRate:
    """A mean rate over readings.

    Attributes:
        fpr: the false-positive rate of each reading's own threshold; None where the threshold was given.
        value: mean rate, in [0, 1].
        interval: for new people and these very readings.
    """

    fpr: float | None
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Pooled:
    """Means over readings.

    Attributes:
        auc: mean AUC with its interval, which is for new people and these very readings.
        rates: mean TPR at each false-positive rate asked for; `NotEstimable` if one reading cannot resolve it.
        aucs: (R,) AUC of each reading.
        readings: number of readings, R.
    """

    auc: AucEstimate
    rates: tuple[PooledRate | NotEstimable, ...]
    aucs: FloatArray
    readings: int


def pooled(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    nonmembers: npt.ArrayLike | None = None,
    *,
    fprs: Sequence[float] = DEFAULT_FPRS,
    level: float = 0.95,
) -> Pooled:
    """AUC and TPR at low false-positive rates, averaged over readings of the same people.

    A person is one draw from the population with all readings: scores of one person on several targets are not
    independent, and counting them as different people would make intervals too narrow. The variance of the mean AUC is
    DeLong's for the readings' mean placements. The interval of the mean TPR is the mean of the readings' own intervals
    (`tpr_at_fpr_interval`), narrowed as far as the readings err independently of each other; where tied non-members
    leave open on which side of a step a rate lies, it is not narrowed. For one reading both are the intervals of
    `auc_estimate` and `tpr_at_fpr_interval`.

    Args:
        scores: (R, n); higher means more likely a member. Finite for members and non-members; an
            abstention is given the lowest score by the caller.
        members: (n,), or (R, n) where membership differs by reading; at least two in each.
        nonmembers: (R, n), true for non-members; None: all who are not members. Those who are neither do not count.
        fprs: false-positive rates in (0, 1).
        level: confidence, in (0, 1).

    Returns:
        `Pooled`.

    Raises:
        MetricError: shapes that do not fit together, scores that are not finite, fewer than two of a class, or a rate
            or `level` outside (0, 1).

    Source: DeLong et al., Biometrics 44 (1988), for means over identities; Obuchowski and Rockette, Communications in
    Statistics B 24 (1995), on several readings of the same cases. Coverage is measured in docs/coverage.md.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(400) < 200
        >>> person = rng.normal(size=400) + members
        >>> found = pooled(person + 0.5 * rng.normal(size=(3, 400)), members, fprs=[0.1])
        >>> round(found.auc.value, 2), found.readings, found.rates[0].value in found.rates[0].interval
        (0.75, 3, True)
    """
    matrix, inside, outside = _checked(scores, members, nonmembers)
    plan = BatchSettings(tuple(checked_fraction(fpr, "fpr") for fpr in fprs), checked_fraction(level, "level"))
    sums = _summed(matrix, inside, outside, plan)
    strata = roles(inside, outside)
    sizes = (np.array(inside.sum(axis=1).min()), int(outside.sum(axis=1).min()))
    value = np.array([float(np.clip(sums.aucs.mean(), 0.0, 1.0))])
    low, high = matched_intervals(value, variance_of_sum(sums.area[None], strata), sizes, plan.level)
    method = _method("Newcombe, variance matched to DeLong", len(matrix))
    return Pooled(
        auc=AucEstimate(float(value[0]), Interval(float(low[0]), float(high[0]), plan.level, method)),
        rates=_rates(sums, strata, sizes[1], plan),
        aucs=sums.aucs,
        readings=len(matrix),
    )


def pooled_difference(
    scores_a: npt.ArrayLike, scores_b: npt.ArrayLike, members: npt.ArrayLike, *, level: float = 0.95
) -> AucDifference:
    """Difference of two methods' mean AUC over the same readings of the same people.

    Each person counts once, with all readings of both methods, as in `pooled`. For one reading it is `delong_test`.

    Args:
        scores_a: (R, n) scores of method a, one row for each reading (target and seed).
        scores_b: (R, n) of method b: same people, same readings.
        members: (n,), or (R, n) where membership differs by reading; at least two of each kind.
        level: confidence, in (0, 1).

    Returns:
        `AucDifference`; the interval is for new people and these very readings. Degrees of freedom, and what holds
        where the estimated variance is 0, are as in `delong_test`.

    Raises:
        MetricError: shapes that do not fit together, scores that are not finite, fewer than two of a class, or a rate
            or `level` outside (0, 1).

    Source: as of `delong_test`; see `pooled`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(400) < 200
        >>> noise = rng.normal(size=(3, 400))
        >>> found = pooled_difference(noise + members, noise, members)
        >>> round(found.difference, 2), found.p < 0.001
        (0.27, True)
    """
    a, inside, outside = _checked(scores_a, members, None)
    b, _, _ = _checked(scores_b, members, None)
    if a.shape != b.shape:
        raise MetricError(f"both methods need the same readings and people; got {a.shape} and {b.shape}.")
    plan = BatchSettings((), checked_fraction(level, "level"))
    of_a, of_b = _summed(a, inside, outside, plan), _summed(b, inside, outside, plan)
    strata = roles(inside, outside)
    parts = [(float(part[0]), size) for part, size in _parts_of_sum((of_a.area - of_b.area)[None], strata)]
    own = float(sum(variance_of_sum(each.area[None], strata)[0] for each in (of_a, of_b)))
    means = (float(of_a.aucs.mean()), float(of_b.aucs.mean()))
    sizes = (int(inside.sum(axis=1).min()), int(outside.sum(axis=1).min()))
    return difference_from(means, parts, own, sizes, plan.level, _method("paired DeLong with Student's t", len(a)))


def spread(values: Sequence[float], groups: Sequence[str] | None = None) -> float:
    """Standard deviation over groups of their means: over targets, whatever the number of seeds of each.

    Args:
        values: (R,) such as the AUC of each reading.
        groups: (R,) the group of each, such as its target; None: each value is a group of its own.

    Returns:
        The sample standard deviation (divisor k - 1) of the k group means; 0.0 for a single group.

    Raises:
        MetricError: no value, a value that is not finite, or not one group for each value.

    Source: plain statistics.

    Example:
        >>> round(spread([0.6, 0.8, 0.9, 0.9], ["a", "a", "b", "b"]), 4)
        0.1414
    """
    found = checked_scores(values, "values")
    names = list(range(found.size)) if groups is None else list(groups)
    if not found.size or len(names) != found.size:
        raise MetricError(f"every value needs one group; got {found.size} values and {len(names)} groups.")
    means = [found[[other == name for other in names]].mean() for name in dict.fromkeys(names)]
    return float(np.std(means, ddof=1)) if len(means) > 1 else 0.0


def rates_of_mean(
    matrix: FloatArray, inside: BoolArray, outside: BoolArray, plan: BatchSettings
) -> tuple[PooledRate | NotEstimable, ...]:
    """The rates of `pooled` for checked arrays (R, n); a reading may have a single member."""
    sums = _summed(matrix, inside, outside, plan)
    return _rates(sums, roles(inside, outside), int(outside.sum(axis=1).min()), plan)


@dataclass(frozen=True, slots=True)
class _Sums:
    """What each of n people adds to the mean AUC, (n,), and to each mean TPR, (F, n); means over the readings."""

    aucs: FloatArray
    area: FloatArray
    hits: FloatArray
    columns: FloatArray


def _summed(matrix: FloatArray, inside: BoolArray, outside: BoolArray, plan: BatchSettings) -> _Sums:
    readings, n = matrix.shape
    area, hits = np.zeros(n), np.zeros((len(plan.fprs), n))
    columns, aucs = np.zeros((len(plan.fprs), 6)), np.zeros(readings)
    for rows in _alike(inside, outside):
        own, others = inside[rows[0]], outside[rows[0]]
        kept = own | others
        known = KnownLabels(own[kept], np.zeros(int(kept.sum()), dtype=np.int64))
        judged = judge([matrix[rows][:, kept]], known, plan)
        found, share = judged.averages, len(rows) / readings
        aucs[rows] = judged.aucs
        # The threshold rises, and the rate falls, with the non-members that reach it.
        area[own] += share * found.inside[0] / own.sum()
        area[others] += share * found.outside[0] / others.sum()
        hits[:, own] += share * found.hits[0] / own.sum()
        hits[:, others] -= share * found.alarms[0] / others.sum()
        columns += share * found.rates[0]
    return _Sums(aucs, area, hits, columns)


def _rates(sums: _Sums, strata: IntArray, fewest: int, plan: BatchSettings) -> tuple[PooledRate | NotEstimable, ...]:
    return tuple(_rate(sums, place, strata, fewest, plan) for place in range(len(plan.fprs)))


def _rate(sums: _Sums, place: int, strata: IntArray, fewest: int, plan: BatchSettings) -> PooledRate | NotEstimable:
    fpr = plan.fprs[place]
    if allowed_false_positives(fpr, fewest) < 1:
        return not_estimable(fpr, fewest)
    ends = rate_end(sums.columns[[place]], variance_of_sum(sums.hits[[place]], strata))
    method = _method("binomial mixture of Clopper-Pearson", len(sums.aucs))
    interval = Interval(float(ends.low[0]), float(ends.high[0]), plan.level, method)
    return PooledRate(fpr, float(ends.value[0]), interval)


def _method(name: str, readings: int) -> str:
    return name if readings == 1 else f"{name}, mean over {readings} readings"


def pooled_rate(hits: npt.ArrayLike, counted: npt.ArrayLike, *, level: float = 0.95) -> PooledRate:
    """Mean share of the people counted who are hit, over readings of the same people.

    The interval is the mean of the readings' Clopper-Pearson intervals, narrowed as far as the readings err
    independently of each other (see `pooled`); for one reading it is Clopper-Pearson's.

    Args:
        hits: (R, n) true for who is hit, such as members whose score reaches a threshold that was set beforehand.
        counted: (n,) or (R, n) true for who counts, at least one person in each reading.
        level: confidence, in (0, 1).

    Returns:
        `PooledRate` whose `fpr` is None.

    Raises:
        MetricError: shapes that do not fit together, a reading in which nobody counts, or `level` outside (0, 1).

    Source: Clopper and Pearson, Biometrika 26 (1934); see `pooled`.

    Example:
        >>> hits = np.array([[True, True, False, False], [True, False, False, False]])
        >>> pooled_rate(hits, np.ones(4, dtype=bool)).value
        0.375
    """
    called = np.atleast_2d(checked_flags(hits, "hits"))
    own = _in_each(checked_flags(counted, "counted"), called.shape, "counted")
    confidence = checked_fraction(level, "level")
    totals = own.sum(axis=1)
    if not totals.all():
        raise MetricError("every reading needs somebody who counts.")
    called = called & own
    found = [clopper_pearson(int(k), int(n), confidence) for k, n in zip(called.sum(axis=1), totals, strict=True)]
    shares = called.sum(axis=1) / totals
    deviation = np.sqrt(shares * (1 - shares) / np.maximum(totals - 1, 1)).mean()
    each = (called / totals[:, None]).mean(axis=0)
    variance = variance_of_sum(each[None], roles(own, ~own))
    ends = tuple(np.array([np.mean([getattr(one, end) for one in found])]) for end in ("low", "high"))
    value = np.array([shares.mean()])
    low, high = narrowed(value, (ends[0], ends[1]), value, common_share(variance, np.array([deviation])))
    interval = Interval(float(low[0]), float(high[0]), confidence, _method("Clopper-Pearson", len(found)))
    return PooledRate(None, float(value[0]), interval)


def _checked(
    scores: npt.ArrayLike, members: npt.ArrayLike, nonmembers: npt.ArrayLike | None
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Scores, members and non-members, (R, n) each."""
    matrix = np.atleast_2d(as_numbers(scores, "scores"))
    if matrix.ndim != 2:
        raise MetricError(f"scores must have shape (readings, identities); got {matrix.shape}.")
    inside = _in_each(checked_flags(members), matrix.shape, "members")
    outside = ~inside if nonmembers is None else _in_each(checked_flags(nonmembers), matrix.shape, "nonmembers")
    if (inside & outside).any():
        raise MetricError("one identity cannot be both a member and a non-member of one reading.")
    fewest = min(int(inside.sum(axis=1).min()), int(outside.sum(axis=1).min()))
    if fewest < 2:
        raise MetricError(f"every reading needs at least two members and two non-members; one class holds {fewest}.")
    if not np.isfinite(matrix[inside | outside]).all():
        raise MetricError("scores of members and non-members must be finite; give an abstention the lowest score.")
    return matrix, inside, outside


def _in_each(flags: BoolArray, shape: tuple[int, ...], name: str) -> BoolArray:
    """Flags (n,) or (R, n) as (R, n)."""
    if flags.shape not in (shape, shape[1:]):
        raise MetricError(f"{name} must have shape {shape[1:]} or {shape}; got {flags.shape}.")
    return np.broadcast_to(flags, shape)


def _alike(inside: BoolArray, outside: BoolArray) -> list[IntArray]:
    """Readings, as places (r,), that have the same members and the same non-members."""
    group = _equal_rows(inside.astype(np.int8) - outside)
    return [np.flatnonzero(group == each) for each in range(int(group.max()) + 1)]


def roles(inside: BoolArray, outside: BoolArray) -> IntArray:
    """(n,) people who play the same roles in the same readings share a stratum, whose size is given."""
    return _equal_rows((inside.astype(np.int8) - outside).T)


def _equal_rows(signs: npt.NDArray[np.int8]) -> IntArray:
    """A number for each row, the same for equal rows."""
    rows = np.ascontiguousarray(signs).view(np.dtype((np.void, signs.shape[1]))).reshape(-1)
    return np.asarray(np.unique(rows, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def variance_of_sum(parts: FloatArray, strata: IntArray) -> FloatArray:
    """Variance (E,) of sums over people of their parts (E, n), who are drawn within strata of given size."""
    return np.asarray(sum((part for part, _ in _parts_of_sum(parts, strata)), np.zeros(len(parts))), dtype=np.float64)


def _parts_of_sum(parts: FloatArray, strata: IntArray) -> Iterator[tuple[FloatArray, int]]:
    """What each stratum of two people or more adds to `variance_of_sum`, (E,), and the number of its people."""
    for stratum in range(int(strata.max()) + 1):
        own = parts[:, strata == stratum]
        if own.shape[1] > 1:
            yield np.asarray(own.var(axis=1, ddof=1) * own.shape[1], dtype=np.float64), own.shape[1]
