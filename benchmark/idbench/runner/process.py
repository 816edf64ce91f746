"""Starts a worker, relays its progress, holds it to its limits, and turns its end into a result or one clear error."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from idbench.api import AccessViolation, DataError, InvalidScores, Progress, TargetError
from idbench.errors import IdbenchError, MethodError, StorageError, TimeLimitExceeded
from idbench.limits import EXCEEDED, Limits, advice, limits_here
from idbench.processes import Process, start_supervised, watched
from idbench.runner.forkserver import ForkServer
from idbench.runner.messages import FAILURE, RESULT, Failure, WorkerResult, load_failure, load_result
from idbench.storage import make_dir

LOG = "worker.log"

_LITTLE_SPACE = 16 << 20  # bytes: a disk with less is full

_RAISED: dict[str, type[IdbenchError]] = {
    kind.__name__: kind for kind in (AccessViolation, DataError, InvalidScores, MethodError, TargetError)
}
"""The errors that a worker may end with. None of them concerns any run but its own."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How work apart from the attack itself is carried out in a worker, such as a defense.

    Args:
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds; None for no limit.
        progress: receives progress reports.
        failed_log: where the log of a worker that failed is kept.
        forks: where the worker comes from; None: it starts by itself and imports everything anew.
    """

    device: str
    time_limit: float | None
    progress: Progress
    failed_log: Path
    forks: ForkServer | None = None


def run_worker(
    folder: Path,
    log: Path,
    method: str,
    progress: Progress,
    time_limit: float | None,
    writable: Sequence[Path] = (),
    forks: ForkServer | None = None,
) -> WorkerResult:
    """Run the bundle in `folder` to its end, in a process that may write in some folders only: see `run_started`.

    The process is forked off `forks` where there is one, with what it would have imported; else it starts from nothing.
    """

    limits = limits_here([folder, *writable])

    def start() -> Process:
        forked = None if forks is None else forks.start(folder, writable, limits)
        return forked or start_supervised("idbench.runner.worker", folder, limits, writable)

    return run_started(start, folder, log, method, progress, time_limit, limits)


def run_started(
    start: Callable[[], Process],
    folder: Path,
    log: Path,
    method: str,
    progress: Progress,
    time_limit: float | None,
    limits: Limits | None = None,
) -> WorkerResult:
    """Run the bundle in `folder` to its end; nothing that it started is left then.

    Args:
        start: starts a worker in a session of its own, with pipes; it and what it started end when its input is closed.
        folder: from `write_bundle`; the worker may write there.
        log: the file for what the worker prints, its first megabytes and its last; not below `folder`.
        method: the attack's name, for messages.
        progress: receives the worker's reports.
        time_limit: seconds; None for no limit.
        limits: those of a supervisor that holds the worker to some; None if the limits are reported in another way.

    Raises:
        TimeLimitExceeded: it took longer.
        MethodError: the attack raised, returned something unusable, used too much, or the process died.
        StorageError: the disk is full.
        AccessViolation, DataError, InvalidScores, TargetError: as the worker met them.
    """
    with watched(start, log) as worker:
        try:
            status = worker.wait(progress, time_limit)
        except TimeoutError as error:
            raise TimeLimitExceeded(
                f"{method} did not finish within {time_limit:g} seconds and was stopped.",
                hint="Give it more (--time-limit), or a smaller budget in its parameters.",
            ) from error
    if status == 0 and os.path.lexists(folder / RESULT):
        return load_result(folder / RESULT)
    if limits is not None and status in EXCEEDED:
        what = EXCEEDED[status]
        raise MethodError(f"{method} was stopped: {limits.sentence(what)}.", hint=advice(what))
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


def _error_of(failure: Failure, method: str) -> IdbenchError:
    if failure.kind in ("StorageError", "OSError") and _full(Path(tempfile.gettempdir())):
        return _no_space()  # seen by ourselves: a method's word alone must not stop other runs
    if failure.kind in _RAISED:
        return _RAISED[failure.kind](failure.message, hint=failure.hint)
    text = " ".join(failure.message.split())[:300]
    return MethodError(
        f"{method} failed during {failure.stage}: {failure.kind}{': ' if text else ''}{text}.".replace("..", "."),
        hint=failure.hint or _advice_on_files(failure),
    )


def _advice_on_files(failure: Failure) -> str:
    """The hint for a method that met the system's limits on files."""
    for number, name, unit in ((errno.EMFILE, "BENCH_OPEN_FILES", "open files"), (errno.EFBIG, "BENCH_DISK", "GiB")):
        if failure.kind == "OSError" and failure.message.startswith(f"[Errno {number}]"):
            return f"It may not have more; if that is what it needs, set {name} to more {unit} and repeat the command."
    return ""


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
