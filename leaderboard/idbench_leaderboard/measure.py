"""The statistics of boards, by the methods of `idbench.metrics`: seeds are averaged, with identities as clusters.

A board has thousands of rows of scores about the same people. Ranks and placements of all rows are found at once, and
whatever is linear in them is averaged over the seeds of a row; every statistic follows from these averages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from idbench.metrics import AucCovariance, NotEstimable, best_balanced_accuracy, tpr_at_fpr
from idbench.metrics.bands import tail_bounds
from idbench.metrics.values import allowed_false_positives
from idbench_leaderboard.intervals import auc_intervals, tpr_intervals
from idbench_leaderboard.standing import Counts, Flags, Floats, Standing, stand

FPRS = (0.1, 0.01, 0.001)
LEVEL = 0.95
HISTOGRAM_BINS = 40
ROC_POINTS = 60
_LEAST: Final = 1e-14
"""Rounding leaves about 1e-17 where a variance is exactly 0."""


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


@dataclass(frozen=True, slots=True)
class Known:
    """Who is a member, and how often members occur in the corpus.

    Args:
        members: bool (n,), at least two of each class.
        occurrences: int (n,).
    """

    members: Flags
    occurrences: NDArray[np.int64]

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of members and non-members."""
        m = int(self.members.sum())
        return m, self.members.size - m

    @property
    def counts(self) -> list[int]:
        """Numbers of training pictures that two members or more share, rising: a single member makes no AUC."""
        values, members = np.unique(self.occurrences[self.members], return_counts=True)
        return [int(value) for value in values[members >= 2]]

    @property
    def grid(self) -> Floats:
        """The false-positive rates of a curve: evenly spaced on a log axis from half the resolution to 1."""
        return np.geomspace(0.5 / self.sizes[1], 1.0, ROC_POINTS)


@dataclass(frozen=True, slots=True)
class Averages:
    """What is averaged over the seeds of each of E rows (and over the targets of a pooled row), m members, k others.

    Args:
        inside: share of the non-members below each member, a tie counting one half, (E, m).
        outside: share of the members above each non-member, likewise, (E, k).
        middle: mid-ranks of all, (E, n).
        by_count: as `outside`, with the members of one number of training pictures each, (E, bins, k).
        rates: TPR with its ends at each of `FPRS`, (E, 3, 3); NaN where not estimable.
        curves: TPR of the ROC curve with the edges of its band, (E, 3, points).
    """

    inside: Floats
    outside: Floats
    middle: Floats
    by_count: Floats
    rates: Floats
    curves: Floats

    def take(self, rows: Sequence[int]) -> Averages:
        """Some of the rows."""
        return self._each(lambda values: values[list(rows)])

    def plus(self, other: Averages) -> Averages:
        """The sum, row by row."""
        return Averages(*(a + b for a, b in zip(self._parts(), other._parts(), strict=True)))

    def over(self, count: int) -> Averages:
        """A sum of `count` averages as their mean."""
        return self._each(lambda values: values / count)

    def _each(self, change: Callable[[Floats], Floats]) -> Averages:
        return Averages(*map(change, self._parts()))

    def _parts(self) -> tuple[Floats, ...]:
        return self.inside, self.outside, self.middle, self.by_count, self.rates, self.curves


def joined(parts: Iterable[Averages]) -> Averages:
    """The rows of several under each other."""
    columns = zip(*(part._parts() for part in parts), strict=True)
    return Averages(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True, slots=True)
class Judged:
    """What rows of scores are worth.

    Args:
        averages: over the seeds of each of E rows.
        aucs: of each seed of each row, under each other, (R,).
        places: how many people score below each person, (R, n): ranks from 0, ties sharing one.
    """

    averages: Averages
    aucs: Floats
    places: Counts


def judge(groups: Sequence[Floats], known: Known) -> Judged:
    """Placements, rates and curves of many rows at once.

    Args:
        groups: E arrays (seeds, n), finite.
        known: who is a member.
    """
    m, k = known.sizes
    members = known.members
    standing = stand(np.concatenate(groups))
    strict, upto = standing.counted(members)
    inside = ((standing.low - strict)[:, members] + (standing.high - upto)[:, members]) / (2 * k)
    above = np.sort(m - upto[:, ~members], axis=1)
    level_or_above = np.sort(m - strict[:, ~members], axis=1)
    found = Averages(
        inside=_mean_of(groups, inside),
        outside=_mean_of(groups, 1 - _sum((strict, upto), ~members) / (2 * m)),
        middle=_mean_of(groups, standing.middle),
        by_count=_mean_of(groups, _by_count(standing, known)),
        rates=_mean_of(groups, _rates(above, m)),
        curves=_mean_of(groups, _curves(above, level_or_above, m - upto.min(axis=1), known)),
    )
    return Judged(found, inside.mean(axis=1), standing.low)


