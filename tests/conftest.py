"""What all tests share: a cache of their own, a plug-in package installed from outside, the `bench` command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_runs import FORKS
from tests.warm import Warm

ROOT = Path(__file__).parent
WARM = Warm()
COMMAND = [sys.executable, "-m", "idbench.cli.main"]
collect_ignore = ["plugin_package", "cheating_package"]  # strangers' code: installed and run, never collected

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start what runs in the background deaf to SIGINT, and so would be the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache for the whole session, so that tests neither use nor touch the developer's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("BENCH_")]:
            patch.delenv(name)
        patch.setenv("BENCH_CACHE", str(folder))
        patch.setenv("BENCH_RETRACTIONS", str(folder / "retractions.txt"))
        patch.setenv("HF_HOME", str(folder / "hf"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """What tests fork workers and commands off lasts as long as they do."""
    with FORKS:
        yield
    WARM.end()


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample package, installed by pip into a folder of its own."""
    folder = tmp_path_factory.mktemp("plugins")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*command, "--target", str(folder), str(ROOT / "plugin_package")], check=True, capture_output=True, text=True
    )
    return folder


@pytest.fixture
def plugins(plugin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample package can be found by this process and by the workers that it starts."""
    monkeypatch.syspath_prepend(str(plugin_folder))
    monkeypatch.setenv("PYTHONPATH", str(plugin_folder))
    return plugin_folder


class Bench:
    """Types `bench` commands as a person does."""

    def __init__(self, cwd: Path, pythonpath: Path | None = None) -> None:
        self.cwd = cwd
        self.environment = dict(os.environ, COLUMNS="200")
        if pythonpath is not None:
            self.environment["PYTHONPATH"] = str(pythonpath)

    @property
    def command(self) -> list[str]:
        return COMMAND

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        if self.command == COMMAND and WARM.takes(self.environment):
            return WARM.run(arguments, self.cwd, self.environment, 280)
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.cwd,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def bench(tmp_path: Path, plugin_folder: Path) -> Bench:
    """`bench` in an empty folder, with the sample package installed."""
    return Bench(tmp_path, plugin_folder)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said: it must be an error for people, with a status, without a traceback."""
    assert done.returncode not in (0, 70), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
    return " ".join(done.stderr.split())
