"""Intervals and paired tests for the AUC from its structural components (DeLong), in O(n log n) per method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from idbench.metrics.curve import area
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    MetricError,
    Sample,
    checked_count,
    checked_fraction,
    checked_matrix,
    checked_members,
    checked_number,
    checked_sample,
    checked_scores,
)

LEAST_VARIANCE: Final = 1e-14
"""Rounding leaves about 1e-17 where a variance is exactly 0."""
_MATCHED: Final = "Newcombe, variance matched to DeLong"
_PAIRED: Final = "paired DeLong with Student's t"
_ROUNDING: Final = 1e-14
"""The same for the variance of a difference, as a share of the two variances that it is made of."""
_HALVINGS: Final = 60
"""Halvings of a bracket in [0, 1] after which nothing of it is left."""


@dataclass(frozen=True, slots=True)
class Placements:
    """Where each identity stands in the other class, for K methods.

    Attributes:
        members: (K, m) share of the non-members below each member, a tie counting one half.
        nonmembers: (K, n) share of the members above each non-member, a tie counting one half.
    """

    members: FloatArray
    nonmembers: FloatArray

    @property
    def auc(self) -> FloatArray:
        """(K,) AUC of each method: the mean placement, from whole numbers, so that it equals `auc` to the bit."""
        m, n = self.members.shape[1], self.nonmembers.shape[1]
        return np.asarray(np.rint((self.members * (2 * n)).sum(axis=1)) / (2 * m * n), dtype=np.float64)

    @property
    def variance(self) -> FloatArray:
        """(K,) estimated variance of each AUC."""
        m, n = self.members.shape[1], self.nonmembers.shape[1]
        total = self.members.var(axis=1, ddof=1) / m + self.nonmembers.var(axis=1, ddof=1) / n
        return np.asarray(total, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class AucCovariance:
    """AUCs of K methods on the same identities with their covariance.

    Attributes:
        auc: (K,) in [0, 1].
        covariance: (K, K) DeLong's estimate, the sum of the next two; a method that separates the classes perfectly
            has an estimated variance of 0, which means unknown, not none.
        of_members: (K, K) the part that comes from the choice of members.
        of_nonmembers: (K, K) the part that comes from the choice of non-members.
        n_members: number of members.
        n_nonmembers: number of non-members.
    """

    auc: FloatArray
    covariance: FloatArray
    of_members: FloatArray
    of_nonmembers: FloatArray
    n_members: int
    n_nonmembers: int

    @property
    def components(self) -> tuple[tuple[FloatArray, int], ...]:
        """The parts of the covariance, each with the number of identities that it was estimated from."""
        return (self.of_members, self.n_members), (self.of_nonmembers, self.n_nonmembers)


@dataclass(frozen=True, slots=True)
class AucDifference:
    """AUC of method a minus AUC of method b on the same identities.

    Attributes:
        auc_a: AUC of a.
        auc_b: AUC of b.
        difference: `auc_a - auc_b`, in [-1, 1].
        standard_error: DeLong's; 0.0 where it cannot be estimated (see `interval.method`).
        statistic: difference in standard errors; 0.0 where the standard error cannot be estimated.
        freedom: degrees of freedom of Student's t for it; inf where the standard error cannot be estimated.
        p: two-sided p-value of "no difference".
        interval: of the difference.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    statistic: float
    freedom: float
    p: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class AucEstimate:
    """An AUC with its interval.

    Attributes:
        value: the AUC, in [0, 1].
        interval: from `auc_interval`.
    """

    value: float
    interval: Interval


def placements(scores: FloatArray, members: BoolArray) -> Placements:
    """Placements for checked scores (K, n) and members (n,)."""
    return Placements(
        members=np.stack([_share_below(row[members], row[~members]) for row in scores]),
        nonmembers=np.stack([1 - _share_below(row[~members], row[members]) for row in scores]),
    )


def _share_below(values: FloatArray, reference: FloatArray) -> FloatArray:
    order = np.argsort(values)
    ordered, sorted_reference = values[order], np.sort(reference)
    below = sorted_reference.searchsorted(ordered, "left") + sorted_reference.searchsorted(ordered, "right")
    result = np.empty(values.size)
    result[order] = below / (2 * reference.size)
    return result


