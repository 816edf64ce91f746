"""Runs other programs and waits for them: output in a file; they and all that they started end when we do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from idbench.errors import IdbenchError, StorageError
from idbench.storage import explain, make_dir, storage_errors

_POLL = 0.5  # seconds between looks at a running program
_GRACE = 20.0  # seconds that a program has to leave by itself
_PATIENCE = 5.0  # seconds to wait for what a killed `bench` left to be gone
_KEEPER = "idbench.runner.keeper"
_TAIL = 64 << 10
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Exit)\b.*: ")
_DISK_FULL = ("no space left on device", "errno 28", "disk quota exceeded")

OFFLINE: Mapping[str, str] = {
    "WANDB_MODE": "disabled",
    "WANDB_ERROR_REPORTING": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""What keeps the libraries of img2dataset and of open_clip's trainer from reporting to anybody."""


def run_program(
    command: Sequence[str],
    log: Path,
    lock: Path,
    watch: Callable[[], None],
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program to its end and return its exit status (negative: the signal that ended it).

    Args:
        command: program and arguments.
        log: its output is appended here.
        lock: a file; one program at a time runs with it.
        watch: called about twice a second while it runs.
        environment: added to this process's own, after `OFFLINE`.

    Raises:
        IdbenchError: another program holds the lock, or this one cannot be started.
    """
    if shutil.which(command[0]) is None:
        raise IdbenchError(f"{command[0]} cannot be started: it was not found.", hint="Install it.")
    make_dir(log.parent)
    with _locked(lock) as descriptor, storage_errors(log), log.open("ab") as output:
        keeper = subprocess.Popen(  # noqa: S603  our own interpreter and module, for the caller's own command
            [sys.executable, "-P", "-m", _KEEPER, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, **OFFLINE, **(environment or {})),
            start_new_session=True,
            pass_fds=[descriptor],
        )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return keeper.wait(_POLL)
                watch()
        finally:
            _end(keeper)


def last_error(log: Path, start: int) -> str:
    """The last line of a program's output that looks like an exception; without one, its last line.

    Args:
        log: its output.
        start: what lies before this byte is older.
    """
    with storage_errors(log), log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    output = [line for line in lines if _EXCEPTION.match(line)] or [line for line in lines if line] or ["no output"]
    return output[-1][:300].rstrip(".")


def failure(what: str, status: int, log: Path, start: int, hint: str) -> IdbenchError:
    """The error that tells a person why a program failed.

    Args:
        what: names it, e.g. "The training of X".
        status: its exit status.
        log: its output.
        start: size of the log before it was started, in bytes.
        hint: what to do next, unless the disk was full.
    """
    full = disk_full(log, start)
    if full is not None:
        return full
    how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
    return IdbenchError(f"{what} {how}: {last_error(log, start)}.", hint=f"{hint} All output is in {log}.")


def disk_full(log: Path, start: int) -> StorageError | None:
    """The error for a full disk, if a program complained about one.

    Args:
        log: its output.
        start: what lies before this byte is older.
    """
    with storage_errors(log), log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL))
        output = file.read().decode(errors="replace").lower()
    if any(phrase in output for phrase in _DISK_FULL):
        return explain(OSError(28, "No space left on device"), log.parent)
    return None


def log_size(log: Path) -> int:
    """Size of a log in bytes; 0 where there is none yet."""
    return log.stat().st_size if log.exists() else 0


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """An open file that holds a lock; a child that inherits it keeps the lock for as long as it lives."""
    import fcntl

    make_dir(path.parent)
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + _PATIENCE
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise IdbenchError(
                        f"Another process is still working in {path.parent}.", hint="Wait for it, or end it."
                    ) from error
                time.sleep(_POLL / 10)
        yield descriptor
    finally:
        os.close(descriptor)


def _end(keeper: subprocess.Popen[bytes]) -> None:
    """End a program that is still running: politely, then not."""
    if keeper.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(keeper.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            keeper.wait(_GRACE)
    assert keeper.stdin is not None
    keeper.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        keeper.wait(_GRACE)


def processors() -> int:
    """Processors that this process may use, which a scheduler or a container may hold below the machine's own."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_memory() -> int:
    """Bytes of memory that this process may use, which a container may hold below the machine's own."""
    import psutil

    own = int(psutil.virtual_memory().total)
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(place).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such container, or one without a limit
            continue
        return min(own, limit)
    return own
