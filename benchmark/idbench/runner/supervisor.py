"""Stands between `bench` and a process with third-party code: what that one leaves ends with it, and with `bench`.

Started as `python -P -m idbench.runner.supervisor LIMITS MODULE FOLDER WRITABLE... -- ARGUMENT...`; starts MODULE, the
worker or the reader of plug-ins, as `python -P -m MODULE FOLDER ARGUMENT...`, held to write below FOLDER and the
writable folders alone where the system can do that. No third-party code runs in this process. Orphans become its
children (Linux), so that a process which left its group and session is found too. It ends as MODULE ended, by the same
status or signal; when standard input ends, which `bench` holds open, it ends all; so it does when what it started uses
more than LIMITS (`idbench.limits`), and the status says of what.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from idbench.limits import EXCEEDED, LOOK, Limits, Usage, hold
from idbench.runner.confinement import can_confine, confine

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 10.0  # seconds to end what keeps restarting


def main() -> int:
    """Start the worker, wait for it, end what it left; the exit status is the worker's own."""
    cut = sys.argv.index("--")
    word, module, folder, *writable = sys.argv[1:cut]
    adopt_orphans()
    limits = Limits.of_word(word)
    places = [Path(folder), *map(Path, writable)]

    def give_up() -> None:
        hold(limits)
        if can_confine():
            confine(places)

    worker = subprocess.Popen(  # noqa: S603  our own interpreter and module
        [sys.executable, "-P", "-m", module, folder, *sys.argv[cut + 1 :]],
        stdin=subprocess.PIPE,
        # Before anything of the worker is there: threads that exist already would not be held to it.
        preexec_fn=give_up if hasattr(os, "fork") else None,  # noqa: PLW1509  no thread runs yet
        process_group=0 if hasattr(os, "setpgid") else None,
    )
    return supervise(worker, Usage(limits, places))


class Worker(Protocol):
    """A child of this process, in a process group of its own."""

    pid: int

    def wait(self) -> int:
        """Its status once it has ended, negative for the signal that ended it."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


def supervise(worker: Worker, usage: Usage) -> int:
    """Wait for a worker that was just started, and end what it left; returns its status or ends by the same signal."""
    watch_input(worker)
    exceeded: list[int] = []
    for look in usage.looks:
        threading.Thread(target=_bound, args=(worker, look, exceeded), daemon=True).start()
    status = worker.wait()
    end_descendants()
    if exceeded:
        return exceeded[0]
    if status in EXCEEDED:
        return 1  # a worker's own status says nothing of limits
    return end_as(status)


def end_as(status: int) -> int:
    """A status of `subprocess`; where it is a signal, this process ends by it."""
    if status < 0:
        with suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def adopt_orphans() -> None:
    """Become the parent of what descendants leave (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def watch_input(worker: Worker) -> None:
    """End a worker when standard input ends, from a thread of its own."""
    threading.Thread(target=_watch, args=(worker,), daemon=True).start()


def _watch(worker: Worker) -> None:
    """End the worker when standard input ends: `bench` is gone, or wants no more."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    worker.kill()


def _bound(worker: Worker, look: Callable[[], int | None], exceeded: list[int]) -> None:
    """End the worker as soon as everything together uses too much; who waits for it ends the rest.

    Children must not be waited for here: this thread would now and then take the worker's status from the other one.
    """
    while not exceeded:
        time.sleep(LOOK)
        status = look()
        if status is not None:
            exceeded.append(status)
            _end_group(worker.pid)
            worker.kill()


def _end_group(process: int) -> None:
    """End the whole process group of a descendant at once: nothing else ends what forks faster than it is counted."""
    with suppress(OSError, AttributeError):
        group = os.getpgid(process)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)


def end_descendants() -> None:
    """End all that this process and those below it have started, again and again until nothing is left."""
    import psutil

    deadline = time.monotonic() + _PATIENCE
    while (found := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for process in found:
            _end_group(process.pid)
            with suppress(psutil.Error):
                process.kill()
        with suppress(ChildProcessError):
            while hasattr(os, "waitpid") and os.waitpid(-1, getattr(os, "WNOHANG", 0))[0]:
                pass
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
