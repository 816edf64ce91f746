"""What gradients and training steps really take, against what is counted beforehand and what was guessed once.

    python benchmark/perf/memory.py [ARCHITECTURE ...]

For each architecture, on a processor, with random weights: the working memory of an image's gradient and of a training
pair as `idbench.targets.memory.gradient_bytes` counts it (on `meta` too), and the growth of this process at its peak
over a batch of them. Peaks are sampled each 2 ms, so that the shortest are missed.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import open_clip
import psutil
import torch

from idbench.targets.full_size.sizing import model_without_numbers
from idbench.targets.load import build_model
from idbench.targets.memory import gradient_bytes
from idbench.targets.view import cosine_gradient

MIB = 2**20
GUESS = 60 * 12  # bytes for each pixel of an image whose gradient is taken, before it was counted


@contextmanager
def peak() -> Iterator[list[int]]:
    """By how many bytes this process grows within the block at most; one number, there after it."""
    process, stop, highest, found = psutil.Process(), threading.Event(), [0], list[int]()

    def watch() -> None:
        while not stop.is_set():
            highest[0] = max(highest[0], process.memory_info().rss)
            time.sleep(0.002)

    before = process.memory_info().rss
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        found.append(highest[0] - before)


def each(count: Callable[[int], int]) -> float:
    """MiB of one item: what two need more than one."""
    return (count(2) - count(1)) / MIB


def measure(name: str, items: int) -> None:
    """Print one architecture's figures."""
    config = open_clip.get_model_config(name)
    size, length = config["vision_cfg"]["image_size"], config["text_cfg"].get("context_length", 77)
    model: Any = build_model(config, name)
    weights = (*model.parameters(), *model.buffers())

    def gradients(n: int) -> object:
        return cosine_gradient(model, torch.randn(n, 3, size, size), torch.randn(n, config["embed_dim"]))

    def step(n: int, one: Any = model, device: str = "cpu") -> torch.Tensor:
        images = torch.empty(n, 3, size, size, device=device)
        left, right, scale = one(images, torch.zeros(n, length, dtype=torch.int64, device=device))[:3]
        return (left @ right.T * scale).sum()

    model.eval().requires_grad_(False)
    counted = each(lambda n: gradient_bytes(lambda: gradients(n), weights))
    with peak() as taken:
        gradients(items)
    guess = GUESS * size**2 / MIB
    print(f"{name}: a gradient {counted:.0f} MiB counted, {taken[0] / items / MIB:.0f} taken, {guess:.0f} guessed")

    model.train().requires_grad_(True)
    counted = each(lambda n: gradient_bytes(lambda: step(n), weights))
    empty: Any = model_without_numbers(config)
    own = (*empty.parameters(), *empty.buffers())
    on_meta = each(lambda n: gradient_bytes(lambda: step(n, empty, "meta"), own))
    step(1).backward()  # gradients of the weights are there before the peak is watched
    with peak() as taken:
        step(items).backward()
    print(f"{name}: a pair {counted:.0f} MiB counted, {on_meta:.0f} on meta, {taken[0] / items / MIB:.0f} taken")


def main() -> None:
    """Measure each architecture that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architectures", nargs="*", default=["ViT-B-32", "RN50"])
    parser.add_argument("--items", type=int, default=12)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    for name in wanted.architectures:
        measure(name, wanted.items)


if __name__ == "__main__":
    main()
