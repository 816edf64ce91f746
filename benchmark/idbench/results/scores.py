"""The scores of a run: written as parquet, read back only if every column is exactly what it should be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from idbench.errors import RecordError, StorageError
from idbench.results.reading import read_regular, shortened
from idbench.results.record import RunRecord
from idbench.storage import sha256_bytes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

SCORES: Final = "scores.parquet"
DETAIL: Final = "detail_"
REASON: Final = "reason"
UNEXPLAINED: Final = "no reason given"
AGAIN: Final = "Restore the file, or run it again with --force."

MOST_REASONS: Final = 50
"""Different reasons for abstaining in one file."""
LARGEST: Final = 64 << 20
"""Bytes of the file."""
MOST_ROWS: Final = 1_000_000
MOST_COLUMNS: Final = 1024
MOST_CELLS: Final = 8_000_000
"""Rows times columns: eight bytes each once they are decoded, whatever the file took."""
LARGEST_DECODED: Final = 256 << 20
"""Bytes of all pages before they are expanded into rows, as the file itself says."""
LONGEST_ID: Final = 200
"""Bytes of an identity's id, and of a reason; characters of a detail's name."""
_ROWS_AT_ONCE: Final = 8192
GREATEST: Final = 1e100
"""Largest magnitude of a score; beyond it, differences and sums of scores overflow."""


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
        reasons: why the attack abstained, a phrase each, (n,), empty where it did not or where nothing is known; () if
            nothing is known of anybody.
    """

    identities: tuple[str, ...]
    scores: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    photos_used: NDArray[np.int64]
    decisions: NDArray[np.bool_] | None = None
    details: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def ranked(self) -> NDArray[np.float64]:
        """Scores to rank by: an abstention counts as less likely than every score, (n,), finite."""
        return with_floor(self.scores, self.abstained)

    def abstentions(self) -> dict[str, int]:
        """Number of abstentions for each reason, the most frequent first."""
        given = self.reasons or ("",) * len(self.identities)
        found = Counter(reason or UNEXPLAINED for reason, none in zip(given, self.abstained, strict=True) if none)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def with_floor(scores: NDArray[np.float64], abstained: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores with a number below all others in place of every abstention, (n,)."""
    given = scores[~abstained & np.isfinite(scores)]
    if not given.size:
        return np.where(abstained, 0.0, scores)
    least = float(given.min())
    # Beside scores above 9e15 the difference of one is lost in rounding.
    return np.where(abstained, min(least - 1.0, float(np.nextafter(least, -np.inf))), scores)


def mean_photos(abstained: NDArray[np.bool_], photos_used: NDArray[np.int64]) -> float:
    """Photos per case that was scored, as records state it; 0 if none was."""
    scored = ~abstained
    return float(photos_used[scored].mean()) if scored.any() else 0.0


def write_scores(path: Path, table: ScoreTable) -> None:
    """Write the scores, in order of the identities.

    Raises:
        RecordError: an identity occurs twice.
    """
    _frame(table).to_parquet(path, index=False, compression="zstd")


def read_scores(path: Path, record: RunRecord) -> ScoreTable:
    """The scores in the folder of a run.

    Raises:
        RecordError: missing, damaged, changed after the run, or not what scores are.
    """
    table = read_columns(path, record)
    try:
        return _table(table)
    except ValueError as error:
        raise RecordError(f"{path / SCORES} cannot be used: {error}.", hint=AGAIN) from error


class LastIdentities:
    """The ids that were decoded last.

    Records of one split mostly store the same people, written alike: then the same bytes need not be decoded again.
    """

    def __init__(self) -> None:
        """Nothing has been decoded yet."""
        self._stored: tuple[object, ...] = ()
        self._ids: pa.ChunkedArray | None = None

    def of(self, stored: tuple[object, ...]) -> pa.ChunkedArray | None:
        """The ids of a file, if the last one stored them alike; see `ScoreFile.stored_ids`."""
        return self._ids if stored and stored == self._stored else None

    def keep(self, stored: tuple[object, ...], ids: pa.ChunkedArray) -> None:
        """Remember the ids of a file."""
        self._stored, self._ids = stored, ids


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """A file of scores of which nothing is decoded yet.

    Args:
        data: its bytes.
        file: the same, opened.
        schema: its columns; asking `file` builds it anew each time.
    """

    data: bytes
    file: pq.ParquetFile
    schema: pa.Schema

    def stored_ids(self) -> tuple[object, ...]:
        """All that the ids are decoded from, where they lie in one piece; else nothing."""
        found = self.file.metadata
        if found.num_row_groups != 1:
            return ()
        place = self.schema.names.index("identity")
        chunk = found.row_group(0).column(place)
        begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        piece = self.data[begin : begin + chunk.total_compressed_size]
        return found.created_by, found.num_rows, self.schema.field(place), chunk, piece


def read_columns(
    path: Path, record: RunRecord, columns: Sequence[str] | None = None, known: LastIdentities | None = None
) -> pa.Table:
    """The scores of a run as they are stored, for those who read thousands; `read_scores` checks what they say too.

    Args:
        path: the run's folder.
        record: of the run.
        columns: of `identity`, `score`, `abstained`, `photos_used`, `decision`, `reason` and the details; None for all.
        known: the ids of the last of several files that are read one after the other.

    Returns:
        columns of exactly these types: string, float64, bool, int64, bool, string, float64. A score may be missing
        where the attack abstained, and so may a detail.

    Raises:
        RecordError: missing, not a regular file, damaged, changed after the run, too large, or other columns or types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / SCORES
    try:
        data = read_regular(file, LARGEST)
    except StorageError as error:
        if os.path.lexists(file):
            raise
        raise RecordError(f"{file} is missing.", hint=AGAIN) from error
    if sha256_bytes(data) != record.scores_sha256:
        raise RecordError(f"{file} is not what the run wrote: its SHA-256 differs from the record's.", hint=AGAIN)
    try:
        # A board reads ten thousand of these small files: a detour through a data frame would double the time.
        described = pq.ParquetFile(pa.BufferReader(data))
        opened = ScoreFile(data, described, described.schema_arrow)
        _check_shape(opened)
        wanted = list(columns or opened.schema.names)
        if missing := [name for name in wanted if name not in opened.schema.names]:
            raise ValueError(f"it has no column {missing[0]!r}")
        return _read(opened, wanted, known)
    except (ValueError, KeyError, OSError, NotImplementedError) as error:
        reason = shortened(" ".join(str(error).split()).rstrip("."), 200)
        raise RecordError(f"{file} cannot be used: {reason}.", hint=AGAIN) from error


def _read(opened: ScoreFile, wanted: list[str], known: LastIdentities | None) -> pa.Table:
    """The columns wanted, the ids from memory where they are those of the last file."""
    if known is None or "identity" not in wanted:
        return _checked(_decoded(opened, wanted))
    stored = opened.stored_ids()
    ids = known.of(stored)
    if ids is None:
        table = _checked(_decoded(opened, wanted))
        known.keep(stored, table["identity"])
        return table
    others = _checked(_decoded(opened, [name for name in wanted if name != "identity"]))
    return others.append_column("identity", ids).select(wanted)


def _check_shape(opened: ScoreFile) -> None:
    """Size, columns and types, from the file's own description: before anything is decoded."""
    import pyarrow as pa

    described = opened.file.metadata
    if described.num_rows > MOST_ROWS or described.num_row_groups > MOST_ROWS:
        raise ValueError(f"it has {described.num_rows:,} rows; the limit is {MOST_ROWS:,}")
    names = opened.schema.names
    if len(names) > MOST_COLUMNS or described.num_columns > MOST_COLUMNS:
        raise ValueError(f"it has {len(names):,} columns; the limit is {MOST_COLUMNS}")
    if described.num_rows * len(names) > MOST_CELLS:
        raise ValueError(f"it has {described.num_rows * len(names):,} values; the limit is {MOST_CELLS:,}")
    groups = (described.row_group(index) for index in range(described.num_row_groups))
    if sum(group.total_byte_size for group in groups) > LARGEST_DECODED:
        raise ValueError(f"its pages hold more than {LARGEST_DECODED:,} bytes")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it has the column {shortened(doubled[0])!r} twice")
    if missing := [name for name in ("identity", "score", "abstained", "photos_used") if name not in names]:
        raise ValueError(f"it has no column {missing[0]!r}")
    for name, kind in zip(names, opened.schema.types, strict=True):
        wanted = _wanted(name)
        found = str(kind.value_type if name in _TEXTS and pa.types.is_dictionary(kind) else kind)
        if found not in wanted:
            raise ValueError(f"its column {shortened(name)!r} has the type {shortened(found)}, not {wanted[0]}")


def _wanted(name: str) -> tuple[str, ...]:
    """The types that a column may have."""
    if name in _TYPES:
        return _TYPES[name]
    if name.startswith(DETAIL):
        if not 0 < len(name.removeprefix(DETAIL)) <= LONGEST_ID or not name.isprintable():
            raise ValueError(f"its column {shortened(name)!r} is not a short name of printable characters")
        return ("double",)
    raise ValueError(f"it has a column {shortened(name)!r}, which scores do not have")


_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "identity": ("string", "large_string"),
    "score": ("double",),
    "abstained": ("bool",),
    "photos_used": ("int64",),
    "decision": ("bool",),
    REASON: ("string", "large_string"),
}
_TEXTS: Final = ("identity", REASON)


