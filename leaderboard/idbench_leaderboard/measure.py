"""The statistics of one board, by `idbench.metrics`: seeds are averaged, with identities as clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from idbench.metrics import (
    AucCovariance,
    NotEstimable,
    RocBand,
    delong_covariance,
    roc_band,
    tpr_at_fpr,
    tpr_at_fpr_interval,
)
from idbench.metrics.delong import matched_interval

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FPRS = (0.1, 0.01, 0.001)
LEVEL = 0.95
HISTOGRAM_BINS = 40
ROC_POINTS = 60


@dataclass(frozen=True, slots=True)
class Value:
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RateAt:
    """TPR at one false-positive rate, averaged over seeds; `reason` says why there is none."""

    fpr: float
    found: Value | None
    resolution: float
    reason: str


@dataclass(frozen=True, slots=True)
class Bin:
    """Members with the same number of training pictures against all non-members."""

    occurrences: int
    n_members: int
    auc: Value


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of members and non-members per bin of the score; `edges` (b + 1,), shares (b,)."""

    edges: Floats
    members: Floats
    nonmembers: Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """A ROC curve on a grid of false-positive rates, with a simultaneous band; all (k,)."""

    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats


def joint_auc(rows: Sequence[Floats], members: Flags) -> AucCovariance:
    """AUCs of all rows of a board at once, averaged over seeds, with their covariance over identities.

    The seeds of a row judged the same identities. The mean of their AUCs is again a mean over identities, so DeLong's
    covariance of all seeds of all rows, averaged block by block, is the covariance of the rows' means.

    Args:
        rows: K arrays (seeds, n), finite.
        members: (n,).
    """
    counts = [len(row) for row in rows]
    found = delong_covariance(np.concatenate(rows), members)
    mean = np.zeros((len(rows), sum(counts)))
    for index, (begin, end) in enumerate(pairwise(np.cumsum([0, *counts]))):
        mean[index, begin:end] = 1 / (end - begin)
    return AucCovariance(
        auc=mean @ found.auc,
        covariance=mean @ found.covariance @ mean.T,
        of_members=mean @ found.of_members @ mean.T,
        of_nonmembers=mean @ found.of_nonmembers @ mean.T,
        n_members=found.n_members,
        n_nonmembers=found.n_nonmembers,
    )


def auc_value(rows: Floats, members: Flags) -> Value:
    """AUC averaged over seeds (seeds, n) with its interval."""
    found = joint_auc([rows], members)
    value = min(1.0, max(0.0, float(found.auc[0])))
    variance = float(found.covariance[0, 0])
    # Rounding leaves about 1e-17 where the variance is exactly 0.
    interval = matched_interval(
        value, variance if variance > 1e-14 else 0.0, (found.n_members, found.n_nonmembers), LEVEL
    )
    return Value(value, interval.low, interval.high)


def chance_p(rows: Floats, members: Flags) -> float:
    """Two-sided p-value of "the mean AUC over seeds is 0.5".

    The mean AUC is linear in the identities' mid-ranks averaged over seeds. Its mean and variance over all labellings
    are exact; the tail is the normal distribution's, which is right to the digits shown from a few dozen people up.
    """
    ranks = stats.rankdata(rows, axis=1).mean(axis=0)
    m, total = int(members.sum()), members.size
    variance = m * (total - m) / (total * (total - 1)) * float(((ranks - ranks.mean()) ** 2).sum())
    if variance == 0.0:
        return 1.0
    z = (float(ranks[members].sum()) - m * float(ranks.mean())) / math.sqrt(variance)
    return float(2 * stats.norm.sf(abs(z)))


def rates(rows: Floats, members: Flags) -> tuple[RateAt, ...]:
    """TPR at each of `FPRS`, averaged over seeds (seeds, n).

    The interval's ends are the means of the seeds' ends: seeds judge the same identities, so averaging them must not
    pretend to more certainty about new identities.
    """
    return tuple(_rate(rows, members, fpr) for fpr in FPRS)


