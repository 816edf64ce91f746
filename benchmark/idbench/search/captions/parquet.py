"""Captions from a column of a parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from idbench.errors import DataError
from idbench.search.captions.batch import CAPTION_NAMES, ROWS, Batch, ReadOptions, as_text, damaged, first_line


def read_parquet(path: Path, options: ReadOptions) -> Iterator[Batch]:
    """Batches of the caption column.

    Raises:
        DamagedShard: the file is truncated or no parquet file.
        DataError: it has no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            column = _column(path, file.schema_arrow, options)
            first, total = 1, file.metadata.num_rows
            for batch in file.iter_batches(ROWS, columns=[column], use_threads=False):
                texts, repaired = as_text(batch.column(0), path, first, options)
                first += len(texts)
                yield Batch(first - len(texts), texts, repaired, (first - 1) / max(1, total))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, first_line(error)) from error


def _column(path: Path, schema: object, options: ReadOptions) -> str:
    import pyarrow as pa

    assert isinstance(schema, pa.Schema)
    kinds = pa.types
    texts: list[str] = [
        field.name
        for field in schema
        for kind in (field.type.value_type if kinds.is_dictionary(field.type) else field.type,)
        if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_binary(kind)
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
