"""What a board asks of `idbench.metrics`, and the histograms that it draws: shares of people by score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from idbench.metrics.batch import BatchSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FPRS: Final = (0.1, 0.01, 0.001)
LEVEL: Final = 0.95
ROC_POINTS: Final = 60
PLAN: Final = BatchSettings(FPRS, LEVEL, ROC_POINTS)
HISTOGRAM_BINS: Final = 40


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of members and non-members per bin of the score; `edges` (b + 1,), shares (b,)."""

    edges: Floats
    members: Floats
    nonmembers: Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """A ROC curve on a grid of false-positive rates, with a simultaneous band; all (k,)."""

    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats


def histogram(rows: Floats, members: Flags) -> Histogram:
    """Shares per bin over all seeds (seeds, n); scores beyond the 0.5 and 99.5 percentiles fall into the outer bins."""
    low, high = np.quantile(rows, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    return Histogram(edges, _shares(rows[:, members], edges), _shares(rows[:, ~members], edges))


def _shares(rows: Floats, edges: Floats) -> Floats:
    ordered = np.sort(rows, axis=None)
    ends = np.concatenate([[0], ordered.searchsorted(edges[1:-1], "left"), [ordered.size]])
    return np.asarray(np.diff(ends) / ordered.size, dtype=np.float64)
