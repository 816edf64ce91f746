"""Finds many names in many captions in one pass: Aho-Corasick over the bytes of a whole column of captions."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from idbench.captions.batches import utf8
from idbench.captions.folding import EXACT, FOLDED, Folding, is_word, word_class
from idbench.captions.names import Sought
from idbench.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from ahocorasick_rs import BytesAhoCorasick
    from numpy.typing import NDArray

DFA_LIMIT = 1_000_000
"""Bytes of all names together up to which the automaton is the fast kind, with 90 to 130 bytes of memory for each of
them; longer lists get the one that takes twice the time and an eighth of the memory."""

_ASCII = 128


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as an occurrence of a name.

    Args:
        folding: what counts as the same text.
        boundaries: whether a name must begin and end where words do. Off: any substring counts.
    """

    folding: Folding = FOLDED
    boundaries: bool = True

    def __str__(self) -> str:
        return f"{self.folding}, {'word boundaries' if self.boundaries else 'any substring'}"

    @property
    def not_looked_for(self) -> tuple[str, ...]:
        """Ways of naming somebody that these rules do not find: absence says nothing about them."""
        folding = self.folding
        spelled = [
            (folding.case, "another case"),
            (folding.accents, "letters without their accents"),
            (folding.canonical, "accents that are composed in another way"),
            (
                folding.writing,
                "other spaces, hyphens, apostrophes and underscores, HTML entities, invisible characters",
            ),
        ]
        return (*(what for found, what in spelled if not found), *_NEVER)


UPSTREAM = Rules(EXACT, boundaries=False)
"""As the field's published counts were made: the name as a substring, letter by letter."""

_NEVER = (
    "a part of the name alone",
    "nicknames and initials",
    "the family name first",
    "other transliterations (ö as oe)",
    "inflected forms",
    "words run together (AnnLee)",
    "look-alike letters of another alphabet",
    "letters as e-mail and TeX encode them",
    "misspellings",
)
"""What no rule looks for."""


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
    """What a name must be to be found, in UTF-8, and the classes of words that begin and end with it."""

    content: bytes
    begins: int
    ends: int
    people: tuple[int, ...]


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
                patterns = [one for one in patterns_of(spelling, rules.folding) if any(map(str.isalnum, one))]
                if not patterns:
                    raise DataError(
                        f"The name {spelling!r} of {one.identity} holds no letter that can be searched.",
                        hint="Correct or remove it.",
                    )
                for pattern in patterns:
                    if index not in people.setdefault(pattern, []):
                        people[pattern].append(index)
        self._class = word_class if rules.folding.writing else _exact_class
        self._ascii_classes = np.array([*(self._class(chr(code)) for code in range(_ASCII)), 0])
        self._patterns = tuple(
            _Pattern(text.encode(errors="surrogatepass"), self._class(text[0]), self._class(text[-1]), tuple(indices))
            for text, indices in people.items()
        )

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
        # Captions follow each other without a gap: what begins in one and ends in the next is not an occurrence.
        good = stops <= highs
        if self._rules.boundaries:
            begin, end = self._edges
            good &= ~((starts > lows) & self._continues(begin[patterns], content, starts, -1))
            good &= ~((stops < highs) & self._continues(end[patterns], content, stops, 0))
        return places[good], starts[good], stops[good], patterns[good]

    def _continues(
        self, edges: NDArray[np.int64], content: NDArray[np.uint8], places: NDArray[np.int64], side: int
    ) -> NDArray[np.bool_]:
        """Whether the character before (-1) or at (0) each place continues a word of the class at the edge there."""
        nearest = content[np.clip(places + side, 0, len(content) - 1)]
        classes = self._ascii_classes[np.minimum(nearest, _ASCII)]
        for one in np.flatnonzero(nearest >= _ASCII):
            # A character takes up to four bytes; its neighbours' may be cut, and are not looked at.
            place = int(places[one])
            around = content[max(0, place - 4) : place] if side else content[place : place + 4]
            char = around.tobytes().decode(errors="replace")[side:][:1]
            classes[one] = self._class(char) if char else 0
        return np.asarray((edges > 0) & (classes == edges))

    @cached_property
    def _edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each pattern, the classes of the words that it begins and ends within; 0 where that is none."""
        return np.array([one.begins for one in self._patterns]), np.array([one.ends for one in self._patterns])

    @cached_property
    def _automaton(self) -> BytesAhoCorasick:
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        contents = [pattern.content for pattern in self._patterns]
        fast = sum(map(len, contents)) <= DFA_LIMIT
        return BytesAhoCorasick(contents, implementation=Implementation.DFA if fast else None)

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes rebuild the automaton: faster than sending it.
        return _rebuilt, (self._patterns, self._rules)


def patterns_of(name: str, folding: Folding) -> tuple[str, ...]:
    """What a name is searched as: folded, and where writing is folded as others write it.

    Without what stands within words ("DOro" for "D'Oro", "JR" for "J. R."), each sign on its own, and as UTF-8 looks
    that was taken for Windows-1252 or Latin-1 ("JÃ¶rn"); the latter only for names in Latin letters, since nothing is
    left of others.
    """
    patterns = list(folding.readings(name))
    if folding.writing:
        joined = dict.fromkeys((name, _INITIALS.sub("", name)))
        patterns += [reading for each in joined for one in _without_signs(each) for reading in folding.readings(one)]
        if not name.isascii() and sum(map(str.isascii, name)) * 2 > len(name):
            content = unicodedata.normalize("NFC", name).encode(errors="replace")
            mistaken = [reading for code in _MISTAKEN for reading in folding.readings(content.decode(code, "replace"))]
            patterns += [reading for reading in mistaken if sum(map(str.isalnum, reading)) >= _FEWEST_LETTERS]
    return tuple(dict.fromkeys(patterns))


_INITIALS = re.compile(r"(?<=\b[^\W\d_]\.)\s(?=[^\W\d_]\.)")
"""The blank between two initials."""
_WITHIN_WORD = re.compile(r"(?<=[^\W\d_])(?:[^\w\s]|[\u02b9-\u02bf\ua78b\ua78c])(?=[^\W\d_])")
"""One sign between two letters: an apostrophe, a hyphen, a dot."""
_MISTAKEN = ("cp1252", "latin-1")
_FEWEST_LETTERS = 6
"""Of what is left of a name that was decoded wrongly: "Ås" would be the words "a" and "s"."""


_MOST_SIGNS = 4
"""Within a name, up to which each may be left out on its own: sixteen ways of writing it."""


def _without_signs(name: str) -> Iterator[str]:
    """The name without some of the signs that stand within its words, "DOro-Ek" and "D'OroEk" for "D'Oro-Ek".

    Those that belong to the letter before stay, as vowel signs do; of many signs all are left out or none.
    """
    places = [found.start() for found in _WITHIN_WORD.finditer(name) if unicodedata.category(found[0])[0] != "M"]
    few = len(places) <= _MOST_SIGNS
    chosen = (some for n in range(1, len(places) + 1) for some in combinations(places, n)) if few else iter([places])
    for some in chosen:
        yield "".join(char for place, char in enumerate(name) if place not in some)


def _exact_class(char: str) -> int:
    return int(is_word(char))


def _rebuilt(patterns: tuple[_Pattern, ...], rules: Rules) -> Matcher:
    matcher = Matcher([], rules)
    matcher._patterns = patterns
    return matcher


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
