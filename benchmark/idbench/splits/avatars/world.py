"""The avatar world: who is in it, who is trained on by which target, and what is written into the split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.avatars.captions import TEMPLATES, captions_of
from idbench.splits.avatars.names import Naming, name_everybody
from idbench.splits.avatars.people import looks_of, scenes_of
from idbench.splits.avatars.render import SIZE, render
from idbench.splits.card import card_prose
from idbench.splits.corpora import Owners, write_corpus
from idbench.splits.injected.chance import shuffled
from idbench.splits.injected.dealing import corpora_of, deal, label_rows, photo_id
from idbench.splits.injected.writing import SplitDescription, write_split
from idbench.splits.manifest import CorpusInfo, Part, PhotoFormat
from idbench.splits.photos import encode_png
from idbench.splits.tables import ROWS_PER_GROUP, Row
from idbench.storage import sha256_bytes

_RENDERED_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """Sizes of a world; everything else follows from them and from the seed.

    Args:
        name: of the split; its corpora are called NAME-a, NAME-b and NAME-0.
        seed: label that seeds all random draws.
        title: one line for people.
        n_test: identities of the test part; half goes to each corpus.
        n_calibration: identities of the calibration part; half goes to each corpus.
        levels: training pictures of a member; each level equally often within part and corpus.
        n_photos: attack photos of each identity.
        n_background: people that all corpora share.
        background_pictures: training pictures of each of them.
        n_candidates: names that an attacker considers possible.
        n_first, n_last: size of the pools of names.
        n_public: public pairs.
        n_auxiliary: people of the corpus NAME-aux, each with `background_pictures` pictures: in no corpus, under no
            test, and with names that no one else bears.
        note: a sentence that its card begins with; may be empty.
    """

    name: str
    seed: str
    title: str
    n_test: int
    n_calibration: int
    levels: tuple[int, ...]
    n_photos: int
    n_background: int
    background_pictures: int
    n_candidates: int
    n_first: int
    n_last: int
    n_public: int
    n_auxiliary: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class AvatarIdentity:
    """An identity with what only its maker knows: the corpus that it is trained in, and how often."""

    id: str
    label: str
    name: str
    part: Part
    corpus: str
    pictures: int


@dataclass(frozen=True, slots=True)
class AvatarPictures:
    """Pictures to render: label of the person, label of the picture, name for the caption; one entry each."""

    people: tuple[str, ...]
    pictures: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.people)

    def render(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Pixels of some of the pictures, uint8 (n, SIZE, SIZE, 3)."""
        return render([self.people[i] for i in indices], [self.pictures[i] for i in indices])

    def captions(self, indices: Sequence[int]) -> list[str]:
        """Captions of some of the pictures."""
        looks = looks_of([self.people[i] for i in indices])
        scenes = scenes_of([self.pictures[i] for i in indices])
        return captions_of([self.names[i] for i in indices], looks, scenes)


