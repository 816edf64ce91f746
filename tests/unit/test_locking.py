"""Two processes that make the same thing: the second waits, says so, and goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from idbench import locking
from idbench.api import Reporter, Silent
from idbench.locking import locked

HOLDER = """
import sys
from pathlib import Path
from idbench.api import Silent
from idbench.locking import locked
with locked(Path(sys.argv[1]), Silent(), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


class Listener(Reporter):
    """Ends the process that holds the lock after the second word about it."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        self.words: list[str] = []
        self._holder = holder

    def update(self, done: float, total: float, description: str) -> None:
        """Take note."""
        self.words.append(description)
        if len(self.words) == 2:
            self._holder.communicate()


def test_who_waits_for_another_process_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "NOTICE_EVERY", 0.05)
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        progress = Listener(holder)
        with locked(path, progress, "split 'x'"):
            assert holder.returncode == 0
    assert progress.words == ["waiting for another process that works on split 'x'"] * 2


def test_nobody_waits_for_what_was_given_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / ".lock", Silent(), "it"):
        raise ValueError("inside")
    with locked(tmp_path / ".lock", Silent(), "it"):
        pass
