"""Reads who is to be audited: names as typed, photos as they come, and what is wrong with either."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.duplicates import near_pairs, signature
from idbench.splits.given import read_table
from idbench.splits.injected.people import name_of, read_pixels
from idbench.splits.photos import SUFFIXES, is_blank
from idbench.storage import storage_errors
from idbench.targets.tokenizing import Tokenizer

FEW_PHOTOS: Final = 4
"""With fewer photos than this, the report says that the result rests on few."""

SMALLEST: Final = 16
"""Pixels that a photo needs on its shorter side: no model tells faces apart on fewer."""

_CONTROL = re.compile(
    r"<\|?/?[A-Za-z_]*(?:start|end|eot|sot|eos|bos|text|pad|mask|unk|cls|sep)[A-Za-z_]*\|?>|</?s>"
    r"|\[(?:CLS|SEP|PAD|MASK|UNK|BOS|EOS)\]",
    re.IGNORECASE,
)
"""Control tokens, which tokenizers take for instructions instead of text."""


@dataclass(frozen=True, slots=True)
class Audited:
    """Somebody to be audited.

    Args:
        name: full name.
        photos: folder of the person's photos; None: nothing but the name is known.
    """

    name: str
    photos: Path | None = None


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The photos of one person that can be used, and what came of the others.

    Args:
        files: that can be used, sorted by name.
        pixels: of each file, uint8 (h, w, 3).
        unusable: one line for each other file.
    """

    files: tuple[Path, ...] = ()
    pixels: tuple[NDArray[np.uint8], ...] = ()
    unusable: tuple[str, ...] = ()


@dataclass(slots=True)
class Remarks:
    """What must be said about a person before any number.

    Args:
        notes: what weakens the result; the person is scored all the same.
        refusal: why the person is not scored at all; empty: they are.
    """

    notes: list[str] = field(default_factory=list)
    refusal: str = ""

    def refuse(self, why: str) -> None:
        """Do not score the person; what would have weakened the result is beside the point then."""
        self.refusal = self.refusal or why
        self.notes.clear()


def people_of_table(table: Path) -> list[Audited]:
    """The people of a CSV, TSV or parquet table with the columns `name` and `photos`, folders relative to the table.

    Raises:
        DataError: it is not such a table, or names somebody twice.
        StorageError: it cannot be read.
    """
    rows = read_table(table)
    if "name" not in rows[0]:
        raise DataError(
            f"{table} has no column name.", hint="It needs the column name; photos, a folder each, may follow."
        )
    people = []
    for number, row in enumerate(rows, start=1):
        if not row["name"].strip():
            raise DataError(f"{table}, row {number}: no name.", hint="Write the name, or remove the row.")
        folder = row.get("photos", "")
        people.append(Audited(row["name"], table.parent / folder if folder else None))
    return people


def check_people(people: Sequence[Audited]) -> None:
    """Refuse an empty list, an empty name, the same person twice, or a folder that is not there.

    Raises:
        DataError: one of these.
    """
    if not people:
        raise DataError("Nobody to audit.", hint='Add --name "First Last" --photos DIR, or --people FILE.')
    seen: set[str] = set()
    for one in people:
        if not name_of(one.name):
            raise DataError(f"{one.name!r} is not a name.", hint="Write the person's full name.")
        if FOLDED(one.name) in seen:
            raise DataError(
                f"{one.name} is named twice.", hint="Put one person's photos into one folder, and name them once."
            )
        seen.add(FOLDED(one.name))
        if one.photos is not None and not one.photos.is_dir():
            what = "is a file" if one.photos.exists() else "does not exist"
            raise DataError(f"{one.photos} {what}.", hint=f"Name the folder that holds the photos of {one.name}.")


