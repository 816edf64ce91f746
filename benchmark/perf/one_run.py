"""What a single `bench run` costs beside the encoders: processor seconds of each part, from the command to the table.

python benchmark/perf/one_run.py [--method idia] [--split avatars] [--target avatars-a]

A first run fills a cache of its own, so that the second one, which is measured too, neither decodes nor encodes photos.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def main() -> None:
    """Measure the parts of one run, twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="idia")
    parser.add_argument("--split", default="avatars")
    parser.add_argument("--target", default="avatars-a")
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)  # this very script in a process of its own
    given = parser.parse_args()
    if given.within is not None:
        parts(given.method, given.split, given.target, given.within)
        return
    with tempfile.TemporaryDirectory() as folder:
        for turn, photos in enumerate(("decoded and encoded", "from the cache")):
            print(f"{given.method} on {given.target}, photos {photos}", flush=True)
            command = [sys.executable, __file__, "--method", given.method, "--split", given.split]
            command += ["--target", given.target, "--within", str(Path(folder) / f"results-{turn}")]
            before = processor_seconds()
            subprocess.run(command, check=True, env={**os.environ, "BENCH_CACHE": str(Path(folder) / "cache")})
            print(f"{'altogether':>40} {processor_seconds() - before:6.2f} s\n", flush=True)


def parts(method: str, split: str, target: str, results: Path) -> None:
    """Carry the run and its blind attacks out as `bench run` does, and print what each step took."""
    print(f"{'start of Python':>40} {processor_seconds():6.2f} s")

    def imports() -> None:
        for name in ("idbench.cli.run", "idbench.runner.execute", "idbench.runner.grid"):
            import_module(name)

    cost("imports of the command", imports)
    from idbench.api import Silent
    from idbench.runner.execute import Executed, Options
    from idbench.runner.executor import LocalExecutor, Task
    from idbench.runner.grid import judged, make_grid, specs
    from idbench.runner.registry import blind_attacks
    from idbench.runner.spec import Resolver
    from idbench.splits import load_split

    opened = cost("split", lambda: load_split(split, Silent()))
    grid = cost("plan of the run", lambda: make_grid(opened, [method], target, (0,)))
    compared = cost("plan of the blind attacks", lambda: make_grid(opened, list(blind_attacks()), target, (0,)))
    tasks = [Task(spec) for spec in (*specs(grid), *specs(compared))]
    own = LocalExecutor(Resolver(Silent(), {tasks[0].spec.split.source: opened})).run(tasks, Options(results), Silent())
    done = []
    for task in tasks:
        one = cost(f"run of {task.spec.attack.name}", lambda: next(own))
        assert isinstance(one, Executed), one
        timings = one.run.record.timings
        clock = f"load {timings.load:.2f} s, fit {timings.fit:.2f} s, score {timings.score:.2f} s"
        print(f"{'of it by the clock':>40} {clock}")
        done.append(one)
    cost("end of the fork server", lambda: list(own))
    cost("metrics", lambda: judged(done[0], opened, [each.run for each in done[1:]]))


def cost(what: str, work: Callable[[], T]) -> T:
    """Print the processor seconds of a step, those of the processes included that it waited for."""
    begin, before = time.perf_counter(), processor_seconds()
    found = work()
    used = processor_seconds() - before
    print(f"{what:>40} {used:6.2f} s, {time.perf_counter() - begin:.2f} s by the clock", flush=True)
    return found


def processor_seconds() -> float:
    """User and system time of this process and of those that it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
