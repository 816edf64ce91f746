"""The entry point of `bench`: answers signals from its first moment on, then imports the rest and runs it."""

from __future__ import annotations

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
    if status > 128:
        # An interrupt that met code in `exec` makes Python end itself by the signal, whatever status it is given.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    # All is done. While Python ends, it obeys signals as any program does: without a word, and by another status.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def _leave(number: int, frame: FrameType | None) -> None:
    """End while modules are still being imported: nothing has begun, so there is nothing to clean up.

    Not by an exception: it would be raised inside an import, where other code may catch and reword it.
    """
    with suppress(OSError):
        os.write(2, b"interrupted: nothing was begun; repeat the command.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    main()
