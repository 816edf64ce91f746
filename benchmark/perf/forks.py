"""What runs of one grid cost when every worker imports torch and open_clip, and when all are forked off one process.

python benchmark/perf/forks.py [--methods cosine idia] [--seeds 2] [--split avatars-tiny]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from idbench.api import Silent
from idbench.runner.execute import Executed, Options, execute
from idbench.runner.executor import LocalExecutor, Task
from idbench.runner.grid import make_grid, specs
from idbench.runner.spec import Resolver
from idbench.splits import load_split


def main() -> None:
    """Warm the caches, then carry the runs out both ways, twice; the scores must be the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["cosine", "idia", "binding"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--split", default="avatars-tiny")
    given = parser.parse_args()
    corpus = "avatars-tiny-a" if given.split == "avatars-tiny" else None
    grid = make_grid(load_split(given.split), given.methods, "avatars-a", tuple(range(given.seeds)), corpus=corpus)
    tasks = [Task(spec) for spec in specs(grid)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        alone(tasks[:1], place / "warm")
        for turn in range(2):
            first = costs("each by itself", len(tasks), lambda at=place / f"alone-{turn}": alone(tasks, at))
            second = costs("forked", len(tasks), lambda at=place / f"forked-{turn}": forked(tasks, at))
            assert first == second, "the two ways did not give the same scores"


def costs(what: str, runs: int, work: Callable[[], Sequence[dict[str, float]]]) -> Sequence[dict[str, float]]:
    """Print what carrying runs out took, in all and for each; returns their scores."""
    begin, before = time.perf_counter(), processor_seconds()
    found = work()
    clock, used = time.perf_counter() - begin, processor_seconds() - before
    print(
        f"{runs} runs, {what}: {used:.1f} s of processor time ({used / runs:.2f} each), {clock:.1f} s by the clock, "
        f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",
        flush=True,
    )
    return found


def alone(tasks: Sequence[Task], results: Path) -> list[dict[str, float]]:
    """Workers that start from nothing."""
    resolver = Resolver(Silent())
    return [scores(execute(resolver.resolve(task.spec), Options(results), Silent())) for task in tasks]


def forked(tasks: Sequence[Task], results: Path) -> list[dict[str, float]]:
    """As `bench run` carries runs out."""
    return [scores(done) for done in LocalExecutor(Resolver(Silent())).run(tasks, Options(results), Silent())]


def scores(done: object) -> dict[str, float]:
    """Score by identity."""
    assert isinstance(done, Executed), done
    table = done.run.scores()
    return dict(zip(table.identities, table.scores.tolist(), strict=True))


def processor_seconds() -> float:
    """User and system time of this process and of those that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