class World:
    """Everything about a world that is decided before the first picture is drawn.

    Raises:
        DataError: the sizes cannot be dealt out evenly.
    """

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec
        self.parts: tuple[tuple[Part, int], ...] = (("test", spec.n_test), ("calibration", spec.n_calibration))
        for part, size in self.parts:
            if size % (2 * len(spec.levels)):
                raise DataError(
                    f"{size} {part} identities cannot be dealt to two corpora and {len(spec.levels)} levels evenly.",
                    hint=f"Use a multiple of {2 * len(spec.levels)}.",
                )

    @property
    def corpora(self) -> tuple[CorpusInfo, ...]:
        """The two corpora with people under test, and the control."""
        return corpora_of(self.spec.name)

    @cached_property
    def naming(self) -> Naming:
        """Who is called what."""
        s = self.spec
        n = s.n_test + s.n_calibration
        return name_everybody(
            s.seed,
            n_background=s.n_background,
            n_identities=n,
            n_nobody=s.n_candidates - n,
            n_first=s.n_first,
            n_last=s.n_last,
        )

    @cached_property
    def auxiliary(self) -> AvatarPictures:
        """Pictures of the auxiliary people: people like those of the background, for training shadow models.

        Raises:
            DataError: the pools have too few names left.
        """
        spec, names = self.spec, self.naming.spare
        if spec.n_auxiliary > len(names):
            raise DataError(
                f"{spec.n_auxiliary} auxiliary people need a name each; the pools have {len(names)} left.",
                hint="Use more first or last names.",
            )
        pairs = [(j, i) for j in range(spec.n_auxiliary) for i in range(spec.background_pictures)]
        return AvatarPictures(
            tuple(f"{spec.seed}/aux/{j}" for j, _ in pairs),
            tuple(f"{spec.seed}/aux/{j}/train/{i}" for j, i in pairs),
            tuple(names[j] for j, _ in pairs),
        )

    @cached_property
    def people(self) -> tuple[AvatarIdentity, ...]:
        """All identities, in the order of their ids: drawn, like everything about them, at random."""
        spec, names = self.spec, self.naming.identities
        dealt = deal(spec.seed, spec.name, self.parts, spec.levels)
        return tuple(AvatarIdentity(d.id, d.label, names[d.number], d.part, d.corpus, d.level) for d in dealt)

    @cached_property
    def background(self) -> AvatarPictures:
        """Training pictures that all corpora share."""
        spec = self.spec
        pairs = [(j, i) for j in range(spec.n_background) for i in range(spec.background_pictures)]
        return AvatarPictures(
            tuple(f"{spec.seed}/background/{j}" for j, _ in pairs),
            tuple(f"{spec.seed}/background/{j}/train/{i}" for j, i in pairs),
            tuple(self.naming.background[j] for j, _ in pairs),
        )

    def training(self, corpus: str) -> AvatarPictures:
        """Training pictures of a corpus, background first."""
        members = [person for person in self.people if person.corpus == corpus]
        pairs = [(person, i) for person in members for i in range(person.pictures)]
        shared = self.background
        return AvatarPictures(
            shared.people + tuple(person.label for person, _ in pairs),
            shared.pictures + tuple(f"{person.label}/train/{i}" for person, i in pairs),
            shared.names + tuple(person.name for person, _ in pairs),
        )

    def attack(self, people: Sequence[AvatarIdentity], first: int, count: int) -> AvatarPictures:
        """Attack photos number `first` to `first + count - 1` of each person: never a training picture."""
        pairs = [(person, i) for person in people for i in range(first, first + count)]
        return AvatarPictures(
            tuple(person.label for person, _ in pairs),
            tuple(f"{person.label}/attack/{i}" for person, i in pairs),
            tuple(person.name for person, _ in pairs),
        )

    @cached_property
    def public(self) -> list[int]:
        """Which background pictures are the public pairs."""
        return [int(i) for i in shuffled(f"{self.spec.seed}/public", len(self.background))[: self.spec.n_public]]

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Names that an attacker considers possible, in random order: all identities' and as many others."""
        pool = self.naming.identities + self.naming.nobody
        return tuple(pool[i] for i in shuffled(f"{self.spec.seed}/candidates", len(pool)))


@lru_cache(maxsize=4)
def world_of(spec: WorldSpec) -> World:
    """The world of a specification; the last few are kept."""
    return World(spec)


def build_corpus(spec: WorldSpec, corpus: str, path: Path, progress: Progress) -> None:
    """Render a training set into a folder (`corpora.write_corpus`), shuffled."""
    pictures = world_of(spec).training(corpus)
    order = shuffled(f"{spec.seed}/{corpus}/order", len(pictures)).tolist()
    _write_pictures(pictures, order, corpus, path, progress)


def build_auxiliary(spec: WorldSpec, path: Path, progress: Progress) -> None:
    """Render the auxiliary people into a corpus folder with owners, person after person."""
    pictures = world_of(spec).auxiliary
    numbers = np.arange(len(pictures), dtype=np.int64) // spec.background_pictures
    _write_pictures(
        pictures,
        list(range(len(pictures))),
        f"{spec.name}-aux",
        path,
        progress,
        owners=Owners(numbers, tuple(pictures.names[:: spec.background_pictures])),
    )


_HELD_OUT_PEOPLE, _HELD_OUT_PICTURES = 500, 2


