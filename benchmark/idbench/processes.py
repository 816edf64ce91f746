"""Starts processes for third-party code under a supervisor, relays their progress, and ends all that they started."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol, TextIO

from idbench.limits import Limits
from idbench.progress import Progress, Reporter
from idbench.storage import cache_dir

_LOOK = 0.1  # seconds between looks at a process
_GRACE = 15.0  # seconds for the supervisor to end what a process left
_BLOCK = 1 << 16
_LONGEST_LINE = 4096  # bytes of a message; longer lines are not messages
_LOG_HEAD, _LOG_TAIL = 4 << 20, 1 << 20  # bytes of a log that are kept of its beginning and of its end
_DESCRIPTION = 200  # characters
_KEPT_BACK = 8  # descriptors
_SUPERVISOR = "idbench.runner.supervisor"
_REPORT_EVERY = 0.1  # seconds between progress messages: often enough for the eye, seldom enough to cost nothing

# What a worker needs to find its packages, its caches and its processors; nothing else of the environment reaches it.
_PASSED = (
    "PATH", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LANG", "LC_ALL",
    "LC_CTYPE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "XDG_CACHE_HOME",
    "BENCH_CACHE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN",
    "TORCH_HOME",
)  # fmt: skip


class Process(Protocol):
    """A child with pipes, as `subprocess.Popen` shows it, even if another process forked it."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    @property
    def returncode(self) -> int | Any:
        """None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its status, negative for the signal that ended it; `subprocess.TimeoutExpired` if it has none by then."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Supervised:
    """A running process whose supervisor ends whatever it leaves.

    Args:
        process: the supervisor.
        messages: what the process reports.
    """

    def __init__(self, process: Process, messages: _Messages) -> None:
        self._process = process
        self._messages = messages

    def wait(self, progress: Progress, seconds: float | None) -> int:
        """Wait for the end, and report progress; returns the status, negative for the signal that ended it.

        Raises:
            TimeoutError: it took longer than that many seconds; it still runs.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not _ended(self._process):
            _relay(self._messages, progress)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
        _relay(self._messages, progress)
        return int(self._process.returncode)


