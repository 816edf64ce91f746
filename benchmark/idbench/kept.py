"""What idbench keeps in its cache: how much of each kind there is, and how space is freed safely.

Everything that is removed here is made again when it is needed: embeddings and decoded photos in seconds to minutes.
What takes hours (trained targets, shadow models, defended weights) or was fetched (splits, checkpoints) is removed
when it is named, and only then.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from idbench.errors import UnknownNameError
from idbench.storage import cache_dir, storage_errors

QUICK: Final = {
    "embeddings": "embeddings of photos, by weights, preprocessing and content",
    "pixels": "decoded photos",
    "pixel-places": "where each decoded photo lies",
    "cards": "what plug-ins of other distributions state about themselves",
    "utility": "measured costs of defenses for bystanders",
    "crashes": "details of bugs, for reports",
    "failed": "logs of failed trainings",
}
"""Kinds that are made again in seconds or minutes, in the order in which they are shown."""

SLOW: Final = {
    "methods": "what methods themselves keep",
    "strangers": "embeddings and shadow models of methods that others wrote",
    "shadows": "trained shadow models",
    "defended": "defended weights",
    "targets": "trained and fetched targets",
    "full-size": "targets trained at full size",
    "faces": "trained classifiers of faces",
    "splits": "built and fetched splits",
    "redrawn": "people drawn from secrets, and targets trained on them, for verifying",
    "corpora": "built corpora",
    "upstream": "lists of the field's authors",
    "downloads": "what was fetched to build splits",
    "open_clip": "checkpoints that open_clip fetched",
    "studies": "finished parts of studies",
}
"""Kinds that take long to recreate."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is kept of one kind.

    Args:
        name: of the folder in the cache.
        what: in words.
        files: how many.
        size: bytes.
        quick: whether it is made again in seconds or minutes.
    """

    name: str
    what: str
    files: int
    size: int
    quick: bool


def kinds() -> list[Kind]:
    """All kinds that are not empty.

    Raises:
        StorageError: the cache cannot be read.
    """
    found = []
    for name in (*QUICK, *SLOW, *_others()):
        sizes = [size for _, size, _ in _files([name])]
        if sizes:
            what = QUICK.get(name) or SLOW.get(name) or "not idbench's"
            found.append(Kind(name, what, len(sizes), sum(sizes), name in QUICK))
    return found


def clear(names: Sequence[str], most: int | None = None, dry_run: bool = False) -> tuple[int, int]:
    """Remove what is kept of some kinds: all of it, or what was used longest ago until the rest fits.

    A run that uses a file at this moment keeps it until it ends, where the system allows that.

    Args:
        names: kinds; none for all of those that are made again quickly.
        most: bytes that may stay; None for nothing.
        dry_run: remove nothing, say only how much it would be.

    Returns:
        files and bytes that were removed.

    Raises:
        UnknownNameError: there is no such kind.
        StorageError: something cannot be removed.
    """
    known = (*QUICK, *SLOW)
    for name in names:
        if name not in known:
            raise UnknownNameError("kind of what is kept", name, known)
    chosen = list(names or QUICK)
    files = sorted(_files(chosen), key=lambda file: file[2])
    over = None if most is None else max(0, sum(size for _, size, _ in files) - most)
    removed = freed = 0
    for path, size, _ in files:
        if over is not None and freed >= over:
            break
        if not dry_run:
            with storage_errors(path):
                path.unlink(missing_ok=True)
        removed, freed = removed + 1, freed + size
    if not dry_run:
        for name in chosen:
            _remove_empty(cache_dir(name))
    return removed, freed


def _others() -> list[str]:
    """Folders in the cache that nothing above names."""
    root = cache_dir()
    if not root.is_dir():
        return []
    with storage_errors(root):
        names = [entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    return sorted(set(names) - QUICK.keys() - SLOW.keys())


def _files(names: Sequence[str]) -> Iterator[tuple[Path, int, float]]:
    """Files of some kinds: path, bytes, and when each was last used or written. Links are not followed."""
    for name in names:
        for folder, _, files in os.walk(cache_dir(name)):
            for file in files:
                path = Path(folder, file)
                with suppress(FileNotFoundError):  # gone since the folder was listed
                    state = path.lstat()
                    yield path, state.st_size, max(state.st_atime, state.st_mtime)


def _remove_empty(folder: Path) -> None:
    for path, folders, files in os.walk(folder, topdown=False):
        if not files and not any(Path(path, name).exists() for name in folders):
            with suppress(OSError):
                Path(path).rmdir()


def free_space() -> int:
    """Bytes that are free on the cache's disk; 0 where there is no cache yet."""
    place = cache_dir()
    return shutil.disk_usage(place).free if place.exists() else 0
