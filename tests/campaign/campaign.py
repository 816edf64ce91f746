"""Takes the kinds of trials in turn, each with its share of the time."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.campaign.damage import Whole, try_damage
from tests.campaign.ends import try_full_disk, try_kill
from tests.campaign.limits import try_limit
from tests.campaign.plugins import try_plugin
from tests.campaign.texts import try_text
from tests.campaign.trial import Report
from tests.campaign.words import try_words
from tests.campaign.writers import Scene, try_writer

KINDS = ("words", "texts", "damage", "kills", "writers", "full disks", "plug-ins", "limits")


def campaign(folder: Path, seed: int, seconds: float, kinds: Sequence[str]) -> Report:
    """Try for a while.

    Args:
        folder: an empty folder to work in.
        seed: the same seed tries the same things in the same order, as far as the time goes.
        seconds: shared out evenly among the kinds; each tries once at least.
        kinds: of `KINDS`; "plug-ins" and "limits" need tests/plugin_package installed.
    """
    preload()
    report = Report()
    with ExitStack() as ends:
        for kind in kinds:
            rng = random.Random(f"{seed} {kind}")
            attempt = _attempt(kind, folder, ends)
            end = time.monotonic() + seconds / len(kinds)
            while True:
                attempt(rng, report)
                if time.monotonic() > end:
                    break
    return report


def preload() -> None:
    """Import what commands import, but torch, whose threads do not survive a fork."""
    for name in ("cli.main", "runner.grid", "runner.scoring", "runner.comparing", "splits.lint", "studies.catalogue"):
        importlib.import_module(f"idbench.{name}")
    for name in ("building", "site", "board", "label_file"):
        importlib.import_module(f"idbench_leaderboard.{name}")


def _attempt(kind: str, folder: Path, ends: ExitStack) -> Callable[[random.Random, Report], None]:
    if kind in ("damage", "texts"):
        whole = Whole.make(folder / f"whole-{kind}")
        attempt = try_damage if kind == "damage" else try_text
        return lambda rng, report: attempt(rng, whole, folder, report)
    if kind == "writers":
        scene = Scene.make(folder / "writers", ends)
        return lambda rng, report: try_writer(rng, scene, report)
    others: dict[str, Callable[[random.Random, Path, Report], None]] = {
        "words": try_words, "kills": try_kill, "full disks": try_full_disk, "plug-ins": try_plugin, "limits": try_limit,
    }  # fmt: skip
    return lambda rng, report: others[kind](rng, folder, report)
