"""Reads and writes the folders of runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from idbench.errors import RecordError, StorageError
from idbench.results.record import SCHEMA_VERSION, RunRecord, SplitRef, Summary, TargetRef
from idbench.storage import atomic_dir, is_there, sha256_bytes, sha256_file, storage_errors, write_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

RECORD = "run.json"
SCORES = "scores.parquet"
METRICS = "metrics.json"
_DETAIL = "detail_"
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The scores of a run, one row per identity, in the order of the identity ids.

    Args:
        identities: opaque ids, (n,).
        scores: float (n,); NaN where the attack abstained.
        abstained: bool (n,).
        photos_used: int (n,).
        decisions: the attack's own yes or no, bool (n,), or None where it has none.
        details: named float arrays (n,).
    """

    identities: tuple[str, ...]
    scores: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    photos_used: NDArray[np.int64]
    decisions: NDArray[np.bool_] | None = None
    details: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def ranked(self) -> NDArray[np.float64]:
        """Scores to rank by: an abstention counts as less likely than every score, (n,), finite."""
        return with_floor(self.scores, self.abstained)


def with_floor(scores: NDArray[np.float64], abstained: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores with a number below all others in the place of every abstention, (n,)."""
    given = scores[~abstained & np.isfinite(scores)]
    if not given.size:
        return np.where(abstained, 0.0, scores)
    least = float(given.min())
    # Beside scores above 9e15 the difference of one is lost in rounding.
    return np.where(abstained, min(least - 1.0, float(np.nextafter(least, -np.inf))), scores)


@dataclass(frozen=True, slots=True)
class Run:
    """A record with the folder that holds it."""

    path: Path
    record: RunRecord

    def scores(self) -> ScoreTable:
        """The scores, checked against the hash in the record."""
        return read_scores(self.path, self.record)

    def summary(self) -> Summary | None:
        """The derived metrics if they were computed."""
        path = self.path / METRICS
        return _read_model(path, Summary) if path.exists() else None


def run_path(root: Path, split: SplitRef, target: TargetRef, attack: str, run_id: str) -> Path:
    """Where the folder of a run belongs."""
    # Targets may be named by a path or an address; what is kept of it must be a file name everywhere.
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", target.name)
    return root / f"{split.name}-v{split.version}" / name / f"{attack}-{run_id}"


def write_run(root: Path, record: RunRecord, table: ScoreTable, log: str = "") -> Run:
    """Write a run's folder atomically; the record gets the hash of the scores.

    Raises:
        StorageError: the disk refused; nothing is left behind.
    """
    path = run_path(root, record.split, record.target, record.attack.name, record.run_id)
    with atomic_dir(path) as folder:
        scores = folder / SCORES
        _frame(table).to_parquet(scores, index=False, compression="zstd")
        record = record.model_copy(update={"scores_sha256": sha256_file(scores)})
        (folder / RECORD).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if log:
            (folder / "worker.log").write_text(log, encoding="utf-8")
    return Run(path, record)


def write_summary(run: Run, summary: Summary) -> None:
    """Write the derived metrics beside the record."""
    write_text(run.path / METRICS, summary.model_dump_json(indent=2) + "\n")


def read_run(path: Path) -> Run:
    """The run in a folder (or whose `run.json` is given).

    Raises:
        RecordError: there is none, or it is damaged or of another schema.
    """
    folder = path.parent if path.name == RECORD else path
    return Run(folder, _read_model(folder / RECORD, RunRecord))


def find_runs(root: Path) -> Iterator[Run]:
    """Every complete run below a folder, in order of path. Unfinished folders (leading dot) are passed over.

    Raises:
        RecordError: one of them is damaged.
    """
    if not root.exists():
        return
    if not root.is_dir():
        raise StorageError(f"{root} is not a folder.", hint="Give the folder that holds the results (--results).")
    for path in sorted(root.rglob(RECORD)):
        if not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield read_run(path)


def find_run(root: Path, reference: str) -> Run:
    """The run that a person means: a path, or the beginning of a run id.

    Raises:
        RecordError: none, or several.
    """
    if not reference.strip():
        raise RecordError("No run was named.", hint="Give the folder of a run, or the beginning of its id.")
    path = Path(reference)
    if is_there(path):
        return read_run(path)
    matches = [run for run in find_runs(root) if run.record.run_id.startswith(reference)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise RecordError(f"There is no run {reference!r} in {root}.", hint="`bench list runs` shows what there is.")
    ids = ", ".join(run.record.run_id for run in matches[:5])
    raise RecordError(f"{reference!r} may be any of {len(matches)} runs: {ids}.", hint="Give more of the run's id.")


def read_scores(path: Path, record: RunRecord) -> ScoreTable:
    """The scores of a run.

    Raises:
        RecordError: missing, damaged, changed after the run, or with duplicate identities.
    """
    try:
        return _table(read_columns(path, record))
    except (ValueError, KeyError) as error:
        raise RecordError(f"{path / SCORES} cannot be read: {error}.", hint="Run it again with --force.") from error


def read_columns(path: Path, record: RunRecord, columns: Sequence[str] | None = None) -> pa.Table:
    """The scores of a run as they are stored, for those who read thousands; `read_scores` checks what they say too.

    Args:
        path: the run's folder.
        record: of the run.
        columns: of `identity`, `score`, `abstained`, `photos_used` and the details; None for all.

    Raises:
        RecordError: missing, damaged, changed after the run, or without one of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / SCORES
    if not file.exists():
        raise RecordError(f"{file} is missing.", hint="Run it again with --force.")
    with storage_errors(file):
        data = file.read_bytes()
    if sha256_bytes(data) != record.scores_sha256:
        raise RecordError(
            f"{file} is not what the run wrote: its SHA-256 differs from the record's.",
            hint="Restore the file, or run it again with --force.",
        )
    try:
        # A board reads ten thousand of these small files: a detour through a data frame would double the time.
        table = pq.ParquetFile(pa.BufferReader(data)).read(columns=columns and list(columns), use_threads=False)
        missing = [name for name in columns or () if name not in table.column_names]
        if missing:
            raise KeyError(f"no column {', '.join(missing)}")
    except (ValueError, KeyError, OSError) as error:
        raise RecordError(f"{file} cannot be read: {error}.", hint="Run it again with --force.") from error
    return table


def _frame(table: ScoreTable) -> pd.DataFrame:
    import pandas as pd

    if len(set(table.identities)) != len(table.identities):
        raise RecordError("Two scores have the same identity.", hint="Report this: it is a bug in the runner.")
    columns: dict[str, object] = {
        "identity": list(table.identities),
        "score": table.scores,
        "abstained": table.abstained,
        "photos_used": table.photos_used,
    }
    if table.decisions is not None:
        columns["decision"] = table.decisions
    columns.update({_DETAIL + name: values for name, values in sorted(table.details.items())})
    return pd.DataFrame(columns).sort_values("identity", ignore_index=True)


def _table(table: pa.Table) -> ScoreTable:
    identities = tuple(map(str, table["identity"].to_pylist()))
    if len(set(identities)) != len(identities):
        raise ValueError("an identity occurs twice")
    return ScoreTable(
        identities=identities,
        scores=table["score"].to_numpy().astype(np.float64),
        abstained=table["abstained"].to_numpy().astype(np.bool_),
        photos_used=table["photos_used"].to_numpy().astype(np.int64),
        decisions=table["decision"].to_numpy().astype(np.bool_) if "decision" in table.column_names else None,
        details={
            name.removeprefix(_DETAIL): table[name].to_numpy().astype(np.float64)
            for name in table.column_names
            if name.startswith(_DETAIL)
        },
    )


def _read_model(path: Path, model: type[M]) -> M:
    if not path.exists():
        raise RecordError(f"{path} does not exist.", hint="Give the folder of a run, or the beginning of its id.")
    with storage_errors(path):
        raw = path.read_bytes()
    try:
        return model.model_validate_json(raw)
    except ValidationError:
        return _explained(path, raw.decode("utf-8", errors="replace"), model)


def _explained(path: Path, text: str, model: type[M]) -> M:
    """A model that the quick way refused: what is wrong, in the order in which a reader would look."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordError(f"{path} is not JSON (line {error.lineno}).", hint="Run it again with --force.") from error
    known = range(1, SCHEMA_VERSION + 1)
    if isinstance(data, dict) and data.get("schema_version", SCHEMA_VERSION) not in known:
        raise RecordError(
            f"{path} has schema version {data['schema_version']}; this idbench reads 1 to {SCHEMA_VERSION}.",
            hint="Use the idbench version that wrote it, or a newer one.",
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path} is no valid record: {where}: {first['msg']}.", hint="Run it again.") from error
