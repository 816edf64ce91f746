"""How many bytes a grid of runs writes and how long it takes, compared with another checkout of idbench.

    python benchmark/perf/photo_store.py --split lfw-injected --baseline ../idbench-before

`--baseline` is another checkout (`git worktree add ../idbench-before COMMIT`); both run the same grid by the same
interpreter, each into a results folder of its own, the split built beforehand. Bytes are what the command and every
process that it waited for handed to `write` (Linux: `wchar` in /proc/self/io, which a parent inherits from children
that it waited for); processor seconds are counted alike. In the first round nothing is kept, in later ones embeddings
and pixels are.
Without `--target` the split's own targets are used; untrained ones can be replaced by weights at hand, for the photos
that are handed on do not depend on the weights:

    --target 'file:W.safetensors?like=avatars-a&name=one&corpus=lfw-injected-a,file:...'
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What one round cost: bytes written, seconds by the clock, seconds of processors."""

    written: int
    seconds: float
    processors: float


def handed_to_write() -> int:
    """Bytes that this process and all children that it waited for handed to `write`."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(lines["wchar"])


def of_processors() -> float:
    """Seconds that processors spent on children that this process waited for."""
    times = os.times()
    return times.children_user + times.children_system


def run(arguments: list[str], results: Path, environment: dict[str, str]) -> Cost:
    """Run `bench run` once."""
    command = [sys.executable, "-m", "idbench.cli.main", "run", *arguments, "--results", str(results), "--json"]
    before, begin, busy = handed_to_write(), time.perf_counter(), of_processors()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"bench run failed with status {done.returncode}")
    return Cost(handed_to_write() - before, time.perf_counter() - begin, of_processors() - busy)


def measure(name: str, checkout: Path, arguments: list[str], split: str, rounds: int) -> list[Cost]:
    """Rounds with the code of a checkout, in an empty cache that holds nothing but the split."""
    source = os.environ.get("BENCH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cache.mkdir()
        if source is not None:  # built splits are taken over: faces need not be cut out again
            subprocess.run(["cp", "-r", "--", str(Path(source) / "splits"), str(cache)], check=True)
        paths = [str(checkout / part) for part in ("benchmark", "methods", "leaderboard")]
        environment = dict(os.environ, BENCH_CACHE=str(cache), PYTHONPATH=os.pathsep.join(paths))
        costs = []
        for number in range(1, rounds + 1):
            costs.append(run(["--split", split, *arguments], Path(folder) / f"results-{number}", environment))
            cost = costs[-1]
            print(
                f"{name:>9}, round {number}: {cost.written / 1e6:8.1f} MB written, {cost.seconds:6.1f} s, "
                f"{cost.processors:6.1f} s of processors",
                flush=True,
            )
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="lfw-injected")
    parser.add_argument("--target", default="all")
    parser.add_argument("--methods", nargs="+", default=["cosine", "idia", "blind-photos"])
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--baseline", type=Path, help="another checkout of the repository")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    arguments = [word for method in given.methods for word in ("-m", method)]
    arguments += ["--target", given.target, "--seeds", given.seeds]
    here = Path(__file__).parents[2]
    found = {}
    if given.baseline is not None:
        found["baseline"] = measure("baseline", given.baseline.resolve(), arguments, given.split, given.rounds)
    found["here"] = measure("here", here, arguments, given.split, given.rounds)
    if "baseline" in found:
        for number, (before, after) in enumerate(zip(found["baseline"], found["here"], strict=True), 1):
            print(
                f"round {number}: {before.written / after.written:.1f} times fewer bytes, "
                f"{before.seconds / after.seconds:.2f} times as fast by the clock, "
                f"{before.processors / after.processors:.2f} times by processors"
            )


if __name__ == "__main__":
    main()
