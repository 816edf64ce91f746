"""The tables of a repository of results that `datasets.load_dataset` opens: made by maintainers from the records.

Submissions add records and never touch a table, so that no two of them ever conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from idbench.outputs import check_file
from idbench.results import RunRecord, collect
from idbench.results.admission import SplitKey, admit
from idbench.results.attestation import Statements
from idbench.results.labels import KnownTarget, SplitLabels
from idbench.results.proposal import RUNS
from idbench.results.repetition import Candidate
from idbench.results.store import Rejected
from idbench.storage import atomic_path, make_dir

if TYPE_CHECKING:
    import pyarrow as pa

DATA: Final = "data"
TABLES: Final = ("runs", "scores")


@dataclass(frozen=True, slots=True)
class Tables:
    """What was written.

    Args:
        runs: rows of the table of runs: every readable record.
        counted: of these, how many count.
        scores: rows of the table of scores: of the records that count.
        unreadable: records that cannot be read.
    """

    runs: int
    counted: int
    scores: int
    unreadable: tuple[Rejected, ...]


def write_tables(
    repository: Path,
    labels: Mapping[SplitKey, SplitLabels],
    targets: Sequence[KnownTarget],
    statements: Statements,
) -> Tables:
    """Write `data/runs.parquet` and `data/scores.parquet` from the records of a repository.

    Raises:
        StorageError: they cannot be written, or something else lies there; what was there is left as it was.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in TABLES:
        check_file(
            repository / DATA / f"{name}.parquet", "table of results", lambda p: pq.read_schema(p).names[0] == "run"
        )
    found = collect([repository / RUNS])
    candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
    admitted = admit(candidates, labels, targets, statements)
    reasons = {each.where: each.reason for each in admitted.rejected}
    kept = {each.where: each for each in admitted.kept}
    rows = [_row(each, reasons.get(each.where, ""), kept.get(each.where)) for each in candidates]
    scores = [_scores(each) for each in admitted.kept]
    make_dir(repository / DATA)
    tables = {
        "runs": pa.Table.from_pylist(rows, schema=_runs_schema()),
        "scores": pa.concat_tables([_scores_schema().empty_table(), *scores]),
    }
    for name, table in tables.items():
        with atomic_path(repository / DATA / f"{name}.parquet") as path:
            pq.write_table(table, path, compression="zstd")
    return Tables(len(rows), len(kept), tables["scores"].num_rows, found.rejected)


def _row(candidate: Candidate, reason: str, kept: Candidate | None) -> dict[str, object]:
    record: RunRecord = candidate.record
    attack, target = record.attack, record.target
    return {
        "run": record.run_id,
        "folder": f"{RUNS}/{candidate.where}",
        "method": attack.name,
        "method_version": attack.version,
        "title": attack.title,
        "distribution": attack.distribution,
        "code_sha256": attack.code_sha256,
        "track": attack.track,
        "split": record.split.name,
        "split_version": record.split.version,
        "target": target.name,
        "target_sha256": target.sha256,
        "corpus": target.corpus,
        "defense": None if record.defense is None else record.defense.name,
        "seed": record.seed,
        "created": record.created.isoformat(),
        "texts": record.queries.texts,
        "images": record.queries.images,
        "gradients": record.queries.gradients,
        "training_steps": record.queries.training_steps,
        "seconds": record.timings.total,
        "level": kept.level.value if kept else None,
        "counts": kept is not None,
        "reason": reason or (None if kept else "a repetition of a record that counts"),
    }


def _runs_schema() -> pa.Schema:
    import pyarrow as pa

    numbers = ("split_version", "seed", "texts", "images", "gradients", "training_steps")
    texts = ("run", "folder", "method", "method_version", "title", "distribution", "code_sha256", "track", "split")
    more = ("target", "target_sha256", "corpus", "defense", "created", "level", "reason")
    kinds = dict.fromkeys(numbers, pa.int64()) | dict.fromkeys((*texts, *more), pa.string())
    kinds |= {"seconds": pa.float64(), "counts": pa.bool_()}
    order = (*texts, "split_version", "target", "target_sha256", "corpus", "defense", "seed", "created")
    cost = ("texts", "images", "gradients", "training_steps", "seconds", "level", "counts", "reason")
    return pa.schema([(name, kinds[name]) for name in (*order, *cost)])


def _scores_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("run", pa.string()),
            ("identity", pa.string()),
            ("score", pa.float64()),
            ("abstained", pa.bool_()),
            ("photos_used", pa.int64()),
        ]
    )


def _scores(candidate: Candidate) -> pa.Table:
    import pyarrow as pa

    table = candidate.run.scores()
    n = len(table.identities)
    columns = {
        "run": pa.array([candidate.record.run_id] * n),
        "identity": pa.array(table.identities),
        "score": pa.array(table.scores, from_pandas=True),
        "abstained": pa.array(table.abstained),
        "photos_used": pa.array(table.photos_used),
    }
    return pa.table(columns, schema=_scores_schema())