def covariance_of_mean(components: FloatArray) -> FloatArray:
    """Covariance (K, K) of the means of K rows of components (K, count) over identities."""
    count = components.shape[1]
    centred = components - components.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / ((count - 1) * count), dtype=np.float64)


def delong_covariance(scores: npt.ArrayLike, members: npt.ArrayLike) -> AucCovariance:
    """AUCs and their covariance for K methods that scored the same identities.

    Args:
        scores: (K, n) finite; one row per method, higher means more likely a member.
        members: (n,) true for members; at least two of each class.

    Returns:
        `AucCovariance`. Time O(K n log n + K² n).

    Raises:
        MetricError: see `auc`; or a class with fewer than two identities.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); Sun and Xu, IEEE Signal Processing Letters 21
    (2014), for the fast form.

    Example:
        >>> result = delong_covariance([[4, 3, 2, 1], [1, 2, 3, 4]], [True, False, True, False])
        >>> result.auc.tolist(), result.covariance.tolist()
        ([0.75, 0.25], [[0.125, -0.125], [-0.125, 0.125]])
    """
    matrix = checked_matrix(scores)
    flags = checked_members(members, matrix.shape[1])
    _require_two(flags)
    parts = placements(matrix, flags)
    inside, outside = covariance_of_mean(parts.members), covariance_of_mean(parts.nonmembers)
    return AucCovariance(
        auc=parts.auc,
        covariance=inside + outside,
        of_members=inside,
        of_nonmembers=outside,
        n_members=parts.members.shape[1],
        n_nonmembers=parts.nonmembers.shape[1],
    )


def _require_two(flags: BoolArray) -> None:
    m = int(flags.sum())
    if min(m, flags.size - m) < 2:
        raise MetricError(f"a variance needs at least two members and two non-members; got {m} and {flags.size - m}.")


def _auc_and_error(sample: Sample) -> tuple[float, float]:
    scores = np.concatenate([sample.members, sample.nonmembers])[None]
    flags = np.arange(scores.size) < sample.members.size
    parts = placements(scores, flags)
    return float(parts.auc[0]), math.sqrt(float(parts.variance[0]))


def delong_interval(scores: npt.ArrayLike, members: npt.ArrayLike, level: float = 0.95) -> Interval:
    """DeLong's interval of the AUC: estimate plus and minus z standard errors, cut at 0 and 1.

    Valid within two points from about 50 people in each class up to AUC 0.7, 100 up to 0.9, 1000 up to 0.95. Beyond,
    and with a handful of non-members against any number of members, it is too narrow: use `auc_interval`.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; at least two of each class.
        level: confidence, in (0, 1).

    Returns:
        `Interval`. Where the estimated variance is 0 (perfect separation, or all scores equal) nothing is known of
        it, and the interval is `newcombe_interval`'s, as `method` then states.

    Raises:
        MetricError: see `delong_covariance`; or `level` outside (0, 1).

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).

    Example:
        >>> interval = delong_interval([6, 5, 4, 3, 2, 1], [True, True, False, True, False, False])
        >>> round(interval.low, 3), interval.high
        (0.581, 1.0)
    """
    sample = checked_sample(scores, members, at_least=2)
    confidence = checked_fraction(level, "level")
    value, error = _auc_and_error(sample)
    if error == 0.0:
        return _instead((sample.members.size, sample.nonmembers.size), value, confidence)
    half = _z(confidence) * error
    return Interval(max(0.0, value - half), min(1.0, value + half), confidence, "DeLong")


