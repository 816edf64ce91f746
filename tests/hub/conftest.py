"""A Hub of our own in a process of its own, and people who use it: each with a fresh cache, with a token or without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """The running server, and a look inside."""

    address: str

    def ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.address}/_test/{path}", data), timeout=20) as answer:
            return json.load(answer)

    def repository(self, name: str) -> dict[str, Any]:
        return self.ask("state")[name]

    def head(self, name: str) -> str:
        return self.repository(name)["refs"]["refs/heads/main"]

    def calls(self) -> list[str]:
        return self.ask("calls")

    @contextmanager
    def faults(self, *faults: dict[str, Any]) -> Iterator[None]:
        """Order faults for as long as the block lasts."""
        self.ask("faults", list(faults))
        try:
            yield
        finally:
            self.ask("faults", [])


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The server for as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hub.server", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


class Person:
    """Somebody at a machine of their own: commands run in processes that have never seen the Hub before."""

    def __init__(self, server: Server, home: Path, token: str | None, *, xet: bool = False) -> None:
        self.home = home
        self.cwd = home / "work"
        self.cwd.mkdir(parents=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "BENCH_RETRACTIONS"))},
            "COLUMNS": "200",
            "HF_ENDPOINT": server.address,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_DISABLE_XET": "0" if xet else "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "BENCH_RETRACTIONS": str(home / "retractions.txt"),
        }
        if token is not None:
            self.environment["HF_TOKEN"] = token

    def bench(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "idbench.cli.main", *arguments, **environment)

    def python(self, code: str, *arguments: str, **environment: str) -> str:
        """What a program prints; it must end well."""
        done = self.run(sys.executable, "-c", code, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.cwd,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    def bench_killed(self, server: Server, path: str, *arguments: str) -> None:
        """Run a command that is killed, with no time for a last word, while the server keeps it waiting at a path."""
        command = (sys.executable, "-m", "idbench.cli.main", *arguments)
        process = subprocess.Popen(command, cwd=self.cwd, env=self.environment, stdout=subprocess.DEVNULL)
        while not any(call.startswith("hangs") and path in call for call in server.calls()):
            assert process.poll() is None, "the command ended before it came to where it is killed"
            time.sleep(0.05)
        process.kill()
        process.wait(timeout=20)

    def answer(self, *arguments: str, **environment: str) -> dict[str, Any]:
        """What a command that ends well says in JSON."""
        done = self.bench(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Hub for the tests of one module; each test has repositories of its own in it."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def owner(server: Server, tmp_path: Path) -> Person:
    """A member of the organization `lab`."""
    return Person(server, tmp_path / "owner", "hf_owner")


@pytest.fixture
def reader(server: Server, tmp_path: Path) -> Person:
    """Somebody with an account and no rights."""
    return Person(server, tmp_path / "reader", "hf_reader")


@pytest.fixture
def stranger(server: Server, tmp_path: Path) -> Person:
    """Somebody without an account."""
    return Person(server, tmp_path / "stranger", None)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world's folder; tests must not change it."""
    from idbench.api import Silent
    from idbench.splits.avatars import TINY

    folder = tmp_path_factory.mktemp("tiny")
    TINY.build(folder, Silent())
    return folder
