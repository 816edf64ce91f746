"""Reads the list of captions and URLs: checks it row by row, drops what cannot be used, and says how much and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.cc3m.work import Report
from idbench.storage import atomic_path, sha256_bytes, storage_errors

_CAPTION_COLUMNS = ("caption", "title", "text")
_URL_COLUMNS = ("url", "image_url")
_SCHEMES = ("http://", "https://")
_BATCH = 50_000
_LONGEST = 1 << 20
_USABLE = 0.5
"""A file of which a smaller share of rows can be used is some other file."""

_FORM = "Each line must be: caption, tab, URL (UTF-8), with or without a header that names the columns caption and url."


@dataclass(frozen=True, slots=True)
class _Columns:
    caption: int
    url: int
    header: bool


def read_pairs(path: Path, out: Path, progress: Progress) -> Report:
    """Check a list of pairs and keep the usable rows.

    The public file of Conceptual Captions has no header and two columns, caption and URL, parted by a tab. A header
    with the columns `caption` (or `title`, `text`) and `url`, in any order and among others, is understood too.
    Rows without a caption, without a web address, in another encoding than UTF-8, with too few columns, and repeated
    rows are dropped and counted.

    Args:
        path: the list.
        out: the parquet file to write, with the columns `caption` and `url`; replaced when it is complete.
        progress: told how far the reading is.

    Returns:
        the rows that were read and kept, and how many were dropped for which reason.

    Raises:
        DataError: empty, without the two columns, or so full of unusable rows that it must be something else.
        StorageError: missing or unreadable; no space for `out`.
    """
    dropped: Counter[str] = Counter()
    kept = 0
    with storage_errors(path), path.open("rb") as file:
        rows = _rows(file, _columns(path, file), dropped)
        size = max(1, path.stat().st_size)
        with atomic_path(out) as temporary:
            for batch in _written(rows, temporary):
                kept += batch
                progress.update(file.tell(), size, f"reading {path.name}")
            read = kept + dropped.total()
            if kept == 0 or kept < _USABLE * read:
                why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common(3))
                raise DataError(f"Only {kept:,} of the {read:,} rows in {path} can be used ({why}).", hint=_FORM)
    return Report("pairs", {"rows": read, "kept": kept}, dict(dropped))


def _columns(path: Path, file: IO[bytes]) -> _Columns:
    """Which column is which, from the first line; the file is then at the first row."""
    line = file.readline(_LONGEST)
    if not line.strip():
        raise DataError(f"{path} is empty or begins with an empty line.", hint=_FORM)
    try:
        cells = [cell.strip() for cell in line.decode("utf-8-sig").rstrip("\r\n").split("\t")]
    except UnicodeDecodeError as error:
        raise DataError(f"The first line of {path} is not UTF-8.", hint=_FORM) from error
    if len(cells) >= 2 and cells[1].startswith(_SCHEMES):
        file.seek(0)
        return _Columns(0, 1, header=False)
    names = [cell.lower() for cell in cells]
    caption = next((names.index(name) for name in _CAPTION_COLUMNS if name in names), None)
    url = next((names.index(name) for name in _URL_COLUMNS if name in names), None)
    if caption is None or url is None:
        lacking = " and ".join(what for what, place in (("caption", caption), ("url", url)) if place is None)
        found = f"a header with {', '.join(names[:6])}" if len(names) > 1 else "one column"
        raise DataError(f"{path} lacks {lacking}: its first line has {found}.", hint=_FORM)
    return _Columns(caption, url, header=True)


def _rows(file: IO[bytes], columns: _Columns, dropped: Counter[str]) -> Iterator[tuple[str, str]]:
    """Usable rows, captions with single spaces; the others are counted."""
    seen: set[bytes] = set()
    # Not `for line in file`: that reads ahead, and the progress could not be told.
    for line in iter(lambda: file.readline(_LONGEST), b""):
        try:
            cells = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            dropped["not UTF-8"] += 1
            continue
        if len(cells) <= max(columns.caption, columns.url):
            dropped["with too few columns"] += 1
            continue
        caption, url = " ".join(cells[columns.caption].split()), cells[columns.url].strip()
        key = bytes.fromhex(sha256_bytes(f"{caption}\t{url}".encode())[:32])
        if not caption:
            dropped["without a caption"] += 1
        elif not url.startswith(_SCHEMES):
            # Also what keeps a list from reading local files through file:// addresses.
            dropped["without a web address"] += 1
        elif key in seen:
            dropped["repeated"] += 1
        else:
            seen.add(key)
            yield caption, url


def _written(rows: Iterator[tuple[str, str]], path: Path) -> Iterator[int]:
    """Write rows to a parquet file; yields the size of each batch that was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("caption", pa.string()), ("url", pa.string())])
    with storage_errors(path), pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            captions, urls = zip(*batch, strict=True)
            writer.write_table(pa.Table.from_pydict({"caption": captions, "url": urls}, schema=schema))
            yield len(batch)
