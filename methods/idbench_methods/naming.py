"""Names in texts: where they stand, and what stands there instead. Whole words alone; case counts for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.api import Case, Training

NEUTRAL = "a person"
"""What stands in place of a name."""

_PARTS = re.compile(r"\w+|[^\w\s]")
"""Words, and single signs between them, as in `Mara Ohm-Veld`."""


class Names:
    """Many names, found in one pass over a text.

    Args:
        names: as people write them; what holds neither letters nor signs is passed over.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for name in dict.fromkeys(names):
            parts = _parts(name)
            if parts:
                self._by_first.setdefault(parts[0], []).append((parts, name))
        for rivals in self._by_first.values():
            rivals.sort(key=lambda rival: -len(rival[0]))  # the longest name that stands at a place is meant

    def found(self, text: str) -> list[str]:
        """The names that stand in a text, in order; one that stands inside of another does not count."""
        return [name for _, _, name in self._places(text)]

    def replaced(self, text: str, instead: Callable[[str], str]) -> str:
        """The text with something else in the place of each name."""
        built, end = [], 0
        for low, high, name in self._places(text):
            built += [text[end:low], instead(name)]
            end = high
        return "".join([*built, text[end:]])

    def _places(self, text: str) -> list[tuple[int, int, str]]:
        """Begin and end of each name in the text, and the name as it was given."""
        matches = list(_PARTS.finditer(text))
        words = tuple(match.group().casefold() for match in matches)
        places, i = [], 0
        while i < len(words):
            for parts, name in self._by_first.get(words[i], ()):
                if words[i : i + len(parts)] == parts:
                    places.append((matches[i].start(), matches[i + len(parts) - 1].end(), name))
                    i += len(parts)
                    break
            else:
                i += 1
        return places


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.casefold() for part in _PARTS.findall(text))


def names_of(cases: Sequence[Case]) -> list[str]:
    """Distinct names in an order of their own, so that the order of the people says nothing."""
    return sorted({case.name for case in cases})


def pairs_by_name(training: Training, names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Places of the pairs whose caption holds each name, (any,); names that no caption holds are left out."""
    sought, seen = Names(names), dict[str, list[str]]()
    places: dict[str, list[int]] = {}
    for i, caption in enumerate(training.captions):
        if caption not in seen:
            seen[caption] = list(dict.fromkeys(sought.found(caption)))
        for name in seen[caption]:
            places.setdefault(name, []).append(i)
    return {name: np.array(places[name], dtype=np.int64) for name in sorted(places)}


def pairs_of_anybody(training: Training, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which pairs have a caption that holds one of the names, (n,)."""
    held = np.zeros(len(training.captions), dtype=np.bool_)
    for places in pairs_by_name(training, names).values():
        held[places] = True
    return held


def recaptioned(training: Training, names: Sequence[str], instead: Callable[[str], str]) -> tuple[str, ...]:
    """The captions with something else in the place of each name."""
    sought, seen = Names(names), dict[str, str]()
    for caption in training.captions:
        if caption not in seen:
            seen[caption] = sought.replaced(caption, instead)
    return tuple(seen[caption] for caption in training.captions)
