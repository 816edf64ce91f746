"""Times the search for names in captions against bare reading, from memory and disk, and against `grep`, `re` and `in`.

python benchmark/perf/search.py [--captions 2000000] [--names 1000] [--repeats 3] [--shards 8] [--folder DIR]
"""

from __future__ import annotations

import argparse
import io
import os
import re
import resource
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from idbench.captions import (
    EXACT,
    FOLDED,
    UPSTREAM,
    Folding,
    ReadOptions,
    Rules,
    Sought,
    folding,
    gather,
    matching,
    read_shard,
)
from idbench.programs import processors
from idbench.search.counting import CountOptions, count_names

SYLLABLES = ("ka", "lo", "mi", "ren", "tas", "vo", "el", "dun", "ip", "sha", "or", "quen", "bel", "ty")
COMMON = "a photo of the at premiere in new york red carpet during event actor stock image with blue house for"
ACCENTED = 10
"""One caption in this many holds letters outside of ASCII."""
TYPOGRAPHIC = 4
"""One caption in this many holds curly quotes and a dash, as captions of the web do."""
SAMPLE = 20_000
"""Captions for the slow baselines; their times are scaled up."""
TAR_SHARE = 20
"""One caption in this many goes into the tar shard: each is a sample with a picture of 20 kB."""


@dataclass(frozen=True)
class Took:
    """Seconds on the clock, and of all threads on processors: what counts on a machine that others use too."""

    wall: float
    processor: float


def fastest(work: Callable[[], object], repeats: int) -> Took:
    """The least of several runs."""
    runs = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        runs.append((time.process_time() - processor, time.perf_counter() - wall))
    return Took(min(wall for _, wall in runs), min(processor for processor, _ in runs))


def words(rng: np.random.Generator, n: int, low: int, high: int) -> list[str]:
    """Invented words."""
    return ["".join(rng.choice(SYLLABLES, rng.integers(low, high + 1))) for _ in range(n)]


def make_world(captions: int, names: int) -> tuple[list[str], list[str]]:
    """Captions of 4 to 18 words, one in twenty with a name, and as many names as wanted; all from one seed."""
    rng = np.random.default_rng(0)
    first = [word.title() for word in words(rng, 400, 2, 3)]
    last = [word.title() for word in words(rng, 700, 2, 4)]
    people = list(dict.fromkeys(f"{rng.choice(first)} {rng.choice(last)}" for _ in range(2 * names)))
    vocabulary = np.array(COMMON.split() * 20 + words(rng, 2000, 2, 4))
    lengths = rng.integers(4, 19, captions)
    picked, ends = vocabulary[rng.integers(0, len(vocabulary), lengths.sum())].tolist(), np.cumsum(lengths).tolist()
    texts, start = [], 0
    for number, end in enumerate(ends):
        texts.append(" ".join(picked[start:end]))
        if number % 20 == 0:
            texts[-1] = f"{people[number // 20 % len(people)]} {texts[-1]}"
        if number % ACCENTED == 0:
            texts[-1] += " i Tårnby, déjà vu"
        if number % TYPOGRAPHIC == 0:
            texts[-1] += " – “it’s here”"
        start = end
    return texts, people[:names]


def write_world(folder: Path, texts: list[str]) -> dict[str, Path]:
    """The captions as parquet, TSV and (a part of them) a WebDataset shard."""
    paths = {"parquet": folder / "c.parquet", "tsv": folder / "c.tsv", "tar": folder / "c.tar"}
    pq.write_table(pa.table({"url": [f"http://x/{i}" for i in range(len(texts))], "caption": texts}), paths["parquet"])
    with paths["tsv"].open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\thttp://x/{i}\n" for i, text in enumerate(texts))
    with tarfile.open(paths["tar"], "w") as tar:
        for i, text in enumerate(texts[::TAR_SHARE]):
            for ending, content in (("jpg", bytes(20_000)), ("txt", text.encode())):
                info = tarfile.TarInfo(f"{i:09d}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return paths


def read_only(path: Path) -> int:
    """Walk through a shard's captions without looking for anything."""
    return sum(len(batch.captions) for batch in read_shard(path, ReadOptions()))


def parquet_only(path: Path) -> int:
    """What pyarrow itself needs for the column."""
    return sum(b.num_rows for b in pq.ParquetFile(path).iter_batches(32_768, columns=["caption"], use_threads=False))


def tarfile_only(path: Path) -> int:
    """The captions of a tar shard as the standard library reads them."""
    found = 0
    with tarfile.open(path) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]
            if member.name.endswith(".txt") and (file := tar.extractfile(member)) is not None:
                found += bool(file.read())
    return found


def line(what: str, took: Took, captions: int) -> None:
    """One line of the report."""
    print(
        f"{what:56s} {took.wall:8.2f} s wall {captions / took.wall:12,.0f} captions/s "
        f"{took.processor:8.2f} s processor {captions / took.processor:12,.0f} captions/s",
        flush=True,
    )


