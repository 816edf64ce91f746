"""Estimates over several readings of the same people (draws, seeds, targets), with intervals over people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.metrics.resampling import Plan, resampled_counts
from idbench.metrics.values import FloatArray, allowed_false_positives

FPR = 0.1
"""False-positive rate of `tpr_10`."""

DRAWS = 2000
LEVEL = 0.95
_FEW = 5
"""With fewer hits or misses than this, the resampled rates are too seldom different to make an interval."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One score of each person; the same people in the same order in every reading that belongs together.

    Args:
        scores: float (n,), finite for whoever is a member or a non-member here.
        members: bool (n,): who counts as member in this reading.
        nonmembers: bool (n,): who counts as non-member. Whoever is neither is left out.
    """

    scores: NDArray[np.float64]
    members: NDArray[np.bool_]
    nonmembers: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate with its interval, or why there is none.

    Args:
        value: mean over the readings; None if it cannot be estimated.
        low, high: the interval's ends; None likewise.
        interval: how the interval was made, or why there is no estimate.
    """

    value: float | None
    low: float | None
    high: float | None
    interval: str


def graded(readings: Sequence[Reading], fpr: float = FPR) -> tuple[Value, Value]:
    """Mean AUC of the readings; and their mean TPR, each at its own threshold with at most this false-positive rate.

    For one reading the intervals are those of `metrics.auc_estimate` and `metrics.tpr_at_fpr_interval`; for several
    they come from drawing people, each with all readings. Both carry the uncertainty of the thresholds.
    """
    if len(readings) == 1:
        return _graded_once(readings[0], fpr)
    allowed = [allowed_false_positives(fpr, int(reading.nonmembers.sum())) for reading in readings]
    values, drawn = _joint(readings, allowed)
    plan = Plan(DRAWS, 0, LEVEL)
    interval = plan.interval(drawn[:, 0])
    if interval.width == 0:  # everybody is told apart in every draw of people: one reading's own interval is wider
        interval = metrics.auc_estimate(*_inside(readings[0]), LEVEL).interval
    area = _value(float(values[0]), interval)
    if min(allowed) < 1:
        return area, _unresolved(readings)
    people = int(np.any([reading.members for reading in readings], axis=0).sum())
    return area, _value(float(values[1]), _checked(float(values[1]), people, plan.interval(drawn[:, 1])))


def _graded_once(reading: Reading, fpr: float) -> tuple[Value, Value]:
    scores, members = _inside(reading)
    area = metrics.auc_estimate(scores, members, LEVEL)
    found, interval = metrics.tpr_at_fpr(scores, members, fpr), metrics.tpr_at_fpr_interval(scores, members, fpr, LEVEL)
    if isinstance(found, metrics.NotEstimable) or isinstance(interval, metrics.NotEstimable):
        return _value(area.value, area.interval), _unresolved([reading])
    return _value(area.value, area.interval), _value(found.value, interval)


def _unresolved(readings: Sequence[Reading]) -> Value:
    fewest = min(int(reading.nonmembers.sum()) for reading in readings)
    return Value(None, None, None, f"not estimable: one of {fewest} non-members is {1 / fewest:.1%}")


def rate(readings: Sequence[Reading], threshold: float, *, members: bool) -> Value:
    """Mean share of members (or of non-members) whose score reaches a threshold that was set beforehand.

    Clopper-Pearson for one reading and for rates near 0 or 1, else by drawing people, each with all readings.
    """
    chosen = [reading.members if members else reading.nonmembers for reading in readings]
    hits = [(reading.scores >= threshold) & own for reading, own in zip(readings, chosen, strict=True)]
    if len(readings) == 1:
        found = metrics.rate(int(hits[0].sum()), int(chosen[0].sum()))
        return _value(found.value, found.interval)
    weights = np.mean([hit / own.sum() for hit, own in zip(hits, chosen, strict=True)], axis=0)
    drawn = _counts(_strata(readings).tobytes())[1:] @ weights
    value, people = float(weights.sum()), int(np.any(chosen, axis=0).sum())
    return _value(value, _checked(value, people, Plan(DRAWS, 0, LEVEL).interval(drawn)))


