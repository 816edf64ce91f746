"""Temporary folders: gone at the end, swept after a kill, and never swept where they are somebody's."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from idbench.errors import StorageError
from idbench.workplace import sweep, workplace

HOLD = """
import sys, time
from idbench.workplace import workplace
with workplace() as folder:
    (folder / "pixels").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def held(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=dict(os.environ, TMPDIR=str(tmp_path))
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_it_is_empty_and_goes_at_the_end(tmp_path: Path) -> None:
    with workplace() as folder:
        assert not list(folder.iterdir())
        assert folder.is_relative_to(tmp_path)
        (folder / "a").write_text("x")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    running, alive = held(tmp_path)
    killed, dead = held(tmp_path)
    foreign = tmp_path / "idbench-thesis"
    foreign.mkdir()
    (foreign / "chapter").write_text("mine")
    (foreign / "owner.lock").touch()
    looks_alike = tmp_path / "idbench-alike"
    looks_alike.mkdir()
    (looks_alike / "idbench-workplace.txt").write_text("Something else.\n")
    link = tmp_path / "idbench-link"
    link.symlink_to(foreign)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert dead.exists()
        with workplace():
            assert not dead.parent.exists()
            assert (alive / "pixels").exists()
        assert (foreign / "chapter").read_text() == "mine"
        assert looks_alike.exists()
        assert link.is_symlink()
    finally:
        running.kill()
        running.wait()
    sweep(tmp_path)
    assert not alive.parent.exists()


def test_what_a_dying_process_still_writes_into_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, dead = held(tmp_path)
    killed.kill()
    killed.wait()
    remove = shutil.rmtree

    def busy(path: Path, ignore_errors: bool = False) -> None:
        """Something is written into the files while they are removed."""
        remove(path, ignore_errors=ignore_errors)
        if path == dead:
            path.mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", busy)
        sweep(tmp_path)
    assert dead.exists()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_whose_maker_was_killed_at_once_goes_after_an_hour(tmp_path: Path) -> None:
    young, old, foreign = (tmp_path / f"idbench-{name}" for name in ("young", "old", "foreign"))
    for folder in (young, old, foreign):
        folder.mkdir()
    (old / "owner.lock").touch()
    (foreign / "owner.lock").write_text("mine")
    for folder in (old, foreign):
        os.utime(folder, (0, 0))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"idbench-young", "idbench-foreign"}


def test_a_folder_that_cannot_be_made_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="does not exist"), workplace():
        pass


def test_an_error_inside_names_the_file_that_it_is_about(tmp_path: Path) -> None:
    """Not the temporary folder, which is in order."""
    with pytest.raises(StorageError, match="No permission to use /data/closed"), workplace():
        raise PermissionError(errno.EACCES, "Permission denied", "/data/closed")
    with pytest.raises(StorageError, match=re.escape(str(tmp_path))), workplace() as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "pixels"))
    with pytest.raises(StorageError, match=re.escape(str(tmp_path))), workplace():
        raise OSError(errno.EIO, "Input/output error")
