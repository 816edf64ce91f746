"""A target on which some names are in reach of an image, and others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from idbench.api import Case

if TYPE_CHECKING:
    from tests.unit.methods.conftest import LinearTarget

DIM, REACH = 12, 6


def planted(target: type[LinearTarget], cases: list[Case], reachable: np.ndarray[Any, Any]) -> LinearTarget:
    """Images reach the first REACH dimensions only; texts lie there in part, names where told more or less so."""
    matrix = target().matrix.clone()
    matrix[REACH:] = 0
    rng = np.random.default_rng(0)

    def text(share: float) -> np.ndarray[Any, Any]:
        inside, outside = rng.standard_normal(REACH), rng.standard_normal(DIM - REACH)
        return np.concatenate(
            [share * inside / np.linalg.norm(inside), np.sqrt(1 - share**2) * outside / np.linalg.norm(outside)]
        )

    class Planted(target):  # type: ignore[valid-type,misc]
        def text(self, name: str) -> Any:
            if name not in self._texts:
                self._texts[name] = text(0.6 + 0.03 * rng.standard_normal())
            return self._texts[name]

    return Planted({case.name: text(share) for case, share in zip(cases, reachable, strict=True)}, matrix)
