"""The filter: whole pictures with captions stay, everything else is counted, and shards cut short are found."""

from __future__ import annotations

import errno
import io
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.web import picture, telephone, write_shard

from idbench.api import Silent
from idbench.errors import StorageError
from idbench.splits.cc3m import filtering
from idbench.splits.cc3m.background import open_background
from idbench.splits.cc3m.fetch import forget, shard_file, successes
from idbench.splits.cc3m.filtering import filter_shards, index_file
from idbench.splits.cc3m.steps import Settings


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of shards, one for indexes."""
    fetched, index = tmp_path / "fetched", tmp_path / "index"
    fetched.mkdir()
    index.mkdir()
    return fetched, index


def good(number: int) -> dict[str, bytes]:
    return {"jpg": picture("web", number), "json": b"{}", "txt": f"picture {number}".encode()}


def test_every_way_of_being_unusable_is_counted(places: tuple[Path, Path], settings: Settings) -> None:
    fetched, index = places
    whole = picture("web", 9)
    bad = [
        {"jpg": b"", "txt": b"empty"},
        {"jpg": whole[: len(whole) // 2], "txt": b"cut"},
        {"jpg": b"<html>", "txt": b"a page"},
        {"jpg": picture("web", 8, side=8), "txt": b"tiny"},
        {"jpg": whole, "txt": b" \n"},
        {"jpg": whole},
        {"txt": b"a caption alone"},
    ]
    write_shard(fetched / "00000.tar", [good(0), *bad, good(1)])
    report, broken = filter_shards(fetched, [0], index, settings, Silent())
    assert broken == []
    assert dict(report.counts) == {"pairs": 9, "kept": 2}
    assert dict(report.dropped) == {
        "with an empty picture": 1,
        "with a broken picture": 2,
        "smaller than 16 px": 1,
        "without a caption": 2,
        "without a picture": 1,
    }
    table = pq.read_table(index_file(index, 0)).to_pydict()
    assert table["caption"] == ["picture 0", "picture 1"]
    content = (fetched / "00000.tar").read_bytes()
    found = [content[o : o + n] for o, n in zip(table["offset"], table["size"], strict=True)]
    assert found == [picture("web", 0), picture("web", 1)]


def test_pictures_that_trainers_do_not_read_are_counted_by_kind(places: tuple[Path, Path], settings: Settings) -> None:
    """A trainer would leave such pairs out without a word, and the control would be another one than was built."""
    pytest.importorskip("pillow_heif")
    fetched, index = places
    heic = telephone("heic")
    bad = [
        {"heic": heic, "txt": b"by its ending"},
        {"jpg": heic, "txt": b"under another ending"},
        {"gif": picture("web", 8), "txt": b"a kind that no trainer looks for"},
        {"mp4": b"film", "txt": b"not a picture at all"},
    ]
    write_shard(fetched / "00000.tar", [good(0), *bad, good(1) | {"heic": heic}])
    report, broken = filter_shards(fetched, [0], index, settings, Silent())
    assert (broken, dict(report.counts)) == ([], {"pairs": 6, "kept": 2})
    assert dict(report.dropped) == {
        "with a picture in HEIC, which trainers do not read": 2,
        "with a picture in GIF, which trainers do not read": 1,
        "without a picture": 1,
    }


def test_the_order_in_which_pictures_arrived_does_not_matter(places: tuple[Path, Path], settings: Settings) -> None:
    fetched, index = places
    write_shard(fetched / "00000.tar", [good(i) for i in range(4)])
    with tarfile.open(fetched / "00000.tar") as tar:
        members = [(member, tar.extractfile(member)) for member in tar]
        content = [(member, file.read()) for member, file in members if file is not None]
    filter_shards(fetched, [0], index, settings, Silent())
    size = (fetched / "00000.tar").stat().st_size
    with tarfile.open(fetched / "00000.tar", "w") as tar:
        for sample in (2, 0, 3, 1):
            for member, data in content[3 * sample : 3 * sample + 3]:
                tar.addfile(member, io.BytesIO(data))
    assert (fetched / "00000.tar").stat().st_size == size  # as when it is fetched again: the old index would mislead
    filter_shards(fetched, [0], index, settings, Silent())
    background, _ = open_background(fetched, index, [0], [])
    assert background.read([0, 1, 2, 3]) == [(picture("web", i), f"picture {i}") for i in range(4)]


def test_a_shard_cut_anywhere_is_found_and_fetched_again(places: tuple[Path, Path], settings: Settings) -> None:
    fetched, index = places
    for number in range(3):
        write_shard(fetched / f"{number:05d}.tar", [good(i) for i in range(4)])
    inside, between = fetched / "00000.tar", fetched / "00001.tar"
    inside.write_bytes(inside.read_bytes()[:3000])
    content = between.read_bytes()
    between.write_bytes(content[: content.index(b"000000002.jpg")])  # where no tar reader notices
    report, broken = filter_shards(fetched, range(4), index, settings, Silent())
    assert broken == [0, 1, 3]  # the last one was never there
    assert report.counts["kept"] == 4
    forget(fetched, broken)
    assert [successes(fetched, number) for number in range(3)] == [None, None, 4]
    assert not shard_file(fetched, 0).exists()


def test_what_was_looked_at_is_not_looked_at_again(
    places: tuple[Path, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched, index = places
    for number in range(2):
        write_shard(fetched / f"{number:05d}.tar", [good(number), {"jpg": b"", "txt": b"x"}])
    first, _ = filter_shards(fetched, [0, 1], index, settings, Silent())
    opened: list[int] = []
    monkeypatch.setattr(filtering, "usable_pairs", lambda *_: opened.append(1) or iter(()))
    again, broken = filter_shards(fetched, [0, 1], index, settings, Silent())
    assert (again, broken, opened) == (first, [], [])
    assert first.dropped == {"with an empty picture": 2}


def test_a_full_disk_says_so_and_keeps_what_was_finished(
    places: tuple[Path, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched, index = places
    for number in range(3):
        write_shard(fetched / f"{number:05d}.tar", [good(number)])
    real, calls = pq.write_table, []

    def full(*args: object, **kwargs: object) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args, **kwargs)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        filter_shards(fetched, range(3), index, settings, Silent())
    assert "finished work is kept" in caught.value.hint
    monkeypatch.setattr(pq, "write_table", real)
    assert [path.name for path in index.glob("*.parquet")] == ["00000.parquet"]
    assert filter_shards(fetched, range(3), index, settings, Silent())[0].counts["kept"] == 3
