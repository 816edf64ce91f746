"""The entry point of `bench`: answers signals from its first moment on, then imports the rest and runs it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType


def main() -> None:
    """Run `bench` with the arguments of this process and exit."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    from idbench.cli.app import run

    status = run()
    # All is done: what interrupts from now on changes neither what was said nor the status.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    atexit._run_exitfuncs()  # what libraries clean up at the end
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Not by Python's own end. It aborts or waits forever when a library's thread, such as one of Arrow's that reads a
    # file, is met in C++; and an interrupt that met code in `exec` makes it end by the signal, whatever the status.
    os._exit(status)


def _leave(number: int, frame: FrameType | None) -> None:
    """End while modules are still being imported: nothing has begun, so there is nothing to clean up.

    Not by an exception: it would be raised inside an import, where other code may catch and reword it.
    """
    with suppress(OSError):
        os.write(2, b"interrupted: nothing was begun; repeat the command.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
