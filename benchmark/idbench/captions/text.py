"""Captions from text: TSV, CSV and JSON lines, packed or not; one row that is wrong makes the file damaged."""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from idbench.captions.batches import (
    CAPTION_NAMES,
    ROWS,
    CaptionBatch,
    DamagedShard,
    ReadOptions,
    as_bytes,
    as_text,
    damaged,
    first_line,
    is_packed,
    unpacked,
)
from idbench.errors import DataError
from idbench.storage import require_regular

BLOCK = 4 << 20
"""Bytes that are parsed at once; no line may be longer."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_LOOKED_AT = 4096
"""Bytes at the beginning of a file that show whether it is text."""
_CONTROLS = bytes(sign for sign in range(32) if sign not in b"\t\n\v\f\r\x0e\x0f\x1b")
"""Bytes that text in any encoding of one to four bytes a letter has none of, but for stray ones within captions."""
_SEPARATORS = (",", ";", "\t")
"""What parts the cells of files that are called CSV; of those that part the first line, the one with most cells."""


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: tuple[str, ...]
    caption: str
    header: bool


def read_tsv(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of the caption column. Quotes have no meaning: a line is a row, a tab ends a field.

    Raises:
        DamagedShard: a truncated packed file, or a row with another number of columns.
        DataError: the file is empty or has no such column.
    """
    with _damage_named(path):
        fields = _first_line(path).rstrip("\r\n").split("\t")
        size, layout = max(1, path.stat().st_size), _layout(path, fields, options)
        with path.open("rb") as raw:
            first = 1
            for batch in _parse(_LineFeeds(unpacked(raw)), layout):
                texts, repaired = as_text(batch.column(0), path, first, options)
                first += len(texts)
                yield CaptionBatch(first - len(texts), texts, repaired, min(1.0, raw.tell() / size))


