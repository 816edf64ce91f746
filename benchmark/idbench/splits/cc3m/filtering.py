"""Looks at every fetched pair, keeps those with a whole picture and a caption, and finds shards that were cut short."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from idbench.api import Progress
from idbench.captions.tar import BrokenTar, TarMember, TarWalker
from idbench.errors import DataError
from idbench.splits.cc3m.fetch import shard_file, successes
from idbench.splits.cc3m.steps import Settings, StepReport
from idbench.splits.photos import SUFFIXES, decode_photo, is_heic
from idbench.storage import atomic_path, storage_errors, write_text

PICTURES = ("jpg", "jpeg", "png", "webp")
"""Endings under which open_clip's trainer looks for pictures."""


@dataclass(frozen=True, slots=True)
class UsablePair:
    """One usable pair of a shard.

    Args:
        key: the name of its files there, in the order of the list of pairs.
        offset: first byte of the encoded picture in the shard's file.
        size: its length in bytes.
        caption: not empty.
    """

    key: str
    offset: int
    size: int
    caption: str


def filter_shards(
    fetched: Path, numbers: Sequence[int], index: Path, settings: Settings, progress: Progress
) -> tuple[StepReport, list[int]]:
    """Write an index of the usable pairs of each shard; shards that were looked at before are not looked at again.

    Args:
        fetched: folder of the shards.
        numbers: which there should be.
        index: folder for one parquet file per shard.
        settings: smallest picture; threads (decoding lets others run).
        progress: receives the number of finished shards.

    Returns:
        the report, and the shards that are missing or cut short, which must be fetched again.
    """
    dropped: Counter[str] = Counter()
    pairs, kept, broken = 0, 0, []
    with ThreadPoolExecutor(settings.processes) as pool:
        tasks = {pool.submit(_index_shard, fetched, number, index, settings): number for number in numbers}
        try:
            for task in progress.track(as_completed(tasks), "looking at the pictures", len(tasks)):
                counted = task.result()
                if counted is None:
                    broken.append(tasks[task])
                    continue
                pairs += counted.counts["pairs"]
                kept += counted.counts["kept"]
                dropped.update(counted.dropped)
        finally:
            pool.shutdown(cancel_futures=True)
    return StepReport("filter", {"pairs": pairs, "kept": kept}, dict(dropped)), sorted(broken)


def index_file(index: Path, number: int) -> Path:
    """Where the index of a shard lies."""
    return index / f"{number:05d}.parquet"


def _index_shard(fetched: Path, number: int, index: Path, settings: Settings) -> StepReport | None:
    """Index one shard; None where it is missing or cut short."""
    tar, out = shard_file(fetched, number), index_file(index, number)
    promised = successes(fetched, number)
    if promised is None or not tar.is_file():
        return None
    # A shard that is fetched again has the same size and its pictures in another order: only its time tells.
    state = tar.stat()
    made_from = f"{state.st_size} bytes of {state.st_mtime_ns}, {promised} pairs, from {settings.smallest_side} px on"
    if (found := _finished(out, made_from)) is not None:
        return found
    dropped: Counter[str] = Counter()
    try:
        with storage_errors(tar), tar.open("rb") as file:
            # img2dataset writes pictures as they arrive; by key they come in the same order every time.
            kept = sorted(usable_pairs(file, settings.smallest_side, dropped), key=lambda pair: pair.key)
    except BrokenTar:
        return None
    if len(kept) + dropped.total() != promised:
        return None  # its end mark was written, and less than was promised stands before it
    _write_index(out, kept)
    report = StepReport("filter", {"pairs": promised, "kept": len(kept)}, dict(dropped))
    finished = {"made_from": made_from, "counts": report.counts, "dropped": report.dropped}
    write_text(out.with_suffix(".json"), json.dumps(finished))
    return report


def _finished(out: Path, made_from: str) -> StepReport | None:
    try:
        saved = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if saved.get("made_from") != made_from or not out.is_file():
        return None
    return StepReport("filter", saved["counts"], saved["dropped"])


def usable_pairs(file: IO[bytes], smallest: int, dropped: Counter[str]) -> Iterator[UsablePair]:
    """The usable pairs of an open shard; the others are counted."""
    for sample in _samples(file):
        wrong = _wrong_picture(sample, smallest)
        if wrong:
            dropped[wrong] += 1
        elif not sample.caption:
            dropped["without a caption"] += 1
        elif sample.picture is not None:
            yield UsablePair(sample.key, sample.picture.offset, sample.picture.size, sample.caption)


@dataclass(slots=True)
class _PairMembers:
    """Neighbouring members with the same key, as far as they are looked at."""

    key: str
    picture: TarMember | None = None
    content: bytes = b""
    caption: str = ""
    unread: str = ""  # ending of a picture that trainers do not read


def _samples(file: IO[bytes]) -> Iterator[_PairMembers]:
    tar, sample = TarWalker(file), None
    for member in tar:
        key, kind = member.parts
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _PairMembers(key)
        if kind == "txt":
            sample.caption = " ".join(tar.read(member).decode(errors="replace").split())
        elif kind in PICTURES and sample.picture is None:
            sample.picture, sample.content = member, tar.read(member)
        elif f".{kind}" in SUFFIXES:
            sample.unread = kind
    if sample is not None:
        yield sample


def _wrong_picture(sample: _PairMembers, smallest: int) -> str:
    """Why a picture cannot be used, or an empty string."""
    if sample.picture is None:
        return _unread(sample.unread) if sample.unread else "without a picture"
    if not sample.content:
        return "with an empty picture"
    if is_heic(sample.content):
        return _unread("heic")
    try:
        height, width, _ = decode_photo(sample.content, sample.picture.name).shape
    except DataError:
        return "with a broken picture"
    return f"smaller than {smallest} px" if min(height, width) < smallest else ""


def _unread(kind: str) -> str:
    return f"with a picture in {kind.upper()}, which trainers do not read"


def _write_index(out: Path, kept: Sequence[UsablePair]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "offset": pa.array([pair.offset for pair in kept], pa.int64()),
        "size": pa.array([pair.size for pair in kept], pa.int64()),
        "caption": pa.array([pair.caption for pair in kept], pa.string()),
    }
    with atomic_path(out) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