def delong_interval_logit(scores: npt.ArrayLike, members: npt.ArrayLike, level: float = 0.95) -> Interval:
    """DeLong's interval computed on the logit of the AUC: stays inside (0, 1) and is lopsided near the ends.

    Valid within two points, or too wide, from 50 people in each class up to AUC 0.9 and 100 up to 0.95; beyond only for
    light tails. With a handful of non-members against many members it is too narrow: use `auc_interval`.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; at least two of each class.
        level: confidence, in (0, 1).

    Returns:
        `Interval`. Where the estimated variance is 0 the interval is `newcombe_interval`'s, as `method` then states.

    Raises:
        MetricError: see `delong_interval`.

    Source: Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.4; Qin and Hotilovac,
    Statistical Methods in Medical Research 17 (2008), for its coverage.

    Example:
        >>> interval = delong_interval_logit([6, 5, 4, 3, 2, 1], [True, True, False, True, False, False])
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.261, 0.995)
    """
    sample = checked_sample(scores, members, at_least=2)
    confidence = checked_fraction(level, "level")
    value, error = _auc_and_error(sample)
    return logit_interval(value, error**2, (sample.members.size, sample.nonmembers.size), confidence)


def logit_interval(value: float, variance: float, sizes: tuple[int, int], level: float) -> Interval:
    """The interval on the logit scale from a value in (0, 1) and its variance."""
    if variance <= 0.0:
        return _instead(sizes, value, level)
    half = _z(level) * math.sqrt(variance) / (value * (1 - value))
    middle = float(special.logit(value))
    return Interval(
        float(special.expit(middle - half)), float(special.expit(middle + half)), level, "DeLong on the logit"
    )


def _instead(sizes: tuple[int, int], value: float, level: float) -> Interval:
    found = newcombe_interval(value, *sizes, level)
    if min(sizes) < 2:
        return found
    return Interval(found.low, found.high, level, "Newcombe (DeLong's variance is 0)")


def auc_interval(scores: npt.ArrayLike, members: npt.ArrayLike, level: float = 0.95) -> Interval:
    """The AUC interval that idbench uses throughout: holds for small classes, near 0 and 1, and for any spread.

    It has the shape of `newcombe_interval`, with the variance multiplied by the ratio of DeLong's variance to
    Newcombe's at the estimate. A ratio above 1 (members more spread out than non-members, heavy tails) is taken as it
    is. A ratio below 1 is raised to the power k / (k + 5), where k = min(m, n) * min(AUC, 1 - AUC) counts how many
    identities are out of order: DeLong's variance rests on these, and with few of them it is too small too often.

    Valid at 95 % for every size and shape measured (0.92 at least, with eight people in each class, heavy tails and AUC
    0.99; 0.93 or more elsewhere); too wide at AUC 0.99, and where the larger class is also the more spread out.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        level: confidence, in (0, 1).

    Returns:
        `Interval` in [0, 1]; `newcombe_interval`'s where a class has fewer than two identities or DeLong's variance
        is 0.

    Raises:
        MetricError: see `auc`; or `level` outside (0, 1).

    Source: our own combination of Newcombe, Statistics in Medicine 25 (2006), and DeLong et al. 1988. Coverage is
    measured in docs/coverage.md.

    Example:
        >>> interval = auc_interval([6, 5, 4, 3, 2, 1], [True, True, False, True, False, False])
        >>> round(interval.low, 3), round(interval.high, 3), interval.method
        (0.391, 0.989, 'Newcombe, variance matched to DeLong')
    """
    return auc_estimate(scores, members, level).interval


def auc_estimate(scores: npt.ArrayLike, members: npt.ArrayLike, level: float = 0.95) -> AucEstimate:
    """The AUC with the interval that is used throughout idbench.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        level: confidence, in (0, 1).

    Returns:
        `AucEstimate`.

    Raises:
        MetricError: see `auc`; or `level` outside (0, 1).

    Source: see `auc` and `auc_interval`.

    Example:
        >>> auc_estimate([4, 3, 2, 1], [True, False, True, False]).value
        0.75
    """
    sample = checked_sample(scores, members)
    return auc_estimates([sample], checked_fraction(level, "level"))[0]


def auc_estimates(samples: Sequence[Sample], level: float) -> list[AucEstimate]:
    """`auc_estimate` of groups of members against the same non-members; their intervals are found together."""
    sizes = [(sample.members.size, sample.nonmembers.size) for sample in samples]
    judged = [
        _auc_and_error(sample) if min(each) >= 2 else (area(sample), 0.0)
        for sample, each in zip(samples, sizes, strict=True)
    ]
    values, variances = np.array([value for value, _ in judged]), np.array([error**2 for _, error in judged])
    low, high = matched_intervals(values, variances, (np.array([m for m, _ in sizes]), sizes[0][1]), level)
    return [
        AucEstimate(
            value,
            Interval(float(low[place]), float(high[place]), level, _MATCHED)
            if variances[place] > LEAST_VARIANCE
            else _instead(sizes[place], value, level),
        )
        for place, (value, _) in enumerate(judged)
    ]


