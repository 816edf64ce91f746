"""Reads a folder of people, `NAME/*.jpg`: whose photos are where, what cannot be used, and what people are called."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.duplicates import near_pairs, signature
from idbench.splits.injected.chance import shuffled
from idbench.splits.manifest import PHOTO_LIMIT
from idbench.splits.photos import NEEDS_HEIF, SUFFIXES, decode_photo, is_blank
from idbench.storage import require_regular, storage_errors
from idbench.wording import counted

_SHOWN = 3  # examples that one note names


@dataclass(frozen=True, slots=True)
class PhotographedPerson:
    """Somebody with photos.

    Args:
        name: full name, words separated by one space.
        photos: files, sorted by name.
    """

    name: str
    photos: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class PeopleFolder:
    """Everybody in a folder.

    Args:
        people: sorted by name; each has at least one photo.
        notes: what was left out, a sentence each.
    """

    people: tuple[PhotographedPerson, ...]
    notes: tuple[str, ...] = ()


def read_people(folder: Path, progress: Progress) -> PeopleFolder:
    """Everybody in a folder with all photos that can be used: opened once, each picture once.

    Somebody without a photo that `usable_photos` keeps is left out.

    Args:
        folder: one folder per person, named `First_Last` or `First Last`, with photos in any format that Pillow reads.
        progress: shows how far the reading is.

    Raises:
        DataError: no such folder, no people in it, no photo that can be opened, or two people of one name.
    """
    found = usable_photos(list_people(folder), progress)
    if not found.people:
        raise DataError(f"No photo in {folder} can be used: {' '.join(found.notes)}", hint="Check the files.")
    return found


def usable_photos(listed: PeopleFolder, progress: Progress) -> PeopleFolder:
    """People with those of their photos that can be used; who has none is left out, and `notes` counts all that.

    A photo that cannot be opened, is larger than `PHOTO_LIMIT`, shows one colour throughout, or is nearly the same as
    an earlier one of the same person is left out (an attack photo must not be a training picture in disguise); one
    that shows two people is left out for both.

    Args:
        listed: people with all their files.
        progress: shows how far the reading is.
    """
    files = [photo for person in listed.people for photo in person.photos]
    owners = [i for i, person in enumerate(listed.people) for _ in person.photos]
    read = _read_prints(files, progress)
    good = [i for i, one in enumerate(read.prints) if one is not None]
    again, shared = (
        _repeats(np.array([read.prints[i] for i in good]), [owners[i] for i in good]) if good else (set(), set())
    )
    out = {files[good[i]] for i in again | shared} | {file for file, _ in read.broken} | set(read.blank)
    kept = [replace(person, photos=tuple(p for p in person.photos if p not in out)) for person in listed.people]
    notes = (
        *listed.notes,
        *_broken(read.broken),
        *_note(
            len(read.blank),
            "photo is of one colour throughout",
            "photos are of one colour throughout",
            map(_shown, read.blank),
        ),
        *_note(
            len(again),
            "photo is nearly the same as another one of the same person",
            "photos are nearly the same as another one of the same person",
            (),
        ),
        *_note(
            len(shared),
            "photo is nearly the same as one of somebody else",
            "photos are nearly the same as one of somebody else",
            (),
        ),
        *_emptied(listed.people, kept, {files[good[i]] for i in shared}),
    )
    return PeopleFolder(tuple(person for person in kept if person.photos), notes)


def list_people(folder: Path) -> PeopleFolder:
    """Everybody in a folder with all files that look like photos; none is opened.

    Raises:
        DataError: no such folder, no people in it, or two people of one name.
    """
    layout = "It needs one folder per person, named First_Last, with photos (JPEG, PNG, WebP, ...)."
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.", hint=layout)
    with storage_errors(folder):
        places = sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
        found = [(place, _photos_in(place)) for place in places]
        loose = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        others = [file for place in places for file in _others_in(place)]
    other = [_shown(file) for file in others if file.is_file()]
    deeper = [_shown(file) for file in others if file.is_dir()]
    dead = [_shown(file) for file in others if not (file.is_file() or file.is_dir())]
    undecoded = [_printable(place.name) for place in places if not _is_decoded(place.name)]
    nameless = [place.name for place in places if _is_decoded(place.name) and not name_of(place.name)]
    without = [place.name for place, photos in found if not photos]
    people = [
        PhotographedPerson(name_of(place.name), photos) for place, photos in found if photos and name_of(place.name)
    ]
    if not people:
        raise DataError(f"{folder} holds no people with photos.", hint=layout)
    _check_names(people)
    notes = (
        *_note(len(nameless), "folder has no name of a person", "folders have no name of a person", nameless),
        *_note(
            len(undecoded), "folder has a name that is not UTF-8", "folders have names that are not UTF-8", undecoded
        ),
        *_note(len(without), "folder holds no photo", "folders hold no photo", without),
        *_note(len(other), "file is not a photo by its ending", "files are not photos by their endings", other),
        *_note(
            len(deeper),
            "folder lies within a person's folder and is not read",
            "folders lie within people's folders and are not read",
            deeper,
        ),
        *_note(
            len(dead),
            "link leads nowhere, or is not a regular file",
            "links lead nowhere, or are not regular files",
            dead,
        ),
        *_note(len(loose), "photo lies in no person's folder", "photos lie in no person's folder", loose),
    )
    return PeopleFolder(tuple(sorted(people, key=lambda person: (sorting_key(person.name), person.name))), notes)


def name_of(folder: str) -> str:
    """The name that a folder stands for: underscores and control characters are spaces; empty where there is none."""
    text = unicodedata.normalize("NFC", folder)
    if not _is_decoded(text):
        return ""
    spaced = "".join(" " if sign == "_" or unicodedata.category(sign).startswith("C") else sign for sign in text)
    return " ".join(spaced.split()) if re.search(r"\w", spaced) else ""


def sorting_key(name: str) -> str:
    """The key that people are sorted by: case, width of letters and spaces do not count. Splits depend on the order."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _photos_in(place: Path) -> tuple[Path, ...]:
    files = (file for file in place.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    return tuple(sorted(file for file in files if file.is_file()))


def _others_in(place: Path) -> list[Path]:
    """What lies next to the photos and is left out: other files, folders, links that lead nowhere."""
    photos = set(_photos_in(place))
    return sorted(file for file in place.iterdir() if file not in photos and not file.name.startswith("."))


def _shown(file: Path) -> str:
    return _printable(f"{file.parent.name}/{file.name}")


def _is_decoded(name: str) -> bool:
    """Whether a file's name was UTF-8; otherwise the encoding of some of its letters is unknown."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def _printable(name: str) -> str:
    """A file's name, with bytes that are not UTF-8 written out."""
    return name.encode(errors="backslashreplace").decode()


def _broken(files: Sequence[tuple[Path, str]]) -> tuple[str, ...]:
    """Notes on photos that cannot be opened; those that only want a package are counted apart, with its name."""
    heic = [_shown(file) for file, reason in files if "pillow-heif" in reason]
    others = [_shown(file) for file, reason in files if "pillow-heif" not in reason]
    return (
        *_note(len(others), "photo cannot be opened", "photos cannot be opened", others),
        *_note(len(heic), f"photo is {NEEDS_HEIF}", f"photos are {NEEDS_HEIF}", heic),
    )


def _emptied(
    listed: Sequence[PhotographedPerson], kept: Sequence[PhotographedPerson], shared: set[Path]
) -> tuple[str, ...]:
    """Notes on those who have no photo left, apart by what took the last ones."""
    pairs = [(before, after) for before, after in zip(listed, kept, strict=True) if not after.photos]
    taken = [before.name for before, _ in pairs if shared.intersection(before.photos)]
    closed = [before.name for before, _ in pairs if not shared.intersection(before.photos)]
    why = "no photo left, for what is nearly the same as somebody else's photo is left out for both"
    return (
        *_note(len(closed), "person has no photo that can be used", "people have no photo that can be used", closed),
        *_note(len(taken), f"person has {why}", f"people have {why}", taken),
    )


def _check_names(people: Sequence[PhotographedPerson]) -> None:
    count = Counter(FOLDED(person.name) for person in people)
    for name, times in count.items():
        if times > 1:
            same = [person.photos[0].parent.name for person in people if FOLDED(person.name) == name]
            raise DataError(
                f"Two folders stand for one name: {' and '.join(same)}.",
                hint="Put one person's photos into one folder, or tell two people of one name apart by a middle name.",
            )


@dataclass(slots=True)
class _Read:
    """What was found on files.

    Args:
        prints: the signature of each; None where it cannot be used.
        broken: files that cannot be opened, with the reason.
        blank: files that show one colour.
    """

    prints: list[NDArray[np.float32] | None] = field(default_factory=list)
    broken: list[tuple[Path, str]] = field(default_factory=list)
    blank: list[Path] = field(default_factory=list)


def _read_prints(files: Sequence[Path], progress: Progress) -> _Read:
    read = _Read()
    for file in progress.track(files, "Reading photos", len(files)):
        try:
            pixels = read_pixels(file)
        except DataError as error:
            read.prints.append(None)
            read.broken.append((file, error.message))
            continue
        if is_blank(pixels):
            read.prints.append(None)
            read.blank.append(file)
        else:
            read.prints.append(signature(pixels))
    return read


def read_pixels(file: Path) -> NDArray[np.uint8]:
    """A photo's pixels, uint8 (h, w, 3).

    Raises:
        DataError: unreadable, empty, too large, damaged, or no picture.
    """
    what = f"{file.parent.name}/{file.name}"
    try:
        if file.stat().st_size > PHOTO_LIMIT:
            raise DataError(f"Photo {what} is larger than {PHOTO_LIMIT >> 20} MiB.")
        require_regular(file)
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"Photo {what} cannot be read: {error.strerror}.") from error
    return decode_photo(data, what)


