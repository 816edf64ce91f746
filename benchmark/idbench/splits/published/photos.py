"""Fetches the photos of a split from their addresses into a folder `NAME/*.jpg`, and says of each what came of it."""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.cc3m.fetch import UNASKABLE, fetch_pictures, kind_of, shard_file
from idbench.splits.cc3m.pairs import web_address
from idbench.splits.cc3m.steps import Settings
from idbench.splits.photos import decode_photo, is_blank
from idbench.splits.split import Split
from idbench.storage import make_dir, read_bounded, sha256_bytes, storage_errors, write_bytes, write_text

TABLE: Final = "availability.csv"
FETCHED: Final = "fetched"
NO_FACE: Final = "no face on the picture"
PLACEHOLDER: Final = "one picture for several people"
AGAIN: Final = "the same picture as at another address of the person"
NOBODY: Final = "of somebody who is not in the split"
BLANK: Final = "one colour all over"
_COLUMNS: Final = ("identity", "url", "outcome", "sha256", "phash")
_LARGEST_TABLE: Final = 1 << 30  # bytes
_WORK: Final = ".idbench-fetch"


@dataclass(frozen=True, slots=True)
class Availability:
    """What came of one address.

    Args:
        identity: whose photo it is.
        url: as in the split.
        outcome: `fetched`, the kind of failure, or empty where it was not tried yet.
        sha256: of the stored photo; empty where there is none.
        phash: 16 hexadecimal digits, see `perceptual_hash`.
    """

    identity: str
    url: str
    outcome: str = ""
    sha256: str = ""
    phash: str = ""


def perceptual_hash(data: bytes, what: str) -> str:
    """Which of 8 x 8 cells of a picture are brighter than its mean, 16 hexadecimal digits.

    Raises:
        DataError: not a picture that can be opened.
    """
    return _hash_of(decode_photo(data, what))


