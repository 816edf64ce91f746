"""Where everybody stands in many rows of scores at once: what the metrics of many rows are counted from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Standing:
    """The order of n people in each of R rows of scores.

    Args:
        order: people from the lowest score to the highest, (R, n).
        low: how many people score below each person, (R, n), in the order of the people.
        high: how many score below or the same, the person included, (R, n).
    """

    order: NDArray[np.int64]
    low: Counts
    high: Counts

    @property
    def middle(self) -> Floats:
        """Mid-ranks from 1: people with one score share the mean of their places, (R, n)."""
        return np.asarray((self.low + self.high + 1) / 2, dtype=np.float64)

    @property
    def tied(self) -> bool:
        """Whether two people share a score anywhere."""
        return bool((self.high - self.low > 1).any())

    def of(self, whom: Flags) -> Standing:
        """Of the same people in the same order, the places of some alone: (R, those)."""
        return Standing(self.order, self.low[:, whom], self.high[:, whom])

    def counted(self, flags: Flags) -> tuple[Counts, Counts]:
        """How many of the people flagged (n,) score below each person, and below or the same: (R, n), (R, n)."""
        sums = np.zeros((len(self.order), flags.size + 1), dtype=np.int32)
        np.cumsum(flags[self.order], axis=1, dtype=np.int32, out=sums[:, 1:])
        return np.take_along_axis(sums, self.low, axis=1), np.take_along_axis(sums, self.high, axis=1)

    def twice_below(self, flags: Flags) -> Counts:
        """Twice the number of the people flagged below each person who is not; ties count once, (R, n)."""
        sums = np.zeros((len(self.order), flags.size + 1), dtype=np.int32)
        np.cumsum(flags[self.order], axis=1, dtype=np.int32, out=sums[:, 1:])
        below = np.take_along_axis(sums, self.low, axis=1)
        return below + (np.take_along_axis(sums, self.high, axis=1) if self.tied else below)


def stand(rows: Floats) -> Standing:
    """The standing of people in rows of finite scores (R, n)."""
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    first = np.ones(rows.shape, dtype=np.bool_)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.ones(rows.shape, dtype=np.bool_)
    last[:, :-1] = first[:, 1:]
    place = np.arange(rows.shape[1], dtype=np.int32)
    low = np.maximum.accumulate(np.where(first, place, np.int32(0)), axis=1)
    upto = np.where(last, place + np.int32(1), np.int32(rows.shape[1]))
    high = np.minimum.accumulate(upto[:, ::-1], axis=1)[:, ::-1]
    return Standing(order, _by_person(low, order), _by_person(high, order))


def _by_person(values: Counts, order: NDArray[np.int64]) -> Counts:
    result = np.empty(values.shape, dtype=np.int32)
    np.put_along_axis(result, order, values, axis=1)
    return result
