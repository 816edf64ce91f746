"""Finds the runs below result folders; a damaged record is set aside with its reason and stops nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from idbench.errors import IdbenchError, StorageError
from idbench.results import Run, read_run
from idbench.results.store import RECORD
from idbench_leaderboard.inputs import Rejected


@dataclass(frozen=True, slots=True)
class Collected:
    """What lies below some result folders.

    Args:
        runs: the readable records, in order of folder and path.
        rejected: the others.
        names: for each run, its path relative to the folder that was given; begins with that folder's name if there
            are several.
    """

    runs: tuple[Run, ...]
    rejected: tuple[Rejected, ...]
    names: tuple[str, ...]


def collect(roots: Iterable[Path]) -> Collected:
    """Every run below the folders.

    Raises:
        StorageError: a folder is missing or is a file.
    """
    runs: list[Run] = []
    names: list[str] = []
    rejected: list[Rejected] = []
    given = list(roots)
    for root in given:
        prefix = f"{root.name}/" if len(given) > 1 else ""
        for folder in _folders(root):
            name = prefix + folder.relative_to(root).as_posix()
            try:
                runs.append(read_run(folder))
                names.append(name)
            except IdbenchError as error:
                reason = error.message.replace(str(folder), name)
                rejected.append(Rejected(where=name, run_id="", reason=reason))
    return Collected(tuple(runs), tuple(rejected), tuple(names))


def _folders(root: Path) -> Iterator[Path]:
    if not root.exists():
        raise StorageError(f"{root} does not exist.", hint="Give the folder that holds the results (--results).")
    if not root.is_dir():
        raise StorageError(f"{root} is not a folder.", hint="Give the folder that holds the results.")
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if RECORD in files:
            yield Path(folder)
