"""What a process that gave up its rights may still write."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from idbench.runner.confinement import can_confine, confine

TRIES = """
import os, sys, threading
from pathlib import Path
from idbench.runner.confinement import confine

mine, other = map(Path, sys.argv[1:3])
if "confined already" not in sys.argv:
    assert confine([mine])

def can_write(path):
    try:
        Path(path).write_text("renamed")
    except OSError:
        return False
    return True

def of_thread():
    print("thread", can_write(f"/proc/self/task/{threading.get_native_id()}/comm"))

print("mine", can_write(mine / "x"))
print("other", can_write(other / "x"))
print("main", can_write(f"/proc/self/task/{os.getpid()}/comm"))
thread = threading.Thread(target=of_thread)
thread.start()
thread.join()
print("parent", can_write(f"/proc/{os.getppid()}/comm"))
print("badness", can_write("/proc/self/oom_score_adj"))
"""


@pytest.mark.skipif(not can_confine(), reason="this system cannot hold a process to some folders")
@pytest.mark.parametrize("before_it_begins", [False, True])
def test_a_process_names_its_own_threads_and_nobody_elses(tmp_path: Path, before_it_begins: bool) -> None:
    """CUDA names those that it starts, and does not start where it cannot. Workers are confined in both ways."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(mine), str(other), *(["confined already"] if before_it_begins else [])],
        preexec_fn=partial(confine, [mine]) if before_it_begins else None,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said = dict(line.split() for line in done.stdout.splitlines())
    allowed = {name for name, could in said.items() if could == "True"}
    assert set(said) == {"mine", "other", "main", "thread", "parent", "badness"}
    assert allowed == {"mine", "main", "thread"}
