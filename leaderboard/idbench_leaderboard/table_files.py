"""The tables of a board as parquet files: one type of row each, its fields the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from idbench_leaderboard.rows import (
    BinRow,
    CurveRow,
    EntryRow,
    HistogramRow,
    JointRow,
    PersonRow,
    PoolRow,
    RankRow,
    RateRow,
    RunRow,
)

KINDS: Final[Mapping[str, type[Any]]] = {
    "entries": EntryRow,
    "rates": RateRow,
    "bins": BinRow,
    "curves": CurveRow,
    "histograms": HistogramRow,
    "joint": JointRow,
    "runs": RunRow,
    "pools": PoolRow,
    "people": PersonRow,
}
"""The tables that are written once everything is measured; `RankFile` writes the ranks."""

ROWS_READ_TOGETHER: Final = 100_000
"""Rows in one piece of a file."""
LISTS_READ_TOGETHER: Final = 1000
"""The same of rows that hold lists, which take much more memory."""
RUNS_READ_TOGETHER: Final = 256
"""Runs whose ranks are in one piece of the file: those of a board lie together, so that a page reads what it needs."""
RANKS_READ_TOGETHER: Final = 1 << 20
"""Single ranks in such a piece, where there are very many people."""


def frame_of(rows: Sequence[Any], kind: type[Any]) -> pd.DataFrame:
    """Rows of one type as a table."""
    names = [each.name for each in fields(kind)]
    return pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names}, columns=names)


def write_table(path: Path, name: str, frame: pd.DataFrame) -> None:
    """Write one of `KINDS`, or the samples."""
    schema = _SAMPLES if name == "samples" else schema_of(KINDS[name])
    at_once = LISTS_READ_TOGETHER if any(pa.types.is_list(each) for each in schema.types) else ROWS_READ_TOGETHER
    with _writer(path, schema) as writer:
        for begin in range(0, max(1, len(frame)), at_once):
            part = frame.iloc[begin : begin + at_once]
            arrays = [pa.array(part[column.name].tolist(), column.type, from_pandas=True) for column in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=at_once)
    pa.default_memory_pool().release_unused()  # else it keeps what the largest table took


class RankFile:
    """The ranks of everybody in every run, written while boards are measured: together they may not fit memory."""

    def __init__(self, path: Path) -> None:
        """Begin the file."""
        self._writer = _writer(path, schema_of(RankRow))
        self._waiting: list[RankRow] = []

    def add(self, rows: Sequence[RankRow]) -> None:
        """Take the ranks of a board."""
        self._waiting += rows
        while self._waiting and len(self._waiting) >= (size := self._group()):
            self._write(self._waiting[:size])
            del self._waiting[:size]

    def _group(self) -> int:
        people = max(row.ranks.size for row in self._waiting)
        return max(1, min(RUNS_READ_TOGETHER, RANKS_READ_TOGETHER // people))

    def _write(self, rows: Sequence[RankRow]) -> None:
        schema = self._writer.schema
        words = [pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in schema.names[:-1]]
        lists = _lists([row.ranks for row in rows])
        self._writer.write_table(pa.Table.from_arrays([*words, lists], schema=schema))

    def __enter__(self) -> Self:
        """Ranks may be added."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what waits, and end the file."""
        with self._writer:
            if self._waiting:
                self._write(self._waiting)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    words = [column.name for column in schema if column.type == pa.string()]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=words)


def _lists(rows: Sequence[NDArray[np.int32]]) -> pa.ListArray:
    ends = np.cumsum([0, *(each.size for each in rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(rows)))


_TYPES: Final = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "float | None": pa.float64(),
    "NDArray[np.float64]": pa.list_(pa.float64()),
    "NDArray[np.int32]": pa.list_(pa.int32()),
}
_SAMPLES: Final = pa.schema(
    [("split", pa.string()), ("split_version", pa.int64()), ("data", pa.binary()), ("caption", pa.string())]
)


def schema_of(kind: type[Any]) -> pa.Schema:
    """The columns of a type of row."""
    return pa.schema([(each.name, _TYPES[str(each.type)]) for each in fields(kind)])
