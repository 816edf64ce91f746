"""Running another program: status, output, one at a time, nothing left running."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from idbench.errors import IdbenchError, StorageError
from idbench.programs import OFFLINE, disk_full, failure, last_error, run_program


def python(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def run(folder: Path, *lines: str) -> int:
    return run_program(python(*lines), folder / "log", folder / "lock", lambda: None)


def test_output_and_status_are_kept(tmp_path: Path) -> None:
    assert run(tmp_path, "print('hello')") == 0
    assert run(tmp_path, "import sys; print('bye', file=sys.stderr); sys.exit(3)") == 3
    assert (tmp_path / "log").read_text() == "hello\nbye\n"


def test_libraries_are_told_to_report_to_nobody(tmp_path: Path) -> None:
    names = list(OFFLINE)
    run(tmp_path, "import os", f"print([os.environ.get(name) for name in {names}])")
    assert (tmp_path / "log").read_text().strip() == str(list(OFFLINE.values()))
    assert OFFLINE["WANDB_MODE"] == "disabled"
    assert OFFLINE["NO_ALBUMENTATIONS_UPDATE"] == "1"


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(IdbenchError, match="cannot be started"):
        run_program([str(tmp_path / "none")], tmp_path / "log", tmp_path / "lock", lambda: None)


def test_an_interrupt_ends_the_program_and_its_children(tmp_path: Path) -> None:
    def watch() -> None:
        if (tmp_path / "child").exists() and (tmp_path / "child").read_text():
            raise KeyboardInterrupt

    nested = "import subprocess, sys, pathlib, time"
    start = "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    tell = f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid)); time.sleep(600)"
    with pytest.raises(KeyboardInterrupt):
        run_program(python(nested, start, tell), tmp_path / "log", tmp_path / "lock", watch)
    grandchild = int((tmp_path / "child").read_text())
    with suppress(psutil.NoSuchProcess):
        psutil.Process(grandchild).wait(10)
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_a_program_ends_with_a_bench_that_is_killed_and_so_does_all_that_it_started(tmp_path: Path) -> None:
    """Also what left its group and session, as the trainer's workers do; the next one starts at once."""
    ready = tmp_path / "ready"
    nested = "import subprocess, sys, os, pathlib, time"
    start = "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)"
    tell = f"pathlib.Path({str(ready)!r}).write_text(f'{{os.getpid()}} {{child.pid}}'); time.sleep(600)"
    inner = "\n".join((nested, start, tell))
    outer = (
        "import sys; from pathlib import Path; from idbench.programs import run_program; "
        f"run_program([sys.executable, '-c', {inner!r}], Path({str(tmp_path / 'log')!r}), "
        f"Path({str(tmp_path / 'lock')!r}), lambda: None)"
    )
    bench = subprocess.Popen([sys.executable, "-c", outer])
    deadline = time.monotonic() + 60
    while not (ready.exists() and ready.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    bench.kill()
    bench.wait()
    assert run(tmp_path, "print('now')") == 0
    assert [pid for pid in map(int, ready.read_text().split()) if psutil.pid_exists(pid)] == []


def test_one_program_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    def watch() -> None:
        with pytest.raises(IdbenchError, match="still working"):
            run(tmp_path, "print('too early')")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_program(python("import time; time.sleep(600)"), tmp_path / "log", tmp_path / "lock", watch)


def test_a_program_that_a_signal_ended_says_which(tmp_path: Path) -> None:
    assert run(tmp_path, "import os; os.kill(os.getpid(), 11)") == -11


def test_a_failure_names_the_exception_not_the_noise_after_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("OldError: long ago\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("Traceback\n  File x\nmodule.OddError: the reason.\nI1122 cache_misses: 0\n")
    assert last_error(log, start) == "module.OddError: the reason"
    error = failure("The work", -9, log, start, "Repeat.")
    assert error.message == "The work was ended by signal 9: module.OddError: the reason."
    assert str(log) in error.hint


def test_a_full_disk_is_recognized_in_new_output_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("OSError: [Errno 28] No space left on device\n")
    assert disk_full(log, log.stat().st_size) is None
    assert isinstance(failure("The work", 1, log, 0, "Repeat."), StorageError)
