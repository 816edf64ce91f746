"""Counts names over all shards of a corpus, in one process or several, and keeps a few captions as evidence."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

from idbench.api import Progress, Silent
from idbench.captions import DamagedShard, ReadOptions, read_shard
from idbench.captions.batches import CaptionBatch
from idbench.captions.matching import Hit, Matcher, Rules
from idbench.captions.names import Sought
from idbench.errors import DataError, IdbenchError
from idbench.programs import processors
from idbench.wording import counted

_LONGEST = 500
"""Characters of a caption that are kept as evidence."""
ONE_PROCESS_UP_TO = 1_000_000_000
"""Bytes of all files below which one process is taken to be as fast as several, which take a second to start: it was
faster with 0.4 GB of parquet and 0.7 GB of TSV, and slower where accents were folded (docs/search.md)."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A caption that holds a name.

    Args:
        place: file and row, e.g. `00003.tar:17`.
        caption: as it stands in the corpus, cut to 500 characters.
    """

    place: str
    caption: str


@dataclass(slots=True)
class Tally:
    """What was found of one identity.

    Args:
        occurrences: captions that hold the name at least once.
        longer: those of them in which it only stands within a longer name that was searched too.
        quotes: the first few.
    """

    occurrences: int = 0
    longer: int = 0
    quotes: list[Quote] = field(default_factory=list)

    def add(self, other: Tally, most: int) -> None:
        """Add the counts of a later shard, keeping at most `quotes` quotes."""
        self.occurrences += other.occurrences
        self.longer += other.longer
        self.quotes += other.quotes[: max(0, most - len(self.quotes))]


@dataclass(frozen=True, slots=True)
class Damage:
    """A shard that was left out, and why."""

    shard: Path
    reason: str


@dataclass(frozen=True, slots=True)
class CaptionSearch:
    """The result of a search through captions.

    Args:
        sought: the identities, as given.
        tallies: one for each, in their order.
        rules: what counted as an occurrence.
        shards: files that were read.
        captions: captions in them.
        empty: those of them without a character.
        repaired: those with bytes that are not UTF-8, read as U+FFFD.
        sha256: of the captions read, whatever files hold them.
        damaged: shards that were left out.
        shared: groups of identities (indices) whose names cannot be told apart.
    """

    sought: tuple[Sought, ...]
    tallies: tuple[Tally, ...]
    rules: Rules
    shards: int
    captions: int
    empty: int
    repaired: int
    sha256: str
    damaged: tuple[Damage, ...]
    shared: tuple[tuple[int, ...], ...]

    @property
    def coverage(self) -> float:
        """Share of the shards that could be read, 0 to 1."""
        return self.shards / max(1, self.shards + len(self.damaged))


@dataclass(frozen=True, slots=True)
class CountOptions:
    """How a corpus is gone through.

    Args:
        reading: how captions are found in their files.
        quotes: captions kept as evidence for each identity.
        processes: shards that are read at the same time; `fitting_processes` says how many are worth it. With several,
            a script needs `if __name__ == "__main__"`, as with everything that starts Python processes.
        skip_damaged: leave out damaged shards and list them, instead of stopping at the first. A shard counts in
            full or not at all.
    """

    reading: ReadOptions = field(default_factory=ReadOptions)
    quotes: int = 3
    processes: int = 1
    skip_damaged: bool = False


def fitting_processes(shards: Sequence[Path]) -> int:
    """How many processes search these files fastest: one for each processor, but one if starting them takes longer.

    One process has threads too, but what it does in Python, like folding accents, only one of them does at a time.
    """
    with suppress(OSError):  # a file that is gone is the reader's to report
        if sum(path.stat().st_size for path in shards) < ONE_PROCESS_UP_TO:
            return 1
    return min(len(shards), processors())


@dataclass(slots=True)
class _Shard:
    captions: int = 0
    empty: int = 0
    repaired: int = 0
    sha256: str = ""
    tallies: dict[int, Tally] = field(default_factory=dict)


def count_names(
    sought: Sequence[Sought],
    shards: Sequence[Path],
    rules: Rules | None = None,
    options: CountOptions | None = None,
    progress: Progress | None = None,
) -> CaptionSearch:
    """Count in how many captions each name stands.

    Memory does not grow with the corpus: a batch of captions for each process, and the quotes.

    Args:
        sought: whom to look for.
        shards: the files of the corpus, from `find_shards`.
        rules: what counts as an occurrence; None: whole words, with case, accents and writing folded.
        options: how to go through the files; None: one after the other, stopping at a damaged one.
        progress: receives the share that is done.

    Raises:
        DamagedShard: a file cannot be read to its end, unless those are skipped.
        DataError: a file holds no captions where they are looked for, none could be read, or all captions are empty.
    """
    rules, options = rules or Rules(), options or CountOptions()
    options = replace(options, processes=max(1, min(options.processes, len(shards))))
    matcher = Matcher(sought, rules)
    tallies = [Tally() for _ in sought]
    read, damaged, digest = list[_Shard](), list[Damage](), hashlib.sha256()
    results = _one_by_one(matcher, shards, options, progress or Silent())
    if options.processes > 1:
        results = _together(matcher, shards, options, progress or Silent())
    with closing(results):  # now, not when memory is next tidied: processes may be at work behind it
        for path, result in zip(shards, results, strict=True):
            if isinstance(result, DamagedShard):
                if not options.skip_damaged:
                    raise result
                damaged.append(Damage(path, result.message))
                continue
            read.append(result)
            digest.update(bytes.fromhex(result.sha256))
            for person, tally in result.tallies.items():
                tallies[person].add(tally, options.quotes)
    if not read:
        what = "The only file cannot" if len(shards) == 1 else f"None of the {len(shards)} files can"
        raise DataError(f"{what} be read.", hint=damaged[0].reason)
    if all(shard.captions == shard.empty for shard in read):
        raise DataError(
            f"{counted(len(read), 'file that was read holds', 'files that were read hold')} no caption with text, so "
            "nothing is known about anybody.",
            hint="Check the files, or name the column of the captions with --column.",
        )
    return CaptionSearch(
        sought=tuple(sought),
        tallies=tuple(tallies),
        rules=rules,
        shards=len(read),
        captions=sum(shard.captions for shard in read),
        empty=sum(shard.empty for shard in read),
        repaired=sum(shard.repaired for shard in read),
        sha256=digest.hexdigest(),
        damaged=tuple(damaged),
        shared=tuple(matcher.shared),
    )


_Results = Generator["_Shard | DamagedShard", None, None]


def _one_by_one(matcher: Matcher, shards: Sequence[Path], options: CountOptions, progress: Progress) -> _Results:
    for number, path in enumerate(shards):

        def watched(done: float, number: int = number) -> None:
            progress.update(number + done, len(shards), "searching captions")

        try:
            yield _count(matcher, path, options, watched)
        except DamagedShard as error:
            yield error


def _together(matcher: Matcher, shards: Sequence[Path], options: CountOptions, progress: Progress) -> _Results:
    # A fresh process inherits none of Arrow's threads or locks, unlike a forked one.
    context, before = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(options.processes, context, _begin_work, (matcher, options))
    try:
        tasks = [pool.submit(_count_in_worker, path) for path in shards]
        for number, task in enumerate(tasks, start=1):
            yield task.result()
            progress.update(number, len(shards), "searching captions")
    except BrokenProcessPool as error:
        raise IdbenchError(
            "A process that searched captions was killed, perhaps for lack of memory.", hint="Use fewer --processes."
        ) from error
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()  # a shard may take minutes, and its result is no longer needed
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_work: ContextVar[tuple[Matcher, CountOptions]] = ContextVar("work")
"""What a worker process searches for, sent once and not with every shard: a hundred thousand names take seconds."""


def _begin_work(matcher: Matcher, options: CountOptions) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupts are the parent's
    _work.set((matcher, options))


def _count_in_worker(path: Path) -> _Shard | DamagedShard:
    matcher, options = _work.get()
    try:
        return _count(matcher, path, options)
    except DamagedShard as error:
        return error


def _count(
    matcher: Matcher, path: Path, options: CountOptions, watched: Callable[[float], None] = lambda _: None
) -> _Shard:
    import pyarrow.compute as pc

    shard, digest = _Shard(), hashlib.sha256()
    with closing(_searched(matcher, read_shard(path, options.reading), digest, options)) as searched:
        for batch, hits in searched:
            watched(batch.done)
            shard.captions += len(batch.captions)
            shard.empty += pc.sum(pc.equal(batch.captions, ""), min_count=0).as_py()
            shard.repaired += batch.repaired
            for hit in hits:
                tally = shard.tallies.setdefault(hit.person, Tally())
                tally.occurrences += 1
                tally.longer += hit.longer
                if len(tally.quotes) < options.quotes:
                    caption = batch.captions[hit.place].as_py()[:_LONGEST]
                    tally.quotes.append(Quote(f"{path.name}:{batch.first + hit.place}", caption))
    shard.sha256 = digest.hexdigest()
    return shard


def _searched(
    matcher: Matcher, batches: Iterable[CaptionBatch], digest: hashlib._Hash, options: CountOptions
) -> Generator[tuple[CaptionBatch, list[Hit]]]:
    """Batches in their order and what is in them, while later ones are read, searched and hashed in threads.

    Threads help as Arrow, the automaton and the hash let go of Python's lock.
    """
    matcher.prepare()
    threads = max(1, processors() // options.processes)  # one for each processor, over all processes
    with ThreadPoolExecutor(threads) as finding, ThreadPoolExecutor(1) as hashing:
        waiting = deque[tuple[CaptionBatch, Future[None], Future[list[Hit]]]]()
        for batch in batches:
            waiting.append((batch, hashing.submit(_feed, digest, batch), finding.submit(matcher.find, batch.captions)))
            if len(waiting) > threads:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def _finished(batch: CaptionBatch, hashed: Future[None], hits: Future[list[Hit]]) -> tuple[CaptionBatch, list[Hit]]:
    hashed.result()
    return batch, hits.result()


def _feed(digest: hashlib._Hash, batch: CaptionBatch) -> None:
    """Add captions to a hash, each with a line's end: the same captions give the same hash in every kind of file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(batch.captions):
        lines = pa.ListArray.from_arrays(pa.array([0, len(batch.captions)], pa.int32()), batch.captions)
        digest.update(pc.binary_join(lines, "\n")[0].as_buffer())
        digest.update(b"\n")