def matched_interval(value: float, variance: float, sizes: tuple[int, int], level: float) -> Interval:
    """`auc_interval` from an AUC, DeLong's variance of it and the class sizes."""
    if variance <= LEAST_VARIANCE:
        return _instead(sizes, value, level)
    low, high = matched_intervals(np.array([value]), np.array([variance]), (np.array(sizes[0]), sizes[1]), level)
    return Interval(float(low[0]), float(high[0]), level, _MATCHED)


def matched_intervals(
    values: FloatArray, variances: FloatArray, sizes: tuple[IntArray, int], level: float
) -> tuple[FloatArray, FloatArray]:
    """Ends of `auc_interval` for many AUCs at once.

    Args:
        values: AUCs, (k,).
        variances: DeLong's, (k,); `LEAST_VARIANCE` at most where unknown.
        sizes: members behind each, (k,) or one number, and the non-members of all.
        level: confidence.

    Returns:
        Lower ends (k,) and upper ends (k,).
    """
    m, n = np.broadcast_to(sizes[0], values.shape), sizes[1]
    smaller = np.minimum(m, n)
    # A quarter of an identity away from 0 and 1: nearer, the variance to compare with would vanish.
    inside = np.clip(values, 0.25 / smaller, 1 - 0.25 / smaller)
    ratio = variances * m * n / (inside * (1 - inside) * _newcombe_inflation(inside, m + n))
    misplaced = smaller * np.minimum(values, 1 - values)
    shrunk = np.power(ratio, misplaced / (misplaced + 5), where=(ratio > 0) & (ratio < 1), out=np.ones_like(ratio))
    # Without a variance the scores do not show the spread: Newcombe's interval stands in, with a ratio of 1.
    ratio = np.where(variances <= LEAST_VARIANCE, 1.0, np.where(ratio < 1, shrunk, ratio))
    share = special.ndtri((1 + level) / 2) ** 2 * ratio / (m * n)
    both = np.concatenate([values, 1 - values])
    low = _newcombe_low(both, np.tile(m + n, 2), np.tile(share, 2))
    # The variance is the same at x and 1 - x, so the upper end is the lower end of the mirrored problem.
    return low[: values.size], 1 - low[values.size :]


def newcombe_interval(auc_value: float, n_members: int, n_nonmembers: int, level: float = 0.95) -> Interval:
    """Score-type interval of an AUC from the AUC and the class sizes alone; holds near 0 and 1 and in small samples.

    Valid where members and non-members are spread alike with light tails; up to nine points short for heavy tails and
    for unequal spread, in large samples too, as it does not see the scores: use `auc_interval` if there are scores.

    Args:
        auc_value: the AUC, in [0, 1].
        n_members: number of members, at least 1.
        n_nonmembers: number of non-members, at least 1.
        level: confidence, in (0, 1).

    Returns:
        `Interval` in [0, 1]. It inverts the variance that exponential scores would have, averaged over both
        orders of the classes, at each candidate value.

    Raises:
        MetricError: an AUC outside [0, 1], a size below 1 or `level` outside (0, 1).

    Source: Newcombe, Statistics in Medicine 25 (2006), part 2, method 5; variance of Hanley and McNeil,
    Radiology 143 (1982).

    Example:
        >>> interval = newcombe_interval(1.0, 8, 8)
        >>> round(interval.low, 3), interval.high
        (0.756, 1.0)
    """
    value = checked_number(auc_value, "auc_value")
    if not 0.0 <= value <= 1.0:
        raise MetricError(f"an AUC lies between 0 and 1; got {auc_value!r}.")
    m, n = checked_count(n_members, "n_members"), checked_count(n_nonmembers, "n_nonmembers")
    confidence = checked_fraction(level, "level")
    low, high = matched_intervals(np.array([value]), np.zeros(1), (np.array(m), n), confidence)
    return Interval(float(low[0]), float(high[0]), confidence, "Newcombe")


