"""How fast avatars are drawn: in batches against one by one, in the same run (`python benchmark/perf/rendering.py`)."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from idbench.splits.avatars.render import SIZE, render


def milliseconds(draw: Callable[[], NDArray[np.uint8]], pictures: int, repeats: int) -> tuple[float, NDArray[np.uint8]]:
    """Median milliseconds per picture over the repeats, and what was drawn."""
    times = []
    drawn = draw()
    for _ in range(repeats):
        start = time.perf_counter()
        drawn = draw()
        times.append((time.perf_counter() - start) * 1e3 / pictures)
    return statistics.median(times), drawn


def main() -> None:
    """Draw the same pictures both ways, compare the bytes, print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    n: int = arguments.pictures
    people = [f"perf/person/{i // 10}" for i in range(n)]
    pictures = [f"perf/picture/{i}" for i in range(n)]

    def one_by_one() -> NDArray[np.uint8]:
        return np.concatenate([render(people[i : i + 1], pictures[i : i + 1]) for i in range(n)])

    together, batch = milliseconds(lambda: render(people, pictures), n, arguments.repeats)
    apart, single = milliseconds(one_by_one, n, max(1, arguments.repeats // 2))
    if not np.array_equal(batch, single):
        raise SystemExit("The batch differs from pictures drawn one by one.")
    print(f"{n} pictures of {SIZE} x {SIZE}: {together:.3f} ms each in batches, {apart:.3f} ms each one by one")
    print(f"{apart / together:.1f} times as fast, equal bytes")


if __name__ == "__main__":
    main()
