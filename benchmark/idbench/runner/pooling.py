"""One figure for a method over several targets: averaged over the targets, with identities as what varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from idbench import metrics
from idbench.results import Estimate, RateSummary
from idbench.runner.evaluate import RATES, Judged, judge
from idbench.runner.grid import Outcome
from idbench.splits import Split


@dataclass(frozen=True, slots=True)
class Pooled:
    """A method's result over several targets and seeds.

    Args:
        method: its name.
        targets: those that were pooled; controls are left out, for chance is what they must show.
        seeds: runs of each target.
        auc: mean over targets and seeds; the interval speaks of new identities and of these very targets.
        tpr: the same at each of `RATES`.
        spread: standard deviation of the AUC over targets and seeds.
    """

    method: str
    targets: tuple[str, ...]
    seeds: int
    auc: Estimate
    tpr: tuple[RateSummary, ...]
    spread: float


def pool(split: Split, outcomes: Sequence[Outcome]) -> list[Pooled]:
    """Pool the outcomes of each method over its targets, controls left out.

    An identity is drawn with all its rows, one for each target and seed (cluster bootstrap, `metrics.bootstrap`):
    scores of one person on several targets are not independent, and counting them as so many people would make the
    interval too narrow. Membership may differ from target to target.

    Methods with fewer than two targets are left out, and so are targets of which one has another number of members.
    """
    by_method: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.summary.control:
            by_method.setdefault(outcome.run.record.attack.name, []).append(outcome)
    return [
        pooled
        for method, found in by_method.items()
        if len({o.run.record.target.name for o in found}) > 1
        for pooled in [_pool(method, found, [_judged(split, o) for o in found])]
        if pooled is not None
    ]


def _judged(split: Split, outcome: Outcome) -> Judged:
    return judge(outcome.run.scores(), split, outcome.summary.corpus, "test")


def _pool(method: str, outcomes: Sequence[Outcome], rows: Sequence[Judged]) -> Pooled | None:
    if len({int(row.members.sum()) for row in rows}) > 1:
        return None
    found = metrics.bootstrap(
        np.stack([row.scores for row in rows]), np.stack([row.members for row in rows]), fprs=RATES
    )
    interval = found.interval("auc")
    value = found.estimate("auc")
    assert isinstance(interval, metrics.Interval)
    assert isinstance(value, float)
    targets = tuple(dict.fromkeys(o.run.record.target.name for o in outcomes))
    return Pooled(
        method=method,
        targets=targets,
        seeds=len(outcomes) // len(targets),
        auc=Estimate(value=value, low=interval.low, high=interval.high, level=interval.level, method=interval.method),
        tpr=tuple(_rate(found, fpr) for fpr in RATES),
        spread=float(found.row_spread[0]),
    )


def _rate(found: metrics.Bootstrap, fpr: float) -> RateSummary:
    value, interval = found.estimate(f"tpr@{fpr:g}"), found.interval(f"tpr@{fpr:g}")
    resolution = 1 / found.n_nonmembers
    if isinstance(interval, metrics.NotEstimable) or isinstance(value, metrics.NotEstimable):
        lacking = interval if isinstance(interval, metrics.NotEstimable) else value
        assert isinstance(lacking, metrics.NotEstimable)
        return RateSummary(
            fpr=fpr, value=None, low=None, high=None, threshold=None, resolution=resolution, reason=lacking.reason
        )
    return RateSummary(
        fpr=fpr,
        value=value,
        low=interval.low,
        high=interval.high,
        threshold=None,
        resolution=resolution,
        reason=None,
    )
