"""The process that `idbench.runner.forkserver` starts: it imports what workers need, and forks them for each order."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn

from idbench.limits import Limits, Usage, hold
from idbench.runner.confinement import can_confine, confine
from idbench.runner.forkserver import LONGEST_ORDER, NUMBER, ForkOrder
from idbench.runner.supervisor import adopt_orphans, supervise


def main() -> int:
    """Import, then fork for each order, until the other end is closed."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    if not _imported(sys.argv[2:]):
        return 1
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, LONGEST_ORDER, 3)
        if not message:
            return 0
        pid = os.fork()
        if pid == 0:
            channel.close()  # else a method could read what other runs are given, and answer for them
            _become_supervisor(ForkOrder.model_validate_json(message), descriptors)
        for each in descriptors:
            os.close(each)
        channel.send(NUMBER.pack(pid))
        _, status = os.waitpid(pid, 0)
        channel.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _imported(modules: Sequence[str]) -> bool:
    """Import what workers import before they know whose code they run; whether a fork may follow.

    A fork takes over what other threads were doing, and not the threads. Those of OpenBLAS, which come with numpy and
    scipy, end before it and begin anew where they are needed; with any other there must be no fork.
    """
    import_module("scipy.linalg")
    of_openblas = _threads()
    if not entry_points(group="torch.backends"):  # else importing torch runs a plug-in's code, which is for workers
        for name in modules:
            import_module(name)
    import_module("psutil")
    return _threads() == of_openblas


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _become_supervisor(order: ForkOrder, descriptors: Sequence[int]) -> NoReturn:
    status = 70
    try:
        os.setsid()
        _take_over(descriptors)
        os.chdir(order.folder)
        os.environ.clear()
        os.environ.update(order.environment)
        tempfile.tempdir = None
        adopt_orphans()
        limits = Limits.of_word(order.limits)
        usage = Usage(limits, [order.folder, *order.writable])
        status = supervise(_Child(order, limits), usage)
    except BaseException:  # noqa: BLE001  nothing may return into the fork server's loop
        traceback.print_exc()
    finally:
        os._exit(status)


def _take_over(descriptors: Sequence[int]) -> None:
    """Make three descriptors standard input, output and error."""
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
    for each in descriptors:
        if each > 2:
            os.close(each)


class _Child:
    """The worker, forked off its supervisor."""

    def __init__(self, order: ForkOrder, limits: Limits) -> None:
        theirs, self._input = os.pipe()  # the other end is open as long as this process lives
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._input)
            os.dup2(theirs, 0)
            os.close(theirs)
            os.setpgid(0, 0)
            hold(limits)
            _become_worker(order)
        os.close(theirs)

    def wait(self) -> int:
        """The status, negative for the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _become_worker(order: ForkOrder) -> NoReturn:
    status = 1
    try:
        if can_confine():  # no other thread is there yet, which would not be held to it
            confine([order.folder, *order.writable])
        import numpy as np

        from idbench.runner import worker

        np.random.seed()  # noqa: NPY002  the one that libraries share: else all forks would draw the same
        sys.argv = [worker.__file__, str(order.folder)]
        status = worker.main()
    except BaseException:  # noqa: BLE001  the log has what a method raised; the fork ends here in any case
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Threads that a method left behind must not keep a finished worker alive.
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
