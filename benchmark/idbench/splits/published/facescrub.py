"""Photos of the listed people: a FaceScrub folder or any `NAME/*.jpg`, FaceScrub's own lists, lists of addresses.

Corrections of names are data in which no name can be read: spellings, and the first German list.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from idbench.api import Progress
from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.assembling import Address
from idbench.splits.injected.people import list_people, name_of, read_people
from idbench.splits.published.photos import TABLE, read_table
from idbench.splits.published.upstream import EUROPEANS, Upstream
from idbench.storage import require_regular, storage_errors

LISTS = ("facescrub_actors.txt", "facescrub_actresses.txt")
"""FaceScrub's own lists: tab-separated, with a heading name, image_id, face_id, url, bbox, sha256."""

_HALVES = ("actors", "actresses")
_CONTENT = ("images", "faces")
_LONGEST = 1 << 20  # of a line, characters


@dataclass(frozen=True, slots=True)
class Spelt:
    """Another spelling that stands for somebody on the list.

    Args:
        name: as listed.
        spelling: as found.
        source: who says that they are one person.
    """

    name: str
    spelling: str
    source: str


@dataclass(frozen=True, slots=True)
class Material:
    """Photos and addresses of the listed people, and what was noticed.

    Args:
        photos: files by listed name.
        addresses: by listed name.
        spellings: other spellings that were met.
        notes: what was left out, a sentence each.
    """

    photos: dict[str, tuple[Path, ...]]
    addresses: dict[str, tuple[Address, ...]]
    spellings: tuple[Spelt, ...]
    notes: tuple[str, ...]


def find_material(names: Sequence[str], upstream: Upstream, faces: Path | None, progress: Progress) -> Material:
    """Photos and addresses of the listed people.

    Args:
        names: as listed.
        upstream: holds lists of addresses.
        faces: a folder `NAME/*.jpg`, or FaceScrub's with `actors` and `actresses`; None: no photos.
        progress: shows how far the reading is.

    Raises:
        DataError: the folder or a list cannot be used.
    """
    matcher = _Matcher(names)
    photos: dict[str, tuple[Path, ...]] = defaultdict(tuple)
    addresses: dict[str, tuple[Address, ...]] = defaultdict(tuple)
    notes: list[str] = []
    if faces is not None:
        for folder in facescrub_folders(faces):
            people = read_people(folder, progress)
            notes += people.notes
            for person in people.people:
                if (name := matcher.match(person.name)) is not None:
                    photos[name] += person.photos
    for written, found in (*_lists_of_urls(upstream.find(EUROPEANS)), *_facescrub_lists(upstream)):
        if (name := matcher.match(written)) is not None:
            known = {address.url for address in addresses[name]}
            addresses[name] += tuple(address for address in found if address.url not in known)
    if faces is not None and (faces / TABLE).is_file():
        addresses = _with_outcomes(addresses, faces / TABLE)
    return Material(dict(photos), dict(addresses), tuple(matcher.spelt), tuple(notes))


def _with_outcomes(addresses: dict[str, tuple[Address, ...]], table: Path) -> dict[str, tuple[Address, ...]]:
    """The addresses with what came of fetching them, where the photos were fetched with `bench data fetch`."""
    tried = {row.url: row for row in read_table(table) if row.outcome}
    return {
        name: tuple(
            Address(one.url, row.sha256 or one.sha256, row.phash, row.outcome) if (row := tried.get(one.url)) else one
            for one in own
        )
        for name, own in addresses.items()
    }


def facescrub_folders(folder: Path) -> tuple[Path, ...]:
    """The folders of people in a FaceScrub folder, or the folder itself where it holds people."""
    halves = [folder / half for half in _HALVES if (folder / half).is_dir()]
    inner = [next((half / inside for inside in _CONTENT if (half / inside).is_dir()), half) for half in halves]
    return tuple(inner) or (folder,)


def people_in(folder: Path) -> int:
    """How many people a folder holds; no photo is opened."""
    return sum(len(list_people(one).people) for one in facescrub_folders(folder))


class _Matcher:
    """Finds the listed name that a found one stands for; keeps the spellings that differ."""

    def __init__(self, names: Sequence[str]) -> None:
        self._by_fold = {FOLDED(name): name for name in names}
        self._by_digest = {digest_of_name(name): name for name in names}
        self._fixes = read_fixes()
        self.spelt: list[Spelt] = []

    def match(self, written: str) -> str | None:
        if (name := self._by_fold.get(FOLDED(written))) is not None:
            return name
        fixed = self._fixes.spelling_of(written, self._by_digest)
        if fixed is None:
            return None
        spelt = Spelt(fixed[0], written, fixed[1])
        if spelt not in self.spelt:
            self.spelt.append(spelt)
        return fixed[0]


def names_in(folder: Path | None) -> list[str]:
    """The people of whom a folder holds lists of addresses, `.../First_Last.txt`."""
    return [] if folder is None else sorted(name_of(file.stem) for file in folder.rglob("*.txt"))


def _lists_of_urls(folder: Path | None) -> Iterable[tuple[str, tuple[Address, ...]]]:
    for file in [] if folder is None else sorted(folder.rglob("*.txt")):
        with storage_errors(file):
            require_regular(file)
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        urls = dict.fromkeys(line.strip() for line in lines if line.strip())
        yield name_of(file.stem), tuple(Address(url) for url in urls)


def _facescrub_lists(upstream: Upstream) -> Iterable[tuple[str, tuple[Address, ...]]]:
    for place in filter(None, map(upstream.find, LISTS)):
        found: dict[str, dict[str, Address]] = defaultdict(dict)
        with storage_errors(place):
            require_regular(place)
        with storage_errors(place), place.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = csv.DictReader((line for line in file if len(line) < _LONGEST), delimiter="\t")
            if not {"name", "url"} <= set(rows.fieldnames or ()):
                raise DataError(
                    f"{place} is not FaceScrub's list: its heading lacks name or url.",
                    hint="It is tab-separated: name, image_id, face_id, url, bbox, sha256.",
                )
            for row in rows:
                if row["name"] and row["url"]:
                    address = Address(row["url"].strip(), (row.get("sha256") or "").strip().lower())
                    found[name_of(row["name"])].setdefault(address.url, address)
        for name, addresses in found.items():
            yield name, tuple(addresses.values())


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spelling(_Closed):
    """Another spelling of a name on a list; both as `digest_of_name`."""

    spelling: str
    name: str
    source: str


class Fixes(_Closed):
    """The content of `fixes.json`."""

    what: str
    spellings: tuple[Spelling, ...]
    first_generation: tuple[str, ...]
    """Whom the first version of the paper listed as German non-members, as far as that follows from what is known."""

    def spelling_of(self, written: str, listed: dict[str, str]) -> tuple[str, str] | None:
        """The listed name that another spelling stands for, and who says so; None where it is not a known one.

        Args:
            written: a name as a folder or another list has it.
            listed: names by `digest_of_name`.
        """
        digest = digest_of_name(written)
        found = (one for one in self.spellings if one.spelling == digest and one.name in listed)
        return next(((listed[one.name], one.source) for one in found), None)


def read_fixes() -> Fixes:
    """The corrections that come with idbench."""
    return Fixes.model_validate_json(files("idbench.splits.published").joinpath("fixes.json").read_bytes())


def digest_of_name(name: str) -> str:
    """SHA-256 of a name's folded spelling."""
    return hashlib.sha256(FOLDED(name).encode()).hexdigest()
