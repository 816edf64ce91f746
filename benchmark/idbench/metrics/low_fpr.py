"""The true-positive rate at a low false-positive rate: its interval, for one row of scores, for many, and for means."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    NotEstimable,
    Sample,
    allowed_false_positives,
    checked_fraction,
    checked_sample,
    not_estimable,
)

_STEPS: Final = 60
_EXACT: Final = 1e-12
_DEVIATIONS: Final = 9
"""Binomial probabilities beyond this many standard deviations add nothing to a sum of floats."""
_LIKELY: Final = 1e-12
"""Numbers of non-members with a smaller chance to lie above the threshold are left out."""
_SPENT: Final = 0.2
"""Share of a tail's error that is spent on where a step of tied scores belongs."""
_OPEN: Final = 4.0
"""The side of a step counts as fully open from a tail probability of one over this on."""
_STEEP: Final = 4.0
"""A curve that gains over twice one over this of all members, within one standard deviation of the threshold to either
side, is a step; from half of that on it begins to be one."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The members around each of n non-members in R rows of scores, the highest non-member first; all (R, n).

    Attributes:
        above: members strictly above the non-member.
        reached: members above the non-member or tied with it.
        tied: non-members with its score, itself included, where it is the last of them in the order; 0 elsewhere.
    """

    above: IntArray
    reached: IntArray
    tied: IntArray


