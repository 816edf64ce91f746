"""Kills of commands that write: repeated, each ends as if nothing had happened, and nothing of before is left."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil

from idbench.plugins import find
from idbench.splits import load_split
from tests.campaign.damage import DRAWN, Whole
from tests.campaign.ends import records
from tests.campaign.trial import Ended, Report, bench
from tests.kills import heed_interrupts, until_signals_are_handled
from tests.web import serving as serving_pictures
from tests.web import split_of

_PATIENCE = 300.0
_SECONDS = 4.0
"""How long a command is taken to last before it was once seen to its end."""

_OURS = ".idbench-"
"""Part of the names of everything that is written next to its destination."""

_ONCE = frozenset({"build split"})
"""Commands that write where nothing is; what a killed one finished has to be removed before it is repeated."""


@dataclass
class Scene:
    """A folder with everything that the commands read, and where they write.

    Args:
        folder: working folder of the commands.
        commands: by a short name.
        outputs: what a command writes, where it can be removed to begin anew.
        environment: of the commands.
        seconds: how long each took when it was last seen to its end.
    """

    folder: Path
    commands: dict[str, tuple[str, ...]]
    outputs: dict[str, tuple[str, ...]]
    environment: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, ends: ExitStack) -> Scene:
        """Records, a split, people to protect and, where its packages are installed, a Hub and a target that trains.

        Args:
            folder: a new one.
            ends: what ends the Hub.
        """
        Whole.make(folder)
        run = json.loads(next(folder.glob("results/*/*/*/run.json")).read_text())["run_id"]
        people = [identity.name for identity in load_split("avatars-tiny").identities[:5]]
        (folder / "names.csv").write_text("name\n" + "".join(f"{name}\n" for name in people))
        (folder / "secret").write_text("a secret that nobody else has")
        (folder / "tmp").mkdir()
        built = bench(("leaderboard", "build", "results", "--out", "there"), folder)
        assert built.status == 0, built
        results = ("--results", "results")
        commands: dict[str, tuple[str, ...]] = {
            "attest": ("attest", run, "--level", "replayed", "--by", "the tests", "--to", "statements", *results),
            "invalidate": ("invalidate", run, "--reason", "a test", "--by", "the tests", "--to", "taken", *results),
            "build": ("leaderboard", "build", "results", "--out", "board"),
            "export": ("leaderboard", "export", "there", "--out", "site"),
            "labels": ("leaderboard", "labels", "avatars-tiny", "--out", "labels.json"),
            "build split": ("data", "build", "avatars-tiny", "--out", "built"),
            "defend": (
                *("defend", "avatars-a", "--defense", "null-space", "--split", "avatars-tiny"),
                *("--protect", "names.csv", "--out", "safe"),
            ),
            "study": (
                *("study", "idia-by-photos", "--split", "avatars-tiny", "--out", "study"),
                *("--targets", "avatars-a,avatars-b,avatars-0", "--results", "studied"),
            ),
            "plan": ("run", "-m", "random", *DRAWN, "--write-plan", "planned.json"),
        }
        outputs = {
            "attest": ("statements",), "invalidate": ("taken",), "build": ("board",), "export": ("site",),
            "labels": ("labels.json",), "build split": ("built",), "defend": ("safe", "cache/defended"),
            "study": ("study", "studied"), "plan": ("planned.json",), "publish": (), "load": ("hf",),
            "challenge": ("public", "private"), "train": ("trained.safetensors",), "fetch": ("photos",),
        }  # fmt: skip
        environment = {"TMPDIR": str(folder / "tmp"), "BENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        if "cheat-target" in find("idbench.targets"):
            challenge = ("--secret-seed", "secret", "--like", "cheat-target", "--out", "public", "--labels", "private")
            commands["challenge"] = ("challenge", "make", *challenge)
            commands["train"] = ("target", "train", "cheat-target", "--out", "trained.safetensors", "--force")
        commands |= _on_a_hub(folder, environment, ends)
        commands |= _on_the_web(folder, environment, ends)
        return cls(folder, commands, outputs, environment)

    def started(self, name: str) -> subprocess.Popen[str]:
        """One of the commands, just started."""
        heed_interrupts()
        return subprocess.Popen(
            [sys.executable, "-m", "idbench.cli.main", *self.commands[name]],
            cwd=self.folder,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin_anew(self, name: str) -> None:
        """Remove what a command wrote before."""
        for output in self.outputs[name]:
            path = self.folder / output
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def running(self) -> list[int]:
        """Processes that still work here."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process.pid)
        return found

    def litter(self) -> list[str]:
        """Temporary names that should not be there when nothing runs."""
        left = [path.name for path in (self.folder / "tmp").iterdir() if path.name.startswith("idbench")]
        return left + [str(path.relative_to(self.folder)) for path in self.folder.rglob(f".*{_OURS}*")]


