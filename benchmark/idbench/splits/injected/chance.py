"""Random draws that are the same everywhere: SHAKE-128 of a label, and integers from it without floating point."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int32]


def stream(label: str, n_bytes: int) -> bytes:
    """The first `n_bytes` of the stream that belongs to `label` (SHAKE-128, FIPS 202): equal on every machine."""
    return hashlib.shake_128(label.encode()).digest(n_bytes)


def hex_id(label: str, digits: int) -> str:
    """An opaque id of `digits` hexadecimal digits (an even number)."""
    return hashlib.shake_128(label.encode()).hexdigest(digits // 2)


def shuffled(label: str, n: int) -> NDArray[np.int64]:
    """A permutation of 0..n-1, drawn by sorting 64-bit keys."""
    keys = np.frombuffer(stream(label, 8 * n), dtype="<u8")
    return np.argsort(keys, kind="stable").astype(np.int64)


class BatchDraws:
    """Integers for a batch, read column by column: row i depends on label i alone.

    Args:
        labels: one label per row.
        columns: how many draws each row may make.
    """

    def __init__(self, labels: Sequence[str], columns: int) -> None:
        data = b"".join(stream(label, 2 * columns) for label in labels)
        self._words = np.frombuffer(data, dtype="<u2").reshape(len(labels), columns).T.astype(np.int32)
        self._next = 0

    def _word(self) -> IntArray:
        word: IntArray = self._words[self._next]
        self._next += 1
        return word

    def between(self, low: int, high: int) -> IntArray:
        """Uniform integers from `low` to `high`, both included; the range spans less than 32768."""
        return low + ((self._word() * (high - low + 1)) >> 16)

    def bell(self, low: int, high: int) -> IntArray:
        """Integers from `low` to `high` that prefer the middle: the mean of three uniform draws."""
        mean = (self._word() + self._word() + self._word()) // 3
        return low + ((mean * (high - low + 1)) >> 16)

    def pick(self, weights: Sequence[int]) -> IntArray:
        """Indices into `weights`, each as often as its weight says."""
        limits = np.cumsum(np.asarray(weights, dtype=np.int32))
        drawn = self.between(0, int(limits[-1]) - 1)
        return np.searchsorted(limits, drawn, side="right").astype(np.int32)
