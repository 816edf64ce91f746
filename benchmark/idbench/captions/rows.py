"""Lists of pairs row by row, from TSV, CSV, JSON lines and parquet; a bad row is counted and is not an error."""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from idbench.captions.batches import ROWS, as_bytes, damaged, first_line, unpacked
from idbench.captions.tables import is_parquet
from idbench.errors import DataError
from idbench.storage import require_regular

_LINE_LIMIT = 1 << 20
_SAMPLE = 100
"""Lines that are looked at to find out which column is which."""
_QUOTED_LINES = 50
"""Lines over which a quoted cell may reach."""
_HEADINGS = 10
"""Lines that may stand before the first object of JSON lines."""
_SEPARATORS = (b",", b";")
_BOM = b"\xef\xbb\xbf"
_ADDRESS = re.compile(rb'[ "]*https?:/', re.IGNORECASE)
"""How a row begins that has no caption, or follows a quote that somebody forgot to close; no part of a caption does."""
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
T = TypeVar("T", str, bytes)


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


_Reader = Callable[["_Lines", Callable[[Start], Chosen], Counter[str]], Iterator[tuple[str, ...]]]


def read_rows(
    path: Path, choose: Callable[[Start], Chosen], dropped: Counter[str]
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Chosen cells of each row, and the share of the file that is read.

    Rows that cannot be read are passed over and counted; what the file is, its content shows and not its name. CSV
    needs a header: without one, nothing tells the commas that part cells from those within captions.

    Args:
        path: the table.
        choose: which cells are wanted, from how the table begins.
        dropped: gets the number of rows passed over, by reason.

    Raises:
        DamagedShard: the file is truncated.
        DataError: it is one JSON document.
    """
    require_regular(path)
    if is_parquet(path):
        yield from _parquet_rows(path, choose, dropped)
        return
    with path.open("rb") as raw:
        size = max(1, path.stat().st_size)
        try:
            lines = _Lines(unpacked(raw), dropped)
            for cells in _reader(path, lines)(lines, choose, dropped):
                yield cells, min(1.0, raw.tell() / size)
        except (EOFError, zlib.error, OSError) as error:
            raise damaged(path, first_line(error)) from error


def _reader(path: Path, lines: _Lines) -> _Reader:
    """What reads a file of text that begins with these lines."""
    beginning = [text for line in lines.look_ahead(_SAMPLE) if (text := line.removeprefix(_BOM).strip(b"\r\n "))]
    first = beginning[0] if beginning else b""
    if any(isinstance(_json(line), dict) for line in beginning[:_HEADINGS]):
        return _json_rows
    if b"\t" in first or 2 * sum(b"\t" in line for line in beginning) >= len(beginning):
        return _tsv_rows
    if first.startswith((b"[", b"{")):
        raise DataError(
            f"{path} is one JSON document.",
            hint="Write one object on each line: jq -c '.[]' for a list, jq -c . for objects. A list may also be TSV, "
            "each line a caption, a tab and a URL.",
        )
    return _csv_rows if any(sign in first for sign in _SEPARATORS) else _tsv_rows


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


def _json_rows(lines: _Lines, choose: Callable[[Start], Chosen], dropped: Counter[str]) -> Iterator[tuple[str, ...]]:
    """Rows of JSON lines, whose columns are the keys of the first objects; blank lines are passed over."""
    found = [fields for line in lines.look_ahead(_SAMPLE) if isinstance(fields := _json(line), dict)]
    names = list(dict.fromkeys(name.lower() for fields in found for name in fields))
    wanted = [names[place] for place in choose(Start(tuple(names), ())).columns]
    for line in iter(lines.next, b""):
        if not line.removeprefix(_BOM).strip():
            continue
        try:
            line.decode()
        except UnicodeDecodeError:
            dropped["not UTF-8"] += 1
            continue
        fields = _json(line)
        if isinstance(fields, dict):
            yield _texts({name.lower(): value for name, value in fields.items()}, wanted)
        else:
            dropped["not a JSON object"] += 1


def _json(line: bytes) -> object:
    """What a line of JSON says; None where it is something else."""
    try:
        return json.loads(line.removeprefix(_BOM).decode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _texts(fields: Mapping[str, Any], wanted: Sequence[str]) -> tuple[str, ...]:
    """Values as texts; halves of surrogate pairs, which JSON can write and UTF-8 cannot, as U+FFFD."""
    values = (fields.get(name) for name in wanted)
    return tuple("" if value is None else as_bytes(value).decode(errors="replace") for value in values)


def _csv_rows(lines: _Lines, choose: Callable[[Start], Chosen], dropped: Counter[str]) -> Iterator[tuple[str, ...]]:
    """Rows of CSV with a header. One of another width has a comma without quotes, which would cut its caption short."""
    (first,) = lines.look_ahead(1)
    separator = max(_SEPARATORS, key=first.count)
    names = tuple(cell.strip().lower() for cell in _csv_cells(first, separator, Counter()))
    chosen = choose(Start(names, ()))
    lines.next()
    for row in _whole_captions(_csv_lines(lines, separator, len(names), dropped), chosen, len(names), dropped):
        yield tuple(row[place] for place in chosen.columns)


def _csv_lines(lines: _Lines, separator: bytes, width: int, dropped: Counter[str]) -> Iterator[Sequence[str] | None]:
    """The cells of each row that has as many as the header; None for a line that may be a piece of one."""
    for line in iter(lines.next, b""):
        if not line.strip():
            dropped["without any text"] += 1
            continue
        whole: bytes | None = line
        if _csv_open(line, separator):
            place = len(_csv_cells(line, separator, Counter())) - 1
            whole = lines.closed(line, partial(_csv_ends, separator=separator, width=width, place=place))
        if whole is None:
            dropped["with a quote that is never closed"] += 1
            continue
        row = _csv_cells(whole, separator, dropped)
        if row and len(row) != width:
            dropped["with more or fewer columns than the first line"] += 1
            if len(row) < width and not _ADDRESS.match(line):
                yield None
        elif row:
            yield row


def _csv_cells(line: bytes, separator: bytes, dropped: Counter[str]) -> list[str]:
    """The cells of a row; none where it cannot be read, which is counted."""
    try:
        text = line.removeprefix(_BOM).rstrip(b"\r\n").decode()
        return next(csv.reader([text], delimiter=separator.decode()))
    except UnicodeDecodeError:
        dropped["not UTF-8"] += 1
    except csv.Error:
        dropped[f"with a cell longer than {csv.field_size_limit() >> 10} KiB"] += 1
    return []


def _csv_open(line: bytes, separator: bytes) -> bool:
    """Whether a quoted cell begins here and does not end."""
    try:
        if b'"' in line:
            _strictly(line, separator)
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _csv_ends(text: bytes, separator: bytes, width: int, place: int) -> bool | None:
    """Whether lines together are one row; None where the quoted cell goes on.

    Quotes that somebody forgot to close must not swallow rows, which show by the address in each.

    Args:
        text: the lines.
        separator: what parts cells.
        width: cells of a row.
        place: of the quoted cell.
    """
    try:
        cells, goes_on = _strictly(text, separator), False
    except csv.Error as error:
        if "unexpected end of data" not in str(error):
            return False
        cells, goes_on = next(csv.reader([text.decode("latin-1")], delimiter=separator.decode())), True
    parts = cells[place].encode("latin-1").replace(separator, b"\n").splitlines()
    if any(map(_ADDRESS.match, parts)):
        return False
    return None if goes_on else len(cells) == width


def _strictly(text: bytes, separator: bytes) -> list[str]:
    return next(csv.reader([text.decode("latin-1")], delimiter=separator.decode(), strict=True))


def _tsv_rows(lines: _Lines, choose: Callable[[Start], Chosen], dropped: Counter[str]) -> Iterator[tuple[str, ...]]:
    first = lines.look_ahead(_SAMPLE)
    cells = tuple(tuple(cell.decode("utf-8-sig", "replace").strip() for cell in _cells(line)) for line in first)
    chosen = choose(Start((), cells))
    for _ in range(chosen.skip):
        lines.next()
    width = max(chosen.columns) + 1
    columns = max(width, Counter(map(len, cells)).most_common(1)[0][0]) if cells else width
    for row in _whole_captions(_tsv_lines(lines, width, columns, dropped), chosen, columns, dropped):
        if (texts := _decoded([row[place] for place in chosen.columns], dropped)) is not None:
            yield texts


def _tsv_lines(lines: _Lines, width: int, columns: int, dropped: Counter[str]) -> Iterator[Sequence[bytes] | None]:
    """The cells of each row that has enough of them; None for a line that may be a piece of one."""
    while line := lines.next():
        row = _cells(line)
        if _is_open(row[-1]):
            ends = partial(_tsv_ends, place=len(row) - 1, fewest=width, most=columns)
            row = _cells(lines.closed(line, ends) or line)
        if len(row) >= width:
            yield row
        elif not line.strip():
            dropped["without any text"] += 1
        else:
            dropped["with too few columns"] += 1
            if not _ADDRESS.match(line):
                yield None


def _tsv_ends(text: bytes, place: int, fewest: int, most: int) -> bool | None:
    """Whether lines together are one row with a quoted cell at a place; None where the cell goes on."""
    cells = _cells(text)
    if len(cells) == place + 1 and _is_open(cells[place]):
        return False if any(map(_ADDRESS.match, cells[place].splitlines())) else None
    return fewest <= len(cells) <= most and bool(_QUOTED.fullmatch(cells[place]))


def _whole_captions(
    rows: Iterator[Sequence[T] | None], chosen: Chosen, columns: int, dropped: Counter[str]
) -> Iterator[Sequence[T]]:
    """Rows whose captions are whole as far as anybody can tell; the others are counted.

    A line's end within a caption that nothing quotes leaves a line with too few columns: before the row where captions
    come first, after it where they come last. What names the person may stand there.

    Args:
        rows: cells of each row; None for such a line.
        chosen: the caption is the first of the wanted cells.
        columns: cells of a row.
        dropped: gets the number of rows passed over, by reason.
    """
    caption, held = chosen.columns[0], None
    begun = piece = False
    for row in rows:
        if held is not None and row is None and caption == columns - 1:
            dropped["whose caption may continue on the next line"] += 1
        elif held is not None:
            yield held
        held = row
        if row is not None and piece and caption == 0 and row[0].strip():
            dropped["whose caption may begin on the line before"] += 1
            held = None
        begun, piece = True, begun and row is None
    if held is not None:
        yield held


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

    def closed(self, line: bytes, ends: Callable[[bytes], bool | None]) -> bytes | None:
        """A line and those after it that belong to it, which are taken; None if they make no row.

        Args:
            line: begins a quoted cell that reaches over its end.
            ends: whether lines together are a row, or None as long as more must be looked at.
        """
        whole = line
        for count in range(1, _QUOTED_LINES + 1):
            ahead = self.look_ahead(count)
            if len(ahead) < count:
                return None
            whole = whole.rstrip(b"\r\n") + b"\n" + ahead[-1]
            ended = ends(whole)
            if ended:
                for _ in range(count):
                    self._waiting.popleft()
                return whole.rstrip(b"\r\n").replace(b"\n", b" ")
            if ended is not None:
                return None
        return None

    def _read(self) -> bytes:
        while len(line := self._file.readline(_LINE_LIMIT)) == _LINE_LIMIT and not line.endswith(b"\n"):
            self._dropped[f"in a line longer than {_LINE_LIMIT >> 20} MiB"] += 1
            while (line := self._file.readline(_LINE_LIMIT)) and not line.endswith(b"\n"):
                pass
        return line


def _is_open(cell: bytes) -> bool:
    """Whether a quoted cell begins here and does not end."""
    return cell.startswith(b'"') and cell.count(b'"') % 2 == 1
