"""Locks between processes that make the same thing: the second waits, and its user sees why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from idbench.progress import Progress

NOTICE_EVERY = 2.0  # seconds between two notices to the user who waits


@contextmanager
def locked(path: Path, progress: Progress, what: str) -> Iterator[None]:
    """Hold a lock file for as long as the block lasts, once no other process does.

    Args:
        path: the lock file; its folder exists.
        progress: receives a notice now and then while another process holds it.
        what: what is made under the lock, e.g. "split 'avatars'".
    """
    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=NOTICE_EVERY)
        except Timeout:
            progress.update(0, 1, f"waiting for another process that works on {what}")
    try:
        yield
    finally:
        lock.release()