def _newcombe_inflation(values: FloatArray, total: IntArray) -> FloatArray:
    return np.asarray(1 + (total / 2 - 1) * ((1 - values) / (2 - values) + values / (1 + values)), dtype=np.float64)


def _newcombe_low(values: FloatArray, total: IntArray, share: FloatArray) -> FloatArray:
    """For each value, the candidate below it that lies z of its own standard errors away; share is z² / (m n)."""
    perfect = values >= 1

    def excess(candidates: FloatArray) -> FloatArray:
        scaled = share * candidates * _newcombe_inflation(candidates, total)
        # At 1 the factor 1 - candidate stands on both sides; divided out, so that the root at 1 is not found.
        gap = np.where(perfect, 1 - candidates, (values - candidates) ** 2)
        return np.asarray(np.where(perfect, scaled, scaled * (1 - candidates)) - gap, dtype=np.float64)

    low, high = np.zeros_like(values), values
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        negative = excess(middle) < 0
        low, high = np.where(negative, middle, low), np.where(negative, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)


def delong_test(
    scores_a: npt.ArrayLike, scores_b: npt.ArrayLike, members: npt.ArrayLike, level: float = 0.95
) -> AucDifference:
    """Do two methods that scored the same identities have the same AUC?

    Args:
        scores_a: (n,) finite scores of method a. An abstention is given the lowest score by the caller.
        scores_b: (n,) finite scores of method b, same identities in the same order.
        members: (n,) true for members; at least two of each class.
        level: confidence of the interval, in (0, 1).

    Returns:
        `AucDifference`. If the estimated variance of the difference is 0 (both methods order the classes in the same
        way, or each perfectly), the interval joins the two `newcombe_interval`s as if independent, and p is the
        significance level at which that interval would end at 0. The difference is referred to Student's t rather than
        to the normal distribution, which rejects too often when one class has only a few identities. The test rejects
        as often as it says, or less, for every size measured; the interval holds too, except for AUCs above 0.9 with a
        handful of non-members, where it is too narrow.

    Raises:
        MetricError: see `delong_covariance`; or `level` outside (0, 1).

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); Welch, Biometrika 34 (1947), for the
    degrees of freedom; Zou and Donner, Biometrics 64 (2008), for joining two intervals.

    Example:
        >>> members = [True, True, True, False, False, False]
        >>> result = delong_test([6, 5, 3, 4, 2, 1], [6, 2, 3, 5, 4, 1], members)
        >>> round(result.difference, 3), round(result.p, 3)
        (0.333, 0.288)
    """
    a, b = checked_scores(scores_a, "scores_a"), checked_scores(scores_b, "scores_b")
    if a.size != b.size:
        raise MetricError(f"both methods must score the same identities; got {a.size} and {b.size} scores.")
    confidence = checked_fraction(level, "level")
    return difference_of(delong_covariance(np.stack([a, b]), members), (0, 1), confidence)


def difference_of(found: AucCovariance, pair: tuple[int, int], level: float) -> AucDifference:
    """The paired test for methods `pair` of a joint covariance."""
    i, j = pair
    parts = [(_of_difference(part, pair), size) for part, size in found.components]
    own = float(found.covariance[i, i] + found.covariance[j, j])
    aucs = (float(found.auc[i]), float(found.auc[j]))
    return difference_from(aucs, parts, own, (found.n_members, found.n_nonmembers), level, _PAIRED)