@dataclass(frozen=True, slots=True)
class TprRows:
    """TPR at one false-positive rate of R rows of scores, with what a mean over rows needs; all (R,).

    Attributes:
        value: the rate at the largest attainable false-positive rate that is at most the one asked for.
        low: lower end of its interval.
        high: upper end.
        centre: estimate without the upward bias of `value`, which stops at the first non-member too many: the curve
            at the non-member that is expected to stand at the false-positive rate.
        slope: rise of the curve there, TPR by FPR, over one standard deviation of the threshold to either side.
        stepped: how much of the interval's width comes from a step, in [0, 1]: tied non-members, or a curve that rises
            like one, leave open on which side of it the false-positive rate lies.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    centre: FloatArray
    slope: FloatArray
    stepped: FloatArray


def tpr_at_fpr_interval(
    scores: npt.ArrayLike, members: npt.ArrayLike, fpr: float, level: float = 0.95
) -> Interval | NotEstimable:
    """Interval of the true-positive rate at the threshold where the false-positive rate truly is `fpr`.

    The Clopper-Pearson interval in `tpr_at_fpr` takes the threshold as given, although it was read off the few
    highest non-members. Here the rank of the true threshold among n non-members is binomial (n + 1, fpr); each rank
    puts it at a non-member, and the members above that one give a Beta distribution for the rate, widened on either
    side as by Clopper and Pearson. The ends are the quantiles of the mixture.

    Where non-members are tied, the curve has a step, and the data may not tell on which side of it the false-positive
    rate lies. Both sides then count: a fifth of each tail's error is spent on the place of the step, the rest on the
    members. Nothing is assumed of the scores' distribution, and nothing is drawn at random.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        fpr: false-positive rate, in (0, 1). With ties the truth is the rate at the largest attainable false-positive
            rate that is at most this.
        level: confidence, in (0, 1).

    Returns:
        `Interval` in [0, 1] that holds the estimate; or `NotEstimable` below the resolution, as in `tpr_at_fpr`.

    Raises:
        MetricError: see `tpr_at_fpr`.

    Source: our own; the distribution-free tolerance argument is Wilks, Annals of Mathematical Statistics 12 (1941),
    the problem Linnet, Clinical Chemistry 33 (1987). Coverage is measured in docs/coverage.md.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(400) < 200
        >>> interval = tpr_at_fpr_interval(rng.normal(size=400) + members, members, fpr=0.05)
        >>> round(interval.low, 2), round(interval.high, 2)
        (0.09, 0.4)
    """
    limit = checked_fraction(fpr, "fpr")
    confidence = checked_fraction(level, "level")
    sample = checked_sample(scores, members)
    if allowed_false_positives(limit, sample.nonmembers.size) < 1:
        return not_estimable(limit, sample.nonmembers.size)
    found = tpr_rows(steps_of(sample), sample.members.size, limit, confidence)
    return Interval(float(found.low[0]), float(found.high[0]), confidence, "binomial mixture of Clopper-Pearson")


def steps_of(sample: Sample) -> Steps:
    """The steps of one row."""
    falling, members = np.sort(sample.nonmembers)[::-1], np.sort(sample.members)
    above = members.size - members.searchsorted(falling, "right")
    reached = members.size - members.searchsorted(falling, "left")
    return Steps(above[None], reached[None], tied_last(falling[None]))


def tied_last(falling: npt.NDArray[np.generic]) -> IntArray:
    """For non-members in falling order (R, n): how many share a score, given at the last of them; 0 elsewhere."""
    place = np.arange(falling.shape[1])
    apart = falling[:, 1:] != falling[:, :-1]
    edge = np.ones((len(falling), 1), dtype=np.bool_)
    begin = np.maximum.accumulate(np.where(np.hstack([edge, apart]), place, 0), axis=1)
    return np.asarray(np.where(np.hstack([apart, edge]), place - begin + 1, 0), dtype=np.int64)


def tpr_rows(steps: Steps, n_members: int, fpr: float, level: float) -> TprRows:
    """TPR of R rows with its interval.

    Args:
        steps: of R rows, (R, n).
        n_members: of each row.
        fpr: in (0, 1), not below the resolution of the non-members.
        level: confidence.
    """
    rows, n = steps.above.shape
    hits = np.zeros((rows, n + 2), dtype=np.int64)
    hits[:, 1:-1], hits[:, -1] = steps.above, n_members
    value = hits[:, allowed_false_positives(fpr, n) + 1] / n_members
    chances = stats.binom.pmf(np.arange(n + 2), n + 1, fpr)
    likely = np.flatnonzero(chances > _LIKELY)
    tail = (1 - level) / 2
    low = _mixture_quantiles(chances[likely], hits[:, likely], n_members, tail)
    # The upper end is the lower end of the mirrored problem: members below instead of above.
    high = 1 - _mixture_quantiles(chances[likely], n_members - hits[:, likely], n_members, tail)
    low, high = _beyond_steps(steps, n_members, fpr, tail, (low, high))
    low, high = np.minimum(low, value), np.maximum(high, value)
    expected, deviation = (n + 1) * fpr, math.sqrt(n * fpr * (1 - fpr))
    before, after = max(expected - deviation, 0.0), min(expected + deviation, n + 1.0)
    rise = (_between(hits, after) - _between(hits, before)) / n_members
    step = _open_step(steps, n_members, fpr)
    share = np.divide(2 * step, high - low, out=np.zeros_like(step), where=high > low)
    return TprRows(
        value=value,
        low=low,
        high=high,
        centre=_between(hits, expected) / n_members,
        slope=rise * n / (2 * deviation),
        stepped=np.clip(np.maximum(share, _STEEP * rise - 1), 0.0, 1.0),
    )


def _between(hits: IntArray, place: float) -> FloatArray:
    """Hits (R,) at a place between two non-members, linearly."""
    first = min(int(place), hits.shape[1] - 2)
    share = place - first
    return np.asarray((1 - share) * hits[:, first] + share * hits[:, first + 1], dtype=np.float64)


def _beyond_steps(
    steps: Steps, n_members: int, fpr: float, tail: float, ends: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Ends (R,) moved outwards to where a step of tied non-members may put them.

    With h non-members at or above a step, its true false-positive rate may be at most `fpr` unless P(X >= h) is small,
    X binomial (n, fpr), and then the rate at the step is the truth; it may exceed `fpr` unless P(X <= h) is small, and
    then the truth is the rate above the step.
    """
    low, high = ends
    n = steps.above.shape[1]
    coarse = steps.tied >= max(2.0, math.sqrt(n * fpr * (1 - fpr)))
    if not coarse.any():
        return low, high
    within_fpr, beyond_fpr = _sides(n, fpr)
    spent = _SPENT * tail
    within, beyond = coarse & (within_fpr > spent), coarse & (beyond_fpr > spent)
    rows = np.arange(len(low))
    # Counts only rise along a row, so that the last step within and the first one beyond decide.
    last, first = n - 1 - within[:, ::-1].argmax(axis=1), beyond.argmax(axis=1)
    highest = 1 - _clopper_pearson_low(n_members - steps.reached[rows, last], n_members, tail - spent)
    lowest = _clopper_pearson_low(steps.above[rows, first], n_members, tail - spent)
    return (
        np.where(beyond.any(axis=1), np.minimum(low, lowest), low),
        np.where(within.any(axis=1), np.maximum(high, highest), high),
    )


