"""Estimates over several readings of the same people (draws, seeds, targets), with intervals over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench import metrics

FPR = 0.1
"""False-positive rate of `tpr_10`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One score of each person; the same people in the same order in every reading that belongs together.

    Args:
        scores: float (n,), finite for members and non-members.
        members: bool (n,): who counts as member in this reading.
        nonmembers: bool (n,): who counts as non-member. People who are neither are left out.
    """

    scores: NDArray[np.float64]
    members: NDArray[np.bool_]
    nonmembers: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate with its interval, or why there is none.

    Args:
        value: mean over the readings; None if it cannot be estimated.
        low, high: the interval's ends; None where the value is None.
        interval: how the interval was made, or why there is no estimate.
    """

    value: float | None
    low: float | None
    high: float | None
    interval: str


def graded(readings: Sequence[Reading], fpr: float = FPR) -> tuple[Value, Value]:
    """Mean AUC of the readings; and their mean TPR, each at its own threshold with at most this false-positive rate.

    The intervals are those of `metrics.pooled`: they cover new people and include the uncertainty of the thresholds.
    """
    found = metrics.pooled(
        np.stack([reading.scores for reading in readings]),
        np.stack([reading.members for reading in readings]),
        np.stack([reading.nonmembers for reading in readings]),
        fprs=(fpr,),
    )
    area = _value(found.auc.value, found.auc.interval)
    (at_fpr,) = found.rates
    if isinstance(at_fpr, metrics.NotEstimable):
        return area, _unresolved(readings)
    return area, _value(at_fpr.value, at_fpr.interval)


def _unresolved(readings: Sequence[Reading]) -> Value:
    fewest = min(int(reading.nonmembers.sum()) for reading in readings)
    return Value(None, None, None, f"not estimable: one of {fewest} non-members is {1 / fewest:.1%}")


def rate(readings: Sequence[Reading], threshold: float, *, members: bool) -> Value:
    """Mean share of members (or of non-members) whose score reaches a threshold that was set beforehand.

    The interval is that of `metrics.pooled_rate`.
    """
    found = metrics.pooled_rate(
        np.stack([reading.scores >= threshold for reading in readings]),
        np.stack([reading.members if members else reading.nonmembers for reading in readings]),
    )
    return _value(found.value, found.interval)


def _value(value: float, interval: metrics.Interval) -> Value:
    return Value(value, interval.low, interval.high, interval.method)
