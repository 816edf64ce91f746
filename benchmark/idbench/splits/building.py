"""Builds what the cache lacks, one process at a time and all or nothing; from recipes or from the user's own data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from idbench.api import Progress
from idbench.errors import DataError
from idbench.locking import locked
from idbench.splits.manifest import MANIFEST_FILE
from idbench.splits.recipe import SourcedRecipe, Sources
from idbench.splits.split import Split
from idbench.storage import atomic_dir, cache_dir, copy_files, make_dir, recover, storage_errors

T = TypeVar("T")


def get_or_build(
    path: Path, read: Callable[[Path], T | None], build: Callable[[Path], None], what: str, progress: Progress
) -> T:
    """What `read` finds at `path`, built first where it is missing or damaged.

    Args:
        path: a folder in the cache.
        read: opens the folder; None where it is missing, damaged, or not what it should be.
        build: writes the folder atomically.
        what: names it in errors, e.g. "split 'avatars'".
        progress: receives a notice while another process builds it.

    Raises:
        DataError: what was built is not what it should be.
        StorageError: no space or no permission.
    """
    found = read(path)
    if found is not None:
        return found
    make_dir(path.parent)
    with storage_errors(path.parent), locked(path.parent / f".{path.name}.lock", progress, what):
        recover(path)
        found = read(path)  # another process may have built it meanwhile
        if found is None:
            build(path)
            found = read(path)
    if found is None:
        raise DataError(
            f"The {what} came out different from its published digest on this machine.",
            hint="Please report it with your processor and numpy version: bytes should be equal everywhere.",
        )
    return found


_OPTIONS = {"faces": "--faces DIR", "pairs": "--pairs TSV", "source": "--source DIR"}


@dataclass(frozen=True, slots=True)
class Sourced:
    """A split that was built from a person's own data.

    Args:
        split: open, in the cache.
        notes: what was left out, a sentence each.
    """

    split: Split
    notes: tuple[str, ...]


def split_place(recipe: SourcedRecipe) -> Path:
    """Where the split lies in the cache."""
    return cache_dir("splits", recipe.name, f"v{recipe.version}")


def corpus_place(recipe: SourcedRecipe, corpus: str) -> Path:
    """Where one of its training sets lies in the cache."""
    return cache_dir("corpora", corpus, f"v{recipe.version}")


def how_to_build(recipe: SourcedRecipe) -> str:
    """The command that builds it."""
    return " ".join(["bench data build", recipe.name, *(_OPTIONS.get(need, f"--{need}") for need in recipe.needs)])


def open_sourced(recipe: SourcedRecipe) -> Split:
    """The split as it lies in the cache.

    Raises:
        DataError: it was not built yet, or is damaged.
    """
    place = split_place(recipe)
    if not (place / MANIFEST_FILE).is_file():
        raise DataError(
            f"{recipe.name} is not built on this machine yet"
            + (": it is made from data of your own." if recipe.needs else "."),
            hint=f"Type: {how_to_build(recipe)}",
        )
    try:
        return Split(place)
    except DataError as error:
        raise DataError(error.message, hint=f"Build it again: {how_to_build(recipe)}") from error


def check_sources(recipe: SourcedRecipe, sources: Sources) -> None:
    """Report what is missing before anything is written.

    Raises:
        DataError: a source that the recipe needs was not given.
    """
    missing = [need for need in recipe.needs if getattr(sources, need) is None]
    if missing:
        instead = " or --download" if missing == ["faces"] and recipe.fetch is not None else ""
        raise DataError(
            f"{recipe.name} is made from data of your own: {_OPTIONS.get(missing[0], missing[0])}{instead} is missing.",
            hint=f"Type: {how_to_build(recipe)}",
        )


def build_sourced(recipe: SourcedRecipe, sources: Sources, progress: Progress) -> Sourced:
    """Build a split and its training sets into the cache; what was there before is replaced when all is complete.

    Raises:
        DataError: the sources cannot be used.
        StorageError: no space or no permission in the cache.
    """
    check_sources(recipe, sources)
    place = split_place(recipe)
    make_dir(place.parent)
    lock = place.parent / f".{place.name}.lock"
    with storage_errors(place), locked(lock, progress, f"split {recipe.name!r}"):
        for leftover in place.parent.glob(".building-*"):  # of a killed build; no other process builds under the lock
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=place.parent, ignore_cleanup_errors=True) as work:
            split, corpora = make_dir(Path(work) / "split"), make_dir(Path(work) / "corpora")
            notes = tuple(recipe.build(sources, split, corpora, progress))
            # The split goes away first and comes back last: whatever is found in between asks to build again.
            shutil.rmtree(place, ignore_errors=True)
            for corpus in recipe.corpora:
                move_into_place(corpora / corpus, corpus_place(recipe, corpus))
            move_into_place(split, place)
    return Sourced(open_sourced(recipe), notes)


def copy_split(split: Split, folder: Path) -> None:
    """Write a copy of a split's folder."""
    with atomic_dir(folder) as new:
        copy_files(split.folder, new)


def move_into_place(built: Path, place: Path) -> None:
    if built.is_dir():
        make_dir(place.parent)
        shutil.rmtree(place, ignore_errors=True)
        built.chmod(0o755)
        built.replace(place)
