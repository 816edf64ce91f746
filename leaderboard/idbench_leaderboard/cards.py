"""The cards of methods, as the records carry them: what a page shows of a method is what ran, not what is installed."""

from __future__ import annotations

import json
from collections.abc import Iterable

from idbench.results import MethodRef
from idbench.results.repetition import Candidate
from idbench_leaderboard.inputs import CardChoice, CardParameter, MethodInfo, Preset


def cards_of(candidates: Iterable[Candidate]) -> tuple[MethodInfo, ...]:
    """The cards of the methods that ran, one for each name, version and code.

    Records with the same code may differ in an edited card: the most trusted record's is shown, the first
    of several.
    """
    found: dict[tuple[str, str, str], tuple[int, MethodInfo]] = {}
    for candidate in candidates:
        attack, level = candidate.record.attack, candidate.level.rank
        info = _info(attack)
        key = attack.name, attack.version, attack.code_sha256
        if info is not None and (key not in found or level > found[key][0]):
            found[key] = level, info
    return tuple(info for _, (_, info) in sorted(found.items()))


def _info(attack: MethodRef) -> MethodInfo | None:
    card = attack.card
    if card is None:
        return None
    return MethodInfo(
        name=card.name,
        version=card.version,
        code_sha256=attack.code_sha256,
        title=card.title,
        summary=card.summary,
        paper=card.paper,
        authors=card.authors,
        year=card.year,
        url=card.url,
        choices=tuple(CardChoice(each.what, each.chosen, each.why) for each in card.choices),
        parameters=tuple(
            CardParameter(each.name, each.type, json.dumps(each.default), each.description) for each in card.parameters
        ),
        presets=tuple(Preset(name, json.dumps(values)) for name, values in sorted(card.presets.items())),
    )
