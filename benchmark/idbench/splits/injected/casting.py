"""Which people are put under test, which of their photos train and which attack, and who is background."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from idbench.splits.injected.chance import shuffled
from idbench.splits.injected.dealing import Dealt, deal, part_sizes, photo_id
from idbench.splits.injected.people import PhotographedPerson
from idbench.splits.manifest import Part
from idbench.splits.tables import Row

Divided: TypeAlias = tuple[Sequence[Path], Sequence[Path]]
"""Training pictures and attack photos of one person."""


@dataclass(frozen=True, slots=True)
class InjectedIdentity:
    """A person under test, with what only the maker knows.

    Args:
        dealt: what was drawn at random.
        name: full name.
        training: files of the pictures that train the corpus which the person is a member of.
        photos: files of the attack photos, none of which trains anything.
    """

    dealt: Dealt
    name: str
    training: tuple[Path, ...]
    photos: tuple[Path, ...]

    @property
    def id(self) -> str:
        """Opaque."""
        return self.dealt.id

    @property
    def part(self) -> Part:
        """`calibration` or `test`."""
        return self.dealt.part

    @property
    def corpus(self) -> str:
        """What the person is a member of."""
        return self.dealt.corpus

    @property
    def pictures(self) -> int:
        """Training pictures there."""
        return len(self.training)

    @property
    def attack_labels(self) -> tuple[str, ...]:
        """Labels of the attack photos, from which their ids come."""
        return tuple(f"{self.dealt.label}/attack/{i}" for i in range(len(self.photos)))

    @property
    def row(self) -> Row:
        """The person's row of the table `identities`."""
        return (self.id, self.part, self.name, [photo_id(label) for label in self.attack_labels])


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, with a place: under test or in the background.

    Args:
        identities: people under test, in the order of their ids.
        background: everybody else, sorted by name.
    """

    identities: tuple[InjectedIdentity, ...]
    background: tuple[PhotographedPerson, ...]

    @property
    def parts(self) -> dict[Part, int]:
        """Identities in each part."""
        return {part: sum(one.part == part for one in self.identities) for part in ("test", "calibration")}

    def members(self, corpus: str) -> list[InjectedIdentity]:
        """Those whose pictures train a corpus; none for the control."""
        return [one for one in self.identities if one.corpus == corpus]


def cast(
    seed: str,
    name: str,
    people: Iterable[PhotographedPerson],
    *,
    fewest: int,
    levels: Sequence[int],
    most_photos: int,
) -> Cast:
    """Put everybody with enough photos under test: dealt at random to part, corpus and training pictures.

    Half of a person's photos, drawn at random and at most as many as the level says, are the training pictures; the
    others attack. Members and non-members are treated alike, because every non-member of A is a member of B.

    Args:
        seed: seeds all random draws.
        name: of the split.
        people: everybody, sorted by name, so that the same people give the same cast.
        fewest: photos that a person must have to be put under test; at least 2.
        levels: most training pictures of a member, dealt in turn.
        most_photos: most attack photos of an identity.

    Raises:
        DataError: too few people have enough photos.
    """

    def halves(dealt: Dealt, photos: Sequence[Path]) -> Divided:
        half = len(photos) // 2
        return photos[: min(dealt.level, half)], photos[half : half + most_photos]

    return cast_by(halves, seed, name, people, fewest=max(2, fewest), levels=levels)


def cast_by(
    divide: Callable[[Dealt, Sequence[Path]], Divided],
    seed: str,
    name: str,
    people: Iterable[PhotographedPerson],
    *,
    fewest: int,
    levels: Sequence[int],
) -> Cast:
    """Put everybody with enough photos under test, as `cast` does.

    Args:
        divide: takes the photos of one person, in random order, apart.
        seed, name, people, fewest, levels: as in `cast`.

    Raises:
        DataError: too few people have enough photos.
    """
    everybody = list(people)
    able = [person for person in everybody if len(person.photos) >= fewest]
    order = shuffled(f"{seed}/parts", len(able))
    dealt = deal(seed, name, part_sizes(len(able)), levels)
    identities = tuple(_identity(divide, one, able[int(order[one.number])]) for one in dealt)
    tested = {person.name for person in able}
    return Cast(identities, tuple(person for person in everybody if person.name not in tested))


def _identity(
    divide: Callable[[Dealt, Sequence[Path]], Divided], dealt: Dealt, person: PhotographedPerson
) -> InjectedIdentity:
    photos = [person.photos[int(i)] for i in shuffled(f"{dealt.label}/photos", len(person.photos))]
    training, attack = divide(dealt, photos)
    return InjectedIdentity(dealt=dealt, name=person.name, training=tuple(training), photos=tuple(attack))
