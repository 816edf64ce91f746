"""Finds many names in many captions in one pass: Aho-Corasick over the bytes of a whole column of captions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from idbench.errors import DataError
from idbench.search.captions.batch import utf8
from idbench.search.folding import Folding, is_word
from idbench.search.names import Sought

if TYPE_CHECKING:
    import pyarrow as pa
    from ahocorasick_rs import BytesAhoCorasick
    from numpy.typing import NDArray

_DFA_LIMIT = 1_000_000
"""Bytes of all names together up to which the automaton is the fast kind, with 90 to 130 bytes of memory for each of
them; longer lists get the one that takes twice the time and an eighth of the memory."""

_ASCII = 128
_ASCII_WORDS = np.array([*(is_word(chr(code)) for code in range(_ASCII)), False])


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


class Hit(NamedTuple):
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
class _Pattern:
    """What a name must be to be found, in UTF-8, and whether a word begins and ends with it."""

    content: bytes
    begins: bool
    ends: bool
    people: tuple[int, ...]

    @classmethod
    def of(cls, text: str, people: Iterable[int]) -> _Pattern:
        return cls(text.encode(errors="surrogatepass"), is_word(text[0]), is_word(text[-1]), tuple(people))


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
        self._patterns = tuple(_Pattern.of(text, indices) for text, indices in people.items())

    @property
    def shared(self) -> list[tuple[int, ...]]:
        """Indices of identities whose names cannot be told apart, equal after folding; each group once."""
        return sorted({pattern.people for pattern in self._patterns if len(pattern.people) > 1})

    def prepare(self) -> None:
        """Build now what the first `find` would, once: threads that share the matcher would each build it."""
        _ = self._automaton, self._edges

    def find(self, captions: pa.Array) -> list[Hit]:
        """Every caption that holds a name, once for each identity, in the order of the captions.

        Args:
            captions: strings without nulls, large ones too.
        """
        import pyarrow as pa

        hits: list[Hit] = []
        columns = self._spans(self._rules.folding.column(captions.cast(pa.string())))
        changes = (np.flatnonzero(np.diff(columns[0])) + 1).tolist()
        places, starts, stops, patterns = (column.tolist() for column in columns)
        for low, high in pairwise([0, *changes, len(places)]):
            if high - low == 1:  # nearly always: one name in the caption
                hits += [Hit(places[low], person, False) for person in self._patterns[patterns[low]].people]
            elif high > low:
                spans = [_Span(starts[i], stops[i], self._patterns[patterns[i]].people) for i in range(low, high)]
                hits += _hits(places[low], spans)
        return hits

    def people_in(self, caption: str) -> set[int]:
        """Indices of the identities whose names stand in one caption."""
        import pyarrow as pa

        return {hit.person for hit in self.find(pa.array([caption], pa.string()))}

    def _spans(self, folded: pa.Array) -> tuple[NDArray[np.int64], ...]:
        """Occurrences of names, ordered by caption: its place, first byte, byte after the last, pattern; (n,) each."""
        bounds, content = utf8(folded)
        found = self._automaton.find_matches_as_indexes(content.data, overlapping=True)
        if not found:
            return (np.zeros(0, np.int64),) * 4
        patterns, starts, stops = np.array(found).T
        places = np.searchsorted(bounds, starts, side="right") - 1
        lows, highs = bounds[places], bounds[places + 1]
        # Captions follow each other without a gap: what begins in one and ends in the next is no occurrence.
        good = stops <= highs
        if self._rules.boundaries:
            begin, end = self._edges
            good &= ~(begin[patterns] & (starts > lows) & _continues(content, starts, -1))
            good &= ~(end[patterns] & (stops < highs) & _continues(content, stops, 0))
        return places[good], starts[good], stops[good], patterns[good]

    @cached_property
    def _edges(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Of each pattern, whether it begins and whether it ends within a word."""
        return np.array([one.begins for one in self._patterns]), np.array([one.ends for one in self._patterns])

    @cached_property
    def _automaton(self) -> BytesAhoCorasick:
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        contents = [pattern.content for pattern in self._patterns]
        fast = sum(map(len, contents)) <= _DFA_LIMIT
        return BytesAhoCorasick(contents, implementation=Implementation.DFA if fast else None)

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes build the automaton anew: faster than sending it.
        return _rebuilt, (self._patterns, self._rules)


def _rebuilt(patterns: tuple[_Pattern, ...], rules: Rules) -> Matcher:
    matcher = Matcher([], rules)
    matcher._patterns = patterns
    return matcher


def _continues(content: NDArray[np.uint8], places: NDArray[np.int64], side: int) -> NDArray[np.bool_]:
    """Whether the character before (-1) or at (0) each place continues a word; at the content's ends anything."""
    nearest = content[np.clip(places + side, 0, len(content) - 1)]
    answers = _ASCII_WORDS[np.minimum(nearest, _ASCII)]
    for one in np.flatnonzero(nearest >= _ASCII):
        # A character takes up to four bytes; its neighbours' may be cut, and are not looked at.
        place = int(places[one])
        around = content[max(0, place - 4) : place] if side else content[place : place + 4]
        char = around.tobytes().decode(errors="replace")[side:][:1]
        answers[one] = char != "" and is_word(char)
    return answers


def _hits(place: int, spans: list[_Span]) -> Iterator[Hit]:
    """Who is in a caption, once for each identity; the spans are ordered by where they stop."""
    longer: dict[int, bool] = {}
    stops, longest = [span.stop for span in spans], max(span.stop - span.start for span in spans)
    for span in spans:
        # What holds a span stops after it, and not farther than the longest name reaches from its start.
        near = spans[bisect_left(stops, span.stop) : bisect_right(stops, span.start + longest)]
        within = len(near) > 1 and any(_within(span, other) for other in near)
        for person in span.people:
            longer[person] = longer.get(person, True) and within
    for person, within in longer.items():
        yield Hit(place, person, within)


def _within(span: _Span, other: _Span) -> bool:
    """Whether a span lies strictly within another identity's."""
    return (
        other.start <= span.start
        and span.stop <= other.stop
        and other.stop - other.start > span.stop - span.start
        and not set(span.people) & set(other.people)
    )
