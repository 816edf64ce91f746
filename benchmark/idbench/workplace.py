"""Temporary folders that do not outlive their process by much: what a killed one left is removed by the next."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from idbench.storage import explain

_PREFIX = "idbench-"
_LOCK, _MARKER, _FILES = "owner.lock", "idbench-workplace.txt", "files"
_STILLBORN = 3600.0  # seconds
_WORDS = "A temporary folder of idbench: it is removed when the process that holds owner.lock has ended.\n"


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty temporary folder that is removed at the end of the block, or by the next process if this one is killed.

    Raises:
        StorageError: whatever keeps files from being written, in one sentence.
    """
    with suppress(OSError):
        sweep(Path(tempfile.gettempdir()))
    try:
        outer = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise explain(error, Path(tempfile.gettempdir())) from error
    lock = FileLock(outer / _LOCK)
    try:
        # The marker comes last: a folder without it is never touched by others.
        lock.acquire()
        (outer / _MARKER).write_text(_WORDS, encoding="utf-8")
        inner = outer / _FILES
        inner.mkdir()
        yield inner
    except OSError as error:
        raise explain(error, _place_of(error, outer)) from error
    finally:
        lock.release()
        _remove(outer)


def _place_of(error: OSError, outer: Path) -> Path:
    """What an error is about: a file elsewhere that the block read or wrote, or else the temporary folder."""
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else outer
    return outer if named.is_relative_to(outer) else named


def sweep(folder: Path) -> None:
    """Remove the temporary folders below `folder` that bear the marker and whose owner has ended."""
    for outer in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout, UnicodeDecodeError):
            marker = outer / _MARKER
            if outer.is_symlink() or marker.is_symlink() or not _ours(outer):
                continue
            if not marker.is_file():
                if _is_stillborn(outer):
                    shutil.rmtree(outer, ignore_errors=True)
                continue
            if marker.stat().st_size != len(_WORDS) or marker.read_text(encoding="utf-8") != _WORDS:
                continue
            with FileLock(outer / _LOCK, timeout=0):
                _remove(outer)


def _remove(outer: Path) -> None:
    """Remove a folder; the marker goes last, so that what a dying process still writes into it is found again."""
    shutil.rmtree(outer / _FILES, ignore_errors=True)
    if not (outer / _FILES).exists():
        shutil.rmtree(outer, ignore_errors=True)


def _is_stillborn(outer: Path) -> bool:
    """Whether a process was killed when it had made the folder and nothing in it but the lock, an hour ago."""
    old = time.time() - outer.stat().st_mtime > _STILLBORN
    return old and all(path.name == _LOCK and not path.stat().st_size for path in outer.iterdir())


def _ours(folder: Path) -> bool:
    """Whether this user made it; another's may hold links that lead into our files."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
