"""Ranks as intervals: which methods the data can tell apart, and which share a rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from idbench.metrics.batch import BatchSettings, KnownLabels, judge
from idbench.metrics.delong import AucCovariance, auc_interval, covariance_of_mean, difference_ps
from idbench.metrics.low_fpr import tpr_at_fpr_interval
from idbench.metrics.pooled import PooledRate, pooled
from idbench.metrics.resampling import Resampling, checked_plan, checked_rows, joint_draws, sorted_row, strata_of
from idbench.metrics.significance import holm
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    IntArray,
    Interval,
    MetricError,
    NotEstimable,
    allowed_false_positives,
    as_numbers,
    checked_fraction,
    not_estimable,
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One method's place.

    Attributes:
        name: the method.
        estimate: its AUC or TPR, the number that the list is ordered by.
        interval: of the estimate: `auc_interval` or `tpr_at_fpr_interval`; with nested rows that of `pooled`.
        rank: the rank shown; methods that cannot be told apart from the first of their group share it.
        rank_low: lower end of the rank interval, 1 + the number of methods that are reliably better.
        rank_high: upper end, K - the number of methods that are reliably worse.
    """

    name: str
    estimate: float
    interval: Interval
    rank: int
    rank_low: int
    rank_high: int


@dataclass(frozen=True, slots=True)
class RankIntervals:
    """Ranks of K methods in the order given, with the rank intervals that the data allow; all (K,).

    Attributes:
        rank: the rank shown; methods that cannot be told apart from the best of their group share it.
        low: lower ends of the rank intervals.
        high: upper ends.
    """

    rank: IntArray
    low: IntArray
    high: IntArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """Methods in the order of their estimates, best first; equal estimates in the order of their names.

    Attributes:
        statistic: "auc" or "tpr@0.01" and so on.
        methods: (K,) places.
        better: (K, K) true where the row's method is reliably better than the column's, in the order of `methods`.
        level: all statements in `better` hold together with this confidence.
        draws: bootstrap draws; 0 by AUC, where none are needed.
        seed: seed of the draws.
    """

    statistic: str
    methods: tuple[Ranked, ...]
    better: BoolArray
    level: float
    draws: int
    seed: int


def rank_intervals(found: AucCovariance, level: float = 0.95) -> RankIntervals:
    """Rank methods by AUC from their joint covariance.

    Two methods are told apart if the paired DeLong test (`delong_test`) rejects after Holm's correction over all
    pairs. A method's rank lies between 1 + the methods reliably better than it and K - the methods reliably worse.

    Args:
        found: from `delong_covariance`, K methods; K may be 0.
        level: confidence of all statements together, in (0, 1).

    Returns:
        `RankIntervals` in the order of the methods.

    Raises:
        MetricError: `level` outside (0, 1).

    Source: Holm, Scandinavian Journal of Statistics 6 (1979); Mogstad, Romano, Shaikh and Wilhelm, Review of Economic
    Studies 91 (2024), for rank intervals from simultaneous differences. False orders are counted in docs/coverage.md.

    Example:
        >>> from idbench.metrics import delong_covariance
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(600) < 300
        >>> scores = rng.normal(size=(3, 600)) + members * np.array([[2.0], [1.8], [0.0]])
        >>> places = rank_intervals(delong_covariance(scores, members))
        >>> places.rank.tolist(), places.low.tolist(), places.high.tolist()
        ([1, 1, 3], [1, 1, 3], [2, 2, 3])
    """
    confidence = checked_fraction(level, "level")
    sizes = (found.n_members, found.n_nonmembers)
    better = _separated(found.auc, difference_ps(found.auc, found.components, sizes), confidence)
    low, high = _ends(better)
    order = np.argsort(-found.auc, kind="stable")
    rank = np.empty(found.auc.size, dtype=np.int64)
    rank[order] = _shown(low[order])
    return RankIntervals(rank, low, high)


