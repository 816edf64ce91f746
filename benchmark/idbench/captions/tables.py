"""Tables of captions: parquet, and lists of pairs row by row, from TSV files, packed or not, and from parquet."""

from __future__ import annotations

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
    ReadOptions,
    as_text,
    damaged,
    first_line,
    unpacked,
)
from idbench.errors import DataError
from idbench.storage import require_regular

_LINE_LIMIT = 1 << 20
_PARQUET = b"PAR1"
_SAMPLE = 100
"""Lines that are looked at to find out which column is which."""
_QUOTED_LINES = 50
"""Lines over which a quoted cell may reach."""


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
    """Chosen cells of each row, and the share of the file that is read: of a TSV file, packed or not, or of parquet.

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
            for cells in _tsv_rows(unpacked(raw), choose, dropped):
                yield cells, min(1.0, raw.tell() / size)
        except (EOFError, zlib.error, OSError) as error:
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