def _repeats(prints: NDArray[np.float32], owners: Sequence[int]) -> tuple[set[int], set[int]]:
    """Places of photos that repeat an earlier one of the same person, and of those that show two people."""
    again: set[int] = set()
    shared: set[int] = set()
    for i, j, _ in near_pairs(prints, prints):
        if owners[i] == owners[j]:
            again.add(j)
        else:
            shared.update((i, j))
    return again - shared, shared


def _note(count: int, one: str, several: str, examples: Iterable[str]) -> tuple[str, ...]:
    shown = list(examples)[:_SHOWN]
    return (f"{counted(count, one, several)}{' (' + ', '.join(shown) + ')' if shown else ''}.",) if count else ()


def candidate_names(seed: str, identities: Sequence[str], background: Iterable[str], n: int) -> tuple[str, ...]:
    """Names that an attacker considers possible, in random order.

    Args:
        seed: seeds all random draws.
        identities: names of the people under test; all are among the candidates.
        background: names of the other people; first and last names are recombined at random, and what happens to be
            somebody's name is not used.
        n: number of candidates; fewer where the background does not give so many combinations.
    """
    others = list(background)
    taken = {FOLDED(name) for name in (*identities, *others)}
    parts = [name.split() for name in others if len(name.split()) > 1]
    first, last = [words[0] for words in parts], [words[-1] for words in parts]
    pool = list(identities)
    for turn in range(len(parts)):  # each turn pairs every first name with one last name
        if len(pool) >= n:
            break
        for f, la in zip(first, shuffled(f"{seed}/nobody/{turn}", len(last)), strict=True):
            name = f"{f} {last[int(la)]}"
            if len(pool) < n and FOLDED(name) not in taken:
                taken.add(FOLDED(name))
                pool.append(name)
    return tuple(pool[int(i)] for i in shuffled(f"{seed}/candidates", len(pool)))