def _value(value: float, interval: metrics.Interval) -> Value:
    return Value(value, interval.low, interval.high, interval.method)


def _checked(value: float, people: int, interval: metrics.Interval) -> metrics.Interval:
    """The interval, or Clopper-Pearson's where too few people make the rate what it is.

    A mean of shares varies less than the same mean of yes and no, so that counting people is on the safe side; the
    ends are those of the neighbouring whole numbers of people.
    """
    hits = value * people
    if _FEW <= hits <= people - _FEW:
        return interval
    low = metrics.clopper_pearson(math.floor(hits + 1e-9), people, LEVEL).low
    high = metrics.clopper_pearson(math.ceil(hits - 1e-9), people, LEVEL).high
    return metrics.Interval(low, high, LEVEL, f"Clopper-Pearson over {people} people")


def _inside(reading: Reading) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores and membership of those who count."""
    kept = reading.members | reading.nonmembers
    return reading.scores[kept], reading.members[kept]


def _joint(readings: Sequence[Reading], allowed: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """AUC and TPR, means over the readings: on the data, (2,), and on each draw of people, (DRAWS, 2).

    Args:
        allowed: false positives allowed in each reading.
    """
    counts = _counts(_strata(readings).tobytes())
    pairs = zip(readings, allowed, strict=True)
    means = np.mean([statistics(reading, counts, most) for reading, most in pairs], axis=0)
    return means[0], means[1:]


def statistics(reading: Reading, counts: NDArray[np.float32], allowed: int) -> FloatArray:
    """AUC, and TPR with at most `allowed` false positives, for many weightings of the people at once.

    The same numbers as `metrics.resampling.SortedRow`, which takes one weighting at a time. Here the people of equal
    score are counted together, by one product of matrices for all weightings: twenty draws of tied scores on some
    thousand resamplings are a matter of milliseconds.

    Args:
        reading: with at least one member and one non-member.
        counts: (k, n) how often each person counts; whole numbers that keep the number of members and non-members.
        allowed: false positives.

    Returns:
        (k, 2).
    """
    kept = reading.members | reading.nonmembers
    values, place = np.unique(-reading.scores[kept], return_inverse=True)  # the highest score first
    score = (place[:, None] == np.arange(values.size)).astype(np.float32)
    roles = np.stack([reading.members[kept], reading.nonmembers[kept]], axis=1)
    sums = (counts if kept.all() else counts[:, kept]) @ (score[:, None, :] * roles[:, :, None]).reshape(len(score), -1)
    members, nonmembers = np.split(sums.astype(np.float64), 2, axis=1)
    hits, alarms = members.cumsum(axis=1), nonmembers.cumsum(axis=1)
    m, n = hits[:, -1], alarms[:, -1]
    area = (nonmembers * (hits - members / 2)).sum(axis=1) / (m * n)
    taken = (alarms <= allowed).sum(axis=1)  # thresholds that may be used, the strictest first
    before = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)
    return np.stack([area, before[np.arange(len(hits)), taken] / m], axis=1)


@lru_cache(maxsize=4)  # every number of photos asks for the same people
def _counts(strata: bytes) -> NDArray[np.float32]:
    """(1 + DRAWS, n): everybody once, then how often each draw of people holds each; `strata` from `_strata`."""
    labels = np.frombuffer(strata, dtype=np.int64)
    counts = np.ones((1 + DRAWS, labels.size), dtype=np.float32)
    for row, drawn in zip(counts[1:], resampled_counts(labels, DRAWS, 0), strict=True):
        row[:] = drawn
    return counts


def _strata(readings: Sequence[Reading]) -> NDArray[np.int64]:
    """(n,) people who are members, non-members or neither in the same readings share a stratum, whose size is kept."""
    roles = np.stack([reading.members.astype(np.int8) - reading.nonmembers for reading in readings])
    _, labels = np.unique(np.unique(roles, axis=0), axis=1, return_inverse=True)
    return np.asarray(labels, dtype=np.int64).reshape(-1)
