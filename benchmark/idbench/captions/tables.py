"""Tables of captions: TSV, plain or gzipped, and parquet; strictly as a corpus, or row by row as a list of pairs."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from idbench.captions.batches import (
    CAPTION_NAMES,
    ROWS,
    CaptionBatch,
    DamagedShard,
    ReadOptions,
    as_text,
    damaged,
    first_line,
)
from idbench.errors import DataError
from idbench.storage import require_regular

BLOCK = 4 << 20
"""Bytes that are parsed at once; no line may be longer."""

_LINE_LIMIT = 1 << 20
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE = 100
"""Lines that are looked at to find out which column is which."""
_QUOTED_LINES = 50
"""Lines over which a quoted cell may reach."""


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[str, ...]
    caption: str
    header: bool


def read_tsv(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of the caption column. Quotes have no meaning: a line is a row, a tab ends a field.

    Raises:
        DamagedShard: a truncated gzip file, or a row with another number of columns.
        DataError: the file is empty or has no such column.
    """
    import pyarrow as pa

    try:
        require_regular(path)
        size, layout = max(1, path.stat().st_size), _layout(path, options)
        with path.open("rb") as raw:
            first = 1
            for batch in _parse(_LineFeeds(_opened(raw)), layout):
                texts, repaired = as_text(batch.column(0), path, first, options)
                first += len(texts)
                yield CaptionBatch(first - len(texts), texts, repaired, min(1.0, raw.tell() / size))
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
            column_names=list(layout.columns), skip_rows=int(layout.header), block_size=BLOCK, use_threads=False
        ),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(
            include_columns=[layout.caption], column_types={layout.caption: pa.binary()}, strings_can_be_null=False
        ),
    )


class _LineFeeds(io.RawIOBase):
    """A file whose lines end as everywhere here, at a line feed: carriage returns within them are spaces to the parser.

    Args:
        file: opened for reading bytes.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._held = b""

    def readable(self) -> bool:
        """Always true: pyarrow asks."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, `size` at most; empty at the end."""
        fresh: bytes = self._file.read(size if size < 0 else max(1, size - len(self._held)))
        block, self._held = self._held + fresh, b""
        if fresh and block.endswith(b"\r"):  # the line feed that belongs to it may come next
            block, self._held = block[:-1], b"\r"
            if not block:
                return self.read(size)
        return block.replace(b"\r\n", b"\n").replace(b"\r", b" ") if b"\r" in block else block


def _opened(raw: Any) -> Any:
    """A file's content, unpacked where its first bytes say that it is packed, whatever it is called."""
    return gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw


