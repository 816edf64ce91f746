"""How long a grid takes with one worker and with several side by side, by the clock; the records must be the same runs.

python benchmark/perf/jobs.py [--jobs 2] [--seeds 4] [--method cosine]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(jobs: int, method: str, seeds: int, results: Path) -> float:
    """Wall time of one `bench run`."""
    command = [sys.executable, "-m", "idbench.cli.main", "run", "-m", method, "--split", "avatars-tiny", "--target"]
    command += ["avatars-a", "--corpus", "avatars-tiny-a", "--seeds", str(seeds), "--jobs", str(jobs), "--json"]
    begin = time.perf_counter()
    subprocess.run([*command, "--results", str(results)], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Warm the caches, then run both ways in turn, twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--method", default="cosine")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds(1, given.method, 1, Path(folder) / "warm")
        found: dict[int, list[float]] = {1: [], given.jobs: []}
        for turn in range(2):
            for jobs, times in found.items():
                times.append(seconds(jobs, given.method, given.seeds, Path(folder) / f"{jobs}-{turn}"))
        runs = [
            {path.parent.name for path in (Path(folder) / f"{jobs}-{turn}").rglob("run.json")}
            for jobs in found
            for turn in range(2)
        ]
    assert all(each == runs[0] for each in runs), "the two ways did not carry out the same runs"
    one, many = min(found[1]), min(found[given.jobs])
    print(f"{len(runs[0])} runs: in turn {one:.1f} s, {given.jobs} side by side {many:.1f} s, {one / many:.2f}x")


if __name__ == "__main__":
    main()
