"""`cc3m-idia`: the people of IDIA's CC3M experiments, from the authors' own lists for their 18 public checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from idbench.api import Progress
from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.card import card_prose
from idbench.splits.cc3m.people import CAPTIONS, encode_jpeg
from idbench.splits.cc3m.steps import LEVELS, Settings, from_environment
from idbench.splits.injected.chance import hex_id, shuffled
from idbench.splits.injected.dealing import part_sizes, photo_id
from idbench.splits.injected.people import People, candidate_names, name_of, read_people
from idbench.splits.injected.writing import About, photo_batches, write_split
from idbench.splits.manifest import CorpusInfo, Part, PhotoFormat
from idbench.splits.recipe import Sources
from idbench.splits.tables import Row
from idbench.storage import storage_errors

if TYPE_CHECKING:
    import pandas as pd

FILES = ("actors_members.csv", "actresses_members.csv", "actors_non_members.csv", "actresses_non_members.csv")
RATES = ("openclip_percentage_correct_preds", "resnet50_percentage_correct_preds")
"""Share of CC3M's pictures nearest to a person's photos that a CLIP, or a face classifier, took for that person."""

_NUMBERS = ("num_samples_with_name_in_cap", *RATES)
_HINT = f"Give the authors' folder with {', '.join(FILES)}."


@dataclass(frozen=True, slots=True)
class Listed:
    """One person of the lists.

    Args:
        name: full name, words separated by one space.
        member: whether the person's pictures were added.
        found: the larger of `RATES`, 0..1: how much of the person the authors' search found in CC3M beforehand.
    """

    name: str
    member: bool
    found: float

    @property
    def confidence(self) -> float:
        """How sure the label is, 0..1: members were added by hand; a non-member may be in CC3M all the same."""
        return 1.0 if self.member else round(1.0 - self.found, 4)


@dataclass(frozen=True, slots=True)
class Lists:
    """All people of the lists.

    Args:
        people: sorted by name.
        confounding: for each number that the authors chose people by, the AUC with which it alone tells members from
            others.
    """

    people: tuple[Listed, ...]
    confounding: dict[str, float]

    @property
    def warning(self) -> str:
        """What these lists do to every result, in a sentence."""
        column, value = max(self.confounding.items(), key=lambda item: abs(item[1] - 0.5))
        return (
            f"Membership was not assigned at random: {column} alone, known before any training, tells members from "
            f"non-members with AUC {max(value, 1 - value):.2f}."
        )


def read_lists(folder: Path) -> Lists:
    """Read the four lists.

    Raises:
        DataError: a list is missing, empty, no CSV, lacks a column, or two entries have one name.
    """
    import numpy as np
    import pandas as pd

    from idbench.metrics import auc

    frames = [_read(folder / file) for file in FILES]
    table = pd.concat(
        [frame.assign(member="non_members" not in file) for file, frame in zip(FILES, frames, strict=True)]
    )
    table["name"] = [name_of(str(name)) for name in table["name"]]
    keys = [FOLDED(name) for name in table["name"]]
    if again := sorted({name for name, key in zip(table["name"], keys, strict=True) if keys.count(key) > 1}):
        raise DataError(f"The lists in {folder} name {again[0]} more than once.", hint="Repair or fetch them again.")
    members = table["member"].to_numpy(dtype=np.bool_)
    found = table[list(RATES)].to_numpy(dtype=np.float64).max(axis=1)
    people = tuple(
        Listed(str(name), bool(member), float(rate))
        for name, member, rate in zip(table["name"], members, found, strict=True)
    )
    confounding = {column: auc(table[column].to_numpy(dtype=np.float64), members) for column in _NUMBERS}
    return Lists(tuple(sorted(people, key=lambda one: one.name)), confounding)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"There is no list {path}.", hint=_HINT)
    try:
        with storage_errors(path):
            frame = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is not a list of people: {str(error).splitlines()[0]}.", hint=_HINT) from error
    missing = [column for column in ("name", *_NUMBERS) if column not in frame.columns]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}.", hint=_HINT)
    if frame.empty:
        raise DataError(f"{path} lists nobody.", hint=_HINT)
    for column in _NUMBERS:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        if numbers.isna().any() or (column in RATES and not numbers.between(0, 1).all()):
            raise DataError(f"{path} has something else than numbers in its column {column}.", hint=_HINT)
        frame[column] = numbers
    return frame


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
class PublishedIdentity:
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


def _find(seed: str, lists: Lists, people: People, settings: Settings) -> tuple[PublishedIdentity, ...]:
    photos = {FOLDED(person.name): person.photos for person in people.people}
    wanted = settings.attack_photos
    found = []
    for member in (True, False):
        able = [one for one in lists.people if one.member == member and len(photos.get(FOLDED(one.name), ())) >= wanted]
        if len(able) < _FEWEST:
            raise DataError(
                f"Only {len(able)} {'members' if member else 'non-members'} of the lists have {wanted} photos.",
                hint="Add photos, or set BENCH_ATTACK_PHOTOS to a smaller number.",
            )
        order = [able[int(i)] for i in shuffled(f"{seed}/parts/{member}", len(able))]
        parts = [part for part, size in part_sizes(len(able)) for _ in range(size)]
        for one, part in zip(order, parts, strict=True):
            label = f"{seed}/person/{FOLDED(one.name)}"
            files = photos[FOLDED(one.name)]
            chosen = tuple(files[int(i)] for i in shuffled(f"{label}/photos", len(files))[:wanted])
            found.append(PublishedIdentity(label, one, part, chosen))
    return tuple(sorted(found, key=lambda one: one.id))


def _left_out(lists: Lists, found: Sequence[PublishedIdentity], settings: Settings) -> tuple[str, ...]:
    kept = {one.listed.name for one in found}
    gone = [one.name for one in lists.people if one.name not in kept]
    if not gone:
        return ()
    return (f"{len(gone)} of {len(lists.people)} people have fewer than {settings.attack_photos} photos, left out.",)


def _write(
    out: Path, seed: str, found: Sequence[PublishedIdentity], people: People, settings: Settings, progress: Progress
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


def _label_rows(found: Sequence[PublishedIdentity]) -> list[Row]:
    return [
        (corpus.name, one.id, member, level if member else 0, "author's list", one.listed.confidence)
        for corpus, level in zip(CORPORA, LEVELS, strict=True)
        for one in found
        for member in (one.listed.member,)
    ]