def difference_from(
    aucs: tuple[float, float],
    parts: Sequence[tuple[float, int]],
    own: float,
    sizes: tuple[int, int],
    level: float,
    method: str,
) -> AucDifference:
    """The test of a difference of two AUCs from its estimated variance.

    Args:
        aucs: of both methods, or their means over readings.
        parts: independent parts of the variance of the difference, each with the number of identities, two or more,
            that it was estimated from.
        own: sum of the variances of both AUCs, against which rounding is told from a variance.
        sizes: members and non-members, for where the variance of the difference is 0.
        level: confidence of the interval, in (0, 1).
        method: how the interval is made, in words.
    """
    auc_a, auc_b = aucs
    variance = sum(part for part, _ in parts)
    if variance <= _ROUNDING * own:
        interval, p = _joined(auc_a, auc_b, sizes, level), _joined_p(auc_a, auc_b, sizes)
        return AucDifference(auc_a, auc_b, auc_a - auc_b, 0.0, 0.0, math.inf, p, interval)
    error = math.sqrt(variance)
    freedom = float(degrees_of_freedom(np.array([part for part, _ in parts]), [size for _, size in parts]))
    statistic = (auc_a - auc_b) / error
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    return AucDifference(
        auc_a=auc_a,
        auc_b=auc_b,
        difference=auc_a - auc_b,
        standard_error=error,
        statistic=statistic,
        freedom=freedom,
        p=float(2 * special.stdtr(freedom, -abs(statistic))),
        interval=Interval(max(-1.0, auc_a - auc_b - half), min(1.0, auc_a - auc_b + half), level, method),
    )


def difference_ps(
    auc_values: FloatArray, components: Sequence[tuple[FloatArray, int]], sizes: tuple[int, int]
) -> FloatArray:
    """Two-sided p-values (K, K) of "no difference" between any two of K methods: those of `delong_test`.

    Args:
        auc_values: (K,).
        components: parts (K, K) of the covariance, each with the number of identities that it was estimated from.
        sizes: numbers of members and non-members.
    """
    parts = np.stack([_of_differences(part) for part, _ in components])
    own = np.diag(np.sum([part for part, _ in components], axis=0))
    variance = parts.sum(axis=0)
    known = variance > _ROUNDING * (own[:, None] + own)
    freedom = degrees_of_freedom(np.where(known, parts, 1.0), [size for _, size in components])
    gap = auc_values[:, None] - auc_values
    result = 2 * special.stdtr(freedom, -np.abs(gap) / np.sqrt(np.where(known, variance, 1.0)))
    result[~known] = 1.0
    for i, j in np.argwhere(~known & (gap > 0)).tolist():
        result[i, j] = result[j, i] = _joined_p(float(auc_values[i]), float(auc_values[j]), sizes)
    return np.asarray(result, dtype=np.float64)


def _of_differences(covariance: FloatArray) -> FloatArray:
    own = np.diag(covariance)
    return np.asarray(np.maximum(0.0, own[:, None] + own - 2 * covariance), dtype=np.float64)


def degrees_of_freedom(parts: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """Degrees of freedom (...) of a sum of variances (k, ...) that were estimated from that many identities each.

    Source: Satterthwaite, Biometrics Bulletin 2 (1946); Welch, Biometrika 34 (1947).
    """
    each = np.array(sizes, dtype=np.float64).reshape(-1, *[1] * (parts.ndim - 1)) - 1
    return np.asarray(parts.sum(axis=0) ** 2 / (parts**2 / each).sum(axis=0), dtype=np.float64)


def _of_difference(covariance: FloatArray, pair: tuple[int, int]) -> float:
    i, j = pair
    return max(0.0, float(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]))


def _joined(auc_a: float, auc_b: float, sizes: tuple[int, int], level: float) -> Interval:
    a, b = (newcombe_interval(value, *sizes, level) for value in (auc_a, auc_b))
    difference = auc_a - auc_b
    return Interval(
        difference - math.hypot(auc_a - a.low, b.high - auc_b),
        difference + math.hypot(a.high - auc_a, auc_b - b.low),
        level,
        "joined Newcombe intervals (DeLong's variance is 0)",
    )


def _joined_p(auc_a: float, auc_b: float, sizes: tuple[int, int]) -> float:
    """The smallest 1 - level at which the joined interval leaves 0 out."""
    if auc_a == auc_b:
        return 1.0
    high, low = max(auc_a, auc_b), min(auc_a, auc_b)

    def excess(tail: float) -> float:
        return _joined(high, low, sizes, 1 - tail).low

    smallest = 1e-12
    return smallest if excess(smallest) > 0 else float(optimize.brentq(excess, smallest, 1 - 1e-12))


def _z(level: float) -> float:
    return float(special.ndtri((1 + level) / 2))