def read_csv(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of the caption column; commas, semicolons or tabs end a field, quotes hold one together, lines too.

    Raises:
        DamagedShard: as `read_tsv`; or a quote that nothing closes.
        DataError: the file is empty or has no such column.
    """
    with _damage_named(path):
        line = _first_line(path)
        ways = [(separator, _cells(line, separator)) for separator in _SEPARATORS]
        separator, fields = max(ways, key=lambda way: len(way[1]))
        layout = _layout(path, fields, options)
        with path.open("rb") as raw:
            yield from _batches(path, _csv_cells(path, unpacked(raw), layout, separator), raw, options)


def read_json_lines(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of captions, one for each line, which is an object; empty where it has none. Blank lines are passed over.

    Without `column` a line's caption is under the first of the known keys that has one.

    Raises:
        DamagedShard: a truncated packed file, or a line that is not a JSON object or has no text as its caption.
        DataError: the file is empty, or no line has such a key.
    """
    with _damage_named(path), path.open("rb") as raw:
        yield from _batches(path, _json_captions(path, unpacked(raw), options), raw, options)


def _batches(path: Path, captions: Iterator[bytes], raw: Any, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Captions as they come, in batches; `raw` shows how much of the file they took."""
    import pyarrow as pa

    size, first = max(1, path.stat().st_size), 1
    while waiting := list(islice(captions, ROWS)):
        texts, repaired = as_text(pa.array(waiting, pa.binary()), path, first, options)
        yield CaptionBatch(first, texts, repaired, min(1.0, raw.tell() / size))
        first += len(waiting)


def _csv_cells(path: Path, file: Any, layout: _Layout, separator: str) -> Iterator[bytes]:
    """The caption of each row; pyarrow's parser would take all that follows an open quote for one cell."""
    rows = csv.reader(_lines(path, file), delimiter=separator, strict=True)
    place, columns = layout.columns.index(layout.caption), len(layout.columns)
    try:
        for _ in range(layout.header):
            next(rows)
        for row in filter(None, rows):
            if len(row) != columns:
                expected = f"expected {columns} columns, got {len(row)}"
                raise damaged(path, f"row up to line {rows.line_num}: {expected}; quotes hold a cell together")
            yield row[place].encode(errors="surrogateescape")
    except csv.Error as error:
        reason = next((plain for start, plain in _CSV_ERRORS.items() if start in str(error)), str(error))
        raise damaged(path, f"row up to line {rows.line_num}: {reason}") from error


_CSV_ERRORS = {
    "unexpected end of data": "a quote that opens a cell is never closed",
    "expected after": "something follows the closing quote of a cell; a quote within a cell is written twice",
    "field larger than field limit": "a cell has more than 128 KiB, a closing quote may be missing",
}
"""What the parser says, in words for who looks at the file."""


def _lines(path: Path, file: Any) -> Iterator[str]:
    """Lines that end as everywhere here, at a line feed; bytes that are not UTF-8 as surrogates."""
    for number, line in enumerate(iter(lambda: file.readline(BLOCK), b""), start=1):
        if len(line) == BLOCK:
            raise damaged(path, f"its line {number} is longer than {BLOCK >> 20} MiB")
        text = (line.removeprefix(_BOM) if number == 1 else line).decode(errors="surrogateescape")
        yield text.replace("\r\n", "\n").replace("\r", " ") if "\r" in text else text


def is_json_lines(path: Path) -> bool:
    """Whether a file called JSON begins with a line that is an object with a caption, or with two that are objects."""
    try:
        require_regular(path)
        with path.open("rb") as raw:
            lines = (line.decode("utf-8-sig", "replace") for _, line in _written(unpacked(raw)))
            first, second = next(lines, ""), next(lines, "")
        fields = json.loads(first)
        known = isinstance(fields, dict) and any(name.lower() in CAPTION_NAMES for name in fields)
        return known or (isinstance(fields, dict) and isinstance(json.loads(second), dict))
    except (ValueError, RecursionError, EOFError, zlib.error, OSError):
        return False


def _json_captions(path: Path, file: Any, options: ReadOptions) -> Iterator[bytes]:
    """The caption of each line that is not blank."""
    wanted = CAPTION_NAMES if options.column is None else (options.column,)
    seen, keys = False, list[str]()
    _require_text(path, file)
    for number, line in _written(file):
        if len(line) == BLOCK:
            raise damaged(path, f"its line {number} is longer than {BLOCK >> 20} MiB")
        fields = _fields(path, number, line, options, first=not keys)
        keys = keys or list(fields)
        found = fields if options.column is not None else {name.lower(): value for name, value in fields.items()}
        seen = seen or any(name in found for name in wanted)
        value = next((found[name] for name in wanted if found.get(name) is not None), "")
        if isinstance(value, dict):
            raise damaged(path, f"the caption on its line {number} is an object, not a text")
        yield as_bytes(value)
    if not keys:
        raise damaged(path, "it is empty")
    if not seen:
        lacks = "no key that is known to hold captions" if options.column is None else f"no key {options.column!r}"
        raise DataError(f"{path} has {lacks}.", hint=f"Name it with --column; keys: {', '.join(keys) or 'none'}.")


def _written(file: Any) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, each with its number in the file, from 1."""
    for number, line in enumerate(iter(lambda: file.readline(BLOCK), b""), start=1):
        if line.removeprefix(_BOM).strip():
            yield number, line


def _fields(path: Path, number: int, line: bytes, options: ReadOptions, *, first: bool) -> dict[str, Any]:
    text = line.removeprefix(_BOM)
    try:
        fields = json.loads(text.decode(errors="replace" if options.replace_invalid else "strict"))
    except UnicodeDecodeError as error:
        raise DamagedShard(
            f"{path}, line {number} is not UTF-8.",
            hint="Convert the file, or pass --replace-invalid, or --skip-damaged to leave the file out.",
        ) from error
    except (ValueError, RecursionError) as error:
        if first and text.lstrip()[:1] in (b"[", b"{"):
            raise DataError(
                f"{path} is not JSON lines: an object does not end on the line on which it begins.",
                hint="Write one object on each line: jq -c '.[]' for a list, jq -c . for objects.",
            ) from error
        raise damaged(path, f"its line {number} is not JSON") from error
    if isinstance(fields, dict):
        return fields
    if isinstance(fields, list):
        raise DataError(f"{path}, line {number} is a list.", hint="Write one object on each line: jq -c '.[]'.")
    raise damaged(path, f"its line {number} is not a JSON object")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        require_regular(path)
        yield
    except pa.ArrowInvalid as error:
        raise damaged(path, _plain(first_line(error))) from error
    except (EOFError, zlib.error, OSError) as error:
        raise damaged(path, first_line(error)) from error


def _parse(source: Any, layout: _Layout) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    yield from arrow.open_csv(
        source,
        read_options=arrow.ReadOptions(
            column_names=list(layout.columns), skip_rows=int(layout.header), block_size=BLOCK, use_threads=False
        ),
        parse_options=arrow.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=arrow.ConvertOptions(
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


def _first_line(path: Path) -> str:
    """The first line, without a byte-order mark; what is not UTF-8 in it is U+FFFD."""
    with path.open("rb") as raw:
        file = unpacked(raw)
        _require_text(path, file)
        line = file.readline(BLOCK)
    if not line.removeprefix(_BOM).strip():
        raise damaged(path, "it is empty" if not line else "its first line is empty")
    if len(line) == BLOCK:
        raise damaged(path, f"its first line is longer than {BLOCK >> 20} MiB")
    text: str = line.decode("utf-8-sig", errors="replace")
    return text


def _require_text(path: Path, file: Any) -> None:
    """Refuse a file, opened by `unpacked` and not read from yet, that does not begin like text."""
    beginning = file.peek(_LOOKED_AT)[:_LOOKED_AT]
    if beginning.startswith(_UTF_16):
        raise DamagedShard(
            f"{path} is UTF-16.", hint="Convert it: iconv -f UTF-16 -t UTF-8. --skip-damaged leaves it out."
        )
    controls = len(beginning) - len(beginning.translate(None, _CONTROLS))
    if controls > max(1, len(beginning) // 50):
        raise DamagedShard(
            f"{path} is not text, though its ending says so.",
            hint="Give it the ending of what it is, or fetch it again; --skip-damaged leaves it out.",
        )


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # a cell of more than 128 KiB
        return [line]


def _layout(path: Path, fields: list[str], options: ReadOptions) -> _Layout:
    """What the cells of the first line say about columns."""
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
    if len(columns) == 1 and path.name.lower().endswith((".gz", ".zst")) and not is_packed(path):
        raise damaged(path, "its ending says that it is packed, but it is not, and it does not begin like a table")
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
