"""Captions from a column of a tab-separated file, plain or gzipped, with or without a header."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idbench.errors import DataError
from idbench.search.captions.batch import CAPTION_NAMES, Batch, ReadOptions, as_text, damaged, first_line

_BLOCK = 4 << 20
"""Bytes that are parsed at once; no line may be longer."""

_LINE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[str, ...]
    caption: str
    header: bool


def read_tsv(path: Path, options: ReadOptions) -> Iterator[Batch]:
    """Batches of the caption column. Quotes have no meaning: a line is a row, a tab ends a field.

    Raises:
        DamagedShard: a truncated gzip file, or a row with another number of columns.
        DataError: the file is empty or has no such column.
    """
    import pyarrow as pa

    try:
        size, layout = max(1, path.stat().st_size), _layout(path, options)
        with path.open("rb") as raw:
            source: Any = _opened(path, raw)
            first = 1
            for batch in _parse(source, layout):
                texts, repaired = as_text(batch.column(0), path, first, options)
                first += len(texts)
                yield Batch(first - len(texts), texts, repaired, min(1.0, raw.tell() / size))
    except pa.ArrowInvalid as error:
        raise damaged(path, _plain(first_line(error))) from error
    except (EOFError, zlib.error, OSError) as error:
        raise damaged(path, first_line(error)) from error


def _parse(source: Any, layout: _Layout) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv

    yield from csv.open_csv(
        source,
        read_options=csv.ReadOptions(
            column_names=list(layout.columns), skip_rows=int(layout.header), block_size=_BLOCK, use_threads=False
        ),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(
            include_columns=[layout.caption], column_types={layout.caption: pa.binary()}, strings_can_be_null=False
        ),
    )


def _opened(path: Path, raw: Any) -> Any:
    return gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw


def _layout(path: Path, options: ReadOptions) -> _Layout:
    """What the first line says about columns."""
    with path.open("rb") as raw:
        line = _opened(path, raw).readline(_LINE_LIMIT)
    if not line.strip():
        raise damaged(path, "it is empty")
    fields = line.decode("utf-8-sig", errors="replace").rstrip("\r\n").split("\t")
    known = [name for name in CAPTION_NAMES if name in [field.lower() for field in fields]]
    header = options.header if options.header is not None else _looks_like_header(fields, options.column)
    columns = tuple(fields) if header else tuple(str(number) for number in range(1, len(fields) + 1))
    if len(set(columns)) < len(columns):
        raise DataError(f"{path} names a column twice in its header.", hint="Repair the header, or pass --no-header.")
    if options.column is not None:
        if options.column not in columns:
            raise DataError(
                f"{path} has no column {options.column!r}.",
                hint=f"Columns: {', '.join(columns)}. Without a header they are counted from 1.",
            )
        return _Layout(columns, options.column, header)
    if header:
        if not known:
            raise DataError(
                f"{path} has no column that is known to hold captions.",
                hint=f"Name it with --column, or pass --no-header; columns: {', '.join(columns)}.",
            )
        return _Layout(columns, next(name for name in columns if name.lower() == known[0]), True)
    texts = [column for column, value in zip(columns, fields, strict=True) if "://" not in value]
    if len(texts) > 1:
        texts = [column for column, value in zip(columns, fields, strict=True) if column in texts and _is_text(value)]
    if len(texts) != 1:
        how_many = "several columns of its first line look" if texts else "no column of its first line looks"
        raise DataError(
            f"{path}: {how_many} like a caption.", hint="Name it with --column, e.g. --column 2 for the second."
        )
    return _Layout(columns, texts[0], False)


def _is_text(value: str) -> bool:
    """Whether a field is more than a number, such as an id or a picture's width."""
    try:
        float(value)
    except ValueError:
        return bool(value.strip())
    return False


def _looks_like_header(fields: list[str], column: str | None) -> bool:
    """Whether a first line names columns. Lists of pairs without header, like CC3M's, show an address in it."""
    if column is not None and not column.isdigit():
        return True
    known = any(field.lower() in CAPTION_NAMES for field in fields)
    return known or (column is None and len(fields) > 1 and not any("://" in field for field in fields))


def _plain(reason: str) -> str:
    """What the parser says, without the row's content: a row may be megabytes."""
    said = reason.removeprefix("CSV parse error: ")
    return said if len(said) < 160 else f"{said[:160]}..."
