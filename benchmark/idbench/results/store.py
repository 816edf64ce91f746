"""Reads and writes the folders of runs."""

from __future__ import annotations

import gc
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from idbench.errors import IdbenchError, NoSuchRun, RecordError, StorageError
from idbench.results.reading import LARGEST_JSON, parse_json, read_regular, shortened
from idbench.results.record import (
    SCHEMA_VERSION,
    SUMMARY_VERSION,
    RunRecord,
    SplitRef,
    Summary,
    TargetRef,
    current,
)
from idbench.results.scores import SCORES, ScoreTable, read_scores, write_scores
from idbench.storage import aside_for, atomic_dir, is_there, restored, sha256_bytes, sha256_file, write_text

RECORD: Final = "run.json"
METRICS: Final = "metrics.json"
_SEAL: Final = "content_sha256"
"""Of all that the file of metrics says beside it."""
DEEPEST_FOLDER: Final = 16
"""Levels below a folder of results that are searched; `bench run` makes three."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Run:
    """A record with the folder that holds it.

    Args:
        path: the folder.
        record: what `run.json` says.
        sha256: of the bytes of `run.json`.
    """

    path: Path
    record: RunRecord
    sha256: str

    def scores(self) -> ScoreTable:
        """The scores, checked against the hash in the record."""
        return read_scores(self.path, self.record)

    def summary(self) -> Summary | None:
        """The derived metrics; None if they were not computed, or from other scores, or by another version's formulas.

        Nothing is lost with them: `bench score` derives them again.
        """
        try:
            found = read_summary(self)
        except IdbenchError:
            return None
        record = self.record
        derived = (found.run_id, found.scores_sha256, found.split_digest)
        return found if derived == (record.run_id, record.scores_sha256, record.split.digest) else None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that does not count, and why.

    Args:
        where: the record's folder, relative to the folder that was given.
        run_id: of the record, empty if it cannot be read.
        reason: one sentence for the reader.
    """

    where: str
    run_id: str
    reason: str


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


def run_path(root: Path, split: SplitRef, target: TargetRef, attack: str, run_id: str) -> Path:
    """Where the folder of a run belongs."""
    # Targets may be named by a path or an address; what is kept of it must be a file name everywhere.
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", target.name)
    return root / f"{split.name}-v{split.version}" / name / f"{attack}-{run_id}"


def write_run(root: Path, record: RunRecord, table: ScoreTable, log: str = "") -> Run:
    """Write a run's folder atomically; the record gets the hash of the scores.

    Raises:
        StorageError: it cannot be written; nothing is left behind.
    """
    path = run_path(root, record.split, record.target, record.attack.name, record.run_id)
    with atomic_dir(path) as folder:
        write_scores(folder / SCORES, table)
        record = record.model_copy(update={"scores_sha256": sha256_file(folder / SCORES)})
        text = (record.model_dump_json(indent=2) + "\n").encode()
        (folder / RECORD).write_bytes(text)
        if log:
            (folder / "worker.log").write_text(log, encoding="utf-8")
    return Run(path, record, sha256_bytes(text))


def write_summary(run: Run, summary: Summary) -> None:
    """Write the derived metrics next to the record, sealed with their hash."""
    values = json.loads(summary.model_dump_json())
    write_text(run.path / METRICS, json.dumps(values | {_SEAL: _seal_of(values)}, indent=2) + "\n")


def _seal_of(values: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps(values, sort_keys=True).encode())


def _unsealed(data: Any) -> Any:
    """Metrics without their seal, which must fit: an edit is not taken for a result. The oldest ones have none."""
    if not isinstance(data, dict) or _SEAL not in data:
        return data
    values = {name: value for name, value in data.items() if name != _SEAL}
    if data[_SEAL] != _seal_of(values):
        raise ValueError("was changed after it was written")
    return values


def read_summary(run: Run) -> Summary:
    """The derived metrics next to a record, whatever they were derived from; `Run.summary` trusts its own only.

    Raises:
        StorageError: they are not there or cannot be read.
        RecordError: not a regular file, damaged, edited, or by another version's formulas.
    """
    return _read_model(run.path / METRICS, Summary, _unsealed)[0]


def read_run(path: Path) -> Run:
    """The run in a folder (or whose `run.json` is given).

    Raises:
        StorageError: it is not there or cannot be read.
        RecordError: it is not a regular file, is damaged, or is of another schema.
    """
    folder = restored(path.parent if path.name == RECORD else path)
    if not folder.is_dir():
        wrong = "is not the folder of a run" if is_there(folder) else "does not exist"
        raise RecordError(f"{folder} {wrong}.", hint="Give the folder of a run, or the beginning of its id.")
    return Run(folder, *_read_model(folder / RECORD, RunRecord, current))


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Thousands of records are made here, and none refers to itself: Python would look for that again and again.

    Memory is given back as ever; what does refer to itself waits until the block ends.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def collect(roots: Iterable[Path]) -> Collected:
    """Every run below the folders; whatever goes wrong with a record sets this one aside with its reason.

    Folders whose name begins with a dot are unfinished and passed over.

    Raises:
        StorageError: a folder is missing or is a file.
    """
    with no_search_for_cycles():
        return _collected(list(roots))


_SHARED: Final = ("split", "target", "attack", "defense", "adaptation", "environment", "queries")


class SharedParts:
    """Keeps what equal parts of records say once: ten thousand of them name a few hundred targets and methods."""

    def __init__(self) -> None:
        """Nothing known yet."""
        self._known: dict[tuple[str, str], BaseModel] = {}

    def of(self, run: Run) -> Run:
        """The run with the parts that another had before it."""
        parts = {name: part for name in _SHARED if (part := getattr(run.record, name)) is not None}
        # Compared as text: 1, 1.0 and True are equal, and are not the same parameter.
        shared = {name: self._known.setdefault((name, part.model_dump_json()), part) for name, part in parts.items()}
        return replace(run, record=run.record.model_copy(update=shared))


