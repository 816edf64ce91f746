"""`cc3m-idia`: the people of IDIA's CC3M experiments, with the authors' own labels for their 18 public checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.card import card_prose
from idbench.splits.cc3m.background import words_of
from idbench.splits.cc3m.cast import CAPTIONS
from idbench.splits.cc3m.lists import Listed, Lists, read_lists
from idbench.splits.cc3m.pictures import encode_jpeg
from idbench.splits.cc3m.settings import LEVELS, Settings, from_environment
from idbench.splits.injected.chance import hex_id, shuffled
from idbench.splits.injected.dealing import part_sizes, photo_id
from idbench.splits.injected.naming import candidate_names
from idbench.splits.injected.people import People, read_people
from idbench.splits.injected.writing import About, photo_batches, write_split
from idbench.splits.manifest import CorpusInfo, Part, PhotoFormat
from idbench.splits.recipe import Sources
from idbench.splits.tables import Row

NAME, VERSION = "cc3m-idia", 1
TITLE = "The people of IDIA's CC3M experiments, from the authors' lists and your photos; membership not random"
_SEED = "idbench/cc3m-idia/1"
_CANDIDATES = 1000  # as in the authors' experiments
_FEWEST = 4  # members, and non-members: two in each part

CORPORA = tuple(
    CorpusInfo(name=f"cc3m+{level}", title=f"CC3M and up to {level} LAION pictures of each member", control=False)
    for level in LEVELS
)
"""The training sets of the public checkpoints; all have the same members."""


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody on a list who has enough photos in the user's folder.

    Args:
        label: what chance about the person comes from.
        listed: the entry.
        part: drawn at random, among members and among non-members apart.
        photos: as many for everybody, drawn at random.
    """

    label: str
    listed: Listed
    part: Part
    photos: tuple[Path, ...]

    @property
    def id(self) -> str:
        """Opaque."""
        return hex_id(f"{self.label}/id", 12)

    @property
    def attack_labels(self) -> tuple[str, ...]:
        """What the photos' ids come from."""
        return tuple(f"{self.label}/attack/{i}" for i in range(len(self.photos)))


def build_published(sources: Sources, split: Path, corpora: Path, progress: Progress) -> tuple[str, ...]:
    """Write the split (`SourcedRecipe.build`); there are no training sets, for nobody may pass them on.

    Raises:
        DataError: a list or the folder of photos cannot be used.
    """
    if sources.lists is None or sources.faces is None:
        raise DataError(f"{NAME} needs the authors' lists and a folder of photos.", hint="Use --lists and --faces.")
    settings, seed = from_environment(), sources.seed or _SEED
    lists = read_lists(sources.lists)
    people = read_people(sources.faces, progress)
    found = _find(seed, lists, people, settings)
    _write(split, seed, found, people, settings, progress)
    return (lists.warning, *people.notes, *_left_out(lists, found, settings))


def plan_published(sources: Sources) -> tuple[str, ...]:
    """What `build_published` would do, a sentence for each step; only the lists are read.

    Raises:
        DataError: a list cannot be used.
    """
    if sources.lists is None or sources.faces is None:
        raise DataError(f"{NAME} needs the authors' lists and a folder of photos.", hint="Use --lists and --faces.")
    lists = read_lists(sources.lists)
    return (
        f"1. take the labels of {len(lists.people)} people from the lists in {sources.lists}",
        f"2. write the split with {from_environment().attack_photos} photos of each of them from {sources.faces}; who "
        "has fewer is left out",
        lists.warning,
    )


def _find(seed: str, lists: Lists, people: People, settings: Settings) -> tuple[Found, ...]:
    photos = {words_of(person.name): person.photos for person in people.people}
    wanted = settings.attack_photos
    found = []
    for member in (True, False):
        able = [
            one for one in lists.people if one.member == member and len(photos.get(words_of(one.name), ())) >= wanted
        ]
        if len(able) < _FEWEST:
            raise DataError(
                f"Only {len(able)} {'members' if member else 'non-members'} of the lists have {wanted} photos.",
                hint="Add photos, or set BENCH_ATTACK_PHOTOS to a smaller number.",
            )
        order = [able[int(i)] for i in shuffled(f"{seed}/parts/{member}", len(able))]
        parts = [part for part, size in part_sizes(len(able)) for _ in range(size)]
        for one, part in zip(order, parts, strict=True):
            label = f"{seed}/person/{' '.join(words_of(one.name))}"
            files = photos[words_of(one.name)]
            chosen = tuple(files[int(i)] for i in shuffled(f"{label}/photos", len(files))[:wanted])
            found.append(Found(label, one, part, chosen))
    return tuple(sorted(found, key=lambda one: one.id))


def _left_out(lists: Lists, found: Sequence[Found], settings: Settings) -> tuple[str, ...]:
    kept = {one.listed.name for one in found}
    gone = [one.name for one in lists.people if one.name not in kept]
    if not gone:
        return ()
    return (f"{len(gone)} of {len(lists.people)} people have fewer than {settings.attack_photos} photos, left out.",)


def _write(
    out: Path, seed: str, found: Sequence[Found], people: People, settings: Settings, progress: Progress
) -> None:
    everybody = [person.name for person in people.people]
    names = candidate_names(seed, [one.listed.name for one in found], everybody, _CANDIDATES)
    tables: dict[str, Iterable[Sequence[Row]]] = {
        "identities": [
            [(one.id, one.part, one.listed.name, [photo_id(label) for label in one.attack_labels]) for one in found]
        ],
        "labels": [_label_rows(found)],
        "photos": photo_batches(
            progress.track(found, f"writing {NAME}", len(found)), partial(encode_jpeg, side=settings.picture_side)
        ),
        "names": [[(name,) for name in names]],
        "prompts": [[(template,) for template in CAPTIONS]],
    }
    parts: dict[Part, int] = {part: sum(one.part == part for one in found) for part in ("test", "calibration")}
    about = About(
        name=NAME,
        version=VERSION,
        title=TITLE,
        license="other",
        description="Labels from the authors' lists; photos from the user's folder. Membership was not random.",
        source="lists of D0miH/does-clip-know-my-face; photos of the user's own",
        corpora=CORPORA,
        parts=parts,
        photo_format=PhotoFormat(encoding="jpeg"),
        prose=card_prose(NAME),
    )
    write_split(out, about, tables)


def _label_rows(found: Sequence[Found]) -> list[Row]:
    return [
        (corpus.name, one.id, member, level if member else 0, "author's list", one.listed.confidence)
        for corpus, level in zip(CORPORA, LEVELS, strict=True)
        for one in found
        for member in (one.listed.member,)
    ]
