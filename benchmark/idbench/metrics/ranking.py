"""Ranks as intervals: which methods the data can tell apart, and which share a rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from idbench.metrics.bands import tpr_at_fpr_interval
from idbench.metrics.delong import auc_interval
from idbench.metrics.resampling import Plan, checked_plan, checked_rows, joint_draws, sorted_row, strata_of
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    Interval,
    MetricError,
    NotEstimable,
    allowed_false_positives,
    as_numbers,
    checked_fpr,
    not_estimable,
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """One method's place.

    Attributes:
        name: the method.
        estimate: its AUC or TPR, the number that the list is ordered by.
        interval: of the estimate: `auc_interval` or `tpr_at_fpr_interval`; with nested rows bootstrap percentiles.
        rank: the rank shown; methods that cannot be told apart from the first of their group share it.
        rank_low: best rank that the data allow, 1 + the number of methods that are reliably better.
        rank_high: worst rank that the data allow.
    """

    name: str
    estimate: float
    interval: Interval
    rank: int
    rank_low: int
    rank_high: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """Methods in the order of their estimates, best first; equal estimates in the order of their names.

    Attributes:
        statistic: "auc" or "tpr@0.01" and so on.
        methods: (K,) places.
        better: (K, K) true where the row's method is reliably better than the column's, in the order of `methods`.
        level: all statements in `better` hold together with this confidence.
        draws: bootstrap draws.
        seed: seed of the draws.
    """

    statistic: str
    methods: tuple[Ranked, ...]
    better: BoolArray
    level: float
    draws: int
    seed: int


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

    Two methods are told apart if the interval of their difference excludes 0, where all differences have intervals
    that hold at once (largest studentized deviation over all pairs in the joint bootstrap). A method's rank lies
    between 1 + the methods reliably better than it and K - the methods reliably worse.

    The order is that of the estimates, and each estimate depends on its own method alone: adding a method can widen
    rank intervals and shift ranks by its own place, but never reorders the others. The rank shown is the best
    possible one, and never better than that of a method with a higher estimate.

    Args:
        scores: (K, n), or (K, rows, n) with seeds or targets nested in identities; finite, higher means more likely a
            member. An abstention is given the lowest score by the caller.
        members: (n,) or (rows, n) true for members.
        names: (K,) distinct names.
        fpr: None ranks by AUC; a false-positive rate in (0, 1] by TPR there.
        level: confidence of all statements together, in (0, 1).
        draws: bootstrap draws, at least 2.
        seed: seed of the draws.

    Returns:
        `Ranking`; or `NotEstimable` if the non-members do not resolve `fpr`.

    Raises:
        MetricError: shapes or names that do not fit, or see `auc`.

    Source: Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91 (2024), for rank intervals from
    simultaneous differences.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(600) < 300
        >>> noise = rng.normal(size=(3, 600))
        >>> ranking = ranks(noise + members * np.array([[2.0], [1.8], [0.0]]), members, ["p", "q", "r"], draws=500)
        >>> [(m.name, m.rank, m.rank_low, m.rank_high) for m in ranking.methods]
        [('p', 1, 1, 2), ('q', 1, 1, 2), ('r', 3, 3, 3)]
    """
    plan = checked_plan(draws, seed, level)
    cube = _checked_cube(scores, names)
    methods, rows, count = cube.shape
    flags = checked_rows(cube[0], members)[1]
    for method in cube[1:]:
        checked_rows(method, flags)
    n = int((~flags[0]).sum())
    allowed = [] if fpr is None else [allowed_false_positives(checked_fpr(fpr), n)]
    if fpr is not None and allowed[0] < 1:
        return not_estimable(fpr, n)
    ordered = [sorted_row(row, inside, ~inside) for method in cube for row, inside in zip(method, flags, strict=True)]
    found, drawn = joint_draws(ordered, strata_of(flags), allowed, plan)
    values = found[:, -1].reshape(methods, rows).mean(axis=1)
    table = drawn[:, :, -1].reshape(plan.draws, methods, rows).mean(axis=2)
    order = sorted(range(methods), key=lambda k: (-values[k], names[k]))
    values, table = values[order], table[:, order]
    better = _separated(values, table, plan.level, floor=_error_floor(min(n, count - n)))
    intervals = [_interval(cube[k], flags, fpr, table[:, place], plan) for place, k in enumerate(order)]
    return Ranking(
        statistic="auc" if fpr is None else f"tpr@{fpr:g}",
        methods=_places([names[k] for k in order], values, intervals, better),
        better=better,
        level=plan.level,
        draws=plan.draws,
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


def _interval(rows: FloatArray, flags: BoolArray, fpr: float | None, drawn: FloatArray, plan: Plan) -> Interval:
    """The interval shown beside an estimate: without resampling where there is such a one."""
    if len(rows) > 1 or fpr == 1.0:
        return plan.interval(drawn)
    if fpr is None:
        return auc_interval(rows[0], flags[0], plan.level)
    found = tpr_at_fpr_interval(rows[0], flags[0], fpr, plan.level)
    return plan.interval(drawn) if isinstance(found, NotEstimable) else found


def _error_floor(smaller_class: int) -> float:
    """Standard error of a rate of which half an identity is wrong: stands in where every draw gives the same value."""
    share = 0.5 / smaller_class
    return float(np.sqrt(share * (1 - share) / smaller_class))


def _separated(values: FloatArray, table: FloatArray, level: float, floor: float) -> BoolArray:
    """(K, K) true where row is above column by more than the critical number of standard errors."""
    count = values.size
    worst = np.zeros(len(table))
    errors = np.full((count, count), floor)
    for i in range(count - 1):
        gaps = table[:, [i]] - table[:, i + 1 :]
        spread = gaps.std(axis=0, ddof=1)
        away = np.abs(gaps - (values[i] - values[i + 1 :]))
        moving = spread > 0
        errors[i, i + 1 :][moving] = spread[moving]
        if moving.any():
            worst = np.maximum(worst, (away[:, moving] / spread[moving]).max(axis=1))
    critical = float(np.quantile(worst, level)) if count > 1 else 0.0
    errors = np.triu(errors, 1) + np.triu(errors, 1).T
    return np.asarray(values[:, None] - values[None, :] > critical * errors, dtype=np.bool_)


def _places(
    names: Sequence[str], values: FloatArray, intervals: Sequence[Interval], better: BoolArray
) -> tuple[Ranked, ...]:
    low = 1 + better.sum(axis=0)
    high = len(names) - better.sum(axis=1)
    shown = np.minimum.accumulate(low[::-1])[::-1]
    return tuple(
        Ranked(
            name=name,
            estimate=float(values[k]),
            interval=intervals[k],
            rank=int(shown[k]),
            rank_low=int(low[k]),
            rank_high=int(high[k]),
        )
        for k, name in enumerate(names)
    )
