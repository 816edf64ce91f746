"""Kills at random moments and disks that fill up: what was finished stays, what was begun can be repeated."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.campaign.damage import TINY
from tests.campaign.trial import Ended, Report
from tests.kills import heed_interrupts, until_signals_are_handled

_COMMAND = (sys.executable, "-m", "idbench.cli.main", "run", "-m", "random", *TINY)


def records(folder: Path) -> dict[str, bytes]:
    """Every record and score file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.name in ("run.json", "scores.parquet") and not any(part.startswith(".") for part in path.parts)
    }


def try_kill(rng: random.Random, cwd: Path, report: Report) -> None:
    """Kill a run at a random moment, then repeat it."""
    folder = cwd / "killed"
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, TMPDIR=str(temporary))
    seed, how = str(rng.randrange(4)), rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    force = ["--force"] if rng.random() < 0.5 else []
    before = records(folder)
    moment = rng.random() ** 2 * 6
    heed_interrupts()
    process = subprocess.Popen(
        [*_COMMAND, "--seed", seed, *force],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_signals_are_handled(process)
    time.sleep(moment)
    process.send_signal(how)
    out, err = process.communicate(timeout=120)
    what = f"seed {seed} {' '.join(force)} killed by {how.name} after {moment:.2f} s"
    status = process.returncode
    allowed = {0: 0, -signal.SIGKILL: 0, 130: 0, 143: 0}
    report.tried("kills", what, Ended(allowed.get(status, status), out, err), _missing(before, folder))
    done = subprocess.run(
        [*_COMMAND, "--seed", seed],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    left = [path.name for path in temporary.iterdir() if path.name.startswith("idbench")]
    litter = [path.name for path in (folder / "results").rglob(".*") if path.suffix in (".tmp", ".old")]
    why = _missing(before, folder) or (f"litter stays: {left + litter}" if left + litter else "")
    why = why or ("the repeated run failed" if done.returncode else "")
    report.tried("kills", f"{what}, repeated", Ended(done.returncode, done.stdout, done.stderr), why)


def try_full_disk(rng: random.Random, cwd: Path, report: Report) -> None:
    """Run with a bound on the size of files, which meets every writer as a full disk does; then without."""
    folder = cwd / "full"
    folder.mkdir(exist_ok=True)
    before = records(folder)
    bound = rng.choice((0, 1, 100, 1000, 2000, 5000, 20_000))
    seed = str(rng.randrange(100))
    done = subprocess.run(
        [*_COMMAND, "--seed", seed],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound)),
    )
    report.tried(
        "full disks",
        f"files of at most {bound} bytes, seed {seed}",
        Ended(done.returncode, done.stdout, done.stderr),
        _missing(before, folder),
    )


def _missing(before: dict[str, bytes], folder: Path) -> str:
    """Scores that were there may be replaced by a forced run of the same name, but never vanish."""
    lost = sorted(before.keys() - records(folder).keys())
    return f"finished records are gone: {lost}" if lost else ""