def is_parquet(path: Path) -> bool:
    """Whether a file is parquet by its first bytes; not one that cannot be opened, which its reader will say."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False


def _layout(path: Path, options: ReadOptions) -> _Layout:
    """What the first line says about columns."""
    with path.open("rb") as raw:
        line = _opened(raw).readline(BLOCK)
    if not line.strip():
        raise damaged(path, "it is empty")
    if len(line) == BLOCK:
        raise damaged(path, f"its first line is longer than {BLOCK >> 20} MiB")
    if line.startswith(_UTF_16):
        raise DamagedShard(
            f"{path} is UTF-16.", hint="Convert it: iconv -f UTF-16 -t UTF-8. --skip-damaged leaves it out."
        )
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
    short = reason.removeprefix("CSV parse error: ")
    return short if len(short) < 160 else f"{short[:160]}..."


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


@dataclass(frozen=True, slots=True)
class Start:
    """How a table begins.

    Args:
        header: names of the columns in small letters, where the format has them; else empty.
        rows: cells of the first lines, bytes that are not UTF-8 as U+FFFD.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which cells of a table are wanted.

    Args:
        columns: their places, counted from 0.
        skip: lines before the first row, a header for example.
    """

    columns: tuple[int, ...]
    skip: int = 0


def read_rows(
    path: Path, choose: Callable[[Start], Chosen], dropped: Counter[str]
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Chosen cells of each row, and the share of the file that is read: of a TSV file, gzipped or not, or of parquet.

    Rows that cannot be read are passed over and counted; what the file is shows its first bytes, not its name.

    Args:
        path: the table.
        choose: which cells are wanted, from how the table begins.
        dropped: gets the number of rows passed over, by reason.

    Raises:
        DamagedShard: the file is truncated.
    """
    require_regular(path)
    with path.open("rb") as raw:
        if raw.read(4) == _PARQUET:
            yield from _parquet_rows(path, choose, dropped)
            return
        raw.seek(0)
        size = max(1, path.stat().st_size)
        try:
            for cells in _tsv_rows(_opened(raw), choose, dropped):
                yield cells, min(1.0, raw.tell() / size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise damaged(path, first_line(error)) from error


def _parquet_rows(
    path: Path, choose: Callable[[Start], Chosen], dropped: Counter[str]
) -> Iterator[tuple[tuple[str, ...], float]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            names = file.schema_arrow.names
            wanted = [names[place] for place in choose(Start(tuple(name.lower() for name in names), ())).columns]
            done, total = 0, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(ROWS, columns=wanted, use_threads=False):
                done += batch.num_rows
                for cells in zip(*(_binary(batch.column(name)) for name in wanted), strict=True):
                    if (texts := _decoded(cells, dropped)) is not None:
                        yield texts, done / total
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, first_line(error)) from error


def _binary(column: Any) -> list[bytes]:
    """Cells of a column as bytes; missing ones are empty."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = pa.types
    if not (kinds.is_binary(column.type) or kinds.is_large_binary(column.type)):
        column = column.cast(pa.large_string())
    found: list[bytes] = column.cast(pa.large_binary()).fill_null(b"").to_pylist()
    return found


def _tsv_rows(file: Any, choose: Callable[[Start], Chosen], dropped: Counter[str]) -> Iterator[tuple[str, ...]]:
    lines = _Lines(file, dropped)
    first = lines.look_ahead(_SAMPLE)
    cells = tuple(tuple(cell.decode("utf-8-sig", "replace").strip() for cell in _cells(line)) for line in first)
    chosen = choose(Start((), cells))
    for _ in range(chosen.skip):
        lines.next()
    width, fragment, begun = max(chosen.columns) + 1, False, False
    columns = max(width, Counter(map(len, cells)).most_common(1)[0][0]) if cells else width
    while line := lines.next():
        if len(row := _cells(line)) < width:
            row = _cells(lines.joined(line, width, columns))
        if len(row) < width:
            dropped["with too few columns" if line.strip() else "without any text"] += 1
            fragment = begun and bool(line.strip())
        elif fragment and chosen.columns[0] == 0 and row[0].strip():
            # A line's end within a caption that is not quoted: what names the person may stand on the line before.
            dropped["whose caption may begin on the line before"] += 1
            fragment = False
        else:
            fragment = False
            if (texts := _decoded([row[place] for place in chosen.columns], dropped)) is not None:
                yield texts
        begun = True


def _decoded(cells: Sequence[bytes], dropped: Counter[str]) -> tuple[str, ...] | None:
    try:
        return tuple(_unquoted(cell.decode("utf-8-sig")) for cell in cells)
    except UnicodeDecodeError:
        dropped["not UTF-8"] += 1
        return None


def _cells(line: bytes) -> list[bytes]:
    return line.rstrip(b"\r\n").split(b"\t")


def _unquoted(cell: str) -> str:
    """A cell without the quotes that writers of CSV put around it."""
    inside = cell[1:-1].replace('""', "")
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside:
        return cell[1:-1].replace('""', '"')
    return cell


class _Lines:
    """Lines of a file that can be looked at before they are taken; those that are too long are counted and left out."""

    def __init__(self, file: IO[bytes], dropped: Counter[str]) -> None:
        self._file, self._dropped = file, dropped
        self._waiting: deque[bytes] = deque()

    def next(self) -> bytes:
        """The next line with its end; empty after the last one."""
        return self._waiting.popleft() if self._waiting else self._read()

    def look_ahead(self, count: int) -> list[bytes]:
        """The next lines, which are not taken: fewer at the end of the file."""
        while len(self._waiting) < count and (line := self._read()):
            self._waiting.append(line)
        return list(self._waiting)[:count]

    def joined(self, line: bytes, fewest: int, most: int) -> bytes:
        """A line with those after it that belong to it, where a quoted cell reaches over its end; else the line alone.

        Only if that gives the row its columns: quotes that somebody forgot to close must not swallow rows.
        """
        if not any(_is_open(cell) for cell in _cells(line)):
            return line
        whole = line
        for count, more in enumerate(self.look_ahead(_QUOTED_LINES), start=1):
            whole = whole.rstrip(b"\r\n") + b" " + more
            cells = _cells(whole)
            if len(cells) > most:
                break
            if len(cells) >= fewest and not any(map(_is_open, cells)):
                for _ in range(count):
                    self._waiting.popleft()
                return whole
        return line

    def _read(self) -> bytes:
        while len(line := self._file.readline(_LINE_LIMIT)) == _LINE_LIMIT and not line.endswith(b"\n"):
            self._dropped[f"in a line longer than {_LINE_LIMIT >> 20} MiB"] += 1
            while (line := self._file.readline(_LINE_LIMIT)) and not line.endswith(b"\n"):
                pass
        return line


def _is_open(cell: bytes) -> bool:
    """Whether a quoted cell begins here and does not end."""
    return cell.startswith(b'"') and cell.count(b'"') % 2 == 1
