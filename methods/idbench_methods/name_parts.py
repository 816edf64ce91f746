"""Where a full name is cut in two, and the pools of parts that stand in for its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Cut = Literal["before-family", "after-first"]

_PARTICLES = frozenset(
    {"af", "al", "av", "ben", "bin", "bint", "da", "dal", "de", "del", "della", "den", "der", "des", "di", "do", "dos"}
    | {"du", "el", "ibn", "la", "las", "le", "los", "mac", "san", "santa", "st", "st.", "ten", "ter", "van", "ver"}
    | {"von", "y", "zu", "zum", "zur"}
)
"""Words that belong to the family name that they stand before."""

_SUFFIXES = frozenset(["jr", "jr.", "sr", "sr.", "ii", "iii", "iv"])
"""Words that belong to the family name that they stand after."""

_NAME = re.compile(r"[^\W\d_][\w.'’-]*(?:\s+[^\W\d_][\w.'’-]*)+")


@dataclass(frozen=True, slots=True)
class Parts:
    """A name in two parts; what comes first and what comes last, whatever they mean where it was given."""

    given: str
    family: str

    @property
    def whole(self) -> str:
        """The name, with single spaces."""
        return f"{self.given} {self.family}"


def parts_of(name: str, cut: Cut) -> Parts | None:
    """The two parts of a name; None for a name of one word, which nothing composes.

    Args:
        name: full name; words are separated by white space, so that hyphens join.
        cut: `before-family` keeps particles and suffixes with the last name and further first names with the first;
            `after-first` cuts after the first word.
    """
    words = name.split()
    if len(words) < 2:
        return None
    start = 1 if cut == "after-first" else _family_start(words)
    return Parts(" ".join(words[:start]), " ".join(words[start:]))


def _family_start(words: Sequence[str]) -> int:
    """Index of the first word of the family name, at least 1."""
    start = len(words) - 1
    while start > 1 and words[start].casefold() in _SUFFIXES:
        start -= 1
    while start > 1 and words[start - 1].casefold() in _PARTICLES:
        start -= 1
    return start


def pool_of(names: Iterable[str], cut: Cut) -> tuple[list[str], list[str]]:
    """First and last parts that occur in the names, each once, sorted; names of one word give none."""
    found = [parts for name in names if (parts := parts_of(name, cut)) is not None]
    return sorted({parts.given for parts in found}), sorted({parts.family for parts in found})


def names_in(captions: Iterable[str]) -> list[str]:
    """Runs of two or more capitalized words, particles between them included, each once and in alphabetical order."""
    found = set()
    for caption in captions:
        for run in _NAME.findall(caption):
            found |= set(_capitalized(run.split()))
    return sorted(found)


def _capitalized(words: Sequence[str]) -> Iterable[str]:
    """The names among words that stand side by side."""
    run: list[str] = []
    for word in [*words, ""]:
        if word[:1].isupper() or (run and word in _PARTICLES):
            run.append(word)
            continue
        while run and not run[-1][:1].isupper():
            run.pop()
        if len(run) > 1:
            yield " ".join(run)
        run = []