def build_held_out(spec: WorldSpec, path: Path, progress: Progress) -> None:
    """Render pictures of background people that are in no training set into a corpus folder with owners.

    Their labels are no others', so that nothing of the split or of its corpora depends on them.
    """
    people = range(min(spec.n_background, _HELD_OUT_PEOPLE))
    pairs = [(j, i) for j in people for i in range(_HELD_OUT_PICTURES)]
    pictures = AvatarPictures(
        tuple(f"{spec.seed}/background/{j}" for j, _ in pairs),
        tuple(f"{spec.seed}/background/{j}/held-out/{i}" for j, i in pairs),
        tuple(world_of(spec).naming.background[j] for j, _ in pairs),
    )
    order = list(range(len(pictures)))
    owners = Owners(np.array([j for j, _ in pairs], dtype=np.int64), tuple(pictures.names[::_HELD_OUT_PICTURES]))
    _write_pictures(pictures, order, f"{spec.name}-held-out", path, progress, owners=owners)


def _write_pictures(
    pictures: AvatarPictures,
    order: Sequence[int],
    corpus: str,
    path: Path,
    progress: Progress,
    owners: Owners | None = None,
) -> None:
    batches = [order[i : i + _RENDERED_AT_ONCE] for i in range(0, len(order), _RENDERED_AT_ONCE)]
    captions = [caption for batch in batches for caption in pictures.captions(batch)]
    images = (pictures.render(batch) for batch in progress.track(batches, f"Drawing {corpus}", len(batches)))
    write_corpus(path, (len(pictures), SIZE, SIZE, 3), images, captions, owners)


def build_world(spec: WorldSpec, out: Path, progress: Progress, secret: str | None = None) -> None:
    """Write the complete split into a folder: tables, manifest and card.

    Args:
        spec: sizes and seed.
        out: an empty folder.
        progress: shows how far the drawing is.
        secret: what labels are salted with, where they shall be withheld; see `label_rows`.
    """
    world = world_of(spec)
    tables: dict[str, Iterable[Sequence[Row]]] = {
        "identities": [_identity_rows(world)],
        "labels": [label_rows(world.corpora, world.people, secret)],
        "photos": _photo_batches(world, progress),
        "names": [[(name,) for name in world.candidates]],
        "prompts": [[(template,) for template in TEMPLATES]],
        "public_pairs": _public_batches(world),
    }
    about = SplitDescription(
        name=spec.name,
        version=1,
        title=spec.title,
        license="cc0-1.0",
        description="Fictional people drawn by a deterministic renderer; membership assigned at random.",
        source="rendered by idbench.splits.avatars",
        corpora=world.corpora,
        parts=dict(world.parts),
        photo_format=PhotoFormat(encoding="png", height=SIZE, width=SIZE),
        prose=_prose(spec),
    )
    write_split(out, about, tables)


def _prose(spec: WorldSpec) -> str:
    prose = card_prose("avatars")
    return prose.replace("# avatars\n", f"# {spec.name}\n\n{spec.note}\n", 1) if spec.note else prose


def _identity_rows(world: World) -> list[Row]:
    count = world.spec.n_photos
    return [
        (person.id, person.part, person.name, [photo_id(p) for p in world.attack([person], 0, count).pictures])
        for person in world.people
    ]


def _photo_batches(world: World, progress: Progress) -> Iterator[list[Row]]:
    per_group = max(1, ROWS_PER_GROUP // world.spec.n_photos)
    groups = [world.people[i : i + per_group] for i in range(0, len(world.people), per_group)]
    for people in progress.track(groups, f"Drawing {world.spec.name}", len(groups)):
        pictures = world.attack(people, 0, world.spec.n_photos)
        owners = [person.id for person in people for _ in range(world.spec.n_photos)]
        encoded = [encode_png(pixels) for pixels in pictures.render(range(len(pictures)))]
        yield [
            (photo_id(picture), owner, sha256_bytes(data), data)
            for picture, owner, data in zip(pictures.pictures, owners, encoded, strict=True)
        ]


def _public_batches(world: World) -> Iterator[list[Row]]:
    pictures = world.background
    for start in range(0, len(world.public), ROWS_PER_GROUP):
        chosen = world.public[start : start + ROWS_PER_GROUP]
        encoded = [encode_png(pixels) for pixels in pictures.render(chosen)]
        captions = pictures.captions(chosen)
        yield [
            (photo_id(pictures.pictures[i]), caption, sha256_bytes(data), data)
            for i, caption, data in zip(chosen, captions, encoded, strict=True)
        ]
