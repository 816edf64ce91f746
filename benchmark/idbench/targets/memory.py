"""How much work goes to the device at once: measured on one item, and halved when that was still too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from idbench.errors import TargetError

R = TypeVar("R")

_BUDGET = {"cpu": 512 << 20, "cuda": 8 << 30}
"""Bytes that one batch may take, roughly."""

LARGEST_MATRIX = 8 << 20
"""Bytes of the largest block of similarities that is held at once."""


class Batches:
    """Walks over `n` items in batches; halves the batch, for good, whenever the device runs out of memory.

    Args:
        size: items in the first batch.
    """

    def __init__(self, size: int) -> None:
        self.size = max(1, size)

    def run(self, n: int, work: Callable[[int, int], R]) -> Iterator[tuple[int, int, R]]:
        """Yield (start, stop, work(start, stop)) until all of `n` items are done.

        Raises:
            TargetError: a single item does not fit.
        """
        start = 0
        while start < n:
            stop = min(n, start + self.size)
            try:
                result = work(start, stop)
            except torch.OutOfMemoryError as error:
                if self.size == 1:
                    raise _too_little() from error
                self.size = max(1, min(self.size, stop - start) // 2)
            else:
                yield start, stop, result
                start = stop
                continue
            # Outside of the handler, where the failed batch's tensors are no longer held by the traceback.
            torch.cuda.empty_cache()


def halved(work: Callable[[], R], items: int) -> R | None:
    """What `work` returns; None where the device ran out of memory and should be given half of the items.

    Raises:
        TargetError: there was one item only.
    """
    try:
        return work()
    except torch.OutOfMemoryError as error:
        if items == 1:
            raise _too_little() from error
    torch.cuda.empty_cache()  # outside of the handler, as above
    return None


def _too_little() -> TargetError:
    return TargetError(
        "The device has not enough memory for a single input.", hint="Free its memory, or use --device cpu."
    )


class Table:
    """A growing table of embeddings: float32 rows on one device, its capacity doubled when exhausted.

    Args:
        dim: numbers in a row.
        device: where the rows are.
    """

    def __init__(self, dim: int, device: torch.device) -> None:
        self._rows = torch.empty((0, dim), device=device)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def __getitem__(self, places: torch.Tensor | list[int]) -> torch.Tensor:
        """Copies of the rows at `places`, (n, dim)."""
        return self._rows[torch.as_tensor(places, dtype=torch.int64, device=self._rows.device)]

    def append(self, rows: torch.Tensor) -> None:
        """Add rows (n, dim) at the end."""
        needed = self._used + len(rows)
        if needed > len(self._rows):
            larger = torch.empty((max(needed, 2 * len(self._rows)), self._rows.shape[1]), device=self._rows.device)
            larger[: self._used] = self._rows[: self._used]
            self._rows = larger
        self._rows[self._used : needed] = rows
        self._used = needed


_BACKWARD = 1.3
"""What a backward pass holds at its peak, in sizes of what the forward pass saved for it (benchmark/perf/memory.py)."""


def gradient_bytes(work: Callable[[], object], weights: Iterable[torch.Tensor]) -> int:
    """Memory that a gradient needs, besides the weights: what the forward pass saves is counted, not guessed.

    Args:
        work: one forward pass with gradients, on any device, `meta` included.
        weights: parameters and buffers, which are there once however many items are computed.

    Returns:
        bytes, those of the backward pass's own products included.
    """
    constant = {_storage(tensor) for tensor in weights}
    saved: dict[int, torch.Tensor] = {}  # keeps the tensors, or a second one could get the storage of the first

    def count(tensor: torch.Tensor) -> torch.Tensor:
        if _storage(tensor) not in constant:
            saved[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        work()
    return int(_BACKWARD * sum(tensor.untyped_storage().nbytes() for tensor in saved.values()))


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def batch_for(device: torch.device, bytes_per_item: int, most: int) -> int:
    """Items of `bytes_per_item` working memory that fit the device's budget, 1 to `most`."""
    budget = _BUDGET.get(device.type, _BUDGET["cpu"])
    return max(1, min(most, budget // max(1, bytes_per_item)))
