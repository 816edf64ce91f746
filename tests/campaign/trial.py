"""One trial: a `bench` command in a fork of this process, so that imports are paid for once."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 60.0
"""Seconds after which a command that should be refused counts as hanging, on a busy machine too."""

_FINE = frozenset({0, 1, 2})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Args:
        status: as a shell would see it; None: it hung and was killed.
        out: standard output.
        err: standard error.
    """

    status: int | None
    out: str
    err: str

    def complaint(self) -> str:
        """What is wrong with the way in which it ended; empty if nothing is."""
        if self.status is None:
            return f"hung for {LIMIT:.0f} s"
        if self.status not in _FINE:
            return f"ended with status {self.status}"
        if "Traceback (most recent call last)" in self.out + self.err:
            return "printed a traceback"
        if "\x1b]" in self.out + self.err or "\x1b[2J" in self.out + self.err:
            return "passed a terminal's escape sequence on"
        if self.status != 0 and not (self.err.strip() or self.out.strip()):
            return "failed without a word"
        return ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that ended as none may.

    Args:
        kind: of the campaign.
        what: was tried, in words that repeat it.
        why: it is wrong.
        ended: the command's end.
    """

    kind: str
    what: str
    why: str
    ended: Ended

    def __str__(self) -> str:
        return f"[{self.kind}] {self.what}\n    {self.why}\n    {self.ended.err.strip()[-600:]}"


@dataclass(slots=True)
class Report:
    """What a campaign tried and what failed."""

    tries: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def tried(self, kind: str, what: str, ended: Ended, why: str = "") -> None:
        """Count one trial; `why` says what else is wrong beside the way in which the command ended."""
        self.tries[kind] = self.tries.get(kind, 0) + 1
        problem = ended.complaint() or why
        if problem:
            self.failures.append(Failure(kind, what, problem, ended))


def bench(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Type one `bench` command in a forked child: its working folder, streams and signals are its own."""
    out, err = cwd / ".out", cwd / ".err"
    child = os.fork()
    if child == 0:
        _become(arguments, cwd, environment or {}, out, err)
    status = _wait(child)
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (out, err)]
    for path in (out, err):
        path.unlink(missing_ok=True)
    return Ended(status, *texts)


def _become(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], out: Path, err: Path) -> None:
    """Turn this child into the command; never returns."""
    status = 70
    try:
        os.setpgid(0, 0)
        os.chdir(cwd)
        for number, path in ((1, out), (2, err)):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(handle, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # Whoever captures output in this process must not catch the command's.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
        os.environ.update(environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["bench", *arguments]
        # Not `idbench.cli.main`: at its end it would clean up what is this process's.
        from idbench.cli.app import run

        status = run()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  whatever reaches here is a failure of the program, and says so
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _wait(child: int) -> int | None:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
