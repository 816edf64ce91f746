"""What a defense is worth: the strongest of all attacks on it, as they are and adapted, on the people it protects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.privacy import Guarantee
from idbench.results.record import DefenseCost, Estimate, UtilityMeasure
from idbench.results.summarizing import estimate_of

UNDEFENDED: Final = "none"
REFERENCE: Final = "drop-people"
GUESSED_TENTH: Final = 0.95
"""Mean place of the highest tenth of people whose scores say nothing."""
_DRAWS: Final = 2000


@dataclass(frozen=True, slots=True)
class Attempt:
    """Scores of one attack on one defended target.

    Args:
        defense: its name; `UNDEFENDED` for the target as it is.
        attack: as a table calls it, e.g. `cosine + relearn`.
        seed: of the run; it draws the protected.
        scores: (n,), finite; higher = more likely a member.
        members: bool (n,).
        protected: bool (n,).
    """

    defense: str
    attack: str
    seed: int
    scores: NDArray[np.float64]
    members: NDArray[np.bool_]
    protected: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one attack finds behind one defense, as a mean over seeds.

    Args:
        defense: its name.
        attack: as a table calls it.
        seeds: of the runs.
        protected: AUC among the protected.
        others: AUC among the others.
        marks: how well the scores tell the protected from the others, in either direction: 0.5 to 1.
        trace: the same among non-members alone. Members who are hidden no longer score like members, and `marks` sees
            that; of a non-member there was nothing to hide, so that here only a trace of the defense itself tells.
    """

    defense: str
    attack: str
    seeds: tuple[int, ...]
    protected: Estimate
    others: Estimate
    marks: Estimate
    trace: Estimate | None = None


@dataclass(frozen=True, slots=True)
class WorstCase:
    """One defense against the attacker who knows it.

    Args:
        defense: its name.
        attempts: attacks that were tried, adapted ones among them.
        strongest: the attack that finds most among the protected; the largest of several estimates is a little high.
        turned: whether its scores are read the other way around. A defense may lower those whom it hides below
            strangers, and an attacker who applies it to people of their own sees that: an AUC whose interval lies below
            0.5 counts as what it is when turned.
        protected: its AUC among the protected.
        others: its AUC among the others.
        tenth: mean share of protected non-members who rank below a protected member, over the tenth of these members
            who rank highest; `GUESSED_TENTH` for scores that say nothing.
        beyond_reference: AUC of the same attack among the protected, less that behind `REFERENCE`; None where that was
            not run.
        marked_by: the attack whose scores best tell who was protected.
        marks: how well, 0.5 to 1.
        trace: how well the scores of the attack that tells best there do so among non-members alone, see `Attacked`.
        cost: of the defense; None where it has none of its own.
        guarantees: about privacy, as the defense states them.
        utility: for bystanders, before and after.
    """

    defense: str
    attempts: int
    strongest: str
    protected: Estimate
    others: Estimate
    tenth: Estimate
    beyond_reference: Estimate | None
    marked_by: str
    marks: Estimate
    trace: Estimate | None = None
    cost: DefenseCost | None = None
    guarantees: tuple[Guarantee, ...] = ()
    utility: tuple[UtilityMeasure, ...] = ()
    turned: bool = False

    @property
    def how(self) -> str:
        """The strongest attack as a person reads it, e.g. `cosine + relearn (steps 5)` or `cosine, turned around`."""
        return f"{self.strongest}, turned around" if self.turned else self.strongest


def recognized(utility: Sequence[UtilityMeasure]) -> tuple[float, float] | None:
    """Share of questions about walls, clothes and so on that are answered right, before and after a defense.

    Each kind of question counts by the people that it is about. None where nothing was measured.
    """
    found = [one for one in utility if one.name.startswith("recognition of ")]
    people = sum(one.people for one in found)
    if not people:
        return None
    before, after = (
        sum(getattr(one, side).value * one.people for one in found) / people for side in ("before", "after")
    )
    return before, after


def attacked(attempts: Sequence[Attempt]) -> list[Attacked]:
    """What every attack finds behind every defense, in the order in which they come."""
    groups: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        groups[attempt.defense, attempt.attack].append(attempt)
    return [
        Attacked(
            defense,
            attack,
            tuple(one.seed for one in own),
            _mean_auc(own, [one.members for one in own], [one.protected for one in own]),
            _mean_auc(own, [one.members for one in own], [~one.protected for one in own]),
            _either_way(_mean_auc(own, [one.protected for one in own], [np.ones_like(one.members) for one in own])),
            _either_way(_mean_auc(own, [one.protected for one in own], [~one.members for one in own])),
        )
        for (defense, attack), own in groups.items()
    ]


