"""What somebody proposes to add to a repository of results: its layout, the files, and how they differ from before.

A repository of results is laid out so that a submission adds files and never changes one:

    runs/METHOD/RUN-HASH/run.json          RUN is the run's id, HASH begins the SHA-256 of run.json: who repeats
    runs/METHOD/RUN-HASH/scores.parquet    somebody's run writes next to it, not over it
    runs/METHOD/RUN-HASH/metrics.json      derived; may be missing
    attestations/, labels/, data/, README.md and all else: written by maintainers only
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from idbench.api.card import METHOD_NAME
from idbench.errors import StorageError
from idbench.results.scores import LARGEST, SCORES
from idbench.results.store import METRICS, RECORD, Run
from idbench.storage import sha256_file, storage_errors

RUNS: Final = "runs"
ATTESTATIONS: Final = "attestations"
LABELS: Final = "labels"
MOST_FILES: Final = 100_000
LARGEST_FILE: Final = LARGEST
"""Bytes of one file of a submission."""

_LONGEST_NAME: Final = 64
_PLACE: Final = re.compile(
    rf"{RUNS}/{METHOD_NAME}/[0-9a-f]{{16}}-[0-9a-f]{{8}}/(?:run\.json|scores\.parquet|metrics\.json)"
)
_BESIDE: Final = frozenset({"worker.log"})
"""What `bench run` leaves beside a record, and what no submission carries."""


@dataclass(frozen=True, slots=True)
class ProposedFile:
    """A file, as far as its directory entry tells.

    Args:
        size: bytes.
        problem: why it cannot be part of a submission; empty if it can.
    """

    size: int
    problem: str = ""


@dataclass(frozen=True)
class Proposal:
    """A proposed change to a repository of results.

    Args:
        root: a folder with everything as it would be afterwards.
        before: a folder with everything as it was where the proposal began; None if all of `root` is proposed.
        accepted: a folder with everything that is accepted by now; None for `before`.
    """

    root: Path
    before: Path | None = None
    accepted: Path | None = None

    @cached_property
    def is_repository(self) -> bool:
        """Whether the folder is laid out as a repository of results, and not just somebody's results."""
        return (self.root / RUNS).is_dir() or self.before is not None

    @cached_property
    def files(self) -> Mapping[str, ProposedFile]:
        """Every file of the proposed state by its path there.

        Raises:
            StorageError: there are more than `MOST_FILES`, or the folder cannot be read.
        """
        return list_files(self.root)

    @cached_property
    def added(self) -> tuple[str, ...]:
        """Files that were not there before, sorted."""
        return tuple(sorted(set(self.files) - set(self._old)))

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Files that were there before with other content, sorted."""
        both = sorted(set(self.files) & set(self._old))
        return tuple(path for path in both if not self._same(path))

    @cached_property
    def removed(self) -> tuple[str, ...]:
        """Files that are gone, sorted."""
        return tuple(sorted(set(self._old) - set(self.files)))

    @property
    def records(self) -> Path:
        """Where records are looked for."""
        return self.root / RUNS if self.is_repository else self.root

    @property
    def accepted_records(self) -> Path | None:
        """Where accepted records are looked for; None if there are none."""
        folder = self.accepted or self.before
        if folder is None:
            return None
        place = folder / RUNS
        return place if place.is_dir() else None

    def proposes(self, folder: str) -> bool:
        """Whether the record in a folder below `records` is new or was changed."""
        if self.before is None:
            return True
        prefix = f"{RUNS}/{folder}/"
        return any(path.startswith(prefix) for path in (*self.added, *self.changed))

    @cached_property
    def _old(self) -> Mapping[str, ProposedFile]:
        return {} if self.before is None else list_files(self.before)

    def _same(self, path: str) -> bool:
        new, old = self.files[path], self._old[path]
        if new.problem or old.problem or new.size != old.size:
            return new == old and not new.problem
        assert self.before is not None
        return sha256_file(self.root / path) == sha256_file(self.before / path)


def is_method_name(name: str) -> bool:
    """Whether a method can bear a name: lower-case letters, digits and hyphens, 64 at most, as paths and titles do."""
    return len(name) <= _LONGEST_NAME and re.fullmatch(METHOD_NAME, name) is not None


def record_place(run: Run) -> str:
    """Where a record belongs in a repository of results: a path that no other record has."""
    return f"{RUNS}/{run.record.attack.name}/{run.record.run_id}-{run.sha256[:8]}"


def misplaced(path: str) -> str:
    """Why a file may not be added by a submission; empty if it may."""
    if _PLACE.fullmatch(path):
        return ""
    if not path.startswith(f"{RUNS}/"):
        return f"submissions add files below {RUNS}/ only"
    return f"a record lies in {RUNS}/METHOD/RUN-HASH and consists of {RECORD}, {SCORES} and {METRICS}"


def beside_records(path: str) -> bool:
    """Whether a file is one that `bench run` leaves with its records and that is not sent."""
    return path.rpartition("/")[2] in _BESIDE


def list_files(root: Path) -> dict[str, ProposedFile]:
    """Everything but folders below a folder, by its path there; nothing is opened and no link is followed.

    Git's own folder is left out.

    Raises:
        StorageError: there are more than `MOST_FILES`, or the folder cannot be read.
    """
    found: dict[str, ProposedFile] = {}
    broken: list[OSError] = []
    for place, folders, names in os.walk(root, onerror=broken.append):
        here = Path(place)
        if here == root:
            folders[:] = [name for name in folders if name != ".git"]
            names = [name for name in names if name != ".git"]  # noqa: PLW2901  a worktree has a file of that name
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted((*names, *links)):
            file = here / name
            shown = os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
            with storage_errors(file):
                found[shown] = _entry(file)
        if len(found) > MOST_FILES:
            raise StorageError(f"{root} holds more than {MOST_FILES:,} files.", hint="Give the folder of the results.")
    for error in broken:
        with storage_errors(Path(str(error.filename))):
            raise error
    return found


def _entry(file: Path) -> ProposedFile:
    state = file.lstat()
    if stat.S_ISLNK(state.st_mode):
        return ProposedFile(state.st_size, "is a link, which may lead anywhere")
    if not stat.S_ISREG(state.st_mode):
        return ProposedFile(state.st_size, "is not a regular file")
    if state.st_size > LARGEST_FILE:
        return ProposedFile(state.st_size, f"has {state.st_size:,} bytes; the limit is {LARGEST_FILE:,}")
    return ProposedFile(state.st_size)
