"""Methods that take what they can get of the machine: each ends its own run with a sentence, and leaves no process."""

from __future__ import annotations

import random
from pathlib import Path

import psutil

from tests.campaign.damage import TINY
from tests.campaign.plugins import LIMITS
from tests.campaign.trial import Report, bench

GREEDY = {
    "sample-memory": "it held more than 1 GiB of memory",
    "sample-forks": "it had more than 24 processes at once",
    "sample-fork-bomb": "it had more than 24 processes at once",
    "sample-threads": "it had more than 384 threads at once",
    "sample-open-files": "BENCH_OPEN_FILES",
    "sample-fills": "it wrote more than 0.1 GiB",
    "sample-fills-hidden": "it wrote more than 0.1 GiB",
    "sample-empty-files": "it wrote more than 0.1 GiB",
    "sample-memory-files": "it held more than 1 GiB of memory",
    "sample-one-file": "BENCH_DISK",
}


def try_limit(rng: random.Random, cwd: Path, report: Report) -> None:
    """Run one beside an honest attack: it is stopped, the other has its record, and nothing of it still runs."""
    name, seed = rng.choice(sorted(GREEDY)), str(rng.randrange(1000))
    folder = cwd / "limits"
    folder.mkdir(exist_ok=True)
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    words = ("run", "-m", name, "-m", "random", *TINY, "--seed", seed)
    ended = bench(words, folder, LIMITS)
    printed = " ".join((ended.out + ended.err).split())
    why = "" if GREEDY[name] in printed else "it does not say which limit ended the run"
    if not list(folder.glob("results/avatars-tiny-v1/avatars-a/random-*/run.json")):
        why = why or "the honest attack beside it has no record"
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    report.tried("limits", f"bench {' '.join(words)}", ended, why or ("processes are left" if left else ""))