def worst_cases(attempts: Sequence[Attempt], rows: Sequence[Attacked] | None = None) -> list[WorstCase]:
    """The strongest attack on every defense, in the order in which they come.

    Args:
        attempts: all with members and non-members among the protected and among the others.
        rows: what `attacked` says of them; None: it is asked.
    """
    found: dict[str, list[Attacked]] = defaultdict(list)
    for each in attacked(attempts) if rows is None else rows:
        found[each.defense].append(each)
    return [_worst_case(defense, own, attempts) for defense, own in found.items()]


def _worst_case(defense: str, own: Sequence[Attacked], attempts: Sequence[Attempt]) -> WorstCase:
    strongest = max(own, key=lambda each: _as_read(each, each.protected).value)
    marking = max(own, key=lambda each: each.marks.value)
    turned = _is_turned(strongest)
    same = [one for one in attempts if one.attack == strongest.attack]
    if turned:
        same = [replace(one, scores=-one.scores) for one in same]
    runs = [one for one in same if one.defense == defense]
    return WorstCase(
        defense=defense,
        attempts=len(own),
        strongest=strongest.attack,
        protected=_as_read(strongest, strongest.protected),
        others=_as_read(strongest, strongest.others),
        tenth=highest_tenth(runs),
        beyond_reference=None if defense == REFERENCE else _beyond_reference(runs, same),
        marked_by=marking.attack,
        marks=marking.marks,
        trace=max((each.trace for each in own if each.trace is not None), key=lambda one: one.value, default=None),
        turned=turned,
    )


def _is_turned(found: Attacked) -> bool:
    """Whether an attack evidently ranks protected members below protected non-members."""
    return found.protected.high < 0.5


def _as_read(found: Attacked, auc: Estimate) -> Estimate:
    """An AUC of an attack for somebody who reads its scores the way around that finds the protected."""
    return _turned(auc) if _is_turned(found) else auc


def highest_tenth(runs: Sequence[Attempt]) -> Estimate:
    """Mean place of the protected members who rank highest; see `WorstCase.tenth`. The interval is over people.

    Args:
        runs: of one attack behind one defense; the mean over them is taken.
    """
    drawn, values = [], []
    for run in runs:
        own = run.scores[run.protected & run.members]
        others = np.sort(run.scores[run.protected & ~run.members])
        rng = np.random.default_rng([0, run.seed])
        values.append(_tenth(own, others))
        drawn.append(
            [_tenth(rng.choice(own, len(own)), np.sort(rng.choice(others, len(others)))) for _ in range(_DRAWS)]
        )
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    value = float(np.mean(values))
    return Estimate(
        value=value,
        low=min(value, float(low)),
        high=max(value, float(high)),
        level=0.95,
        method="bootstrap over people",
    )


def _tenth(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    top = np.sort(members)[-max(1, len(members) // 10) :]
    below = np.searchsorted(others, top, side="left")
    upto = np.searchsorted(others, top, side="right")
    return float(((below + upto) / 2 / len(others)).mean())


def _beyond_reference(runs: Sequence[Attempt], attempts: Sequence[Attempt]) -> Estimate | None:
    """Paired by person, on the first seed that both were run with; `attempts` are those of the same attack."""
    reference = {one.seed: one for one in attempts if one.defense == REFERENCE}
    pair = next(((run, reference[run.seed]) for run in runs if run.seed in reference), None)
    if pair is None:
        return None
    one, other = pair
    rows = one.protected
    found = metrics.delong_test(one.scores[rows], other.scores[rows], one.members[rows])
    return estimate_of(found.difference, found.interval)


def _mean_auc(
    runs: Sequence[Attempt], positives: Sequence[NDArray[np.bool_]], among: Sequence[NDArray[np.bool_]]
) -> Estimate:
    found = metrics.pooled(
        np.stack([run.scores for run in runs]),
        np.stack([yes & rows for yes, rows in zip(positives, among, strict=True)]),
        np.stack([~yes & rows for yes, rows in zip(positives, among, strict=True)]),
        fprs=(),  # of a rate nobody asks here
    )
    return estimate_of(found.auc.value, found.auc.interval)


def _either_way(auc: Estimate) -> Estimate:
    """An AUC for an attacker who may turn the scores around."""
    return auc if auc.value >= 0.5 else _turned(auc)


def _turned(auc: Estimate) -> Estimate:
    """The AUC of the same scores, read the other way around."""
    return auc.model_copy(update={"value": 1 - auc.value, "low": 1 - auc.high, "high": 1 - auc.low})
