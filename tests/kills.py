"""Kills a process at a moment that matters: when it is about to rename a file or folder."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KILLED = """
import os, signal, sys
from pathlib import Path

replace, left, code, of = Path.replace, int(sys.argv[1]), *sys.argv[2:]

def kill_at_last(self, target):
    global left
    left -= of in f"{self} {target}"
    if left == 0 and of in f"{self} {target}":
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = kill_at_last
exec(code)
"""


def heed_interrupts() -> None:
    """Let what is started from here be interrupted: a shell's background job ignores SIGINT, and would hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def killed_at_rename(number: int, code: str, of: str = "") -> None:
    """Run code in a process that is killed when it is about to rename for the n-th time.

    Args:
        number: counted from 1.
        code: Python.
        of: counts only renames to and from places whose path holds this.
    """
    done = subprocess.run([sys.executable, "-c", KILLED, str(number), code, of], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def until_signals_are_handled(process: subprocess.Popen[Any]) -> None:
    """Wait for the first lines of a `bench` command: before them, Python ends as any program does (Linux)."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None and status.exists():
        caught = next((line for line in status.read_text().splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def bench_killed_at_rename(number: int, *arguments: str, of: str = "") -> None:
    """The same for a `bench` command."""
    code = f"import sys; sys.argv = {['bench', *arguments]!r}; from idbench.cli.main import main; main()"
    killed_at_rename(number, code, of)
