"""Types `bench` without waiting for its imports: forked off a process that has made them, and done nothing else.

Started as `python -m tests.warm CHANNEL`, it reads orders from a socket: arguments, folder and environment, with the
three streams. The fork has the arguments, folder, environment, module path and streams of a command that a person
types, and runs `idbench.cli.main` as `python -m` does. What is not as there: imports are done, and the seed of Python's
hashes is the one of this process. Tests of imports, signals and streams start `bench` itself: `Bench.start`.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

MODULES = ("idbench.metrics", "idbench.runner.execute", "idbench.runner.grid", "idbench.runner.sweeping", "scipy.stats")
"""What most commands import, besides their own modules."""
LATE = ("torch", "open_clip", "huggingface_hub", "datasets", "streamlit")
"""What reads the environment as it is imported, or starts threads."""
READ_EARLY = ("PYTHON", "LC_", "LANG", "OMP_", "LD_", "TERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
"""Beginnings of variables that the interpreter and rich read as they start; PYTHONPATH alone is set later."""
_LONGEST = 1 << 20  # bytes of an order


class Warm:
    """One process for each set of values that are read early; started with the first command that has them."""

    def __init__(self) -> None:
        self._started: dict[tuple[tuple[str, str], ...], tuple[subprocess.Popen[bytes], socket.socket]] = {}

    def takes(self, environment: Mapping[str, str]) -> bool:
        """Whether a command with this environment may be forked off: nothing on its path runs as Python starts."""
        path = environment.get("PYTHONPATH", "").split(os.pathsep)
        return sys.platform == "linux" and not any(
            Path(folder, "sitecustomize.py").exists() for folder in path if folder
        )

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """What a command printed and its status.

        Raises:
            subprocess.TimeoutExpired: it took longer than so many seconds.
        """
        early = {name: value for name, value in environment.items() if name.startswith(READ_EARLY)}
        early.pop("PYTHONPATH", None)
        key = tuple(sorted(early.items()))
        channel = self._channel(key, environment)
        order = json.dumps([list(arguments), str(cwd), dict(environment)]).encode()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
            pid = 0
            try:
                socket.send_fds(channel, [order], [nothing.fileno(), out.fileno(), err.fileno()])
                pid = int(channel.recv(32))
                channel.settimeout(seconds)
                status = int(channel.recv(32))
                channel.settimeout(None)
            except BaseException as error:  # a test's own time limit, too: what is said later is for nobody
                if pid:
                    os.kill(pid, signal.SIGKILL)
                self._end(key)
                if isinstance(error, TimeoutError):
                    raise subprocess.TimeoutExpired(list(arguments), seconds) from None
                raise
            printed = [_text(stream) for stream in (out, err)]
        return subprocess.CompletedProcess(list(arguments), status, *printed)

    def end(self) -> None:
        """End the processes."""
        for key in list(self._started):
            self._end(key)

    def _end(self, key: tuple[tuple[str, str], ...]) -> None:
        process, channel = self._started.pop(key)
        channel.close()
        process.wait(timeout=20)

    def _channel(self, key: tuple[tuple[str, str], ...], environment: Mapping[str, str]) -> socket.socket:
        if key not in self._started:
            own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                    cwd=Path(__file__).parents[1],
                    env={name: value for name, value in environment.items() if name != "PYTHONPATH"},
                    pass_fds=(theirs.fileno(),),
                )
            self._started[key] = process, own
        return self._started[key][1]


def _text(stream: IO[bytes]) -> str:
    """What was printed, with line ends as `subprocess` gives them in text."""
    stream.seek(0)
    return io.TextIOWrapper(stream).read()


def main() -> None:
    """Import, then fork for each order until the other end is closed."""
    import idbench.cli

    path = sys.path[1:]  # without the folder in which it was started
    for module in (*(one.name for one in pkgutil.iter_modules(idbench.cli.__path__, "idbench.cli.")), *MODULES):
        importlib.import_module(module)
    del sys.modules["idbench.cli.main"]  # each command runs it as the main module
    if found := [name for name in LATE if name in sys.modules]:
        raise AssertionError(f"imported too early: {found}")
    channel = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, streams, *_ = socket.recv_fds(channel, _LONGEST, 3)
        if not message:
            return
        child = os.fork()
        if not child:
            channel.close()
            arguments, cwd, environment = json.loads(message)
            _become(arguments, cwd, environment, streams, path)
        for stream in streams:
            os.close(stream)
        with suppress(BrokenPipeError):  # nobody waits for it any more
            channel.send(str(child).encode())
            channel.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(arguments: list[str], cwd: str, environment: dict[str, str], streams: list[int], path: list[str]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    added = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [cwd, *added, *path]
    importlib.invalidate_caches()
    sys.argv = ["bench", *arguments]
    runpy.run_module("idbench.cli.main", run_name="__main__", alter_sys=True)
    raise AssertionError("`bench` came back")


if __name__ == "__main__":
    main()
