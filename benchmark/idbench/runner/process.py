"""Starts a worker, relays its progress, holds it to its time, and turns its end into a result or one clear error."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from idbench import errors
from idbench.api import Progress
from idbench.errors import IdbenchError, MethodError, TimeLimitExceeded
from idbench.runner.messages import FAILURE, RESULT, Failure, Result, load_failure, load_result

LOG = "worker.log"

# What a worker needs to find its packages, its caches and its processors; nothing else of the environment reaches it.
_PASSED = (
    "PATH", "HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LANG", "LC_ALL",
    "LC_CTYPE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "XDG_CACHE_HOME",
    "BENCH_CACHE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN",
    "TORCH_HOME",
)  # fmt: skip


def run_worker(folder: Path, method: str, progress: Progress, time_limit: float | None) -> Result:
    """Run the bundle in `folder` to its end.

    Args:
        folder: from `write_bundle`.
        method: the attack's name, for messages.
        progress: told what the worker reports.
        time_limit: seconds; None for no limit.

    Raises:
        TimeLimitExceeded: it took longer; the worker and what it started are ended.
        MethodError: the attack raised, returned something unusable, or the process died.
        IdbenchError: of the kind that the worker met, e.g. AccessViolation or TargetError.
    """
    deadline = None if time_limit is None else time.monotonic() + time_limit
    with _worker(folder) as process:
        for line in _lines(process, deadline):
            _relay(line, progress)
        if process.poll() is None:
            raise TimeLimitExceeded(
                f"{method} did not finish within {time_limit:g} seconds and was stopped.",
                hint="Give it more (--time-limit), or a smaller budget in its parameters.",
            )
        status = process.wait()
    if status == 0 and (folder / RESULT).exists():
        return load_result(folder / RESULT)
    if (folder / FAILURE).exists():
        raise _error_of(load_failure(folder / FAILURE), method)
    raise MethodError(f"The worker of {method} ended without a result: {_cause(status)}.", hint=_advice(status))


@contextmanager
def _worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    # Threads that wait by spinning take processors from those that work: on a busy machine, half of the time.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Temporary files go with the bundle: a worker that is ended cannot clean up after itself.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    command = [sys.executable, "-P", "-m", "idbench.runner.worker", str(folder)]
    process = subprocess.Popen(  # noqa: S603  our own interpreter and module
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / LOG).open("ab"),
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _lines(process: subprocess.Popen[str], deadline: float | None) -> Iterator[str]:
    """Lines of standard output until the worker ends or the deadline passes."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            line = ""
        if line is None:
            with suppress(subprocess.TimeoutExpired):
                # Output is closed: the worker is ending, or a method closed what it does not own.
                process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            return
        if line:
            yield line
        elif process.poll() is not None:
            return
        if deadline is not None and time.monotonic() > deadline:
            return


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with suppress(ValueError, OSError):
        for line in stream:
            lines.put(line)
    lines.put(None)


def _relay(line: str, progress: Progress) -> None:
    with suppress(json.JSONDecodeError, KeyError, TypeError, ValueError):
        message = json.loads(line)
        progress.update(float(message["done"]), float(message["total"]), str(message["description"]))


def _end(process: subprocess.Popen[str]) -> None:
    """End the worker and everything that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()


def _error_of(failure: Failure, method: str) -> IdbenchError:
    kind = getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, IdbenchError):
        try:
            return kind(failure.message, hint=failure.hint)
        except TypeError:
            return MethodError(failure.message, hint=failure.hint)
    if failure.kind == "OSError" and "No space left" in failure.message:
        return errors.StorageError(
            "No space left on the disk that holds temporary files.", hint="Free some space and repeat the command."
        )
    text = " ".join(failure.message.split())[:300]
    return MethodError(
        f"{method} failed during {failure.stage}: {failure.kind}{': ' if text else ''}{text}.".replace("..", ".")
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