def _decoded(opened: ScoreFile, wanted: list[str]) -> pa.Table:
    """The columns, some thousand rows at a time, with ids and reasons that are short.

    They stay in a dictionary until their length is known: a million rows of one long id are a few bytes in the file,
    and what a file says of its own size need not be true.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = [name for name in _TEXTS if name in wanted]
    file = opened.file
    if texts:
        file = pq.ParquetFile(pa.BufferReader(opened.data), read_dictionary=texts, metadata=file.metadata)
    parts = []
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted, use_threads=False):
        rows = pa.Table.from_batches([batch]).select(wanted)
        for name in texts:
            column = batch.column(name)
            values = column.dictionary if isinstance(column, pa.DictionaryArray) else column
            if len(values) and (pc.max(pc.binary_length(values)).as_py() or 0) > LONGEST_ID:
                raise ValueError(f"{'an id' if name == 'identity' else 'a reason'} has more than {LONGEST_ID} bytes")
            rows = rows.set_column(wanted.index(name), name, pc.cast(column, pa.string()))
        parts.append(rows)
    return pa.concat_tables(parts) if parts else opened.schema.empty_table().select(wanted)


def _checked(table: pa.Table) -> pa.Table:
    """The table, if nothing is missing but the scores of those about whom the attack abstained."""
    import pyarrow.compute as pc

    for name in table.column_names:
        missing = table[name].null_count
        if missing and name == "score" and "abstained" in table.column_names:
            missing = pc.sum(pc.and_(table[name].is_null(), pc.invert(table["abstained"]))).as_py()
        if missing and not name.startswith(DETAIL):
            raise ValueError(f"{missing} values of its column {shortened(name)!r} are missing")
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
    if any(table.reasons):
        columns[REASON] = list(table.reasons)
    columns.update({DETAIL + name: values for name, values in sorted(table.details.items())})
    return pd.DataFrame(columns).sort_values("identity", ignore_index=True)


def _table(table: pa.Table) -> ScoreTable:
    identities = tuple(table["identity"].to_pylist())
    if len(set(identities)) != len(identities):
        raise ValueError("an identity occurs twice")
    details = [name for name in table.column_names if name.startswith(DETAIL)]
    abstained = table["abstained"].to_numpy()
    reasons = tuple(table[REASON].to_pylist()) if REASON in table.column_names else ()
    if problem := _unreasonable(reasons, abstained):
        raise ValueError(problem)
    return ScoreTable(
        identities=identities,
        scores=table["score"].to_numpy(),
        abstained=abstained,
        photos_used=table["photos_used"].to_numpy(),
        decisions=table["decision"].to_numpy() if "decision" in table.column_names else None,
        details={name.removeprefix(DETAIL): table[name].to_numpy() for name in details},
        reasons=reasons,
    )


def _unreasonable(reasons: Sequence[str], abstained: NDArray[np.bool_]) -> str:
    """What is wrong with the reasons; empty if they can be shown."""
    if len(given := set(reasons) - {""}) > MOST_REASONS:
        return f"it gives {len(given)} reasons; the limit is {MOST_REASONS}"
    if odd := sorted(reason for reason in given if not reason.isprintable() or reason != reason.strip()):
        return f"its reason {shortened(odd[0])!r} holds what cannot be printed"
    if any(reason and not none for reason, none in zip(reasons, abstained, strict=False)):
        return "it gives a reason for abstaining on somebody who has a score"
    return ""
