"""Stratified bootstrap over identities: weighted counts over scores that are sorted once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    MetricError,
    NotEstimable,
    allowed_false_positives,
    checked_count,
    checked_flags,
    checked_fpr,
    checked_fraction,
    checked_matrix,
    checked_members,
    not_estimable,
)

DEFAULT_FPRS = (0.1, 0.01, 0.001)
BLOCK = 1 << 16  # random numbers per block: 512 KiB, small enough to stay near the processor


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Bootstrap draws of the AUC and of the true-positive rates at some false-positive rates.

    Attributes:
        statistics: (s,) names: "auc", then "tpr@0.01" and so on; only those that the non-members resolve.
        estimates: (s,) values on the data itself.
        draws: (B, s) values on the resampled data.
        n_members: members in each row of scores.
        n_nonmembers: non-members in each row of scores.
        rows: number of rows (seeds, photo draws, targets) that each statistic is averaged over.
        row_spread: (s,) standard deviation over the rows; 0 for one row.
        seed: seed of the draws.
    """

    statistics: tuple[str, ...]
    estimates: FloatArray
    draws: FloatArray
    n_members: int
    n_nonmembers: int
    rows: int
    row_spread: FloatArray
    seed: int

    def estimate(self, statistic: str) -> float | NotEstimable:
        """The value on the data itself; `NotEstimable` below the resolution."""
        found = self._column(statistic)
        return found if isinstance(found, NotEstimable) else float(self.estimates[found])

    def standard_error(self, statistic: str) -> float | NotEstimable:
        """Standard deviation of the draws."""
        found = self._column(statistic)
        return found if isinstance(found, NotEstimable) else float(self.draws[:, found].std(ddof=1))

    def interval(self, statistic: str, level: float = 0.95) -> Interval | NotEstimable:
        """Percentile interval of one statistic; see `bootstrap` for where it can be trusted."""
        confidence = checked_fraction(level, "level")
        found = self._column(statistic)
        if isinstance(found, NotEstimable):
            return found
        return Resampling(len(self.draws), self.seed, confidence).interval(self.draws[:, found])

    def _column(self, statistic: str) -> int | NotEstimable:
        if statistic in self.statistics:
            return self.statistics.index(statistic)
        fpr = _rate_in(statistic)
        if fpr is not None and allowed_false_positives(fpr, self.n_nonmembers) < 1:
            return not_estimable(fpr, self.n_nonmembers)
        raise MetricError(f"the bootstrap holds {', '.join(self.statistics)}; got {statistic!r}.")


def _rate_in(statistic: str) -> float | None:
    """The false-positive rate in a name like "tpr@0.01"; None in any other name."""
    try:
        return checked_fpr(float(statistic.removeprefix("tpr@"))) if statistic.startswith("tpr@") else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Resampling:
    """How to resample: `draws` draws from `seed`, read off at confidence `level`."""

    draws: int
    seed: int
    level: float

    def interval(self, drawn: FloatArray) -> Interval:
        """Percentile interval of one statistic's draws (draws,)."""
        low, high = np.quantile(drawn, [(1 - self.level) / 2, (1 + self.level) / 2])
        return Interval(float(low), float(high), self.level, f"bootstrap percentile, {self.draws} draws")


def checked_plan(draws: int, seed: int, level: float) -> Resampling:
    """A plan with checked values."""
    return Resampling(
        checked_count(draws, "draws", at_least=2),
        checked_count(seed, "seed", at_least=0),
        checked_fraction(level, "level"),
    )