def _collected(given: list[Path]) -> Collected:
    shared = SharedParts()
    runs: list[Run] = []
    names: list[str] = []
    rejected: list[Rejected] = []
    for root in given:
        prefix = f"{root.name}/" if len(given) > 1 else ""
        for below, problem in _folders(root):
            folder = root / below
            # A folder's name need not be text; what is shown of it must be.
            name = prefix + os.fsencode(below.replace(os.sep, "/")).decode("utf-8", "backslashreplace")
            try:
                if problem:
                    raise RecordError(problem)
                runs.append(shared.of(read_run(folder)))
                names.append(name)
            except IdbenchError as error:
                rejected.append(Rejected(name, "", error.message.replace(str(folder), name)))
            except Exception as error:  # noqa: BLE001  one bad file must not keep the others from being read
                rejected.append(Rejected(name, "", unexpected(error)))
    return Collected(tuple(runs), tuple(rejected), tuple(names))


def unexpected(error: Exception) -> str:
    """The reason for setting a record aside that made our own code fail."""
    text = shortened(" ".join(str(error).split()), 200)
    return f"it cannot be used: {type(error).__name__}{': ' + text if text else ''}"


def _folders(root: Path) -> Iterator[tuple[str, str]]:
    """The folders that hold a record, as paths below `root`, and those that cannot be searched, with why."""
    if not root.exists():
        raise StorageError(f"{root} does not exist.", hint="Give the folder that holds the results (--results).")
    if not root.is_dir():
        raise StorageError(f"{root} is not a folder.", hint="Give the folder that holds the results (--results).")
    closed: list[OSError] = []
    for place, folders, files in os.walk(root, onerror=closed.append):
        below = _below(root, place)
        for name in [name for name in map(aside_for, folders) if name and name not in folders]:
            back = restored(Path(place, name))
            if back.parent == Path(place):
                folders.append(back.name)
            elif is_there(back / RECORD):  # it cannot be put back, so it is read where it lies
                yield _below(root, str(back)), ""
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if RECORD in files:
            yield below, ""
        if folders and len(Path(below).parts) >= DEEPEST_FOLDER:
            folders.clear()
            yield below, f"only {DEEPEST_FOLDER} levels of folders are searched for records"
    for error in closed:
        yield _below(root, str(error.filename)), f"the folder cannot be searched: {error.strerror}"


def _below(root: Path, place: str) -> str:
    """A path from `os.walk` without the folder where it began, ten times as fast as `Path.relative_to` finds it."""
    return place.removeprefix(str(root)).strip(os.sep) or "."


def find_runs(root: Path) -> Iterator[Run]:
    """Every readable run below a folder, in order of path; `collect` says which cannot be read, and why."""
    if root.exists():
        yield from collect([root]).runs


def find_run(root: Path, reference: str) -> Run:
    """The run that a reference names: a path, or the beginning of a run id.

    Raises:
        NoSuchRun: none.
        RecordError: several, or it cannot be read.
    """
    if not reference.strip():
        raise RecordError("No run was named.", hint="Give the folder of a run, or the beginning of its id.")
    path = Path(reference)
    there = is_there(path) or is_there(restored(path))
    # The folder of a package, say, that is called as its method is.
    bare = path.name == reference and is_there(path) and not any(is_there(path / name) for name in (RECORD, SCORES))
    if there and not (bare and path.is_dir()):
        return read_run(path)
    found = collect([root]) if root.exists() else Collected((), (), ())
    matches = [run for run in found.runs if run.record.run_id.startswith(reference)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        for each in found.rejected:
            if Path(each.where).name.rpartition("-")[2].startswith(reference):
                raise RecordError(f"{root / each.where}: {each.reason}", hint="Run it again with --force.")
        raise NoSuchRun(f"There is no run {reference!r} in {root}.", hint="See `bench list runs`.")
    ids = ", ".join(run.record.run_id for run in matches[:5])
    raise RecordError(f"{reference!r} may be any of {len(matches)} runs: {ids}.", hint="Give more of the run's id.")


_VERSIONS: Final = {"schema_version": range(1, SCHEMA_VERSION + 1), "summary_version": (SUMMARY_VERSION,)}


def _read_model(path: Path, model: type[M], change: Callable[[Any], Any] = lambda data: data) -> tuple[M, str]:
    """What a file says, once it is brought to today's form, and the SHA-256 of its bytes."""
    raw = read_regular(path, LARGEST_JSON)
    try:
        data = parse_json(raw)
        _check_version(data)
        today = change(data)
        # As JSON, so that times are read while numbers in quotes and the like are not.
        text = raw if today is data else json.dumps(today).encode()
        return model.model_validate_json(text, strict=True), sha256_bytes(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = shortened(".".join(str(part) for part in first["loc"]))
        reason = f"{where}: {shortened(first['msg'], 200)}"
        raise RecordError(f"{path} is not a valid record: {reason}.", hint="Run it again.") from error
    except ValueError as error:
        raise RecordError(f"{path} {error}.", hint="Run it again with --force.") from error


def _check_version(data: object) -> None:
    """Say first that a file is of another version: its fields may be anything then."""
    for key, known in _VERSIONS.items():
        if isinstance(data, dict) and key in data and data[key] not in known:
            what, readable = key.replace("_", " "), " and ".join(map(str, known))
            found = shortened(str(data[key]))
            raise ValueError(f"has {what} {found}; this idbench reads {readable}: use the version that wrote it")
