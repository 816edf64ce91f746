"""Who is a member of what: identities dealt at random to part, corpus and number of training pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from idbench.errors import DataError
from idbench.splits.injected.chance import hex_id, shuffled
from idbench.splits.manifest import CorpusInfo, Part
from idbench.splits.tables import Row
from idbench.wording import counted

CALIBRATION_SHARE = 0.2
"""Share of the identities whose labels methods may be given."""

CONSTRUCTION = "construction"
"""How a label is known where the training set was made from the label."""

SALTED = f"{CONSTRUCTION}, salt "

_FEWEST = 4  # one member and one non-member in each part


@dataclass(frozen=True, slots=True)
class Dealt:
    """What was drawn at random for one identity.

    Args:
        number: its place among the identities, counted from 0 over all parts.
        label: seeds all further random draws about it; holds the seed, so that it must stay with the maker.
        id: opaque; cannot be had from the name without the seed.
        part: `calibration` or `test`.
        corpus: the one of the two corpora that it is a member of.
        level: number of its training pictures there.
    """

    number: int
    label: str
    id: str
    part: Part
    corpus: str
    level: int


def deal(seed: str, name: str, parts: Sequence[tuple[Part, int]], levels: Sequence[int]) -> tuple[Dealt, ...]:
    """Deal identities to corpora and levels within each part; the result is in the order of the ids.

    Args:
        seed: label that seeds all random draws.
        name: of the split; its corpora are called NAME-a and NAME-b.
        parts: parts with their sizes; identities are numbered through them in this order.
        levels: training pictures of a member; each level is about equally often in each part and corpus.
    """
    dealt, start = [], 0
    for part, size in parts:
        # Dealing a shuffled part in turn to corpora and levels makes each combination equally large.
        for turn, k in enumerate(shuffled(f"{seed}/deal/{part}", size)):
            number = start + int(k)
            label = f"{seed}/person/{number}"
            corpus, level = f"{name}-{'ab'[turn % 2]}", levels[turn // 2 % len(levels)]
            dealt.append(Dealt(number, label, hex_id(f"{label}/id", 12), part, corpus, level))
        start += size
    return tuple(sorted(dealt, key=lambda one: one.id))


def part_sizes(n: int, share: float = CALIBRATION_SHARE) -> tuple[tuple[Part, int], ...]:
    """How many of `n` identities go to each part; the calibration part is even, so that both corpora get half of it.

    Raises:
        DataError: too few to have a member and a non-member in both parts.
    """
    if n < _FEWEST:
        raise DataError(
            f"{counted(n, 'person', 'people')} can be put under test; at least {_FEWEST} are needed, and results mean "
            "something from about 100 on.",
            hint="Add people with enough photos.",
        )
    calibration = max(2, 2 * round(n * share / 2))
    return ("test", n - calibration), ("calibration", calibration)


def corpora_of(name: str) -> tuple[CorpusInfo, ...]:
    """The two corpora with people under test, and the control, of a split of that name."""
    return (
        CorpusInfo(name=f"{name}-a", title="background and half of the identities", control=False),
        CorpusInfo(name=f"{name}-b", title="background and the other half", control=False),
        CorpusInfo(name=f"{name}-0", title="background alone: nobody under test", control=True),
    )


class Member(Protocol):
    """An identity as the labels need it."""

    @property
    def id(self) -> str:
        """Opaque."""
        ...

    @property
    def corpus(self) -> str:
        """What it is a member of."""
        ...

    @property
    def pictures(self) -> int:
        """Its training pictures there."""
        ...


def label_rows(corpora: Sequence[CorpusInfo], people: Sequence[Member], secret: str | None = None) -> list[Row]:
    """Rows of the table `labels`: every identity in every corpus, known by construction.

    Args:
        corpora: those that the split has labels for.
        people: the identities.
        secret: the secret seed, if there is one. Each row is salted then, for the digest of a table of few identities
            could otherwise be met by trying all assignments.
    """
    return [
        (corpus.name, person.id, member, person.pictures if member else 0, _how(secret, corpus, person), 1.0)
        for corpus in corpora
        for person in people
        for member in (person.corpus == corpus.name,)
    ]


def _how(secret: str | None, corpus: CorpusInfo, person: Member) -> str:
    return CONSTRUCTION if secret is None else f"{SALTED}{hex_id(f'{secret}/salt/{corpus.name}/{person.id}', 32)}"


def photo_id(picture: str) -> str:
    """The opaque id of an attack photo or public picture, from the label of the picture."""
    return hex_id(f"{picture}/id", 16)