@dataclass(frozen=True, slots=True)
class SortedRow:
    """One row of scores, sorted once so that any weights can be put on its identities.

    Attributes:
        members: (m,) positions of the members, highest score first; a slice if they stand side by side.
        nonmembers: (n,) positions of the non-members, highest score first; a slice if they stand side by side.
        above: (n,) for each of these non-members, how many members stand strictly above it.
        upto: (n,) how many members stand above it or are tied with it; the same object as `above` without ties.
        n_members: m.
    """

    members: IntArray | slice
    nonmembers: IntArray | slice
    above: IntArray
    upto: IntArray
    n_members: int

    def statistics(self, counts: IntArray, allowed: IntArray) -> list[float]:
        """AUC, then TPRs with `allowed` false positives, for counts (N,) per identity that keep the class sizes."""
        members_so_far = np.zeros(self.n_members + 1, dtype=np.int64)
        np.add.accumulate(counts[self.members], out=members_so_far[1:])
        weights = counts[self.nonmembers]
        above = members_so_far.take(self.above)
        if self.upto is self.above:
            twice = 2 * int(weights.dot(above))
        else:
            twice = int(weights.dot(above)) + int(weights.dot(members_so_far.take(self.upto)))
        m, n = self.n_members, weights.size
        # A threshold above the first non-member too many keeps all members that stand strictly above that one.
        rates = [above[j] / m if j < n else 1.0 for j in _first_beyond(weights, allowed)]
        return [twice / (2 * m * n), *rates]


def _first_beyond(weights: IntArray, allowed: IntArray) -> IntArray:
    """For each allowance, the first place at which the running sum of the weights exceeds it."""
    if allowed.size == 0:
        return allowed
    # Low rates are decided among the highest scores; summing the rest would cost as much as the AUC.
    head = weights[: 2 * int(allowed.max()) + 100]
    running = np.add.accumulate(head)
    if running[-1] <= allowed.max():
        running = np.add.accumulate(weights)
    return running.searchsorted(allowed, "right")


def sorted_row(scores: FloatArray, members: BoolArray, nonmembers: BoolArray) -> SortedRow:
    """Sort one row of checked scores (N,); who is neither member nor non-member is left out."""
    order = np.argsort(-scores, kind="stable")
    inside, outside = order[members[order]], order[nonmembers[order]]
    rising = -scores[inside]
    above = rising.searchsorted(-scores[outside], "left")
    upto = rising.searchsorted(-scores[outside], "right")
    return SortedRow(
        members=_side_by_side(inside),
        nonmembers=_side_by_side(outside),
        above=above,
        upto=above if np.array_equal(above, upto) else upto,
        n_members=inside.size,
    )


def _side_by_side(positions: IntArray) -> IntArray | slice:
    first, last = int(positions[0]), int(positions[-1])
    consecutive = np.array_equal(positions, np.arange(first, first + positions.size))
    return slice(first, last + 1) if consecutive else positions


