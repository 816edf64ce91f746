"""Starts a worker, relays its progress, holds it to its limits, and turns its end into a result or one clear error."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from idbench.api import AccessViolation, DataError, InvalidScores, Progress, TargetError
from idbench.errors import IdbenchError, MethodError, StorageError, TimeLimitExceeded
from idbench.runner.messages import FAILURE, RESULT, Failure, Result, load_failure, load_result, read_progress
from idbench.storage import make_dir

LOG = "worker.log"

_LOOK = 0.1  # seconds between looks at a worker
_GRACE = 15.0  # seconds for the supervisor to end what a worker left
_BLOCK = 1 << 16
_LONGEST_LINE = 4096  # bytes of a message; longer ones are none
_LOG_HEAD, _LOG_TAIL = 4 << 20, 1 << 20  # bytes of a log that are kept of its beginning and of its end
_LITTLE_SPACE = 16 << 20  # bytes: a disk with less is full

_RAISED: dict[str, type[IdbenchError]] = {
    kind.__name__: kind for kind in (AccessViolation, DataError, InvalidScores, MethodError, TargetError)
}
"""The errors that a worker may end with. None of them concerns any run but its own."""

# What a worker needs to find its packages, its caches and its processors; nothing else of the environment reaches it.
_PASSED = (
    "PATH", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LANG", "LC_ALL",
    "LC_CTYPE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "XDG_CACHE_HOME",
    "BENCH_CACHE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN",
    "TORCH_HOME",
)  # fmt: skip


def run_worker(
    folder: Path, log: Path, method: str, progress: Progress, time_limit: float | None, writable: Sequence[Path] = ()
) -> Result:
    """Run the bundle in `folder` to its end, in a process that may write in some folders only: see `run_started`."""
    return run_started(lambda: _started(folder, writable), folder, log, method, progress, time_limit)


def run_started(
    start: Callable[[], subprocess.Popen[bytes]],
    folder: Path,
    log: Path,
    method: str,
    progress: Progress,
    time_limit: float | None,
) -> Result:
    """Run the bundle in `folder` to its end; nothing that it started is left then.

    Args:
        start: starts a worker in a session of its own, with pipes; it and what it started end when its input is closed.
        folder: from `write_bundle`; the worker may write there.
        log: the file for what the worker prints, its first megabytes and its last; not below `folder`.
        method: the attack's name, for messages.
        progress: receives the worker's reports.
        time_limit: seconds; None for no limit.

    Raises:
        TimeLimitExceeded: it took longer.
        MethodError: the attack raised, returned something unusable, or the process died.
        StorageError: the disk is full.
        AccessViolation, DataError, InvalidScores, TargetError: as the worker met them.
    """
    deadline = None if time_limit is None else time.monotonic() + time_limit
    with _watched(start, log) as (process, messages):
        while not _ended(process):
            _relay(messages, progress)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeLimitExceeded(
                    f"{method} did not finish within {time_limit:g} seconds and was stopped.",
                    hint="Give it more (--time-limit), or a smaller budget in its parameters.",
                )
        _relay(messages, progress)
        status = process.returncode
    if status == 0 and os.path.lexists(folder / RESULT):
        return load_result(folder / RESULT)
    if os.path.lexists(folder / FAILURE):
        raise _error_of(load_failure(folder / FAILURE), method)
    if _full(folder):
        raise _no_space()
    raise MethodError(f"The worker of {method} ended without a result: {_cause(status)}.", hint=_advice(status))


def keep_log(error: IdbenchError, log: Path, kept: Path) -> IdbenchError:
    """Keep a failed worker's log, which holds the traceback, and let the error say where it is.

    Args:
        error: what the worker's failure means.
        log: where it is now; it may be missing or empty.
        kept: where it goes.
    """
    if not log.exists() or not log.stat().st_size:
        return error
    try:
        make_dir(kept.parent)
        shutil.copyfile(log, kept)
    except (OSError, StorageError):
        return error
    error.hint = f"{error.hint} The worker's log: {kept}".strip()
    return error


def worker_environment(temporary: Path) -> dict[str, str]:
    """The environment of a process that runs a method's code.

    Args:
        temporary: folder for its temporary files.
    """
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
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


def _started(folder: Path, writable: Sequence[Path]) -> subprocess.Popen[bytes]:
    # Temporary files go with the bundle: a worker that is ended cannot clean up after itself.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [
            sys.executable,
            "-P",
            "-m",
            "idbench.runner.supervisor",
            "idbench.runner.worker",
            str(folder),
            *map(str, writable),
            "--",
        ],
        cwd=folder,
        env=worker_environment(temporary),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@contextmanager
def _watched(
    start: Callable[[], subprocess.Popen[bytes]], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], _Messages]]:
    process = start()
    assert process.stdout is not None
    assert process.stderr is not None
    messages = _Messages(process.stdout)
    keeper = threading.Thread(target=_keep_log, args=(process.stderr, log), daemon=True)
    keeper.start()
    try:
        yield process, messages
    finally:
        end(process)
        # Both streams end with the last process that held them; the limit is for what could not be ended.
        for thread in (messages.thread, keeper):
            thread.join(_LOOK * 50)
        for stream in (process.stdout, process.stderr):
            with suppress(OSError):
                stream.close()


def _ended(process: subprocess.Popen[bytes]) -> bool:
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


def end(process: subprocess.Popen[bytes]) -> None:
    """End a supervisor's process and everything that it started: it does that itself, or else we do what we can."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _error_of(failure: Failure, method: str) -> IdbenchError:
    if failure.kind in ("StorageError", "OSError") and _full(Path(tempfile.gettempdir())):
        return _no_space()  # seen by ourselves: a method's word alone must not stop other runs
    if failure.kind in _RAISED:
        return _RAISED[failure.kind](failure.message, hint=failure.hint)
    text = " ".join(failure.message.split())[:300]
    return MethodError(
        f"{method} failed during {failure.stage}: {failure.kind}{': ' if text else ''}{text}.".replace("..", "."),
        hint=failure.hint,
    )


def _full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < _LITTLE_SPACE
    return False


def _no_space() -> StorageError:
    return StorageError(
        "No space left on the disk that holds temporary files.", hint="Free some space and repeat the command."
    )


def _cause(status: int) -> str:
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit status {status}"


def _advice(status: int) -> str:
    if -status == getattr(signal, "SIGKILL", 9):
        return "It may have run out of memory: try a smaller batch or another device."
    return "The log says more."