def read_portfolio(folder: Path | None) -> Portfolio:
    """All photos of a folder that can be used, upright, each picture once; one line for each file that cannot.

    Raises:
        StorageError: the folder cannot be read.
    """
    if folder is None:
        return Portfolio()
    with storage_errors(folder):
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files: list[Path] = []
    pixels: list[NDArray[np.uint8]] = []
    unusable = []
    for entry in entries:
        if entry.is_dir():
            unusable.append(f"{entry.name}: a folder; only files directly in {folder.name} are read")
        elif entry.suffix.lower() not in SUFFIXES:
            unusable.append(f"{entry.name}: not a photo by its ending")
        else:
            try:
                picture = read_pixels(entry)
            except DataError as error:
                unusable.append(f"{entry.name}: {_reason(error, entry)}")
                continue
            if shortcoming := _shows_nobody(picture):
                unusable.append(f"{entry.name}: {shortcoming}")
                continue
            files.append(entry)
            pixels.append(picture)
    repeated = _repeated(pixels)
    unusable += [f"{files[j].name}: nearly the same picture as {files[i].name}" for j, i in sorted(repeated.items())]
    kept = [i for i in range(len(files)) if i not in repeated]
    return Portfolio(tuple(files[i] for i in kept), tuple(pixels[i] for i in kept), tuple(unusable))


def _shows_nobody(picture: NDArray[np.uint8]) -> str:
    """Why nobody can be seen on a picture that opens; empty: somebody may be on it."""
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        return f"is {width} x {height} pixels, too small to show a face"
    if is_blank(picture):
        return "is of one colour throughout"
    return ""


def _reason(error: DataError, file: Path) -> str:
    """What is wrong with a photo, without its name, which stands before it; with the package that a format wants."""
    text = error.message.removeprefix(f"Photo {file.parent.name}/{file.name} ").rstrip(".")
    return f"{text}: {error.hint.removeprefix('Run: ').rstrip('.')}" if "pip install" in error.hint else text


def _repeated(pixels: Sequence[NDArray[np.uint8]]) -> dict[int, int]:
    """Which picture repeats which earlier one."""
    if len(pixels) < 2:
        return {}
    prints = np.array([signature(one) for one in pixels])
    found: dict[int, int] = {}
    for i, j, _ in near_pairs(prints, prints):
        if i not in found:
            found.setdefault(j, i)
    return found


def remarks_on(
    name: str, photos: Path | None, portfolio: Portfolio, prompts: Sequence[str], tokenize: Tokenizer
) -> Remarks:
    """What must be said about a name and about photos.

    Args:
        name: as it will be asked.
        photos: the folder that was given.
        portfolio: what of it can be used.
        prompts: texts with `{name}`, as attacks ask them.
        tokenize: of the target.
    """
    remarks = Remarks()
    if control := _CONTROL.search(name):
        remarks.refuse(f"The name holds {control.group()}, which a tokenizer may take for the end of the text.")
        return remarks
    if photos is not None and not portfolio.files:
        remarks.refuse(f"No photo in {photos.name} can be used.")
        return remarks
    if cut := [prompt for prompt in ("{name}", *prompts) if is_cut(prompt, name, tokenize)]:
        if "{name}" in cut:
            remarks.refuse("The name is longer than the model reads: its end would be cut off before it is compared.")
            return remarks
        remarks.notes.append(
            f"The name is cut in {len(cut)} of {len(prompts)} prompts, which are longer than the model reads: "
            "there, other people whose names begin alike cannot be told apart from this one."
        )
    if len(name.split()) == 1:
        remarks.notes.append(
            "The name has one part. Many people share it, and the reference people have two: what the model shows of "
            "it is not about one person."
        )
    if any(unicodedata.category(sign) == "Co" for sign in name):
        remarks.notes.append("The name holds characters that no alphabet has.")
    if photos is None:
        remarks.notes.append("No photos were given: only attacks that ask for the name alone were carried out.")
    elif len(portfolio.files) == 1:
        remarks.notes.append(
            "There is one photo. Everything rests on it: if the model knows this picture, or a look-alike, one photo "
            "cannot tell it from knowing the person."
        )
    elif len(portfolio.files) < FEW_PHOTOS:
        remarks.notes.append(f"There are only {len(portfolio.files)} photos: one unusual photo can decide the result.")
    return remarks


def is_cut(prompt: str, name: str, tokenize: Tokenizer) -> bool:
    """Whether the end of a name is lost in a prompt: another last word of the name gives the same tokens."""
    shorter = name[:-1].rstrip() or "x"
    both = tokenize([prompt.replace("{name}", name), prompt.replace("{name}", shorter)])
    return bool((both[0] == both[1]).all())