def report_searches(paths: dict[str, Path], sought: list[Sought], captions: int, repeats: int) -> None:
    """Reading and searching, kind by kind."""
    line("parquet: pyarrow reads the column", fastest(lambda: parquet_only(paths["parquet"]), repeats), captions)
    took = fastest(lambda: tarfile_only(paths["tar"]), repeats)
    line("tar: the standard library's tarfile", took, -(-captions // TAR_SHARE))
    for kind, path in paths.items():
        n = captions if kind != "tar" else -(-captions // TAR_SHARE)
        exact = partial(count_names, sought, [path], Rules(EXACT))
        line(f"{kind}: reading and checking UTF-8", fastest(lambda p=path: read_only(p), repeats), n)  # type: ignore[misc]
        line(f"{kind}: search, exact", fastest(exact, repeats), n)
    for rules in (Rules(Folding(canonical=False), boundaries=False), UPSTREAM, Rules(EXACT), Rules(FOLDED)):
        work = partial(count_names, sought, [paths["parquet"]], rules)
        line(f"parquet: search, {rules}", fastest(work, repeats), captions)
    exact = partial(count_names, sought, [paths["parquet"]], Rules(EXACT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "_may_change", lambda content: content >= folding._COMPOSABLE)
        line("before: exact, all beyond U+0300 normalized in Python", fastest(exact, repeats), captions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "DFA_LIMIT", 0)
        line("parquet: search, exact, with the small automaton", fastest(exact, repeats), captions)


def report_grep(folder: Path, texts: list[str], sought: list[Sought], repeats: int) -> None:
    """`grep -oF`: the same letters, one thread, lines of plain text; it neither counts per person nor reads parquet."""
    (folder / "captions.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    (folder / "names.txt").write_text("".join(f"{one.name}\n" for one in sought), encoding="utf-8")
    command = ["grep", "-oF", "-f", str(folder / "names.txt"), str(folder / "captions.txt")]

    def run() -> None:
        with (folder / "found.txt").open("wb") as found:  # with /dev/null it would stop at the first occurrence
            subprocess.run(command, env=dict(os.environ, LC_ALL="C"), stdout=found, check=True)

    runs = []
    for _ in range(repeats):
        wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        runs.append((time.perf_counter() - wall, busy))
    line("text: grep -oF", Took(min(wall for wall, _ in runs), min(busy for _, busy in runs)), len(texts))


def from_disk(shards: list[Path], work: Callable[[], object]) -> float:
    """Seconds on the clock, after the system has dropped the files from its cache."""
    for path in shards:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def read_bytes(shards: list[Path]) -> None:
    """Read files as they are, and do nothing with what they hold."""
    for path in shards:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass


def write_corpus(folder: Path, texts: list[str], shards: int) -> dict[str, list[Path]]:
    """Corpora as people keep them, of several files, each caption with an address of usual length (88 characters)."""
    rng = np.random.default_rng(1)
    digits = [rng.bytes(32).hex() for _ in texts]
    addresses = [f"https://images.example/{one[:10]}/{one[10:50]}/{i:09d}.jpg" for i, one in enumerate(digits)]
    corpora: dict[str, list[Path]] = {"parquet": [], "tsv": []}
    for shard in range(shards):
        mine, urls = texts[shard::shards], addresses[shard::shards]
        corpora["parquet"].append(folder / f"{shard:03d}.parquet")
        pq.write_table(pa.table({"url": urls, "caption": mine}), corpora["parquet"][-1])
        corpora["tsv"].append(folder / f"{shard:03d}.tsv")
        with corpora["tsv"][-1].open("w", encoding="utf-8") as file:
            file.writelines(f"{text}\t{address}\n" for text, address in zip(mine, urls, strict=True))
    return corpora


def report_disk(folder: Path, texts: list[str], sought: list[Sought], shards: int, repeats: int) -> None:
    """Whether the search keeps up with a disk: files out of memory, read as bytes, and searched in parallel."""
    for kind, paths in write_corpus(folder, texts, shards).items():
        size = sum(path.stat().st_size for path in paths) / 1e6
        processes = min(shards, processors())
        parallel = CountOptions(processes=processes)
        for what, work in (
            ("bytes from disk", partial(read_bytes, paths)),
            (f"search, exact, {processes} processes", partial(count_names, sought, paths, Rules(EXACT), parallel)),
        ):
            seconds = min(from_disk(paths, work) for _ in range(repeats))
            print(
                f"{kind} of {size:.0f} MB in {shards} files: {what:32s} {seconds:6.2f} s wall "
                f"{size / seconds:8.0f} MB/s {len(texts) / seconds:12,.0f} captions/s",
                flush=True,
            )


def report_baselines(texts: list[str], sought: list[Sought]) -> None:
    """What people write first: one regular expression, or one `in` for each name; on texts that are in memory."""
    sample = texts[:SAMPLE]
    names = [one.name for one in sought]
    pattern = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names, key=len, reverse=True)))
    by_re = fastest(lambda: sum(len(set(pattern.findall(text))) for text in sample), 1)
    by_in = fastest(lambda: sum(name in text for text in sample for name in names), 1)
    for what, took in (("re alternation", by_re), ("in, name by name", by_in)):
        scale = len(texts) / len(sample)
        line(f"{what} (scaled up from {len(sample):,})", Took(took.wall * scale, took.processor * scale), len(texts))


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=2_000_000)
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    texts, names = make_world(arguments.captions, arguments.names)
    sought = gather((name, name) for name in names)
    print(f"{len(texts):,} captions, {sum(map(len, texts)) / 1e6:.0f} million characters, {len(names):,} names")
    print(f"{processors()} processors")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        paths = write_world(Path(place), texts)
        report_searches(paths, sought, len(texts), arguments.repeats)
        report_grep(Path(place), texts, sought, arguments.repeats)
        search = count_names(sought, [paths["parquet"]], Rules(EXACT))
        print(f"occurrences found: {sum(tally.occurrences for tally in search.tallies):,}")
        report_disk(Path(place), texts, sought, arguments.shards, arguments.repeats)
    report_baselines(texts, sought)


if __name__ == "__main__":
    main()