def _on_a_hub(folder: Path, environment: dict[str, str], ends: ExitStack) -> dict[str, tuple[str, ...]]:
    """Publishing to a server of our own, and loading what was published."""
    try:
        from tests.hub.conftest import serving
    except ImportError:
        return {}
    server = ends.enter_context(serving(folder / "server"))
    environment |= {
        "HF_ENDPOINT": server.address,
        "HF_TOKEN": "hf_owner",
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
    }
    publish = ("data", "publish", "split", "--repo", "lab/people")
    done = subprocess.run(
        [sys.executable, "-m", "idbench.cli.main", *publish[:-1], "lab/there", "--json"],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {"publish": publish, "load": ("data", "verify", json.loads(done.stdout)["ref"], "--against", "split")}


def _on_the_web(folder: Path, environment: dict[str, str], ends: ExitStack) -> dict[str, tuple[str, ...]]:
    """Fetching photos from a server of our own."""
    if find_spec("img2dataset") is None:
        return {}
    web = ends.enter_context(serving_pictures())
    split_of(web, folder / "webbed", {"Ann Bee": [f"good/{i}" for i in range(9)], "Cay Dee": ["good/9", "gone/1"]})
    environment |= {"no_proxy": "127.0.0.1", "BENCH_SHARD_PAIRS": "2", "BENCH_FETCH_PROCESSES": "1"}
    return {"fetch": ("data", "fetch", "webbed", "--out", "photos")}


def try_writer(rng: random.Random, scene: Scene, report: Report, name: str | None = None) -> None:
    """Kill one of the commands at a random moment, then repeat it to its end."""
    name = name or rng.choice(sorted(scene.commands))
    how = rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    if rng.random() < 0.6:
        scene.begin_anew(name)
    before = records(scene.folder / "results")
    moment = rng.random() * scene.seconds.get(name, _SECONDS)
    process = scene.started(name)
    until_signals_are_handled(process)
    time.sleep(moment)
    process.send_signal(how)
    out, err = process.communicate(timeout=_PATIENCE)
    what = f"bench {' '.join(scene.commands[name])}; {how.name} after {moment:.2f} s"
    ended = Ended(_as_allowed(process.returncode, how), out, err)
    report.tried("writers", what, ended, _wrong(before, scene, ended))
    if name in _ONCE:
        scene.begin_anew(name)
    begin = time.monotonic()
    again = scene.started(name)
    out, err = again.communicate(timeout=_PATIENCE)
    scene.seconds[name] = max(1.0, time.monotonic() - begin)
    ended = Ended(again.returncode, out, err)
    why = "the repeated command failed" if again.returncode else _wrong(before, scene, ended)
    litter = scene.litter()
    why = why or (f"litter stays: {litter[:5]}" if litter else "")
    running = scene.running()
    why = why or (f"processes still run: {running[:5]}" if running else "")
    report.tried("writers", f"{what}, repeated", ended, why)


def _as_allowed(status: int, how: signal.Signals) -> int:
    """Zero for the ways in which a command may end that was told to; the status itself for all others."""
    allowed = {0, {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how]}
    return 0 if status in allowed else status


def _wrong(before: dict[str, bytes], scene: Scene, ended: Ended) -> str:
    if before != records(scene.folder / "results"):
        return "records that the command only reads have changed"
    times = ended.err.count("interrupted:")
    return "it said twice that it was interrupted" if times > 1 else ""
