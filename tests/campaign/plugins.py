"""Hostile plug-ins: whatever an attack does in its process, `bench` ends with a sentence and a status."""

from __future__ import annotations

import random
from pathlib import Path

from idbench.plugins import find
from tests.campaign.damage import TINY
from tests.campaign.trial import Report, bench

LIMITS = {"BENCH_MEMORY": "1", "BENCH_PROCESSES": "24", "BENCH_OPEN_FILES": "1500", "BENCH_DISK": "0.1"}
"""What runs get here: plug-ins that take all they can take no more of the machine that tries them."""


def hostile() -> list[str]:
    """The sample package's attacks, good and bad."""
    return [name for name in find("idbench.attacks") if name.startswith("sample-")]


def try_plugin(rng: random.Random, cwd: Path, report: Report) -> None:
    """Run one beside an honest attack, whose record must be there afterwards."""
    name, seed = rng.choice(hostile()), str(rng.randrange(1000))
    folder = cwd / "plugins"
    folder.mkdir(exist_ok=True)
    words = ("run", "-m", name, "-m", "random", *TINY, "--seed", seed, "--time-limit", "8", "--json")
    ended = bench(words, folder, LIMITS)
    honest = list(folder.glob("results/avatars-tiny-v1/avatars-a/random-*/run.json"))
    unusable = "is not an attack" in ended.err or "cannot be" in ended.err or "registered as" in ended.err
    why = "" if honest or unusable else "the honest attack beside it has no record"
    report.tried("plug-ins", f"bench {' '.join(words)}", ended, why)
