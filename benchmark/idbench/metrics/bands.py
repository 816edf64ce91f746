"""A band around a whole ROC curve that carries the uncertainty of every threshold."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from idbench.metrics.values import (
    FloatArray,
    IntArray,
    Sample,
    allowed_false_positives,
    checked_count,
    checked_fraction,
    checked_sample,
)

MAX_SUPPORT = 100  # order statistics per class that a band is calibrated on
DRAWS = 4_000  # draws of uniform order statistics for the calibration


@dataclass(frozen=True, slots=True)
class RocBand:
    """A band that holds the whole true ROC curve at once, with confidence `level`.

    Attributes:
        fpr: (k,) false-positive rates, rising, evenly spaced on a log axis from half the resolution to 1.
        tpr: (k,) the estimated curve: the best attainable point at or below each rate.
        low: (k,) lower edge.
        high: (k,) upper edge.
        level: nominal confidence of the whole band.
        resolution: smallest false-positive rate above zero that the non-members can show; left of it the
            estimate is the rate at zero false positives.
    """

    fpr: FloatArray
    tpr: FloatArray
    low: FloatArray
    high: FloatArray
    level: float
    resolution: float


def _strictly_above(sample: Sample) -> IntArray:
    """(n,) members strictly above each non-member, highest non-member first."""
    falling = np.sort(sample.nonmembers)[::-1]
    return np.asarray(sample.members.size - np.sort(sample.members).searchsorted(falling, "right"), dtype=np.int64)


def roc_band(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    level: float = 0.95,
    *,
    points: int = 200,
    seed: int = 0,
) -> RocBand:
    """Simultaneous band for the ROC curve, for plots with a logarithmic false-positive axis.

    Each class's distribution function gets a band that is equally tight in probability at every order statistic, so
    that it stays narrow in ratio at the lowest rates, where a band of constant height says nothing. Both bands hold
    together with confidence `level`, and the ROC band is what they allow.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        level: confidence of the whole band, in (0, 1).
        points: number of false-positive rates, at least 2.
        seed: seed of the calibration (4,000 draws of uniform order statistics).

    Returns:
        `RocBand`. It is conservative: it covers the curve more often than `level`, see docs/coverage.md.

    Raises:
        MetricError: see `auc`; or `level` outside (0, 1), fewer than two points, or a negative seed.

    Source: Aldor-Noiman et al., The American Statistician 67 (2013), for the band of one distribution; Campbell,
    Statistics in Medicine 13 (1994), for joining two.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(400) < 200
        >>> band = roc_band(rng.normal(size=400) + members, members)
        >>> bool(np.all((band.low <= band.tpr) & (band.tpr <= band.high)))
        True
    """
    confidence = checked_fraction(level, "level")
    count, start = checked_count(points, "points", at_least=2), checked_count(seed, "seed", at_least=0)
    sample = checked_sample(scores, members)
    each = math.sqrt(confidence)
    # Thresholds just above each distinct score: P(score > t) is what the band of each class bounds.
    cuts = np.unique(np.concatenate([sample.members, sample.nonmembers]))[::-1]
    fpr_low, fpr_high = _tail_band(sample.nonmembers, cuts, each, start)
    tpr_low, tpr_high = _tail_band(sample.members, cuts, each, start + 1)
    resolution = 1 / sample.nonmembers.size
    grid = np.geomspace(resolution / 2, 1.0, count)
    # Best sure point: among thresholds whose FPR surely is within f, the highest sure TPR.
    last_sure = fpr_high.searchsorted(grid, "right") - 1
    low = np.where(last_sure >= 0, tpr_low[np.maximum(last_sure, 0)], 0.0)
    # First threshold whose FPR surely exceeds f: its TPR bounds all stricter ones.
    first_beyond = fpr_low.searchsorted(grid, "right")
    high = np.append(tpr_high, 1.0)[first_beyond]
    return RocBand(grid, _step(sample, grid), low, high, confidence, resolution)


def _step(sample: Sample, grid: FloatArray) -> FloatArray:
    n = sample.nonmembers.size
    above = np.append(_strictly_above(sample), sample.members.size)
    allowed = np.array([allowed_false_positives(float(f), n) for f in grid])
    return np.asarray(above[np.minimum(allowed, n)] / sample.members.size, dtype=np.float64)


def _tail_band(values: FloatArray, cuts: FloatArray, level: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Bounds (k,), (k,) for P(score > cut) at falling `cuts`, all at once with confidence `level`."""
    strictly_above = values.size - np.sort(values).searchsorted(cuts, "right")
    low, high = tail_bounds(values.size, level, seed)
    return low[strictly_above], high[strictly_above]


@lru_cache(maxsize=64)  # a board draws thousands of bands for a handful of class sizes
def tail_bounds(n: int, level: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Bounds (n + 1,), (n + 1,) for P(score > cut) where 0..n of n scores lie above the cut, for all cuts at once."""
    ranks = _support(n)
    local = local_tail(n, level, seed)
    # U_(i), the tail probability at the i-th highest score, lies between these two with confidence 1 - 2 * local.
    lower = special.betaincinv(ranks, n - ranks + 1, local)
    upper = special.betaincinv(ranks, n - ranks + 1, 1 - local)
    # P(score > cut) is at least U_(c) with c scores above, and at most U_(c + 1); between supports, monotone.
    above = np.arange(n + 1)
    below, beyond = ranks.searchsorted(above, "right"), ranks.searchsorted(above + 1, "left")
    low, high = np.concatenate([[0.0], lower])[below], np.append(upper, 1.0)[beyond]
    low.flags.writeable = high.flags.writeable = False  # shared by all who ask again
    return low, high


def _support(n: int) -> IntArray:
    """Order statistics that carry the band: dense at both ends, evenly spread on a log axis between."""
    if n <= MAX_SUPPORT:
        return np.arange(1, n + 1)
    half = np.unique(np.round(np.geomspace(1, n / 2, MAX_SUPPORT // 2)).astype(np.int64))
    return np.unique(np.concatenate([half, n + 1 - half]))


@lru_cache(maxsize=256)
def local_tail(n: int, level: float, seed: int) -> float:
    """The tail probability at each order statistic for which all hold at once with confidence `level`."""
    generator = np.random.default_rng(seed)
    ranks = _support(n)
    gaps = np.diff(np.concatenate([[0], ranks, [n + 1]]))
    sums = np.cumsum(generator.standard_gamma(gaps, size=(DRAWS, gaps.size)), axis=1)
    tails = special.betainc(ranks, n - ranks + 1, sums[:, :-1] / sums[:, -1:])
    worst = np.minimum(tails, 1 - tails).min(axis=1)
    return float(np.quantile(worst, 1 - level))