def start_supervised(
    module: str, folder: Path, limits: Limits, writable: Sequence[Path] = (), arguments: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start one of our modules, which will run third-party code, under a supervisor.

    Args:
        module: started as `python -P -m MODULE FOLDER ARGUMENTS...`.
        folder: where it works, and may write.
        limits: what it may use, with all that it starts.
        writable: folders in which it may write too; all others are closed to it where the system can do that.
        arguments: for the module.
    """
    # Temporary files go with the folder: a process that is ended cannot clean up after itself.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    places = [str(folder), *map(str, writable)]
    return subprocess.Popen(  # noqa: S603  our own interpreter and modules
        [sys.executable, "-P", "-m", _SUPERVISOR, limits.word(), module, *places, "--", *arguments],
        cwd=folder,
        env=worker_environment(temporary),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@contextmanager
def watched(start: Callable[[], Process], log: Path) -> Iterator[Supervised]:
    """A process while the block lasts; nothing that it started is left afterwards.

    Args:
        start: starts it in a session of its own, with pipes; it and what it started end when its input is closed.
        log: file for what it prints, its first megabytes and its last; not where the process may write.
    """
    process = start()
    assert process.stdout is not None
    assert process.stderr is not None
    messages = _Messages(process.stdout)
    keeper = threading.Thread(target=_keep_log, args=(process.stderr, log), daemon=True)
    keeper.start()
    try:
        yield Supervised(process, messages)
    finally:
        end(process)
        # Both streams end with the last process that held them; the limit is for what could not be ended.
        for thread in (messages.thread, keeper):
            thread.join(_LOOK * 50)
        for stream in (process.stdout, process.stderr):
            with suppress(OSError):
                stream.close()


def worker_environment(temporary: Path) -> dict[str, str]:
    """The environment of a process that runs a method's code.

    Args:
        temporary: folder for its temporary files.
    """
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    if "BENCH_CACHE" in environment:  # a relative one would mean another place in a worker's own folder
        environment["BENCH_CACHE"] = str(cache_dir())
    # Threads that wait by spinning take processors from those that work: on a busy machine, half of the time.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    return environment


class _Messages:
    """The last message of a worker. Earlier, unread ones are dropped, so that none can pile up."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._latest: deque[bytes] = deque(maxlen=1)
        self._stream = stream
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()

    def take(self) -> bytes | None:
        """The last message, once."""
        return self._latest.pop() if self._latest else None

    def _pump(self) -> None:
        line = b""
        for block in _blocks(self._stream):
            *whole, line = (line + block).split(b"\n")
            self._latest.extend(one for one in whole[-1:] if len(one) <= _LONGEST_LINE)
            line = line[: _LONGEST_LINE + 1]  # anything longer is not a message and need not be kept


def _keep_log(stream: IO[bytes], path: Path) -> None:
    """Write the beginning and the end of a stream to a file."""
    left, dropped = _LOG_HEAD, 0
    tail = b""
    with path.open("wb", buffering=0) as file:
        for block in _blocks(stream):
            with suppress(OSError):  # a full disk costs the log, not the run
                file.write(block[:left])
            tail += block[left:]
            left = max(0, left - len(block))
            if len(tail) > 2 * _LOG_TAIL:
                dropped += len(tail) - _LOG_TAIL
                tail = tail[-_LOG_TAIL:]
        with suppress(OSError):
            file.write((b"\n[%d bytes are left out]\n" % dropped if dropped else b"") + tail)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    with suppress(ValueError, OSError):
        while block := os.read(stream.fileno(), _BLOCK):
            yield block


def _ended(process: Process) -> bool:
    """Whether the process ends within the time between two looks."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK)
        return True
    return False


def _relay(messages: _Messages, progress: Progress) -> None:
    line = messages.take()
    message = None if line is None else read_progress(line)
    if message is not None:
        progress.update(*message)


def end(process: Process) -> None:
    """End a supervisor's process and everything that it started: it does that itself, or else we do what we can."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    if process.returncode is None:
        _end_children(process.pid)
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _end_children(supervisor: int) -> None:
    """End what a supervisor that does not end by itself has started, which is in process groups of its own."""
    import psutil

    with suppress(psutil.Error):
        for process in psutil.Process(supervisor).children(recursive=True):
            with suppress(psutil.Error):
                process.kill()


def progress_line(done: float, total: float, description: str) -> str:
    """A line that reports progress."""
    return json.dumps({"done": done, "total": total, "description": description[:_DESCRIPTION]}) + "\n"


def read_progress(line: bytes) -> tuple[float, float, str] | None:
    """What `progress_line` wrote; None for anything else."""
    try:
        message = json.loads(line)
        done, total = float(message["done"]), float(message["total"])
        description = str(message["description"])[:_DESCRIPTION]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    if not (math.isfinite(done) and math.isfinite(total) and done >= 0 and total >= 0):
        return None
    return done, total, description


class PipeProgress(Reporter):
    """Sends progress to the parent, not more often than a person can see."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = 0.0

    def update(self, done: float, total: float, description: str) -> None:
        """Report that `done` of `total` units are finished."""
        now = time.monotonic()
        if done < total and now - self._last < _REPORT_EVERY:
            return
        self._last = now
        self._stream.write(self._line(done, total, description))
        self._stream.flush()

    def _line(self, done: float, total: float, description: str) -> str:
        return progress_line(done, total, description)


def begin() -> PipeProgress:
    """What a process that was started here does first, before any third-party code.

    Standard output is kept for messages; what anybody prints goes to standard error, the log. The process ends when
    its supervisor does.
    """
    stream = _separate_output()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    return PipeProgress(stream)


def keep_back() -> list[int]:
    """Keep some descriptors, so that code which exhausts them does not keep us from reporting it."""
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(_KEPT_BACK)]


def give_back(descriptors: Sequence[int]) -> None:
    """Close what `keep_back` kept."""
    for each in descriptors:
        with suppress(OSError):
            os.close(each)


def _separate_output() -> TextIO:
    """Keep standard output for messages; send everything that anybody prints to standard error, the log."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return messages


def _die_with_parent() -> None:
    """End when standard input does: the supervisor holds the other end for as long as it lives."""
    while os.read(0, 1024):
        pass
    os._exit(75)
