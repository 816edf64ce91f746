"""Shards of a training set: complete, deterministic byte for byte, resumed after whatever ended the writing."""

from __future__ import annotations

import errno
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from idbench.api import Silent
from idbench.errors import DataError, StorageError
from idbench.splits.cc3m.shards import EncodedPair, Shards, read_shards, write_shards

N = 50


def pairs(numbers: Sequence[int]) -> list[EncodedPair]:
    return [(f"picture {number}".encode() * 40, f"caption {number}") for number in numbers]


def write(folder: Path, seed: str = "seed") -> Shards:
    return write_shards(folder, "c-a", N, pairs, seed=seed, shard_pairs=16, progress=Silent())


def content(folder: Path) -> list[tuple[str, str]]:
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member) for member in tar}
            read = {name: file.read() for name, file in files.items() if file is not None}
        for name in sorted(read):
            if name.endswith(".txt"):
                assert read[name.replace(".txt", ".jpg")] == pairs([int(read[name].split()[1])])[0][0]
                found.append((name, read[name].decode()))
    return found


def test_every_pair_is_there_once_in_an_order_that_the_seed_decides(tmp_path: Path) -> None:
    first, again, other = write(tmp_path / "1"), write(tmp_path / "2"), write(tmp_path / "3", "another seed")
    assert first == again
    assert first.digest != other.digest
    captions = [caption for _, caption in content(tmp_path / "1")]
    assert sorted(captions) == sorted(f"caption {i}" for i in range(N))
    assert captions != sorted(captions)
    assert captions != [caption for _, caption in content(tmp_path / "3")]
    assert [name for name, _ in content(tmp_path / "1")] == [f"{i:09d}.txt" for i in range(N)]


def test_sizes_are_known_to_the_trainer(tmp_path: Path) -> None:
    shards = write(tmp_path)
    assert (shards.pairs, shards.shards) == (N, 4)
    sizes = json.loads((tmp_path / "sizes.json").read_text())
    assert sorted(sizes.values()) == [12, 12, 13, 13]  # as equal as can be: each worker takes whole shards
    assert read_shards(tmp_path) == shards
    data = pytest.importorskip("open_clip_train.data")
    assert data.get_dataset_size(str(tmp_path / "{00000..00003}.tar")) == (N, 4)


def test_a_full_disk_keeps_the_finished_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write(tmp_path / "whole")
    real, calls = tarfile.TarFile.addfile, []

    def full(tar: tarfile.TarFile, *rest: object) -> None:
        calls.append(1)
        if len(calls) > 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tar, *rest)

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(StorageError, match="No space left"):
        write(tmp_path / "cut")
    monkeypatch.setattr(tarfile.TarFile, "addfile", real)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["00000.tar"]
    written = (tmp_path / "cut" / "00000.tar").stat().st_mtime_ns
    assert write(tmp_path / "cut") == expected
    assert (tmp_path / "cut" / "00000.tar").stat().st_mtime_ns == written


def test_damage_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a training set of shards"):
        read_shards(tmp_path)
    write(tmp_path)
    (tmp_path / "00002.tar").unlink()
    with pytest.raises(DataError, match=r"lacks 00002\.tar"):
        read_shards(tmp_path)