def _hash_of(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    gray = Image.fromarray(pixels).convert("L").resize((8, 8), Image.Resampling.BOX)
    cells = np.asarray(gray, dtype=np.float64)
    return np.packbits(cells > cells.mean()).tobytes().hex()


def fetch_photos(
    split: Split, out: Path, settings: Settings, progress: Progress, shows: Callable[[bytes], bool] | None = None
) -> tuple[Availability, ...]:
    """Fetch the photos that were not tried yet; what a killed call had fetched is kept.

    Args:
        split: has a table `urls`.
        out: folder of the photos; `availability.csv` in it says what was tried before.
        settings: picture size, processes, connections, requests to one host and so on.
        progress: receives progress reports.
        shows: whether a picture shows a face, such as `idbench.splits.faces.has_face`: logos, toys and covers are left
            out; None: every picture is kept.

    Raises:
        DataError: the split has no addresses, or the folder holds the photos of another one.
        IdbenchError: img2dataset is not installed, or failed.
        StorageError: no space or no permission.
    """
    rows = _known(split, out)
    _clear_finished(rows, out)
    while wanted := [row for row in rows if not row.outcome]:
        tried = _fetch(wanted, _names(split), make_dir(out), settings, progress, shows)
        rows = _without_placeholders([tried.get((row.identity, row.url), row) for row in rows], split, out)
        write_table(out / TABLE, rows)
        shutil.rmtree(out / _WORK, ignore_errors=True)
    return tuple(rows)


def forget_failures(split: Split, out: Path) -> int:
    """Let the next `fetch_photos` try again what failed; returns how many addresses that is.

    Raises:
        DataError: see `fetch_photos`.
        StorageError: no space or no permission.
    """
    rows = _known(split, out)
    _clear_finished(rows, out)
    failed = [row for row in rows if row.outcome not in ("", FETCHED)]
    if failed:
        write_table(out / TABLE, [replace(row, outcome="") if row in failed else row for row in rows])
    return len(failed)


def _clear_finished(rows: Sequence[Availability], out: Path) -> None:
    """Remove what a call left that was killed after it had written its table: nothing in it is still wanted."""
    if all(row.outcome for row in rows):
        shutil.rmtree(out / _WORK, ignore_errors=True)


def write_table(path: Path, rows: Sequence[Availability]) -> None:
    """Write the table of what came of each address."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([[row.identity, row.url, row.outcome, row.sha256, row.phash] for row in rows])
    write_text(path, text.getvalue())


def read_table(path: Path) -> list[Availability]:
    """The table that `write_table` wrote.

    Raises:
        DataError: it is another file.
    """
    try:
        rows = list(csv.reader(io.StringIO(read_bounded(path, _LARGEST_TABLE).decode("utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error):
        rows = []
    if not rows or tuple(rows[0]) != _COLUMNS or any(len(row) != len(_COLUMNS) for row in rows):
        raise DataError(f"{path} is not a table of what was fetched.", hint="Choose another folder.")
    return [Availability(*row) for row in rows[1:]]


def outcomes(rows: Sequence[Availability]) -> Counter[str]:
    """How many addresses had each outcome."""
    return Counter(row.outcome for row in rows)


def photo_file(out: Path, name: str, url: str) -> Path:
    """Where the photo of an address lies."""
    # Names come from a split that anybody may have made: `..` and the like must not lead out of the folder.
    person = name.replace(" ", "_").replace("/", "_").replace("\0", "_")
    person = f"_{person}" if not person or person.startswith(".") else person
    return out / person / f"{sha256_bytes(url.encode())[:16]}.jpg"


def _known(split: Split, out: Path) -> list[Availability]:
    listed = list(dict.fromkeys((str(row[0]), str(row[1])) for row in split.rows("urls")))
    if not listed:
        raise DataError(
            f"{split.manifest.name} has no addresses of photos.", hint="Give a folder of photos when you build it."
        )
    if not (out / TABLE).exists():
        return [Availability(*one) for one in listed]
    before = {(row.identity, row.url): row for row in read_table(out / TABLE)}
    if not before.keys() & set(listed):
        raise DataError(f"{out} holds photos of another split.", hint="Choose another folder.")
    return [before.get(one, Availability(*one)) for one in listed]


def _names(split: Split) -> dict[str, str]:
    return {one.id: one.name for one in split.identities}


def _asked_for(url: str) -> str | None:
    """The address to ask for a split's own; None where it has a login or is not on the web: a split may name files."""
    try:
        address = web_address(url)
    except ValueError:
        return None
    return None if address is None or urlsplit(address).username is not None else address


def _hosts_in_turn(asked: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Identities and addresses in an order that spares each host: one of every host, then the next of every host."""
    seen: Counter[str] = Counter()
    turns = []
    for identity, address in asked:
        host = urlsplit(address).netloc.lower()
        turns.append((seen[host], (identity, address)))
        seen[host] += 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def _fetch(
    wanted: Sequence[Availability],
    names: dict[str, str],
    out: Path,
    settings: Settings,
    progress: Progress,
    shows: Callable[[bytes], bool] | None,
) -> dict[tuple[str, str], Availability]:
    """Fetch, store the photos, and say what came of each address."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found, meant = dict[tuple[str, str], Availability](), defaultdict[tuple[str, str], list[Availability]](list)
    for row in wanted:
        if row.identity not in names:
            found[row.identity, row.url] = replace(row, outcome=NOBODY)
        elif (address := _asked_for(row.url)) is None:
            found[row.identity, row.url] = replace(row, outcome=UNASKABLE)
        else:
            meant[row.identity, address].append(row)
    work = make_dir(out / _WORK)
    pairs = work / "pairs.parquet"
    if not pairs.exists():  # else a killed call goes on with what it wanted
        partial = pairs.with_suffix(".partial")
        with storage_errors(pairs):
            asked = _hosts_in_turn(meant)
            columns = {"url": [address for _, address in asked], "caption": [identity for identity, _ in asked]}
            pq.write_table(pa.table(columns), partial)
            partial.replace(pairs)
    count = pq.read_metadata(pairs).num_rows
    fetch_pictures(pairs, count, work / "fetched", settings, progress)
    for result, data in _results(work / "fetched"):
        for row in meant[result.identity, result.url]:
            tried = replace(row, outcome=result.outcome)
            found[row.identity, row.url] = tried if data is None else _store(row, data, names[row.identity], out, shows)
    return found


def _results(fetched: Path) -> Iterator[tuple[Availability, bytes | None]]:
    """What img2dataset says of each address, with the picture where there is one."""
    import pyarrow.parquet as pq

    for table in sorted(fetched.glob("*.parquet")):
        rows = pq.read_table(table, columns=["key", "url", "caption", "status", "error_message"]).to_pylist()
        pictures = _pictures(shard_file(fetched, int(table.stem)))
        for row in rows:
            one = Availability(str(row["caption"]), str(row["url"]))
            data = pictures.get(str(row["key"])) if row["status"] == "success" else None
            yield (one, data) if data else (replace(one, outcome=kind_of(str(row["error_message"] or ""))), None)


def _pictures(shard: Path) -> dict[str, bytes]:
    with storage_errors(shard), tarfile.open(shard) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.name.endswith(".jpg")}
        return {name.removesuffix(".jpg"): file.read() for name, file in files.items() if file is not None}


def _store(row: Availability, data: bytes, name: str, out: Path, shows: Callable[[bytes], bool] | None) -> Availability:
    try:
        pixels = decode_photo(data, row.url)
        phash = _hash_of(pixels)
        if is_blank(pixels):
            return replace(row, outcome=BLANK, sha256=sha256_bytes(data), phash=phash)
        if shows is not None and not shows(data):
            return replace(row, outcome=NO_FACE, sha256=sha256_bytes(data), phash=phash)
    except DataError:
        return replace(row, outcome=kind_of("cannot be decoded"))
    write_bytes(photo_file(out, name, row.url), data)
    return replace(row, outcome=FETCHED, sha256=sha256_bytes(data), phash=phash)


def _without_placeholders(rows: Sequence[Availability], split: Split, out: Path) -> list[Availability]:
    """Remove what several people have in common: a site's logo, or its picture for a photo that is gone.

    Of what one person has several times, one stays.
    """
    names = _names(split)
    holders: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.outcome in (FETCHED, PLACEHOLDER):  # what was a placeholder before still is one
            holders[row.sha256].add(row.identity)
    kept: list[Availability] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        outcome = row.outcome
        if outcome == FETCHED and len(holders[row.sha256]) > 1:
            outcome = PLACEHOLDER
        elif outcome == FETCHED and (row.identity, row.sha256) in seen:
            outcome = AGAIN
        if outcome != row.outcome:
            photo_file(out, names[row.identity], row.url).unlink(missing_ok=True)
        seen.add((row.identity, row.sha256))
        kept.append(replace(row, outcome=outcome))
    return kept