def _by_count(standing: Standing, known: Known) -> Floats:
    """Share of the members with each number of training pictures above each non-member, (R, bins, k)."""
    others = standing.of(~known.members)
    result = np.empty((len(standing.order), len(known.counts), known.sizes[1]))
    for place, count in enumerate(known.counts):
        flags = known.members & (known.occurrences == count)
        result[:, place] = 1 - others.twice_below(flags) / (2 * int(flags.sum()))
    return result


def _sum(counted: tuple[Counts, Counts], flags: Flags) -> Counts:
    return np.asarray(counted[0][:, flags] + counted[1][:, flags], dtype=np.int32)


def _mean_of(groups: Sequence[Floats], values: Floats) -> Floats:
    """Means over each group's rows of values (R, ...)."""
    counts = np.array([len(group) for group in groups])
    sums = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts.reshape(-1, *[1] * (values.ndim - 1)), dtype=np.float64)


def _rates(above: Counts, n_members: int) -> Floats:
    """TPR and the ends of its interval, (R, 3, 3).

    The interval of a mean over seeds is the mean of the seeds' ends: seeds judge the same identities, so averaging
    them must not pretend to more certainty about new identities.
    """
    result = np.full((len(above), len(FPRS), 3), np.nan)
    for place, fpr in enumerate(FPRS):
        allowed = allowed_false_positives(fpr, above.shape[1])
        if allowed >= 1:
            result[:, place, 0] = above[:, allowed] / n_members
            result[:, place, 1], result[:, place, 2] = tpr_intervals(above, n_members, fpr, LEVEL)
    return result


def _curves(above: Counts, level_or_above: Counts, above_all: Counts, known: Known) -> Floats:
    """ROC curves with the bands of `idbench.metrics.roc_band`, (R, 3, points).

    Args:
        above: members strictly above each non-member, the highest non-member first, (R, k).
        level_or_above: likewise, with those on its level.
        above_all: members strictly above the lowest score of all, (R,).
        known: who is a member.
    """
    m, k = known.sizes
    grid = known.grid
    each = math.sqrt(LEVEL)
    fpr_low, fpr_high = tail_bounds(k, each, 0)
    tpr_low, tpr_high = tail_bounds(m, each, 1)
    allowed = np.array([allowed_false_positives(float(fpr), k) for fpr in grid])
    every = np.full((len(above), 1), m)
    tpr = np.hstack([above, every])[:, np.minimum(allowed, k)] / m
    # The lowest cut with so few non-members above it that their rate surely is within f.
    sure = fpr_high.searchsorted(grid, "right") - 1
    low = tpr_low[np.hstack([above, above_all[:, None]])[:, np.maximum(sure, 0)]]
    # The highest cut whose rate of non-members surely exceeds f bounds all stricter ones.
    beyond = fpr_low.searchsorted(grid, "right")
    high = tpr_high[np.hstack([level_or_above, every])[:, np.maximum(beyond - 1, 0)]]
    return np.stack([tpr, np.where(sure >= 0, low, 0.0), high], axis=1)


def joint_auc(found: Averages) -> AucCovariance:
    """AUCs of all rows of a board at once, averaged over seeds, with their covariance over identities.

    The seeds of a row judged the same identities. The mean of their AUCs is again a mean over identities, so DeLong's
    covariance of the mean placements is the covariance of the rows' means.
    """
    of_members, of_nonmembers = _covariance(found.inside), _covariance(found.outside)
    return AucCovariance(
        auc=found.inside.mean(axis=1),
        covariance=of_members + of_nonmembers,
        of_members=of_members,
        of_nonmembers=of_nonmembers,
        n_members=found.inside.shape[1],
        n_nonmembers=found.outside.shape[1],
    )


def _covariance(placements: Floats) -> Floats:
    count = placements.shape[1]
    centred = placements - placements.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / ((count - 1) * count), dtype=np.float64)


def auc_values(found: Averages) -> list[Value]:
    """AUC of each row with its interval."""
    return _values([(found.inside, found.outside)])[0]


