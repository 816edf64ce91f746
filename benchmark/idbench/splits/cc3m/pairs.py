"""Reads the list of captions and URLs: checks it row by row, drops what cannot be used, and says how much and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from idbench.api import Progress
from idbench.captions import DamagedShard
from idbench.captions.rows import Chosen, Start, read_rows
from idbench.errors import DataError
from idbench.splits.cc3m.steps import StepReport
from idbench.storage import atomic_path, sha256_bytes, storage_errors

_CAPTION_COLUMNS = ("caption", "title", "text", "alt_text")
_URL_COLUMNS = ("url", "image_url")
_BEGIN = re.compile(r"(https?):[/\\]{1,2}", re.IGNORECASE)
_BATCH = 50_000
_USABLE = 0.5
"""A file with a smaller share of usable rows is taken for something else."""

_FORM = (
    "A list is TSV, each line a caption, a tab and a URL in UTF-8, with or without a header that names the columns "
    "caption and url; or CSV with such a header, JSON lines with these keys, or parquet. It may be gzipped."
)
_SIMPLE = re.compile(
    r"https?://[A-Za-z0-9.-]+(?::\d{1,4})?(?:[/?](?:[A-Za-z0-9/?:@!$&'()*+,;=~._-]|%[0-9A-Fa-f]{2})*)?"
)
_KEPT_IN_PATHS, _KEPT_IN_QUERIES = "/%:@!$&'()*+,;=~-._", "/%:@!$&'()*+,;=~-._?"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def read_pairs(path: Path, out: Path, progress: Progress) -> StepReport:
    """Check a list of pairs and keep the usable rows.

    The public file of Conceptual Captions has no header and two columns, caption and URL, parted by a tab. The other
    order, gzipped files, a header with the columns `caption` (or `title`, `text`) and `url` in any order and among
    others, cells in quotes (which may hold line ends), CSV with a header, JSON lines and parquet files are understood
    too. Rows without a caption, without a web address, in another encoding than UTF-8, with too few columns or very
    long, and repeated rows are dropped and counted. Addresses are written as servers need them: percent signs for
    spaces and letters like "ü".

    Args:
        path: the list.
        out: the parquet file to write, with the columns `caption` and `url`; replaced when it is complete.
        progress: receives progress reports.

    Returns:
        the rows that were read and kept, and how many were dropped for which reason.

    Raises:
        DataError: empty, truncated, without the two columns, or so full of unusable rows that it must be something
            else.
        StorageError: missing or unreadable; no space for `out`.
    """
    dropped: Counter[str] = Counter()
    kept = 0
    with storage_errors(path), atomic_path(out) as temporary:
        try:
            for batch, done in _written(_rows(path, dropped), temporary):
                kept += batch
                progress.update(done, 1.0, f"reading {path.name}")
        except DamagedShard as error:
            raise DataError(error.message, hint="Fetch the list again.") from error
        read = kept + dropped.total()
        if kept == 0 or kept < _USABLE * read:
            why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common(3))
            raise DataError(f"Only {kept:,} of the {read:,} rows in {path} can be used ({why}).", hint=_FORM)
    return StepReport("pairs", {"rows": read, "kept": kept}, dict(dropped))


def web_address(text: str) -> str | None:
    """An address as servers need it: ASCII, small letters where case does not matter; None if it is not one.

    What browsers forgive is mended (WHATWG URL Standard): blanks around it, line ends within, capital schemes, one
    slash for two, letters beyond ASCII in host and path, blanks, backslashes and lone percent signs. Only http and
    https are web addresses, which is also what keeps a list from reading local files.

    Raises:
        ValueError: it begins like a web address and cannot be one, because of its host or port for example.
    """
    if _SIMPLE.fullmatch(text):
        return text
    text = re.sub(r"[\t\r\n]", "", text.strip())
    begin = _BEGIN.match(text)
    if begin is None:
        return None
    parts = urlsplit(f"{begin[1].lower()}://{text[begin.end() :]}".replace("\\", "/"))
    if not parts.hostname:
        raise ValueError("there is no host")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    if ":" in host:
        host = f"[{host}]"
    elif not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        raise ValueError(f"{host!r} is not a host")
    port = "" if parts.port is None else f":{parts.port}"
    user = parts.netloc.rpartition("@")[0]
    path, query = (_LONE_PERCENT.sub("%25", part) for part in (parts.path, parts.query))
    return urlunsplit(
        (
            parts.scheme,
            f"{quote(user, safe=':%')}@{host}{port}" if user else f"{host}{port}",
            quote(path, safe=_KEPT_IN_PATHS),
            quote(query, safe=_KEPT_IN_QUERIES),
            "",
        )
    )


def _choose(path: Path, start: Start) -> Chosen:
    """Which columns hold caption and URL: those that a header names, else those where most first rows have them."""
    if start.header:
        found = _named(start.header)
        if found is None:
            raise _lacking(path, start.header)
        return Chosen(found)
    rows = start.rows
    if not rows or not any(any(row) for row in rows):
        raise DataError(f"{path} is empty or begins with an empty line.", hint=_FORM)
    for place, row in enumerate(rows[:10]):
        found = _named(tuple(cell.lower() for cell in row))
        if found is not None:
            return Chosen(found, skip=place + 1)
    addresses = Counter(place for row in rows for place, cell in enumerate(row[:2]) if _looks_like_address(cell))
    if not addresses:
        if any("\ufffd" in cell for cell in rows[0]):
            raise DataError(f"The first line of {path} is not UTF-8.", hint=_FORM)
        if not any(rows[0]):
            raise DataError(f"{path} begins with an empty line and holds no addresses.", hint=_FORM)
        raise _lacking(path, tuple(cell.lower() for cell in rows[0]))
    url = addresses.most_common(1)[0][0]
    return Chosen((1 - url, url))


def _named(names: tuple[str, ...]) -> tuple[int, int] | None:
    """Places of caption and URL among the names of a header."""
    caption = next((names.index(name) for name in _CAPTION_COLUMNS if name in names), None)
    url = next((names.index(name) for name in _URL_COLUMNS if name in names), None)
    return None if caption is None or url is None else (caption, url)


def _lacking(path: Path, names: tuple[str, ...]) -> DataError:
    wanted = (("caption", _CAPTION_COLUMNS), ("url", _URL_COLUMNS))
    lacking = " and ".join(what for what, known in wanted if not set(known) & set(names))
    found = ", ".join(names[:6]) if len(names) > 1 else "one column"
    return DataError(f"{path} lacks {lacking}: its first line has {found[:200]}.", hint=_FORM)


def _looks_like_address(cell: str) -> bool:
    return _BEGIN.match(cell.strip('"')) is not None


def _rows(path: Path, dropped: Counter[str]) -> Iterator[tuple[str, str, float]]:
    """Usable captions with single spaces, their URLs, and the share that is read; the other rows are counted."""
    seen: set[bytes] = set()
    for (text, address), done in read_rows(path, lambda start: _choose(path, start), dropped):
        caption = " ".join(text.split())
        if not caption:
            dropped["without a caption"] += 1
            continue
        try:
            url = web_address(address)
        except ValueError:
            dropped["with an address that cannot be one"] += 1
            continue
        if url is None:
            dropped["without a web address"] += 1
            continue
        key = bytes.fromhex(sha256_bytes(f"{caption}\t{url}".encode(errors="replace"))[:32])
        if key in seen:
            dropped["repeated"] += 1
            continue
        seen.add(key)
        yield caption, url, done


def _written(rows: Iterator[tuple[str, str, float]], path: Path) -> Iterator[tuple[int, float]]:
    """Write rows to a parquet file; yields the size of each batch that was written, and the share that is done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("caption", pa.string()), ("url", pa.string())])
    with storage_errors(path), pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            captions, urls, done = zip(*batch, strict=True)
            writer.write_table(pa.Table.from_pydict({"caption": captions, "url": urls}, schema=schema))
            yield len(batch), done[-1]
