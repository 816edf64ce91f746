"""Estimates over readings: the reference metrics' numbers, people as what varies, no interval narrower for repeats."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from idbench import metrics
from idbench.studies.estimates import Reading, Value, graded, rate

N = 120


def reading(seed: int, shift: float = 3.0, n: int = N, members: NDArray[np.bool_] | None = None) -> Reading:
    """Tied whole-number scores, as IDIA's are; members higher by `shift`."""
    rng = np.random.default_rng(seed)
    inside = np.arange(n) < n // 2 if members is None else members
    scores = np.clip(np.round(rng.normal(5 + shift * inside, 3)), 0, 21)
    return Reading(scores, inside, ~inside)


def width(value: Value) -> float:
    assert value.low is not None
    assert value.high is not None
    return value.high - value.low


def test_one_reading_has_the_reference_intervals() -> None:
    one = reading(3)
    area, at_10 = graded([one])
    expected = metrics.auc_estimate(one.scores, one.members)
    ends = (expected.value, expected.interval.low, expected.interval.high)
    assert (area.value, area.low, area.high) == pytest.approx(ends, abs=1e-12)
    interval = metrics.tpr_at_fpr_interval(one.scores, one.members, 0.1)
    assert isinstance(interval, metrics.Interval)
    assert (at_10.low, at_10.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_several_readings_are_the_cluster_bootstrap() -> None:
    members = np.arange(N) < N // 2
    rows = [reading(4), reading(5), reading(6, members=~members)]
    expected = metrics.bootstrap(
        np.stack([row.scores for row in rows]), np.stack([row.members for row in rows]), fprs=(0.1,)
    )
    for value, name in zip(graded(rows), ("auc", "tpr@0.1"), strict=True):
        interval = expected.interval(name)
        assert isinstance(interval, metrics.Interval)
        assert value.value == pytest.approx(expected.estimate(name))
        # Beside what a bootstrap over people shows, the TPR's interval holds what ties leave open.
        assert width(value) > 0.85 * interval.width
        if name == "auc":
            assert (value.low, value.high) == pytest.approx((interval.low, interval.high), abs=0.015)


def test_more_readings_of_the_same_people_do_not_narrow_the_interval() -> None:
    one, twenty = [reading(7)] * 2, [reading(7)] * 20
    for few, many in zip((*graded(one), rate(one, 8, members=True)), (*graded(twenty), rate(twenty, 8, members=True)),
                         strict=True):  # fmt: skip
        assert width(many) == pytest.approx(width(few))
    single = graded([reading(7)])[0]
    assert width(graded(one)[0]) == pytest.approx(width(single), rel=0.15)


def test_a_rate_of_one_reading_is_clopper_pearsons() -> None:
    one = reading(8)
    found = rate([one], 8, members=False)
    expected = metrics.rate(int((one.scores[one.nonmembers] >= 8).sum()), N // 2)
    ends = (expected.value, expected.interval.low, expected.interval.high)
    assert (found.value, found.low, found.high) == pytest.approx(ends, abs=1e-12)


def test_a_rate_of_nobody_still_has_an_interval() -> None:
    rows = [reading(9), reading(10)]
    found = rate(rows, 22, members=True)
    assert found.value == found.low == 0
    assert found.high == metrics.clopper_pearson(0, N // 2).high
    assert "Clopper-Pearson" in found.interval


def test_perfect_separation_still_has_an_interval() -> None:
    rows = [reading(11, shift=1000), reading(12, shift=1000)]
    area, at_10 = graded(rows)
    assert area.value == at_10.value == 1
    assert area.low is not None
    assert at_10.low is not None
    assert 0.8 < area.low < 1
    assert 0.8 < at_10.low < 1


def test_who_is_neither_does_not_count() -> None:
    whole = reading(13)
    out = np.arange(N) % 3 == 0
    rows = [
        Reading(np.where(out, np.nan, own.scores), own.members & ~out, own.nonmembers & ~out)
        for own in (whole, reading(14))
    ]
    kept = [
        Reading(own.scores[~out], own.members[~out], own.nonmembers[~out]) for own in (whole, reading(14))
    ]  # fmt: skip
    for with_others, without in zip(graded(rows), graded(kept), strict=True):
        assert with_others.value == pytest.approx(without.value)
    assert rate(rows, 7, members=True).value == pytest.approx(rate(kept, 7, members=True).value)


@pytest.mark.parametrize("repeats", [1, 3])
def test_too_few_nonmembers_are_named(repeats: int) -> None:
    few = reading(15, n=16)
    _, at_10 = graded([few] * repeats)
    assert at_10.value is None
    assert at_10.interval == "not estimable: one of 8 non-members is 12.5%"
