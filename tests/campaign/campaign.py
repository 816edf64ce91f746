"""Takes the kinds of trials in turn, each with its share of the time."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.campaign.damage import Whole, try_damage
from tests.campaign.ends import try_full_disk, try_kill
from tests.campaign.plugins import hostile, try_plugin
from tests.campaign.trial import Report
from tests.campaign.words import try_words

KINDS = ("words", "damage", "kills", "full disks", "plug-ins")


def campaign(folder: Path, seed: int, seconds: float, kinds: Sequence[str]) -> Report:
    """Try for a while.

    Args:
        folder: an empty folder to work in.
        seed: the same seed tries the same things in the same order, as far as the time goes.
        seconds: shared out evenly among the kinds; each tries once at least.
        kinds: of `KINDS`.
    """
    preload()
    report = Report()
    for kind in kinds:
        rng = random.Random(f"{seed} {kind}")
        attempt = _attempt(kind, folder)
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


def _attempt(kind: str, folder: Path) -> Callable[[random.Random, Report], None]:
    if kind == "words":
        return lambda rng, report: try_words(rng, folder, report)
    if kind == "damage":
        whole = Whole.make(folder / "whole")
        return lambda rng, report: try_damage(rng, whole, folder, report)
    if kind == "kills":
        return lambda rng, report: try_kill(rng, folder, report)
    if kind == "full disks":
        return lambda rng, report: try_full_disk(rng, folder, report)
    if not hostile():
        raise RuntimeError("install tests/plugin_package first")
    return lambda rng, report: try_plugin(rng, folder, report)
