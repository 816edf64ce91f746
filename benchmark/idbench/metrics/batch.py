"""The metrics of many rows of scores about the same people at once, and of means over rows: seeds, draws, targets.

Ranks and placements of all rows are found together, and whatever is linear in them is averaged over the readings that
belong together; every statistic of a mean follows from these averages, with identities as what varies. For one row the
numbers are those of the functions for single rows.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.metrics.bands import tail_bounds
from idbench.metrics.chance import RankSums, chance_ps, chances_of, rank_sums
from idbench.metrics.curve import best_balanced_accuracy
from idbench.metrics.delong import AucCovariance, covariance_of_mean, matched_intervals
from idbench.metrics.low_fpr import Steps, common_share, deviations, narrowed, tied_last, tpr_rows, variance_of_mean
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    NotEstimable,
    allowed_false_positives,
    not_estimable,
)

Counts = NDArray[np.int32]
_RATE_COLUMNS = 6  # value, low, high, centre, deviation, stepped


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """Who is a member, and to which stratum members belong.

    Attributes:
        members: (n,), at least two of each class.
        strata: (n,) numbers, such as how often a member occurs in the corpus; values at non-members are ignored.
    """

    members: BoolArray
    strata: IntArray

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of members and non-members."""
        m = int(self.members.sum())
        return m, self.members.size - m

    @property
    def shared_strata(self) -> list[int]:
        """Strata that two members or more share, rising: a single member has no variance."""
        values, members = np.unique(self.strata[self.members], return_counts=True)
        return [int(value) for value in values[members >= 2]]


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What to compute for the rows of a batch.

    Attributes:
        fprs: false-positive rates in (0, 1).
        level: confidence of intervals and bands, in (0, 1).
        points: false-positive rates of a ROC curve; 0 for no curve.
    """

    fprs: tuple[float, ...]
    level: float
    points: int = 0

    def grid(self, n_nonmembers: int) -> FloatArray:
        """The false-positive rates of a curve: evenly spaced on a log axis from half the resolution to 1."""
        return np.geomspace(0.5 / n_nonmembers, 1.0, self.points)


@dataclass(frozen=True, slots=True)
class Averages:
    """What is averaged over the readings of each of E rows; m members, k non-members, F false-positive rates.

    Attributes:
        inside: share of the non-members below each member, a tie counting one half, (E, m).
        outside: share of the members above each non-member, averaged in the same way, (E, k).
        middle: mid-ranks of all, (E, n).
        by_stratum: as `outside`, with the members of one stratum each, (E, strata, k).
        hits: at each rate's threshold, is the member found? (E, F, m).
        alarms: the same of non-members, times the slope of the curve there, (E, F, k).
        rates: TPR at each rate: value, lower and upper end, centre, standard deviation, and the share of the width
            that comes from a step, (E, F, 6); NaN where not estimable.
        curves: TPR of the ROC curve with the edges of its band, (E, 3, points).
    """

    inside: FloatArray
    outside: FloatArray
    middle: FloatArray
    by_stratum: FloatArray
    hits: FloatArray
    alarms: FloatArray
    rates: FloatArray
    curves: FloatArray

    def take(self, rows: Sequence[int]) -> "Averages":
        """Some of the rows."""
        return self._each(lambda values: values[list(rows)])

    def plus(self, other: "Averages") -> "Averages":
        """The sum, row by row."""
        return Averages(*(a + b for a, b in zip(self._parts(), other._parts(), strict=True)))

    def over(self, count: int) -> "Averages":
        """A sum of `count` averages as their mean."""
        return self._each(lambda values: values / count)

    def _each(self, change: Callable[[FloatArray], FloatArray]) -> "Averages":
        return Averages(*map(change, self._parts()))

    def _parts(self) -> tuple[FloatArray, ...]:
        return (
            self.inside,
            self.outside,
            self.middle,
            self.by_stratum,
            self.hits,
            self.alarms,
            self.rates,
            self.curves,
        )


def joined(parts: Iterable[Averages]) -> Averages:
    """Several averages as one, their rows one after another."""
    columns = zip(*(part._parts() for part in parts), strict=True)
    return Averages(*(np.concatenate(column) for column in columns))


class RankedRows:
    """Collects, batch by batch, the part of many rows that `joint_auc` and `chance_p` need: a quarter or less.

    Each number is written to its final place; joining the batches at the end would hold everything twice.
    """

    def __init__(self, rows: int, known: KnownLabels) -> None:
        """Make room for so many rows at most; what is not filled takes no memory."""
        m, k = known.sizes
        self._known, self._count = known, 0
        self._inside, self._outside = np.empty((rows, m)), np.empty((rows, k))
        self._twice, self._observed = np.empty((rows, m + k)), np.empty(rows)

    def add(self, found: Averages) -> None:
        """Take the next rows."""
        taken = slice(self._count, self._count + len(found.inside))
        self._count = taken.stop
        self._inside[taken], self._outside[taken] = found.inside, found.outside
        sums = rank_sums(found.middle, self._known.members)
        self._twice[taken], self._observed[taken] = sums.twice, sums.observed

    def joint_auc(self) -> AucCovariance:
        """`joint_auc` of the rows so far."""
        return _joint(self._inside[: self._count], self._outside[: self._count])

    def chance_p(self) -> FloatArray:
        """`chance_p` of the rows so far."""
        e, m = self._count, self._known.sizes[0]
        return chances_of(RankSums(self._twice[:e], self._observed[:e], m))[0]


@dataclass(frozen=True, slots=True)
class RowRanks:
    """The order of n people in each of R rows of scores.

    Args:
        order: people from the lowest score to the highest, (R, n).
        low: how many people score below each person, (R, n), in the order of the people.
        high: how many score below or the same, the person included, (R, n).
    """

    order: NDArray[np.int64]
    low: Counts
    high: Counts

    @property
    def middle(self) -> FloatArray:
        """Mid-ranks from 1: people with one score share the mean of their places, (R, n)."""
        return np.asarray((self.low + self.high + 1) / 2, dtype=np.float64)

    @property
    def tied(self) -> bool:
        """Whether two people share a score anywhere."""
        return bool((self.high - self.low > 1).any())

    def of(self, whom: BoolArray) -> "RowRanks":
        """The same order, with the places (R, k) of the k people flagged alone."""
        return RowRanks(self.order, self.low[:, whom], self.high[:, whom])

    def counted(self, flags: BoolArray) -> tuple[Counts, Counts]:
        """How many of the people flagged (n,) score below each person, and below or the same: (R, n), (R, n)."""
        sums = np.zeros((len(self.order), flags.size + 1), dtype=np.int32)
        np.cumsum(flags[self.order], axis=1, dtype=np.int32, out=sums[:, 1:])
        return np.take_along_axis(sums, self.low, axis=1), np.take_along_axis(sums, self.high, axis=1)

    def twice_below(self, flags: BoolArray) -> Counts:
        """Twice the number of the people flagged below each person who is not; ties count once, (R, n)."""
        sums = np.zeros((len(self.order), flags.size + 1), dtype=np.int32)
        np.cumsum(flags[self.order], axis=1, dtype=np.int32, out=sums[:, 1:])
        below = np.take_along_axis(sums, self.low, axis=1)
        return below + (np.take_along_axis(sums, self.high, axis=1) if self.tied else below)


def rank_rows(rows: FloatArray) -> RowRanks:
    """Ranks of people within rows of finite scores (R, n)."""
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    first = np.ones(rows.shape, dtype=np.bool_)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.ones(rows.shape, dtype=np.bool_)
    last[:, :-1] = first[:, 1:]
    place = np.arange(rows.shape[1], dtype=np.int32)
    low = np.maximum.accumulate(np.where(first, place, np.int32(0)), axis=1)
    upto = np.where(last, place + np.int32(1), np.int32(rows.shape[1]))
    high = np.minimum.accumulate(upto[:, ::-1], axis=1)[:, ::-1]
    return RowRanks(order, _by_person(low, order), _by_person(high, order))


def _by_person(values: Counts, order: NDArray[np.int64]) -> Counts:
    result = np.empty(values.shape, dtype=np.int32)
    np.put_along_axis(result, order, values, axis=1)
    return result


@dataclass(frozen=True, slots=True)
class Judged:
    """How well rows of scores tell members from non-members.

    Attributes:
        averages: over the readings of each of E rows.
        aucs: of each reading of each row, under each other, (R,).
        places: how many people score below each person, (R, n): ranks from 0, ties sharing one.
    """

    averages: Averages
    aucs: FloatArray
    places: Counts


def judge(groups: Sequence[FloatArray], known: KnownLabels, plan: BatchSettings) -> Judged:
    """Placements, rates and curves of many rows at once, averaged over the readings of each row.

    Args:
        groups: E arrays (readings, n), finite.
        known: who is a member.
        plan: what is asked.
    """
    m, k = known.sizes
    members = known.members
    ranks = rank_rows(np.concatenate(groups))
    strict, upto = ranks.counted(members)
    inside = ((ranks.low - strict)[:, members] + (ranks.high - upto)[:, members]) / (2 * k)
    steps = Steps(
        above=np.sort(m - upto[:, ~members], axis=1),
        reached=np.sort(m - strict[:, ~members], axis=1),
        tied=tied_last(-np.sort(-ranks.low[:, ~members], axis=1)),
    )
    rates, hits, alarms = _rates(steps, ranks, known, plan)
    found = Averages(
        inside=_mean_of(groups, inside),
        outside=_mean_of(groups, 1 - (strict + upto)[:, ~members] / (2 * m)),
        middle=_mean_of(groups, ranks.middle),
        by_stratum=_mean_of(groups, _by_stratum(ranks, known)),
        hits=_mean_of(groups, hits),
        alarms=_mean_of(groups, alarms),
        rates=_mean_of(groups, rates),
        curves=_mean_of(groups, _curves(steps, m - upto.min(axis=1), known, plan)),
    )
    # From whole numbers, so that it equals `auc` to the bit.
    aucs = np.rint((inside * (2 * k)).sum(axis=1)) / (2 * m * k)
    return Judged(found, np.asarray(aucs, dtype=np.float64), ranks.low)


def _by_stratum(ranks: RowRanks, known: KnownLabels) -> FloatArray:
    """Share of the members of each stratum above each non-member, (R, strata, k)."""
    others = ranks.of(~known.members)
    result = np.empty((len(ranks.order), len(known.shared_strata), known.sizes[1]))
    for place, stratum in enumerate(known.shared_strata):
        flags = known.members & (known.strata == stratum)
        result[:, place] = 1 - others.twice_below(flags) / (2 * int(flags.sum()))
    return result


def _mean_of(groups: Sequence[FloatArray], values: FloatArray) -> FloatArray:
    """Means over each group's rows of values (R, ...)."""
    counts = np.array([len(group) for group in groups])
    if (counts == 1).all():
        return values
    sums = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts.reshape(-1, *[1] * (values.ndim - 1)), dtype=np.float64)


