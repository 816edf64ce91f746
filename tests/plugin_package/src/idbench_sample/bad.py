"""One plug-in for each way to be bad."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView


def card(name: str, knowledge: Knowledge = Knowledge.NAME) -> MethodCard:
    return MethodCard(name=name, version="1", title=f"Sample: {name}", access=Access.NONE, knowledge=knowledge)


class Raises(Attack[MethodParams]):
    """Raises in the middle."""

    card = card("sample-raises")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        raise ZeroDivisionError("the stranger divided by zero")


class Hangs(Attack[MethodParams]):
    """Never comes back, and starts a child that does not either."""

    card = card("sample-hangs")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        (context.cache / "pids").write_text(f"{os.getpid()} {child.pid}")
        context.progress.update(1, 2, "hanging")
        while True:
            time.sleep(3600)


class Dies(Attack[MethodParams]):
    """Is killed, as by a kernel that is out of memory."""

    card = card("sample-dies")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Exits(Attack[MethodParams]):
    """Leaves by the back door."""

    card = card("sample-exits")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        sys.exit(0)


class NaNs(Attack[MethodParams]):
    """One score is not a number."""

    card = card("sample-nan")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        values = np.zeros(len(cases))
        values[3] = np.nan
        return Scores(values)


class Short(Attack[MethodParams]):
    """One score is missing."""

    card = card("sample-short")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.zeros(len(cases) - 1))


class Nothing(Attack[MethodParams]):
    """Forgets to return."""

    card = card("sample-none")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return None  # type: ignore[return-value]


class Undeclared(Attack[MethodParams]):
    """Asks for photos that its card does not declare."""

    card = card("sample-undeclared")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.array([float(len(case.photos)) for case in cases]))


class Order(Attack[MethodParams]):
    """Scores by the order of the cases."""

    card = card("sample-order")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.arange(len(cases), dtype=float))


class Hashes(Attack[MethodParams]):
    """Scores by hashes, which each process has of its own."""

    card = card("sample-hashes")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.array([float(hash(case.name) % 997) for case in cases]))


class FullDisk(Attack[MethodParams]):
    """Meets a full disk."""

    card = card("sample-full-disk")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        if Path("/dev/full").exists():
            Path("/dev/full").write_bytes(b"x" * 10_000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