def _rate(rows: Floats, members: Flags, fpr: float) -> RateAt:
    found = []
    for row in rows:
        rate, interval = tpr_at_fpr(row, members, fpr), tpr_at_fpr_interval(row, members, fpr, level=LEVEL)
        if isinstance(rate, NotEstimable):
            return RateAt(fpr, None, rate.resolution, rate.reason)
        if isinstance(interval, NotEstimable):
            return RateAt(fpr, None, interval.resolution, interval.reason)
        found.append((rate.value, interval.low, interval.high))
    value, low, high = np.mean(found, axis=0)
    return RateAt(fpr, Value(float(value), float(low), float(high)), 1 / int((~members).sum()), "")


def bins(rows: Floats, members: Flags, occurrences: NDArray[np.int64]) -> tuple[Bin, ...]:
    """AUC by number of training pictures: the members of each bin against all non-members; bins of one are left out."""
    result = []
    for count in np.unique(occurrences[members]):
        inside = members & (occurrences == count)
        kept = inside | ~members
        if inside.sum() >= 2:
            result.append(Bin(int(count), int(inside.sum()), auc_value(rows[:, kept], members[kept])))
    return tuple(result)


def histogram(rows: Floats, members: Flags) -> Histogram:
    """Shares per bin over all seeds; scores beyond the 0.5 and 99.5 percentiles fall into the outer bins."""
    low, high = np.quantile(rows, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    clipped = np.clip(rows, low, high)
    inside = np.histogram(clipped[:, members], edges)[0] / (len(rows) * members.sum())
    outside = np.histogram(clipped[:, ~members], edges)[0] / (len(rows) * (~members).sum())
    return Histogram(edges, inside, outside)


def curve(rows: Floats, members: Flags) -> Curve:
    """ROC on a log grid, averaged over seeds at each false-positive rate; the band's edges are averaged too."""
    bands: list[RocBand] = [roc_band(row, members, level=LEVEL, points=ROC_POINTS) for row in rows]
    return Curve(
        fpr=bands[0].fpr,
        tpr=np.mean([band.tpr for band in bands], axis=0),
        low=np.mean([band.low for band in bands], axis=0),
        high=np.mean([band.high for band in bands], axis=0),
    )


@dataclass(frozen=True, slots=True)
class Places:
    """Ranks of K rows, in the order of the rows.

    Args:
        rank: the rank shown, (K,); rows that cannot be told apart from the best of their group share it.
        low: best rank that the data allow, (K,).
        high: worst rank that the data allow, (K,).
    """

    rank: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


def places(found: AucCovariance, draws: int = 4000, seed: int = 0) -> Places:
    """Rank intervals by AUC from the joint covariance: the rule of `idbench.metrics.ranks`, for any choice of rows.

    Two rows are told apart if their difference exceeds the 95 % point of the largest studentized difference over all
    pairs, drawn from the joint normal distribution that the covariance gives (`ranks` draws identities instead, which
    costs seconds where this costs milliseconds, and a reader changes filters often).

    Args:
        found: AUCs (K,) and covariance (K, K).
        draws: from the normal distribution.
        seed: of the draws.
    """
    values, count = found.auc, found.auc.size
    if count == 0:
        empty = np.zeros(0, dtype=np.int64)
        return Places(empty, empty, empty)
    smaller = min(found.n_members, found.n_nonmembers)
    share = 0.5 / smaller  # half a person wrong is the least error that is believed, as in `ranks`
    floor = share * (1 - share) / smaller
    variance = np.diag(found.covariance)
    spread = np.sqrt(np.maximum(variance[:, None] + variance[None, :] - 2 * found.covariance, floor))
    table = np.random.default_rng(seed).multivariate_normal(np.zeros(count), found.covariance, draws, method="eigh")
    worst = np.zeros(draws)
    for row in range(count - 1):
        gaps = np.abs(table[:, [row]] - table[:, row + 1 :]) / spread[row, row + 1 :]
        worst = np.maximum(worst, gaps.max(axis=1))
    critical = float(np.quantile(worst, LEVEL))
    better = values[:, None] - values[None, :] > critical * spread
    low, high = 1 + better.sum(axis=0), count - better.sum(axis=1)
    order = np.argsort(-values, kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.minimum.accumulate(low[order][::-1])[::-1]
    return Places(rank, low, high)
