"""Finds many names in many captions in one pass: Aho-Corasick, behind a filter that is as fast as reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from idbench.errors import DataError
from idbench.search.folding import Folding, is_word
from idbench.search.names import Sought

if TYPE_CHECKING:
    import pyarrow as pa

_FILTER_LIMIT = 24_000
"""Characters of all names together up to which RE2's automaton stays small and the filter beats Aho-Corasick alone;
measured by benchmark/perf/search.py."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as an occurrence of a name.

    Args:
        folding: what counts as the same text.
        boundaries: whether a name must begin and end where words do. Off: any substring counts, as in the published
            counts of the field.
    """

    folding: Folding = field(default_factory=Folding)
    boundaries: bool = True

    def __str__(self) -> str:
        return f"{self.folding}, {'word boundaries' if self.boundaries else 'any substring'}"


@dataclass(frozen=True, slots=True)
class Hit:
    """One caption that holds a name.

    Args:
        place: of the caption, counted from 0.
        person: index of the identity.
        longer: every occurrence lies within a longer name that is searched too ("Ann Lee" in "Mary Ann Lee").
    """

    place: int
    person: int
    longer: bool


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    stop: int
    people: tuple[int, ...]


class Matcher:
    """Names ready to be found.

    Args:
        sought: the identities.
        rules: what counts as an occurrence.

    Raises:
        DataError: nothing is left of a name after folding.
    """

    def __init__(self, sought: Sequence[Sought], rules: Rules) -> None:
        self._rules = rules
        people: dict[str, list[int]] = {}
        for index, one in enumerate(sought):
            for spelling in one.spellings:
                pattern = rules.folding(spelling)
                if not any(char.isalnum() for char in pattern):
                    raise DataError(
                        f"The name {spelling!r} of {one.identity} holds no letter that can be searched.",
                        hint="Correct or remove it.",
                    )
                if index not in people.setdefault(pattern, []):
                    people[pattern].append(index)
        self._people = {pattern: tuple(indices) for pattern, indices in people.items()}

    @property
    def shared(self) -> list[tuple[int, ...]]:
        """Indices of identities whose names cannot be told apart, equal after folding; each group once."""
        return sorted({people for people in self._people.values() if len(people) > 1})

    def find(self, captions: pa.Array) -> list[Hit]:
        """Every caption that holds a name, once for each identity, in the order of the captions.

        Args:
            captions: strings without nulls.
        """
        folded = self._rules.folding.column(captions)
        hits: list[Hit] = []
        for place, text in self._candidates(folded):
            hits += self._in_caption(place, text)
        return hits

    def people_in(self, caption: str) -> set[int]:
        """Indices of the identities whose names stand in one caption."""
        return {hit.person for hit in self._in_caption(0, self._rules.folding(caption))}

    def _candidates(self, folded: pa.Array) -> list[tuple[int, str]]:
        """Captions that may hold a name, with their places."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._filter is None:
            return list(enumerate(folded.to_pylist()))
        mask = pc.match_substring_regex(folded, self._filter)
        places = pc.indices_nonzero(mask)
        assert isinstance(places, pa.Array)
        return list(zip(places.to_pylist(), folded.take(places).to_pylist(), strict=True))

    def _in_caption(self, place: int, text: str) -> list[Hit]:
        spans = [
            _Span(start, last + 1, people)
            for last, (length, people) in self._automaton.iter(text)
            if self._fits(text, start := last + 1 - length, last + 1)
        ]
        longer: dict[int, bool] = {}
        for span in spans:
            within = any(_within(span, other) for other in spans)
            for person in span.people:
                longer[person] = longer.get(person, True) and within
        return [Hit(place, person, within) for person, within in longer.items()]

    def _fits(self, text: str, start: int, stop: int) -> bool:
        """Whether a name that was found there is not the piece of a longer word."""
        if not self._rules.boundaries:
            return True
        before = start > 0 and is_word(text[start]) and is_word(text[start - 1])
        after = stop < len(text) and is_word(text[stop - 1]) and is_word(text[stop])
        return not (before or after)

    @cached_property
    def _filter(self) -> str | None:
        """A regular expression for Arrow's RE2 that matches captions with any of the names, None for long lists."""
        if sum(map(len, self._people)) > _FILTER_LIMIT:
            return None
        return "|".join(re.escape(pattern) for pattern in sorted(self._people))

    @cached_property
    def _automaton(self) -> Any:
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for pattern, people in self._people.items():
            automaton.add_word(pattern, (len(pattern), people))
        automaton.make_automaton()
        return automaton

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes build the automaton anew: faster than sending it.
        return _rebuilt, (self._people, self._rules)


def _rebuilt(people: dict[str, tuple[int, ...]], rules: Rules) -> Matcher:
    matcher = Matcher([], rules)
    matcher._people = people
    return matcher


def _within(span: _Span, other: _Span) -> bool:
    """Whether a span lies strictly within another identity's."""
    return (
        other.start <= span.start
        and span.stop <= other.stop
        and other.stop - other.start > span.stop - span.start
        and not set(span.people) & set(other.people)
    )
