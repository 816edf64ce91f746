"""A target on which some names are in reach of an image, and others are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.api import Case
from tests.unit.methods.conftest import DIM, LinearTarget

REACH = 6
"""Dimensions of an embedding that images reach; texts lie there in part."""


class PlantedTarget(LinearTarget):
    """A linear target that is told how much of each name lies in reach of an image; of other texts some 0.6 does.

    Args:
        cases: whose names are told.
        reachable: (n,) share of each name's embedding, in [0, 1].
    """

    def __init__(self, cases: Sequence[Case], reachable: NDArray[np.float64]) -> None:
        matrix = LinearTarget().matrix
        matrix[REACH:] = 0
        self._rng = np.random.default_rng(0)
        told = zip(cases, reachable, strict=True)
        super().__init__({case.name: self._drawn(share) for case, share in told}, matrix)

    def text(self, text: str) -> NDArray[np.float64]:
        if text not in self._texts:
            self._texts[text] = self._drawn(0.6 + 0.03 * self._rng.standard_normal())
        return self._texts[text]

    def _drawn(self, share: float) -> NDArray[np.float64]:
        inside, outside = self._rng.standard_normal(REACH), self._rng.standard_normal(DIM - REACH)
        return np.concatenate(
            [share * inside / np.linalg.norm(inside), np.sqrt(1 - share**2) * outside / np.linalg.norm(outside)]
        )