def resampled_counts(strata: npt.NDArray[np.generic], draws: int, seed: int) -> Iterator[IntArray]:
    """How often each identity is drawn, `draws` times: counts (N,) that keep the size of each stratum.

    Depends on the strata, the number of draws and the seed alone, so that methods added later see the same draws.
    An identity's chance is right to `size of its stratum` parts in 2**32.
    """
    groups = [np.flatnonzero(strata == label) for label in np.unique(strata)]
    back = np.argsort(np.concatenate(groups))
    in_order = np.array_equal(back, np.arange(back.size))
    per_block = max(1, BLOCK // back.size)
    bits = np.random.SFC64(seed)
    for begin in range(0, draws, per_block):
        block = min(per_block, draws - begin)
        picks = [_picks(bits, group.size, block) for group in groups]
        for row in range(block):
            counts = np.concatenate([np.bincount(pick[row], minlength=pick.shape[1]) for pick in picks])
            yield counts if in_order else counts.take(back)


def _picks(bits: np.random.SFC64, size: int, block: int) -> IntArray:
    """(block, size) whole numbers below `size`, by multiplying 32 random bits (two from each 64 drawn)."""
    total = block * size
    raw = bits.random_raw((total + 1) // 2).astype("<u8", copy=False)
    wide = raw.view("<u4")[:total].astype(np.uint64)
    wide *= np.uint64(size)
    wide >>= np.uint64(32)
    return wide.view(np.int64).reshape(block, size)


def bootstrap(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    fprs: Sequence[float] = DEFAULT_FPRS,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """Bootstrap of AUC and TPR at low false-positive rates, over identities, within members and non-members.

    Rows are seeds, photo draws or targets of the same identities: an identity is drawn with all its rows (cluster
    bootstrap), each row's statistics are computed on the same draw, and then averaged over the rows. The interval
    covers new identities and is conditional on these rows; `row_spread` shows how much the rows differ.

    Valid within about two points for the AUC from 100 people in each class up to AUC 0.9, and for the TPR from ten
    allowed false positives on; below that the percentile intervals are too narrow (for eight people far too narrow).
    For one row prefer `auc_interval` and `tpr_at_fpr_interval`.

    Args:
        scores: (n,) or (rows, n) finite; higher means more likely a member. An abstention is given the lowest score
            by the caller.
        members: (n,) true for members; or (rows, n) where membership differs by row (another target), each row with
            the same number of members. Identities with the same memberships are one stratum.
        fprs: false-positive rates in (0, 1]; those below the resolution of the non-members are left out and
            answered with `NotEstimable`.
        draws: number of bootstrap draws, at least 2.
        seed: seed of the draws.

    Returns:
        `Bootstrap`; its intervals are percentile intervals.

    Raises:
        MetricError: see `auc`; or shapes that do not fit together.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993); Obuchowski and Rockette,
    Communications in Statistics B 24 (1995), on several readings of the same cases.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(400) < 200
        >>> result = bootstrap(rng.normal(size=400) + members, members, draws=1000, seed=1)
        >>> result.statistics
        ('auc', 'tpr@0.1', 'tpr@0.01')
        >>> 0.7 < result.interval("auc").low < result.estimate("auc") < result.interval("auc").high < 0.85
        True
        >>> result.interval("tpr@0.001").resolution
        0.005
    """
    matrix, flags = checked_rows(scores, members)
    plan = checked_plan(draws, seed, 0.95)
    n = int((~flags[0]).sum())
    kept = [fpr for fpr in map(checked_fpr, fprs) if allowed_false_positives(fpr, n) >= 1]
    allowed = [allowed_false_positives(fpr, n) for fpr in kept]
    # Sorted by class and score, the counts need no reordering, and the order in which identities arrive is forgotten.
    order = np.lexsort((*-matrix[::-1], strata_of(flags)))
    matrix, flags = matrix[:, order], flags[:, order]
    rows = [sorted_row(row, inside, ~inside) for row, inside in zip(matrix, flags, strict=True)]
    found, drawn = joint_draws(rows, strata_of(flags), allowed, plan)
    return Bootstrap(
        statistics=("auc", *(f"tpr@{fpr:g}" for fpr in kept)),
        estimates=found.mean(axis=0),
        draws=drawn.mean(axis=1),
        n_members=flags.shape[1] - n,
        n_nonmembers=n,
        rows=len(rows),
        row_spread=found.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(found.shape[1]),
        seed=seed,
    )


def joint_draws(
    rows: Sequence[SortedRow], strata: npt.NDArray[np.generic], allowed: Sequence[int], plan: Resampling
) -> tuple[FloatArray, FloatArray]:
    """AUC and TPRs of several rows on the same draws of identities.

    Returns the values on the data, (rows, 1 + len(allowed)), and on the draws, (draws, rows, 1 + len(allowed)).
    """
    limits = np.array(allowed, dtype=np.int64)
    once = np.ones(strata.size, dtype=np.int64)
    found = np.array([row.statistics(once, limits) for row in rows])
    drawn = np.empty((plan.draws, *found.shape))
    for index, counts in enumerate(resampled_counts(strata, plan.draws, plan.seed)):
        for place, row in enumerate(rows):
            drawn[index, place] = row.statistics(counts, limits)
    return found, drawn


def checked_rows(scores: npt.ArrayLike, members: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Scores (rows, n) with members (rows, n), each row with the same class sizes."""
    matrix = checked_matrix(scores)
    flags = np.atleast_2d(checked_flags(members))
    if flags.shape[0] == 1:
        flags = np.repeat(flags, matrix.shape[0], axis=0)
    if flags.shape != matrix.shape:
        raise MetricError(f"scores {matrix.shape} and members {flags.shape} do not fit together.")
    for row in flags:
        checked_members(row, matrix.shape[1])
    if len(set(flags.sum(axis=1).tolist())) > 1:
        raise MetricError("every row must have the same number of members; bootstrap the targets one by one instead.")
    return matrix, flags


def strata_of(flags: BoolArray) -> IntArray:
    """(N,) stratum of each identity: identities with the same memberships over all rows share one."""
    _, labels = np.unique(flags, axis=1, return_inverse=True)
    return np.asarray(labels, dtype=np.int64).reshape(-1)
