"""Captions from parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from idbench.captions.batches import (
    CAPTION_NAMES,
    ROWS,
    CaptionBatch,
    ReadOptions,
    as_text,
    damaged,
    first_line,
)
from idbench.errors import DataError
from idbench.storage import require_regular

_PARQUET = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Whether a file is parquet by its first bytes; not one that cannot be opened, which its reader will say."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False


def read_parquet(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of the caption column.

    Raises:
        DamagedShard: the file is truncated or not a parquet file.
        DataError: it has no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        require_regular(path)
        with pq.ParquetFile(path, memory_map=False) as file:
            column = _parquet_column(path, file.schema_arrow, options)
            first, total = 1, file.metadata.num_rows
            for batch in file.iter_batches(ROWS, columns=[column], use_threads=False):
                texts, repaired = as_text(batch.column(0), path, first, options)
                first += len(texts)
                yield CaptionBatch(first - len(texts), texts, repaired, (first - 1) / max(1, total))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, first_line(error)) from error


_TEXTS = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
"""Arrow's types that may hold captions."""


def _parquet_column(path: Path, schema: object, options: ReadOptions) -> str:
    import pyarrow as pa

    assert isinstance(schema, pa.Schema)
    kinds = pa.types
    texts: list[str] = [
        field.name
        for field in schema
        for kind in (field.type.value_type if kinds.is_dictionary(field.type) else field.type,)
        if str(kind) in _TEXTS
    ]
    if options.column is not None:
        if options.column in texts:
            return options.column
        raise DataError(
            f"{path} has no text column {options.column!r}.", hint=f"Text columns: {', '.join(texts) or 'none'}."
        )
    for wanted in CAPTION_NAMES:
        for name in texts:
            if name.lower() == wanted:
                return name
    raise DataError(
        f"{path} has no column that is known to hold captions.",
        hint=f"Name it with --column; text columns: {', '.join(texts) or 'none'}.",
    )
