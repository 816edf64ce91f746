"""Whether what a record says of its costs, its defense and its adaptation is possible; nobody can compute it again.

Whatever is impossible keeps a record from counting, for a board would show it.
"""

from __future__ import annotations

import math
import re
from typing import Final

from idbench.api import Access, Knowledge
from idbench.privacy import Guarantee
from idbench.results.reading import shortened
from idbench.results.record import DefenseCost, DefenseRef, Estimate, MethodRef, RunRecord, UtilityMeasure

LONGEST_SECONDS: Final = 1e9
"""Thirty years."""
MOST: Final = 10**15
"""Of queries and of optimizer steps, of one kind; sums of all kinds still fit 64 bits."""
MOST_MEMORY_MB: Final = 1e9
"""A pebibyte, nearly."""
MOST_PROCESSORS: Final = 10**6
MOST_PEOPLE: Final = 10**9
MOST_GUARANTEES: Final = 10
MOST_MEASURES: Final = 100
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SLACK: Final = 1e-3
"""How far rounding may carry a mean of shares or of cosines past its range."""


def impossible(record: RunRecord) -> str:
    """The first impossible claim about a record's costs, photos, defense or adaptation; empty if there is none."""
    if reason := _of_costs(record):
        return reason
    if record.photos_sha256 is not None and not _HASH.fullmatch(record.photos_sha256):
        return f"its photos_sha256 is not a SHA-256: {shortened(record.photos_sha256)!r}"
    if (defense := record.defense) is not None:
        reason = _of_what_was_applied("defense", defense, defense.weights_sha256, defense.cost)
        if reason := reason or _of_guarantees(defense.guarantees) or _of_utility(defense):
            return reason
    if (adaptation := record.adaptation) is not None:
        return _of_what_was_applied("adaptation", adaptation, adaptation.weights_sha256, adaptation.cost)
    return ""


def unknown_word(method: MethodRef) -> str:
    """The first access or knowledge of a method, defense or adaptation that does not exist; empty if all do."""
    odd = [name for name in method.access if name not in Access.__members__]
    odd += [name for name in method.knowledge if name not in Knowledge.__members__]
    return shortened(odd[0]) or "''" if odd else ""


def _of_costs(record: RunRecord) -> str:
    shadows = record.shadows
    seconds = [*record.timings.model_dump().values(), *((shadows.seconds, shadows.waited) if shadows else ())]
    if (longest := max(seconds)) > LONGEST_SECONDS:
        return f"it took {longest:g} seconds; the limit is {LONGEST_SECONDS:g}"
    counts = [*record.queries.model_dump().values(), *((shadows.steps, shadows.trained_steps) if shadows else ())]
    if (most := max(counts)) > MOST:
        return f"it counts {most:g} queries or steps of one kind; the limit is {MOST:g}"
    if record.peak_memory_mb > MOST_MEMORY_MB:
        return f"it took {record.peak_memory_mb:g} MiB of memory; the limit is {MOST_MEMORY_MB:g}"
    if not 1 <= record.environment.processors <= MOST_PROCESSORS:
        return f"it ran on {shortened(str(record.environment.processors))} processors"
    if shadows is not None and (shadows.trained > shadows.count or shadows.trained_steps > shadows.steps):
        return "it trained more shadow models than it used"
    return _of_queries(record)


def _of_queries(record: RunRecord) -> str:
    """Queries of a kind that the method may not ask for; an adaptation asks for itself."""
    access, queries = {*record.attack.access}, record.queries
    if not access and queries.total + queries.pairs:
        return "its method asks the target nothing, and it counts queries"
    if not access or record.adaptation is not None:
        return ""
    for kind, needed in (("gradients", "GRADIENT"), ("training_steps", "TRAIN_SHADOWS")):
        if getattr(queries, kind) and not {needed, "WEIGHTS"} & access:
            return f"it counts {kind}, for which its method does not ask"
    return ""


def _of_what_was_applied(kind: str, method: MethodRef, weights: str | None, cost: DefenseCost | None) -> str:
    if word := unknown_word(method):
        return f"its {kind} has an access or knowledge that does not exist: {word}"
    if weights is not None and not _HASH.fullmatch(weights):
        return f"its {kind}'s weights_sha256 is not a SHA-256: {shortened(weights)!r}"
    if cost is not None and cost.seconds > LONGEST_SECONDS:
        return f"its {kind} took {cost.seconds:g} seconds; the limit is {LONGEST_SECONDS:g}"
    if cost is not None and cost.steps > MOST:
        return f"its {kind} took {cost.steps:g} steps; the limit is {MOST:g}"
    return ""


def _of_guarantees(guarantees: tuple[Guarantee, ...]) -> str:
    if len(guarantees) > MOST_GUARANTEES:
        return f"its defense states {len(guarantees)} guarantees; the limit is {MOST_GUARANTEES}"
    return ""


def _of_utility(defense: DefenseRef) -> str:
    names = [measure.name for measure in defense.utility]
    if len(names) > MOST_MEASURES:
        return f"it has {len(names)} measures of utility; the limit is {MOST_MEASURES}"
    if double := next((name for name in names if names.count(name) > 1), None):
        return f"its measure of utility {shortened(double)!r} is there twice"
    for measure in defense.utility:
        if reason := _of_measure(measure):
            return f"its measure of utility {shortened(measure.name)!r} {reason}"
    return ""


def _of_measure(measure: UtilityMeasure) -> str:
    """Shares lie between 0 and 1, cosines between -1 and 1; the difference is that of the two."""
    if measure.people > MOST_PEOPLE:
        return f"is over {measure.people:g} people"
    least = -1.0 if measure.name.endswith("(cosine)") else 0.0
    for one in (measure.before, measure.after):
        if not least - _SLACK <= one.value <= 1 + _SLACK:
            return f"is {one.value:g}, and lies between {least:g} and 1"
    if not all(_is_estimate(one) for one in (measure.before, measure.after, measure.difference)):
        return "has an interval that does not hold its value, or a level that is not between 0 and 1"
    if not math.isclose(measure.difference.value, measure.after.value - measure.before.value, abs_tol=_SLACK):
        return "has a difference that is not that of its values"
    return ""


def _is_estimate(one: Estimate) -> bool:
    return -2 - _SLACK <= one.low <= one.value <= one.high <= 2 + _SLACK and 0 < one.level < 1
