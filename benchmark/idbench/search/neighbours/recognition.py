"""Looks at the neighbours of people's photos: who do CLIP and the face classifier say they show?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from idbench.api import Progress, Silent
from idbench.search.neighbours.source import Neighbour, NeighbourSource, Query
from idbench.search.neighbours.web import PictureSource

CLIP_LIMIT, FACE_LIMIT = 0.20, 0.15
"""Hit rates up to which a person was taken for absent from CC3M by Hintersdorf et al., Does CLIP Know My Face?"""

K = 50
"""Neighbours of each photo: the IDIA authors' number."""

_AT_ONCE = 256


class Namer(Protocol):
    """Says who is on pictures."""

    @property
    def people(self) -> frozenset[str]:
        """Everybody whom it can name."""
        ...

    def name(self, pictures: Sequence[bytes]) -> list[str | None]:
        """One name for each encoded picture; None where it cannot say."""
        ...


@dataclass(frozen=True, slots=True)
class Portraits:
    """Photos of one identity, as queries.

    Args:
        identity: opaque id.
        answers: what a namer returns when it recognizes this person.
        queries: the photos.
    """

    identity: str
    answers: frozenset[str]
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """What the neighbours of one identity's photos show.

    Args:
        photos: that were asked with.
        neighbours: of all photos together; a picture near several photos counts each time, as in the paper.
        captioned: distinct neighbours whose own caption holds the name.
        pictures: neighbours whose picture could be had; the hit rates are shares of these.
        clip_hits, face_hits: pictures on which the person is recognized; None where no judge knows the
            person.
        nearest: the first few, for people to look at.
    """

    photos: int
    neighbours: int
    captioned: int
    pictures: int
    clip_hits: int | None
    face_hits: int | None
    nearest: tuple[Neighbour, ...] = field(default=())

    @property
    def clip_rate(self) -> float | None:
        """Share of pictures on which CLIP says the name, 0 to 1; None where that is unknown."""
        return None if self.clip_hits is None or not self.pictures else self.clip_hits / self.pictures

    @property
    def face_rate(self) -> float | None:
        """Share of pictures on which the face classifier says the person, 0 to 1; None where that is unknown."""
        return None if self.face_hits is None or not self.pictures else self.face_hits / self.pictures

    @property
    def eligible(self) -> bool | None:
        """Whether the IDIA authors would count the person as absent; None unless both rates are known."""
        if self.clip_rate is None or self.face_rate is None:
            return None
        return self.clip_rate <= CLIP_LIMIT and self.face_rate <= FACE_LIMIT

    @property
    def suspicious(self) -> bool | None:
        """Whether a known rate is above its limit; None if no rate is known."""
        known = [(self.clip_rate, CLIP_LIMIT), (self.face_rate, FACE_LIMIT)]
        verdicts = [rate > limit for rate, limit in known if rate is not None]
        return any(verdicts) if verdicts else None


@dataclass(frozen=True, slots=True)
class Look:
    """How neighbours are looked at.

    Args:
        k: neighbours of each photo.
        pictures: where their pictures are.
        clip, face: judges of who is on them; None: no judge.
        keep: neighbours kept for people to look at.
    """

    k: int = K
    pictures: PictureSource = field(default_factory=PictureSource)
    clip: Namer | None = None
    face: Namer | None = None
    keep: int = 3


def look_at_neighbours(
    people: Iterable[Portraits],
    total: int,
    source: NeighbourSource,
    look: Look,
    names_in: Callable[[Portraits, str], bool],
    progress: Progress | None = None,
) -> dict[str, Near]:
    """What the neighbours of everybody's photos show, by identity.

    Memory holds one person's neighbours at a time; each picture is looked at once for a person.

    Args:
        people: people to look for; taken one after another, so that photos need not be in memory together.
        total: how many they are, for the progress.
        source: knows the corpus's pictures.
        look: how.
        names_in: whether a caption holds a person's name.
        progress: receives a report after each person.

    Raises:
        IdbenchError: the source cannot answer.
    """
    reporter, found = progress or Silent(), dict[str, Near]()
    for number, person in enumerate(people, start=1):
        answers = [near for line in source.nearest(person.queries, look.k) for near in line] if person.queries else []
        found[person.identity] = _near(person, answers, look, names_in)
        reporter.update(number, total, "looking at neighbours")
    return found


def _near(
    person: Portraits, neighbours: Sequence[Neighbour], look: Look, names_in: Callable[[Portraits, str], bool]
) -> Near:
    times: dict[int, int] = {}
    for near in neighbours:
        times[near.id] = times.get(near.id, 0) + 1
    distinct = list({near.id: near for near in reversed(neighbours)}.values())
    pictures, clip, face = 0, 0, 0
    by_clip, by_face = _if_known(look.clip, person), _if_known(look.face, person)
    for low in range(0, len(distinct), _AT_ONCE):
        if by_clip is None and by_face is None:
            break
        had = [(near, data) for near in distinct[low : low + _AT_ONCE] if (data := look.pictures.read(near))]
        weights, contents = [times[near.id] for near, _ in had], [data for _, data in had]
        pictures += sum(weights)
        clip += _hits(by_clip, contents, weights, person.answers)
        face += _hits(by_face, contents, weights, person.answers)
    return Near(
        photos=len(person.queries),
        neighbours=len(neighbours),
        captioned=sum(near.caption is not None and names_in(person, near.caption) for near in distinct),
        pictures=pictures,
        clip_hits=None if by_clip is None else clip,
        face_hits=None if by_face is None else face,
        nearest=tuple(
            replace(near, picture=None)
            for near in sorted(distinct, key=lambda near: (-near.similarity, near.id))[: look.keep]
        ),
    )


def _hits(namer: Namer | None, contents: list[bytes], weights: list[int], answers: frozenset[str]) -> int:
    if namer is None or not contents:
        return 0
    return sum(w for w, answer in zip(weights, namer.name(contents), strict=True) if answer in answers)


def _if_known(namer: Namer | None, person: Portraits) -> Namer | None:
    """The namer if it can name this person: one that cannot would find nothing, which would look like absence."""
    return namer if namer is not None and person.answers & namer.people else None