def _sides(n: int, fpr: float) -> tuple[FloatArray, FloatArray]:
    """For h = 1..n non-members at or above a threshold: P(X >= h) and P(X <= h), X binomial (n, fpr); (n,) each."""
    place = np.arange(1, n + 1)
    return stats.binom.sf(place - 1, n, fpr), stats.binom.cdf(place, n, fpr)


def _open_step(steps: Steps, n_members: int, fpr: float) -> FloatArray:
    """Height (R,) of the largest step of tied non-members, each in proportion to how open its side of `fpr` is."""
    ties = steps.tied >= 2
    if not ties.any():
        return np.zeros(len(ties))
    openness = np.minimum(1.0, _OPEN * np.minimum(*_sides(steps.above.shape[1], fpr)))
    heights = (steps.reached - steps.above) / n_members
    return np.asarray((heights * openness * ties).max(axis=1), dtype=np.float64)


def _clopper_pearson_low(hits: IntArray, total: int, tail: float) -> FloatArray:
    found = special.betaincinv(np.maximum(hits, 1), total - np.maximum(hits, 1) + 1, tail)
    return np.asarray(np.where(hits > 0, found, 0.0), dtype=np.float64)


def narrowed(
    value: FloatArray,
    ends: tuple[FloatArray, FloatArray],
    centre: FloatArray,
    common: FloatArray,
    stepped: FloatArray | float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Ends of the intervals of means over readings, from the means of the readings' ends.

    If all readings share one error, a mean is as uncertain as each of them; if errors are independent, less. A share
    `common` of the readings' variance, averaged as if they shared one, is in their mean. Half the width shrinks
    with the root of the share, and what makes the interval lopsided, a third moment over a variance, with the share.
    On which side of a step the rate lies is the same question in all readings: this part does not shrink.

    Args:
        value: mean estimates, (E,); the intervals hold them.
        ends: mean lower and upper ends, (E,) each.
        centre: mean unbiased estimates, (E,).
        common: in [0, 1], (E,).
        stepped: share of the width that does not shrink, in [0, 1], (E,).

    Source: Zou and Donner, Biometrics 64 (2008), for building an interval from the ends of others; the rate at which
    skewness fades is the Edgeworth expansion's, Hall, The Bootstrap and Edgeworth Expansion (1992).
    """
    low, high = ends
    root = np.sqrt(common)
    width = root + (1 - root) * stepped
    middle = centre + width**2 * ((low + high) / 2 - centre)
    half = width * (high - low) / 2
    return np.clip(np.minimum(middle - half, value), 0.0, 1.0), np.clip(np.maximum(middle + half, value), 0.0, 1.0)


def common_share(variance: FloatArray, deviation: FloatArray) -> FloatArray:
    """How much of the variance of fully dependent readings is left in their mean, in [0, 1].

    Args:
        variance: of the mean over the readings, (E,).
        deviation: mean of the readings' standard deviations, (E,); without any, nothing is known, and the share is 1.
    """
    some = deviation > 0
    share = np.divide(variance, deviation**2, out=np.ones_like(variance), where=some)
    return np.asarray(np.clip(share, 0.0, 1.0), dtype=np.float64)


def deviations(hits: BoolArray, alarms: BoolArray, slope: FloatArray) -> FloatArray:
    """Standard deviation (R,) of each row's TPR: of its members (R, m) that are found, and of its threshold (R, n)."""
    return np.asarray(np.sqrt(variance_of_mean(hits) + slope**2 * variance_of_mean(alarms)), dtype=np.float64)


def variance_of_mean(values: npt.NDArray[np.generic]) -> FloatArray:
    """Estimated variance (...) of means over the last axis; 0 for a single value, of whose spread nothing is known."""
    count = values.shape[-1]
    if count < 2:
        return np.zeros(values.shape[:-1])
    return np.asarray(values.astype(np.float64).var(axis=-1, ddof=1) / count, dtype=np.float64)


def _mixture_quantiles(chances: FloatArray, hits: IntArray, total: int, tail: float) -> FloatArray:
    """For each row, the rate below which the mixture of Beta(hits, total - hits + 1) holds `tail`.

    I_x(h, total - h + 1) is the chance of h or more successes in `total` tries, so the mixture's distribution function
    is the expectation of `passed[successes]`, a sum over the binomial chances around the successes to expect.
    """
    rows = len(hits)
    places = (np.arange(rows)[:, None] * (total + 1) + hits).ravel()
    weights = np.bincount(places, np.tile(chances, rows), minlength=rows * (total + 1))
    passed: FloatArray = np.cumsum(weights.astype(np.float64).reshape(rows, total + 1), axis=1)
    result = np.zeros(rows)
    some = passed[:, 0] < tail  # else the mixture holds more than `tail` at a rate of zero
    result[some] = _solved(passed[some], _started(chances, hits[some], total, tail), tail)
    return result


def _started(chances: FloatArray, hits: IntArray, total: int, tail: float) -> FloatArray:
    """A first guess: the quantile of a normal distribution with the mixture's mean and variance."""
    each = hits / (total + 1)
    mean = each @ chances
    variance = ((each - mean[:, None]) ** 2 + each * (1 - each) / (total + 2)) @ chances
    guess = mean + special.ndtri(tail) * np.sqrt(np.maximum(variance, 0.0))
    return np.asarray(np.clip(guess, 0.1 * tail / total, 1 - 0.1 / total), dtype=np.float64)


def _solved(passed: FloatArray, guess: FloatArray, tail: float) -> FloatArray:
    """Where the expectation of `passed` is `tail`: Newton's steps, halving wherever a step would leave the bracket."""
    total = passed.shape[1] - 1
    upto = np.arange(1, total + 2)
    choose = special.gammaln(total + 1) - special.gammaln(upto) - special.gammaln(upto[::-1])
    width = min(total + 1, 2 * math.ceil(_DEVIATIONS * math.sqrt(total) / 2) + 1)
    result, left = guess, np.arange(guess.size)
    low, high = np.zeros_like(guess), np.ones_like(guess)
    for _ in range(_STEPS):
        x = result[left]
        first = np.clip(np.rint(total * x).astype(np.int64) - width // 2, 0, total + 1 - width)
        successes = first[:, None] + np.arange(width)
        odds = (np.log(x) - np.log1p(-x))[:, None]
        weighted = np.exp(choose[successes] + successes * odds + (total * np.log1p(-x))[:, None])
        weighted *= passed[left[:, None], successes]
        reached = weighted.sum(axis=1)
        # d/dx of a binomial chance is chance * (successes - total * x) / (x * (1 - x)).
        slope = ((weighted * successes).sum(axis=1) - total * x * reached) / (x * (1 - x))
        below = reached < tail
        low[left], high[left] = np.where(below, x, low[left]), np.where(below, high[left], x)
        steep = slope > np.abs(reached - tail)  # a flatter curve would step out of [0, 1], or overflow
        tried = x - np.divide(reached - tail, slope, out=np.full_like(x, np.inf), where=steep)
        inside = (tried >= low[left]) & (tried <= high[left])
        result[left] = np.where(inside, tried, (low[left] + high[left]) / 2)
        left = left[np.abs(result[left] - x) > _EXACT]
        if not left.size:
            break
    return result
