"""Builds what the cache lacks: one process at a time, complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from idbench.api import Progress
from idbench.errors import DataError
from idbench.locking import locked
from idbench.storage import make_dir, recover, storage_errors

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
        progress: told while another process builds it.

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
        found = read(path)  # somebody else may have built it while this process waited
        if found is None:
            build(path)
            found = read(path)
    if found is None:
        raise DataError(
            f"The {what} came out different from its published digest on this machine.",
            hint="Please report it with your processor and numpy version: bytes should be equal everywhere.",
        )
    return found
