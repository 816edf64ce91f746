"""Bins of training pictures: the numbers themselves where there are few, else ranges with people enough in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NUMBERS = 8  # as many distinct numbers may each be a bin of their own
_FEWEST = 20  # people in a bin of several numbers
_EDGES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class Bin:
    """Numbers of training pictures from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def label(self) -> str:
        """E.g. `25`, or `10-19`."""
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    def holds(self, occurrences: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers are in the bin."""
        return (occurrences >= self.low) & (occurrences <= self.high)


def bins_of(occurrences: NDArray[np.int64]) -> list[Bin]:
    """Bins for the training pictures of members.

    Args:
        occurrences: of each member, at least 1; several targets together.

    Returns:
        One bin per number where there are at most eight numbers; else ranges, each with at least twenty people, as
        far as there are that many.
    """
    numbers = np.unique(occurrences)
    if numbers.size <= _NUMBERS:
        return [Bin(int(number), int(number)) for number in numbers]
    groups = [[number for number in numbers.tolist() if low <= number < high] for low, high in _ranges()]
    return [Bin(group[0], group[-1]) for group in _merged([group for group in groups if group], occurrences)]


def _ranges() -> list[tuple[float, float]]:
    return list(zip(_EDGES, (*_EDGES[1:], float("inf")), strict=True))


def _merged(groups: Sequence[list[int]], occurrences: NDArray[np.int64]) -> list[list[int]]:
    """Neighbouring groups joined until each has people enough; what is left at the end joins the last."""
    merged: list[list[int]] = []
    waiting: list[int] = []
    for group in groups:
        waiting = waiting + group
        if int(np.isin(occurrences, waiting).sum()) >= _FEWEST:
            merged.append(waiting)
            waiting = []
    if not merged:
        return [waiting]
    if waiting:
        merged[-1] = merged[-1] + waiting
    return merged
