"""Stands between `bench` and a program that it runs: the program, and all that it started, end when `bench` does.

Started by `idbench.programs` as `python -P -m idbench.runner.keeper PROGRAM ARGUMENT...`, in a session of its own. It
ends as PROGRAM ended, by the same status or signal; when standard input ends, which `bench` holds open, it ends all,
also what left the group and the session (Linux). Unlike `idbench.runner.supervisor` it sets no limits: the program is
not a stranger's.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from idbench.runner.supervisor import adopt_orphans, end_as, end_descendants, watch_input


def main() -> int:
    """Start the program, wait for it, end what it left; the exit status is its own."""
    adopt_orphans()
    # Whoever ends the group politely ends the program with it; we stay until it has gone.
    signal.signal(signal.SIGTERM, lambda *_: None)
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603  from `bench`
    watch_input(program)
    status = program.wait()
    end_descendants()
    return end_as(status)


if __name__ == "__main__":
    sys.exit(main())