def ranks(
    scores: npt.ArrayLike,
    members: npt.ArrayLike,
    names: Sequence[str],
    *,
    fpr: float | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Ranking | NotEstimable:
    """Rank methods that scored the same identities, by AUC or by TPR at one false-positive rate.

    Two methods are told apart if the test of their difference rejects after Holm's correction over all pairs: by AUC
    the paired DeLong test, by TPR the difference in bootstrap standard errors, referred to Student's t with the
    degrees of freedom of the smaller class. A method's rank lies between 1 + the methods reliably better than it and
    K - the methods reliably worse.

    The order is that of the estimates, and each estimate depends on its own method alone: adding a method can widen
    rank intervals and shift ranks by its own place, but never reorders the others. The rank shown is the best
    possible one, and never better than that of a method with a higher estimate.

    Args:
        scores: (K, n), or (K, rows, n) with seeds or targets nested in identities; finite, higher means more likely a
            member. An abstention is given the lowest score by the caller.
        members: (n,) or (rows, n) true for members; at least two of each class.
        names: (K,) distinct names.
        fpr: None ranks by AUC; a false-positive rate in (0, 1) by TPR there.
        level: confidence of all statements together, in (0, 1).
        draws: bootstrap draws for the TPR, at least 2.
        seed: seed of the draws.

    Returns:
        `Ranking`; or `NotEstimable` if the non-members do not resolve `fpr`.

    Raises:
        MetricError: shapes or names that do not fit, or see `auc`.

    Source: see `rank_intervals`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(600) < 300
        >>> noise = rng.normal(size=(3, 600))
        >>> ranking = ranks(noise + members * np.array([[2.0], [1.8], [0.0]]), members, ["p", "q", "r"])
        >>> [(m.name, m.rank, m.rank_low, m.rank_high) for m in ranking.methods]
        [('p', 1, 1, 2), ('q', 1, 1, 2), ('r', 3, 3, 3)]
    """
    plan = checked_plan(draws, seed, level)
    cube = _checked_cube(scores, names)
    flags = checked_rows(cube[0], members)[1]
    for method in cube[1:]:
        checked_rows(method, flags)
    n = int((~flags[0]).sum())
    if fpr is None:
        values, ps = _by_auc(cube, flags)
    else:
        limit = checked_fraction(fpr, "fpr")
        if allowed_false_positives(limit, n) < 1:
            return not_estimable(limit, n)
        values, ps = _by_tpr(cube, flags, allowed_false_positives(limit, n), plan)
    order = sorted(range(len(cube)), key=lambda k: (-values[k], names[k]))
    better = _separated(values[order], ps[np.ix_(order, order)], plan.level)
    low, high = _ends(better)
    shown = _shown(low)
    return Ranking(
        statistic="auc" if fpr is None else f"tpr@{fpr:g}",
        methods=tuple(
            Ranked(
                name=names[k],
                estimate=float(values[k]),
                interval=_interval(cube[k], flags, fpr, plan.level),
                rank=int(shown[place]),
                rank_low=int(low[place]),
                rank_high=int(high[place]),
            )
            for place, k in enumerate(order)
        ),
        better=better,
        level=plan.level,
        draws=0 if fpr is None else plan.draws,
        seed=plan.seed,
    )


def _checked_cube(scores: npt.ArrayLike, names: Sequence[str]) -> FloatArray:
    cube = as_numbers(scores, "scores")
    if cube.ndim == 2:
        cube = cube[:, None, :]
    if cube.ndim != 3 or cube.shape[0] != len(names):
        raise MetricError(f"scores must have one entry per method; got shape {cube.shape} for {len(names)} names.")
    if len(set(names)) != len(names):
        raise MetricError("every method needs a name of its own.")
    return cube


def _interval(rows: FloatArray, flags: BoolArray, fpr: float | None, level: float) -> Interval:
    """The interval shown next to an estimate: that of the single row, or of the mean over several."""
    if fpr is None:
        return (
            auc_interval(rows[0], flags[0], level) if len(rows) == 1 else pooled(rows, flags, level=level).auc.interval
        )
    found: Interval | PooledRate | NotEstimable
    if len(rows) == 1:
        found = tpr_at_fpr_interval(rows[0], flags[0], fpr, level)
    else:
        found = pooled(rows, flags, fprs=(fpr,), level=level).rates[0]
    assert not isinstance(found, NotEstimable)  # the non-members resolve the rate
    return found.interval if isinstance(found, PooledRate) else found


def _by_auc(cube: FloatArray, flags: BoolArray) -> tuple[FloatArray, FloatArray]:
    """AUCs (K,), means over the rows, and p-values (K, K) of their differences, with identities as what varies."""
    methods, rows, count = cube.shape
    values, parts = np.zeros(methods), np.zeros((methods, count))
    plan, strata = BatchSettings((), 0.95), np.zeros(count, dtype=np.int64)
    for row in range(rows):
        own = flags[row]
        judged = judge([method[[row]] for method in cube], KnownLabels(own, strata), plan)
        values += judged.aucs / rows
        parts[:, own] += judged.averages.inside / rows
        # A person who is a member here and a non-member there moves the mean in two ways at once.
        parts[:, ~own] += judged.averages.outside * (own.sum() / (~own).sum()) / rows
    groups = strata_of(flags)
    m, n = int(flags[0].sum()), int((~flags[0]).sum())
    components = [
        (covariance_of_mean(parts[:, groups == group]) * (size / m) ** 2, size)
        for group in range(int(groups.max()) + 1)
        if (size := int((groups == group).sum())) > 1
    ]
    return values, difference_ps(values, components, (m, n))


def _by_tpr(cube: FloatArray, flags: BoolArray, allowed: int, plan: Resampling) -> tuple[FloatArray, FloatArray]:
    """TPRs (K,), means over the rows, and p-values (K, K) of their differences in bootstrap standard errors."""
    methods, rows, count = cube.shape
    ordered = [sorted_row(row, inside, ~inside) for method in cube for row, inside in zip(method, flags, strict=True)]
    found, drawn = joint_draws(ordered, strata_of(flags), [allowed], plan)
    values = found[:, -1].reshape(methods, rows).mean(axis=1)
    table = drawn[:, :, -1].reshape(plan.draws, methods, rows).mean(axis=2)
    smaller = min(int(flags[0].sum()), count - int(flags[0].sum()))
    covariance = np.atleast_2d(np.cov(table.T))
    own = np.diag(covariance)
    errors = np.sqrt(np.maximum(own[:, None] + own - 2 * covariance, _error_floor(smaller) ** 2))
    return values, np.asarray(2 * special.stdtr(smaller - 1, -np.abs(values[:, None] - values) / errors))


def _error_floor(smaller_class: int) -> float:
    """Standard error of a rate of which half an identity is wrong: stands in where every draw gives the same value."""
    share = 0.5 / smaller_class
    return float(np.sqrt(share * (1 - share) / smaller_class))


def _separated(values: FloatArray, ps: FloatArray, level: float) -> BoolArray:
    """(K, K) true where the row is above the column and Holm's correction over all pairs leaves p below 1 - level."""
    upper = np.triu_indices(values.size, 1)
    corrected = np.ones_like(ps)
    corrected[upper] = holm(np.clip(ps[upper], 0.0, 1.0))
    corrected = np.minimum(corrected, corrected.T)
    return np.asarray((values[:, None] > values) & (corrected < 1 - level), dtype=np.bool_)


def _ends(better: BoolArray) -> tuple[IntArray, IntArray]:
    """Ends (K,), (K,) of the rank intervals."""
    return 1 + better.sum(axis=0), len(better) - better.sum(axis=1)


def _shown(low: IntArray) -> IntArray:
    """Ranks shown, from the lower ends in the order of the estimates: never better than that of a higher estimate."""
    return np.asarray(np.minimum.accumulate(low[::-1])[::-1], dtype=np.int64)
