"""Files appear whole or not at all, and what a disk refuses becomes a sentence."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.kills import killed_at_rename

from idbench.errors import IdbenchError, StorageError, UnknownNameError
from idbench.processes import worker_environment
from idbench.storage import (
    aside_for,
    atomic_dir,
    atomic_path,
    cache_dir,
    check_writable,
    copy_files,
    explain,
    make_dir,
    read_bounded,
    read_regular,
    recover,
    restored,
    storage_errors,
    write_text,
)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def write_half() -> None:
        with atomic_path(file) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with atomic_dir(folder) as temporary:
        (temporary / "x").write_text("old")

    def write_half() -> None:
        with atomic_dir(folder) as temporary:
            (temporary / "x").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert (folder / "x").read_text() == "old"
    with atomic_dir(folder) as temporary:
        (temporary / "y").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["y"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_kill_between_two_renames_hides_nothing(tmp_path: Path) -> None:
    """`atomic_dir` moves the old folder aside, then the new one in; here it was killed in between."""
    folder, other = tmp_path / "run", tmp_path / "run-2"
    for path in (folder, other):
        with atomic_dir(path) as temporary:
            (temporary / "x").write_text(path.name)
    aside = tmp_path / ".run.idbench-abc.old"
    aside.mkdir()
    folder.rename(aside / "old")
    half = tmp_path / ".run.idbench-def.tmp"
    half.mkdir()
    (half / "x").write_text("half")
    foreign = tmp_path / ".run-2.idbench-ghi.tmp"
    foreign.mkdir()
    recover(folder)
    assert (folder / "x").read_text() == "run"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run-2", foreign.name}
    aside.mkdir()
    (aside / "old").mkdir()
    recover(folder)  # both are there: the new one had come in
    assert (folder / "x").read_text() == "run"
    assert not aside.exists()
    recover(tmp_path / "missing" / "run")


def moved_aside(path: Path) -> Path:
    """What a kill between the two renames of `atomic_dir` leaves."""
    aside = path.with_name(f".{path.name}.idbench-k1ll_ed0.old")
    aside.mkdir()
    path.rename(aside / "old")
    return aside


def test_readers_find_what_a_kill_left_moved_aside(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "x").write_text("the old one")
    aside = moved_aside(folder)
    assert aside_for(aside.name) == "board"
    assert [aside_for(name) for name in (".board.old", "board", ".board.idbench-x.tmp")] == ["", "", ""]
    assert restored(folder) == folder
    assert (folder / "x").read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [folder]
    for nowhere in (tmp_path / "missing", tmp_path / "missing" / "x", Path("a\0b"), Path("n" * 300), Path()):
        assert restored(nowhere) == nowhere


def test_what_somebody_replaces_now_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    aside = moved_aside(folder)
    handle = os.open(aside, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert restored(folder) == folder
        assert not folder.exists()
    finally:
        os.close(handle)
    restored(folder)
    assert folder.exists()


def test_where_nothing_may_be_written_it_is_read_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    aside = moved_aside(folder)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", refuse)
    assert restored(folder) == aside / "old"


def test_only_what_was_left_is_cleared_up(tmp_path: Path) -> None:
    """Files of people, whatever they are called, and what a living process still writes."""
    folder = tmp_path / "run"
    mine = [".run.backup.old", ".run.20251103.tmp", ".run.abcdefgh.old", ".running.idbench-x.tmp"]
    for name in mine:
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("years of work")
    with atomic_dir(folder) as temporary, atomic_path(tmp_path / "run.json") as file:
        recover(folder)
        recover(tmp_path / "run.json")
        (temporary / "x").write_text("new")
        file.write_text("new")
    assert (folder / "x").read_text() == (tmp_path / "run.json").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.json", *mine}


def test_what_is_not_a_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        read_regular(tmp_path / "file", 4)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "link", "endless", "."):
        with pytest.raises((ValueError, IsADirectoryError)):
            read_regular(tmp_path / name, 100)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing", 100)


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="no file that waits for the kernel")
def test_a_file_that_waits_for_the_kernel_is_not_waited_for(tmp_path: Path) -> None:
    """It is a regular file by its mode, and reading it blocks until there is a message."""
    kernel = Path("/proc/kmsg")

    def drain(read: Callable[[Path, int], bytes]) -> None:
        for _ in range(1000):
            read(kernel, 1 << 20)

    for read, kind in ((read_regular, ValueError), (read_bounded, StorageError)):
        with pytest.raises(kind):
            drain(read)


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
        (errno.EROFS, "can only be read"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.ELOOP, "lead back to themselves"),
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


def test_a_folder_is_copied_or_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "source" / "data").mkdir(parents=True)
    (tmp_path / "source" / "data" / "large").write_bytes(bytes(5000))
    (tmp_path / "source" / "small").write_text("x")
    (tmp_path / "copy").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            copy_files(tmp_path / "source", tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.message == f"Cannot use {tmp_path / 'copy' / 'data' / 'large'}: File too large."
    copy_files(tmp_path / "source", tmp_path / "copy")
    assert (tmp_path / "copy" / "data" / "large").read_bytes() == bytes(5000)
    assert (tmp_path / "copy" / "small").read_text() == "x"


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder", "--out")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="in the way") as caught:
        check_writable(tmp_path / "file" / "folder", "--out")
    assert "--out" in caught.value.hint


def test_what_keeps_a_folder_from_being_made_is_named_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "gone")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for name, says in (
        ("file", "file is in the way: it is not a folder"),
        ("nowhere", "nowhere is in the way: it is a link to nothing"),
        ("round", "lead back to themselves"),
        ("a" * 300, "too long"),
    ):
        with pytest.raises(StorageError, match=says) as caught:
            make_dir(tmp_path / name / "splits" / "avatars")
        assert caught.value.hint
    with pytest.raises(StorageError, match="folder is in the way: it is a folder, and a file is needed"):
        make_dir(tmp_path / "folder") and write_text(tmp_path / "folder", "text")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no file system of the kernel's")
def test_a_place_where_nothing_can_be_created_is_not_said_to_be_missing() -> None:
    for write in (make_dir, lambda path: write_text(path, "text"), lambda path: check_writable(path, "--results")):
        with pytest.raises(StorageError, match=r"Nothing can be created in /proc: ") as caught:
            write(Path("/proc/splits"))
        assert caught.value.hint


def test_a_cache_named_from_the_working_folder_is_the_same_for_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", "cache")
    assert cache_dir("splits") == tmp_path / "cache" / "splits"
    assert worker_environment(tmp_path / "tmp")["BENCH_CACHE"] == str(tmp_path / "cache")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_numpys_word_for_a_full_disk_is_understood() -> None:
    """It says how much was written, and leaves out the system's number for why not all."""
    with pytest.raises(StorageError, match="No space left"), storage_errors(Path("/dev/full")):
        np.zeros(1 << 16).tofile("/dev/full")


@pytest.mark.skipif(sys.platform == "win32", reason="no locks tell whether somebody still writes")
@pytest.mark.parametrize(
    "code",
    [
        "from idbench.storage import write_text; write_text(Path('here/first.json'), 'x')",
        "from idbench.storage import atomic_dir\nwith atomic_dir(Path('here/first')) as d: (d / 'x').write_text('x')",
    ],
)
def test_whoever_writes_next_clears_up_what_a_kill_left(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    killed_at_rename(1, f"from pathlib import Path; {code}", of="first")
    (left,) = (tmp_path / "here").iterdir()
    assert left.name.startswith(".first")
    mine = tmp_path / "here" / ".thesis.idbench-x.tmp"
    mine.mkdir()
    with atomic_path(tmp_path / "here" / "second") as second, atomic_dir(tmp_path / "here" / "third") as third:
        assert not left.exists()
        write_text(tmp_path / "here" / "fourth", "x")
        assert second.exists(), "somebody writes it"
        assert third.exists()
        second.write_text("x")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"second", "third", "fourth", mine.name}
