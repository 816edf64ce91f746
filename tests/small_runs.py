"""Runs on the smallest split, as tasks that any executor carries out."""

from __future__ import annotations

from idbench.runner.executor import Task
from idbench.runner.forkserver import ForkServers
from idbench.runner.grid import make_grid, specs
from idbench.splits import load_split

CORPUS = "avatars-tiny-a"
FORKS = ForkServers()
"""Where all workers of tests come from that are run as those of a grid are; they end with the tests' own process."""


def tasks(methods: tuple[str, ...] = ("cosine", "random"), seeds: tuple[int, ...] = (0, 1)) -> list[Task]:
    """One task for each method and seed, on one target."""
    grid = make_grid(load_split("avatars-tiny"), methods, "avatars-a", seeds, corpus=CORPUS)
    return [Task(spec) for spec in specs(grid)]
