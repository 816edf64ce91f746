"""When TUNI's detectors are sure of a name, so that no more images need be drawn for it. Imports PyOD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from idbench_methods.attacks.tuni.detectors import DetectorName, Direction, judge

CALM = 0.5
"""Share of the gibberish that no detector must find more usual than a name, if all are sure that nobody is there."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the detectors say of each name.

    Args:
        sure: 1 of a member, -1 of a non-member, 0 of neither, (n,).
        anomaly: among the names that were judged together, -1/2 to 1/2, (n,).
        votes: detectors that call the name a member, (n,).
    """

    sure: NDArray[np.int64]
    anomaly: NDArray[np.float64]
    votes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Panel:
    """The detectors and what is asked of them.

    Args:
        detectors: which.
        contamination: share of gibberish that each detector's threshold calls outliers.
        unusual: the same when all are to be sure.
        direction: which differences from gibberish count for membership.
        seed: of the detectors' chance.
    """

    detectors: Sequence[DetectorName]
    contamination: float
    unusual: float
    direction: Direction
    seed: int

    def judge(self, reference: NDArray[np.float64], names: NDArray[np.float64]) -> Judgement:
        """Judge names by their features, (n, 2), beside those of gibberish, (n_reference, 2)."""
        if not len(names):
            none = np.zeros(0, dtype=np.int64)
            return Judgement(none, np.zeros(0), none)
        each = [
            judge(reference, names, [one], contamination=self.contamination, direction=self.direction, seed=self.seed)
            for one in self.detectors
        ]
        signed = np.stack([one.anomaly for one in each])
        shares = np.stack([_share_below(np.abs(row), len(reference)) for row in signed])
        beyond = (shares >= 1 - self.unusual).all(axis=0)
        calm = (shares <= CALM).all(axis=0)
        against = signed[0] < 0  # unlike gibberish in the other direction; the same for all detectors
        sure = np.where(beyond & ~against, 1, np.where(calm | beyond, -1, 0)).astype(np.int64)
        anomaly = signed.mean(axis=0)
        votes = np.stack([one.votes for one in each]).sum(axis=0)
        return Judgement(sure, anomaly - 0.5 if self.direction == "two-sided" else anomaly / 2, votes)


def _share_below(anomaly: NDArray[np.float64], n_reference: int) -> NDArray[np.float64]:
    """Share of the reference that a detector finds less anomalous than each name, ties by halves, (n,).

    Args:
        anomaly: rank of each name among names and reference, divided by their number.
        n_reference: size of the reference.
    """
    among_all = anomaly * (len(anomaly) + n_reference)
    return np.round((among_all - rankdata(anomaly)) / n_reference, 9)
