"""Workers for many runs that import libraries once: forked off a process that did so and knows nothing else.

The process, `python -P -m idbench.runner.forking SOCKET MODULE...`, imports idbench's engine and the libraries below
it, no plug-in, opens no split, no target and no cache, and then only forks. Each fork becomes a supervisor as
`idbench.runner.supervisor` describes it, in a session of its own, and forks the worker once more. So a worker begins
with what it would have imported by itself, and with the data of its own run alone.

`multiprocessing` has a fork server, too. It listens at a socket in the file system, where a method could ask it for a
process without confinement, and hands the whole environment and the caller's main module to what it starts.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from pydantic import BaseModel, ConfigDict

from idbench.limits import Limits
from idbench.processes import Process, worker_environment

ASKING = ("idbench.runner.opening", "idbench.runner.worker", "idbench.targets.gate")
"""What the worker of an attack imports that asks a target; torch and open_clip come with it."""
BLIND = ("idbench.runner.worker", "scipy.optimize", "scipy.sparse", "scipy.stats")
"""What the worker of a blind attack imports: no torch. scikit-learn would start a thread, and is left to it."""
LONGEST_ORDER = 1 << 17  # bytes: a path and an environment
NUMBER = struct.Struct("i")
_LOST = -signal.SIGKILL
"""Status of a worker whose fork server is gone: what the system ends for lack of memory ends so."""


class ForkOrder(BaseModel):
    """What a fork is to do: the folder of a bundle, folders in which it may write, its limits, and its environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    writable: tuple[Path, ...]
    limits: str
    environment: dict[str, str]


class ForkServer:
    """Starts workers, one at a time; a context manager, at whose end the process ends.

    It starts with the first `warm` or `start`. Where it cannot be had (a system other than Linux, a library that starts
    threads as it is imported, a crash), `start` returns None, and workers have to be started without.
    """

    def __init__(self, modules: Sequence[str] = ASKING) -> None:
        """Fork off a process that has imported these modules."""
        self._modules = tuple(modules)
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def warm(self) -> None:
        """Let the imports begin, if they have not; returns at once."""
        environment = worker_environment(Path(tempfile.gettempdir()))
        if sys.platform != "linux" or (self._server is not None and environment == self._environment):
            return
        self.end()
        own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, "-P", "-m", "idbench.runner.forking", str(theirs.fileno()), *self._modules],
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # an interrupt from the keyboard reaches `bench` alone, which ends its workers
            )
        self._channel, self._environment = own, environment

    def start(self, folder: Path, writable: Sequence[Path], limits: Limits) -> Process | None:
        """Start a worker under a supervisor of its own, as `processes.start_supervised` does.

        Args:
            folder: with the bundle of a run; the worker may write there.
            writable: folders in which it may write too.
            limits: what it may use.
        """
        self.warm()
        if self._channel is None:
            return None
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = worker_environment(temporary)
        order = ForkOrder(folder=folder, writable=tuple(writable), limits=limits.word(), environment=environment)
        message = order.model_dump_json().encode()
        if len(message) > LONGEST_ORDER:
            return None
        ends = [os.pipe() for _ in range(3)]
        given = [ends[0][0], ends[1][1], ends[2][1]]
        kept = [ends[0][1], ends[1][0], ends[2][0]]
        try:
            socket.send_fds(self._channel, [message], given)
            pid = _received(self._channel)
        except OSError:
            pid = None
        finally:
            for each in given:
                os.close(each)
        if pid is None:
            for each in kept:
                os.close(each)
            return None
        return _Forked(pid, self._channel, kept)

    def end(self) -> None:
        """End the process, if it runs; the next `warm` or `start` begins another."""
        if self._channel is not None:
            self._channel.close()
        if self._server is not None:
            self._server.kill()  # what it forked ends with its own input, which whoever watches it closes
            self._server.wait()
        self._server = self._channel = None


@dataclass(frozen=True, slots=True)
class ForkServers:
    """One for workers that ask a target, one for those of blind attacks; a context manager, at whose end both end."""

    asking: ForkServer = field(default_factory=lambda: ForkServer(ASKING))
    blind: ForkServer = field(default_factory=lambda: ForkServer(BLIND))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.asking, self.blind):
            each.end()


class _Forked:
    """A supervisor that the fork server started, as `subprocess.Popen` shows its own children."""

    def __init__(self, pid: int, channel: socket.socket, pipes: Sequence[int]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        stdin, stdout, stderr = pipes
        self.stdin: IO[bytes] | None = os.fdopen(stdin, "wb", buffering=0)
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb", buffering=0)
        self.stderr: IO[bytes] | None = os.fdopen(stderr, "rb", buffering=0)
        self._channel = channel

    def wait(self, timeout: float | None = None) -> int:
        """The status, negative for the signal that ended it; `subprocess.TimeoutExpired` if it has none by then."""
        if self.returncode is None:
            self._channel.settimeout(timeout)
            try:
                status = _received(self._channel)
            except TimeoutError:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0) from None
            finally:
                self._channel.settimeout(None)
            self.returncode = _LOST if status is None else status
        return self.returncode

    def kill(self) -> None:
        """End it at once."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _received(channel: socket.socket) -> int | None:
    """A number from the other end; None when that is gone."""
    try:
        message = channel.recv(NUMBER.size)
    except ConnectionError:
        return None
    return NUMBER.unpack(message)[0] if len(message) == NUMBER.size else None
