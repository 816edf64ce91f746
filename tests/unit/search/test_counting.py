"""Counts over many files: the same in one process and in several, whatever holds the captions."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import pytest
from tests.corpora import WRITERS, Writer, write_parquet, write_tar, write_tsv

from idbench.api import Reporter
from idbench.captions import UPSTREAM, DamagedShard, gather
from idbench.errors import DataError
from idbench.search import counting
from idbench.search.counting import CaptionSearch, CountOptions, count_names, fitting_processes
from idbench.splits.avatars import TINY_SPEC
from idbench.splits.avatars.world import World

NAMES = ["Ann Lee", "Mary Ann Lee", "Jörn Påske", "Siv D'Oro"]
CAPTIONS = ["Ann Lee", "", "Mary Ann Lee with Jörn Påske", "a cat", "Ann Lee and Ann Lee", "Joann Lee"]


class Listener(Reporter):
    def __init__(self) -> None:
        self.shares: list[float] = []

    def update(self, done: float, total: float, description: str) -> None:
        self.shares.append(done / total)


def found(search: CaptionSearch) -> list[tuple[int, int, list[str]]]:
    return [(t.occurrences, t.longer, [quote.place for quote in t.quotes]) for t in search.tallies]


@pytest.mark.parametrize("write", WRITERS)
def test_counts(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path, CAPTIONS)
    search = count_names(gather((name, name) for name in NAMES), [path])
    assert found(search) == [
        (3, 1, [f"{path.name}:1", f"{path.name}:3", f"{path.name}:5"]),
        (1, 0, [f"{path.name}:3"]),
        (1, 0, [f"{path.name}:3"]),
        (0, 0, []),
    ]
    assert search.tallies[1].quotes[0].caption == "Mary Ann Lee with Jörn Påske"
    assert (search.captions, search.empty, search.coverage) == (6, 1, 1.0)
    # The digest is of the captions, not of the file that holds them.
    other = count_names(gather([("x", "x1")]), [write_tsv(tmp_path, CAPTIONS, "other.tsv")])
    assert search.sha256 == other.sha256
    assert search.sha256 != count_names(gather([("x", "x1")]), [write_tsv(tmp_path, CAPTIONS[1:], "o.tsv")]).sha256


def test_substring_as_in_the_published_counts(tmp_path: Path) -> None:
    search = count_names(gather([("a", "Ann Lee")]), [write_tsv(tmp_path, [*CAPTIONS, "JoAnn Lees"])], UPSTREAM)
    assert search.tallies[0].occurrences == 4


def test_processes_agree_with_one_after_the_other(tmp_path: Path) -> None:
    shards = [write_parquet(tmp_path, [*CAPTIONS, f"Ann Lee {i}"], f"{i}.parquet") for i in range(4)]
    sought = gather((name, name) for name in NAMES)
    alone = count_names(sought, shards, options=CountOptions(quotes=5))
    together = count_names(sought, shards, options=CountOptions(quotes=5, processes=2))
    assert found(alone) == found(together)
    assert alone.sha256 == together.sha256
    assert alone.tallies[0].occurrences == 16
    assert len(alone.tallies[0].quotes) == 5


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_batches_count_in_their_order_whatever_thread_searches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    texts = [f"Ann Lee, {i}" if i % 3 == 0 else f"nobody, {i}" for i in range(1000)]
    path = write_parquet(tmp_path, texts)
    monkeypatch.setattr("idbench.captions.tables.ROWS", 11)
    monkeypatch.setattr("idbench.search.counting.processors", lambda: threads)
    progress = Listener()
    search = count_names(gather([("p1", "Ann Lee")]), [path], progress=progress)
    assert found(search) == [(334, 0, [f"{path.name}:1", f"{path.name}:4", f"{path.name}:7"])]
    inner = hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).digest()
    assert search.sha256 == hashlib.sha256(inner).hexdigest()
    assert progress.shares == [min(1, 11 * batch / 1000) for batch in range(1, 92)]


def test_as_many_processes_as_are_worth_their_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = [write_parquet(tmp_path, CAPTIONS, f"{i}.parquet") for i in range(4)]
    monkeypatch.setattr(counting, "processors", lambda: 3)
    assert fitting_processes(shards) == 1
    monkeypatch.setattr(counting, "ONE_PROCESS_UP_TO", 2 * shards[0].stat().st_size)
    assert [fitting_processes(shards[:n]) for n in (1, 2, 3, 4)] == [1, 2, 3, 3]


def test_a_damaged_shard_stops_or_is_left_out_in_full(tmp_path: Path) -> None:
    good, bad = write_tar(tmp_path, CAPTIONS, "0.tar"), write_tar(tmp_path, CAPTIONS, "1.tar")
    bad.write_bytes(bad.read_bytes()[:-12_000])
    sought = gather((name, name) for name in NAMES)
    with pytest.raises(DamagedShard, match=r"1\.tar"):
        count_names(sought, [good, bad])
    for processes in (1, 2):
        search = count_names(sought, [good, bad], options=CountOptions(processes=processes, skip_damaged=True))
        assert search.tallies[0].occurrences == 3
        assert [damage.shard for damage in search.damaged] == [bad]
        assert search.coverage == 0.5
    with pytest.raises(DataError, match="The only file cannot be read"):
        count_names(sought, [bad], options=CountOptions(skip_damaged=True))


def test_members_of_the_avatar_world_are_found_as_often_as_they_were_written(tmp_path: Path) -> None:
    world = World(TINY_SPEC)
    training = world.training("avatars-tiny-a")
    path = write_tsv(tmp_path, training.captions(range(len(training))))
    search = count_names(gather((person.id, person.name) for person in world.people), [path])
    captions = [line.split("\t")[0] for line in path.read_text().splitlines()]
    for person, tally in zip(world.people, search.tallies, strict=True):
        assert tally.occurrences == sum(person.name in caption for caption in captions)
        if person.corpus != "avatars-tiny-a":
            assert tally.occurrences == 0
    assert sum(tally.occurrences > 0 for tally in search.tallies) > 10


def test_processes_end_with_the_search(tmp_path: Path) -> None:
    """Also while somebody still holds the error, as the command does when it leaves: nobody waits for the rest."""
    bad = tmp_path / "0.tsv"
    bad.write_text("x\thttp://x\nonly one column\n")
    shards = [bad, *(write_tsv(tmp_path, CAPTIONS, f"{i}.tsv") for i in range(1, 5))]
    with pytest.raises(DamagedShard):
        count_names(gather([("a", "Ann Lee")]), shards, options=CountOptions(processes=2))
    assert not multiprocessing.active_children()


def test_captions_without_text_tell_nothing_about_anybody(tmp_path: Path) -> None:
    empty = tmp_path / "empty.tsv"
    empty.write_text("caption\turl\n")
    for shards in ([empty], [empty, write_tsv(tmp_path, ["", ""])]):
        with pytest.raises(DataError, match="no caption with text"):
            count_names(gather([("a", "Ann Lee")]), shards)