def _rates(
    steps: Steps, ranks: RowRanks, known: KnownLabels, plan: BatchSettings
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """TPR with what a mean needs (R, F, 6), and who is found (R, F, m) or called by mistake (R, F, k)."""
    (m, k), members = known.sizes, known.members
    rows, rates = len(ranks.low), len(plan.fprs)
    result = np.full((rows, rates, _RATE_COLUMNS), np.nan)
    hits, alarms = np.zeros((rows, rates, m)), np.zeros((rows, rates, k))
    falling = -np.sort(-ranks.low[:, ~members], axis=1)
    for place, fpr in enumerate(plan.fprs):
        allowed = allowed_false_positives(fpr, k)
        if allowed < 1:
            continue
        found = tpr_rows(steps, m, fpr, plan.level)
        beyond = falling[:, [allowed]]  # the first non-member too many, and the threshold just above
        called = ranks.low > beyond
        inside, outside = called[:, members], called[:, ~members]
        deviation = deviations(inside, outside, found.slope)
        columns = (found.value, found.low, found.high, found.centre, deviation, found.stepped)
        result[:, place] = np.stack(columns, axis=1)
        hits[:, place], alarms[:, place] = inside, found.slope[:, None] * outside
    return result, hits, alarms


def _curves(steps: Steps, above_all: Counts, known: KnownLabels, plan: BatchSettings) -> FloatArray:
    """ROC curves with the bands of `roc_band`, (R, 3, points).

    Args:
        steps: of R rows.
        above_all: members strictly above the lowest score of all, (R,).
        known: who is a member.
        plan: how many points.
    """
    rows = len(steps.above)
    if plan.points == 0:
        return np.zeros((rows, 3, 0))
    m, k = known.sizes
    grid = plan.grid(k)
    each = math.sqrt(plan.level)
    fpr_low, fpr_high = tail_bounds(k, each, 0)
    tpr_low, tpr_high = tail_bounds(m, each, 1)
    allowed = np.array([allowed_false_positives(float(fpr), k) for fpr in grid])
    every = np.full((rows, 1), m)
    tpr = np.hstack([steps.above, every])[:, np.minimum(allowed, k)] / m
    # The lowest cut with so few non-members above it that their rate surely is within f.
    sure = fpr_high.searchsorted(grid, "right") - 1
    low = tpr_low[np.hstack([steps.above, above_all[:, None]])[:, np.maximum(sure, 0)]]
    # The highest cut whose rate of non-members surely exceeds f bounds all stricter ones.
    beyond = fpr_low.searchsorted(grid, "right")
    high = tpr_high[np.hstack([steps.reached, every])[:, np.maximum(beyond - 1, 0)]]
    return np.stack([tpr, np.where(sure >= 0, low, 0.0), high], axis=1)


def joint_auc(found: Averages) -> AucCovariance:
    """AUCs of all rows with their covariance over identities.

    The readings of a row judged the same identities. The mean of their AUCs is again a mean over identities, so
    DeLong's covariance of the mean placements is the covariance of the rows' means.
    """
    return _joint(found.inside, found.outside)


def _joint(inside: FloatArray, outside: FloatArray) -> AucCovariance:
    of_members, of_nonmembers = covariance_of_mean(inside), covariance_of_mean(outside)
    return AucCovariance(
        auc=inside.mean(axis=1),
        covariance=of_members + of_nonmembers,
        of_members=of_members,
        of_nonmembers=of_nonmembers,
        n_members=inside.shape[1],
        n_nonmembers=outside.shape[1],
    )


@dataclass(frozen=True, slots=True)
class Ends:
    """Estimates (E,) with the ends of their intervals, (E,) each."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


def auc_ends(inside: FloatArray, outside: FloatArray, level: float) -> Ends:
    """AUC of each row with its interval, from mean placements of members (E, m) and non-members (E, k)."""
    value = np.clip(inside.mean(axis=1), 0.0, 1.0)
    variance = variance_of_mean(inside) + variance_of_mean(outside)
    return Ends(value, *matched_intervals(value, variance, (np.array(inside.shape[1]), outside.shape[1]), level))


def chance_p(found: Averages, known: KnownLabels) -> FloatArray:
    """Two-sided p-values (E,) of "the mean AUC is 0.5", by permuting the labels: `permutation_test` of each row."""
    return chance_ps(found.middle, known.members)[0]


def rate_ends(found: Averages, plan: BatchSettings) -> list[Ends | NotEstimable]:
    """TPR of each row at each false-positive rate with its interval."""
    k = found.outside.shape[1]
    result: list[Ends | NotEstimable] = []
    for place, fpr in enumerate(plan.fprs):
        if allowed_false_positives(fpr, k) < 1:
            result.append(not_estimable(fpr, k))
            continue
        hits, alarms = found.hits[:, place], found.alarms[:, place]
        variance = variance_of_mean(hits) + variance_of_mean(alarms)
        result.append(rate_end(found.rates[:, place], variance))
    return result


def rate_end(columns: FloatArray, variance: FloatArray) -> Ends:
    """Mean TPR with its interval.

    Args:
        columns: as in `Averages.rates`, (E, 6).
        variance: of the mean, (E,).
    """
    value, low, high, centre, deviation, stepped = columns.T
    return Ends(value, *narrowed(value, (low, high), centre, common_share(variance, deviation), stepped))


def stratum_ends(found: Averages, known: KnownLabels, level: float) -> list[tuple[int, int, Ends]]:
    """For each shared stratum its number, its members, and their AUC against all non-members in each row."""
    result = []
    for place, stratum in enumerate(known.shared_strata):
        group = known.strata[known.members] == stratum
        ends = auc_ends(found.inside[:, group], found.by_stratum[:, place], level)
        result.append((stratum, int(group.sum()), ends))
    return result


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a threshold from the calibration part decides in the test part, mean over seeds; None if not finite."""

    threshold: float | None
    tpr: float | None
    fpr: float | None
    accuracy: float | None


def decisions(calibration: FloatArray, known: BoolArray, test: FloatArray, members: BoolArray) -> Decisions:
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
