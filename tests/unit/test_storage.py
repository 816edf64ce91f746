"""Files appear whole or not at all, and what a disk refuses becomes a sentence."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from idbench.errors import IdbenchError, StorageError, UnknownNameError
from idbench.storage import atomic_dir, atomic_path, cache_dir, explain, write_text


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(file) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with atomic_dir(folder) as temporary:
        (temporary / "x").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_dir(folder) as temporary:
        (temporary / "x").write_text("new")
        raise ZeroDivisionError
    assert (folder / "x").read_text() == "old"
    with atomic_dir(folder) as temporary:
        (temporary / "y").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["y"]
    assert list(tmp_path.iterdir()) == [folder]


def test_full_disk_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "a.txt"
    write_text(file, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on the disk that holds"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "No space left"),
        (errno.EDQUOT, "No space left"),
        (errno.EACCES, "No permission"),
        (errno.EROFS, "No permission"),
        (errno.ENOENT, "does not exist"),
        (errno.ENOTDIR, "in the way"),
        (errno.EIO, "Cannot use"),
    ],
)
def test_every_refusal_has_a_sentence(number: int, sentence: str) -> None:
    error = explain(OSError(number, os.strerror(number)), Path("some/file"))
    assert sentence in error.message
    assert "some/file" in error.message
    assert error.hint


def test_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "here"))
    assert cache_dir("a", "b") == tmp_path / "here" / "a" / "b"


def test_errors_survive_the_way_between_processes() -> None:
    for error in (StorageError("full", hint="free some"), UnknownNameError("attack", "tunni", ["tuni", "idia"])):
        copy = pickle.loads(pickle.dumps(error))
        assert isinstance(copy, IdbenchError)
        assert (copy.message, copy.hint) == (error.message, error.hint)


def test_unknown_names_come_with_the_nearest() -> None:
    assert "Did you mean 'tuni'?" in str(UnknownNameError("attack", "tunni", ["tuni", "idia"]))
    assert "Known: idia, tuni." in str(UnknownNameError("attack", "zzz", ["tuni", "idia"]))
