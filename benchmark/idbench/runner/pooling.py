"""One figure for a method over several targets: averaged over the targets, with identities as what varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from idbench import metrics
from idbench.results import Estimate, RateSummary
from idbench.results.summarizing import RATES, LabelledScores, estimate_of, unresolved
from idbench.runner.evaluate import with_labels
from idbench.runner.grid import Outcome
from idbench.splits import Split


@dataclass(frozen=True, slots=True)
class PooledTargets:
    """A method's result over several targets and seeds.

    Args:
        method: its name.
        defense: what the targets were put behind; None for nothing.
        targets: those that were pooled; controls, which must show chance, are left out.
        seeds: runs of each target.
        auc: mean over targets, each the mean over its seeds; the interval covers new identities for these very
            targets.
        tpr: the same at each of `RATES`.
        spread: standard deviation over the targets of the mean AUC over seeds.
    """

    method: str
    defense: str | None
    targets: tuple[str, ...]
    seeds: int
    auc: Estimate
    tpr: tuple[RateSummary, ...]
    spread: float


def pool(split: Split, outcomes: Sequence[Outcome]) -> list[PooledTargets]:
    """Pool the outcomes of each method over its targets, controls left out.

    An identity counts once, with all its scores, one for each target and seed (`metrics.pooled`): scores of one person
    on several targets are not independent, and counting them as different people would make the interval too narrow.
    Membership may differ from target to target.

    Methods with fewer than two targets are left out, and so are those of `unpooled`.
    """
    return [
        _pool(*key, found, [_labelled(split, o) for o in found])
        for key, found in _several(split, outcomes).items()
        if _alike(found)
    ]


def unpooled(split: Split, outcomes: Sequence[Outcome]) -> list[str]:
    """Methods with several targets that cannot be pooled because the numbers of members differ."""
    return [method for (method, _), found in _several(split, outcomes).items() if not _alike(found)]


def _several(split: Split, outcomes: Sequence[Outcome]) -> dict[tuple[str, str | None], list[Outcome]]:
    """The outcomes of each method and defense with more than one target, without controls and swapped labels."""
    by_method: dict[tuple[str, str | None], list[Outcome]] = {}
    for outcome in outcomes:
        trained_on = outcome.run.record.target.corpus
        # With swapped labels an attack turns around: averaging it with one whose labels are its own is meaningless.
        swapped = trained_on in split.corpora and trained_on != outcome.summary.corpus
        if not outcome.summary.control and not swapped:
            record = outcome.run.record
            key = (record.attack_label, record.defense.name if record.defense else None)
            by_method.setdefault(key, []).append(outcome)
    return {m: found for m, found in by_method.items() if len({o.run.record.target.name for o in found}) > 1}


def _alike(outcomes: Sequence[Outcome]) -> bool:
    return len({o.summary.n_members for o in outcomes}) == 1


def _labelled(split: Split, outcome: Outcome) -> LabelledScores:
    return with_labels(outcome.run.scores(), split, outcome.summary.corpus, "test")


def _pool(
    method: str, defense: str | None, outcomes: Sequence[Outcome], rows: Sequence[LabelledScores]
) -> PooledTargets:
    found = metrics.pooled([row.scores for row in rows], [row.members for row in rows], fprs=RATES)
    resolution = 1 / int((~rows[0].members).sum())
    names = [o.run.record.target.name for o in outcomes]
    targets = tuple(dict.fromkeys(names))
    return PooledTargets(
        method=method,
        defense=defense,
        targets=targets,
        seeds=len(outcomes) // len(targets),
        auc=estimate_of(found.auc.value, found.auc.interval),
        tpr=tuple(_rate(one, fpr, resolution) for one, fpr in zip(found.rates, RATES, strict=True)),
        spread=metrics.spread(found.aucs.tolist(), names),
    )


def _rate(found: metrics.PooledRate | metrics.NotEstimable, fpr: float, resolution: float) -> RateSummary:
    if isinstance(found, metrics.NotEstimable):
        return unresolved(fpr, found)
    return RateSummary(
        fpr=fpr,
        value=found.value,
        low=found.interval.low,
        high=found.interval.high,
        threshold=None,
        resolution=resolution,
        reason=None,
    )