def _values(parts: Sequence[tuple[Floats, Floats]]) -> list[list[Value]]:
    """AUCs with intervals from placements of members (E, m) and non-members (E, k); m may differ from part to part."""
    k = parts[0][1].shape[1]
    means = np.concatenate([np.clip(inside.mean(axis=1), 0.0, 1.0) for inside, _ in parts])
    variances = np.concatenate(
        [inside.var(axis=1, ddof=1) / inside.shape[1] + outside.var(axis=1, ddof=1) / k for inside, outside in parts]
    )
    members = np.repeat([inside.shape[1] for inside, _ in parts], len(parts[0][0]))
    low, high = auc_intervals(means, np.where(variances > _LEAST, variances, 0.0), members, k, LEVEL)
    values = [Value(*map(float, each)) for each in zip(means, low, high, strict=True)]
    rows = len(parts[0][0])
    return [values[begin : begin + rows] for begin in range(0, len(values), rows)]


def chance_p(found: Averages, known: Known) -> list[float]:
    """Two-sided p-value of "the mean AUC over seeds is 0.5" for each row.

    The mean AUC is linear in the identities' mid-ranks averaged over seeds. Its mean and variance over all labellings
    are exact; the tail is the normal distribution's, which is right to the digits shown from a few dozen people up.
    """
    m, k = known.sizes
    total = m + k
    centred = found.middle - found.middle.mean(axis=1, keepdims=True)
    variance = m * k / (total * (total - 1)) * (centred**2).sum(axis=1)
    z = np.divide(
        centred[:, known.members].sum(axis=1), np.sqrt(variance), out=np.zeros(len(variance)), where=variance > _LEAST
    )
    return [float(p) for p in 2 * special.ndtr(-np.abs(z))]


def rates(found: Averages) -> list[tuple[RateAt, ...]]:
    """TPR of each row at each of `FPRS`, averaged over seeds."""
    k = found.outside.shape[1]
    reasons = [_reason(fpr, k) for fpr in FPRS]
    return [
        tuple(
            RateAt(fpr, None if reason else Value(*map(float, ends)), 1 / k, reason)
            for fpr, ends, reason in zip(FPRS, row, reasons, strict=True)
        )
        for row in found.rates
    ]


def _reason(fpr: float, n_nonmembers: int) -> str:
    """Why so many non-members do not resolve a rate; empty if they do."""
    members = np.arange(n_nonmembers + 1) == 0
    tried = tpr_at_fpr(np.zeros(members.size), members, fpr)
    return tried.reason if isinstance(tried, NotEstimable) else ""


def bins(found: Averages, known: Known) -> list[tuple[Bin, ...]]:
    """AUC by number of training pictures: the members of each bin against all non-members; bins of one are left out."""
    counts = known.counts
    if not counts:
        return [()] * len(found.inside)
    groups = [known.occurrences[known.members] == count for count in counts]
    values = _values([(found.inside[:, group], found.by_count[:, place]) for place, group in enumerate(groups)])
    sizes = [int(group.sum()) for group in groups]
    return [tuple(map(Bin, counts, sizes, row)) for row in zip(*values, strict=True)]


def curves(found: Averages, known: Known) -> list[Curve]:
    """ROC of each row on a log grid, averaged over seeds at each false-positive rate, the band's edges too."""
    return [Curve(known.grid, *row) for row in found.curves]


def histogram(rows: Floats, members: Flags) -> Histogram:
    """Shares per bin over all seeds (seeds, n); scores beyond the 0.5 and 99.5 percentiles fall into the outer bins."""
    low, high = np.quantile(rows, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    return Histogram(edges, _shares(rows[:, members], edges), _shares(rows[:, ~members], edges))


def _shares(rows: Floats, edges: Floats) -> Floats:
    ordered = np.sort(rows, axis=None)
    ends = np.concatenate([[0], ordered.searchsorted(edges[1:-1], "left"), [ordered.size]])
    return np.asarray(np.diff(ends) / ordered.size, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a threshold from the calibration part decides in the test part, mean over seeds; None if not finite."""

    threshold: float | None
    tpr: float | None
    fpr: float | None
    accuracy: float | None


def decisions(calibration: Floats, known: Flags, test: Floats, members: Flags) -> Decisions:
    """Decisions at the threshold of `best_balanced_accuracy` of each seed.

    Args:
        calibration: (seeds, c).
        known: who of the calibration part is a member, (c,), both classes present.
        test: (seeds, n).
        members: (n,).
    """
    thresholds = np.array([best_balanced_accuracy(row, known).threshold for row in calibration])
    called = test >= thresholds[:, None]
    tpr, fpr = called[:, members].mean(axis=1), called[:, ~members].mean(axis=1)
    means = [float(each.mean()) for each in (thresholds, tpr, fpr, (called == members).mean(axis=1))]
    return Decisions(*(value if math.isfinite(value) else None for value in means))


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
