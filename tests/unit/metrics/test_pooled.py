"""Means over readings: one reading is itself, copies teach nothing, independent readings do, and steps stay open."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.samples import Sample, tied_samples

from idbench import metrics

Floats = npt.NDArray[np.float64]

N = 400
MEMBERS = np.arange(N) < N // 2


def readings(count: int, strength: float = 1.0, shared: float = 0.5, seed: int = 0) -> Floats:
    """Scores (count, N) whose noise has the correlation `shared`."""
    rng = np.random.default_rng(seed)
    noise = np.sqrt(shared) * rng.normal(size=N) + np.sqrt(1 - shared) * rng.normal(size=(count, N))
    return np.asarray(noise + strength * MEMBERS)


def rate_of(found: metrics.Pooled, place: int = 0) -> metrics.PooledRate:
    rate = found.rates[place]
    assert isinstance(rate, metrics.PooledRate)
    return rate


@settings(max_examples=60, deadline=None)
@given(tied_samples(), st.sampled_from([0.1, 0.3, 0.5]))
def test_one_reading_is_the_reading(sample: Sample, fpr: float) -> None:
    scores, members = sample
    if min(members.sum(), (~members).sum()) < 2:
        return
    found = metrics.pooled(scores, members, fprs=[fpr])
    alone = metrics.auc_estimate(scores, members)
    assert found.auc.value == alone.value
    assert (found.auc.interval.low, found.auc.interval.high) == pytest.approx(
        (alone.interval.low, alone.interval.high), abs=1e-12
    )
    interval, (rate,) = metrics.tpr_at_fpr_interval(scores, members, fpr), found.rates
    if isinstance(interval, metrics.NotEstimable):
        assert rate == interval
    else:
        assert isinstance(rate, metrics.PooledRate)
        ends = (rate.interval.low, rate.interval.high)
        assert ends == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_copies_teach_nothing_and_independent_readings_do() -> None:
    one = readings(1)
    single, copies = metrics.pooled(one, MEMBERS), metrics.pooled(np.repeat(one, 18, axis=0), MEMBERS)
    assert copies.auc.interval.width == pytest.approx(single.auc.interval.width)
    assert rate_of(copies).interval.width == pytest.approx(rate_of(single).interval.width)
    apart = metrics.pooled(readings(18, shared=0.0), MEMBERS)
    assert apart.auc.interval.width < 0.35 * single.auc.interval.width
    assert rate_of(apart).interval.width < 0.35 * rate_of(single).interval.width


def test_intervals_are_those_of_a_bootstrap_over_people() -> None:
    rows = readings(18, strength=1.5, shared=0.6)
    found, drawn = metrics.pooled(rows, MEMBERS), metrics.bootstrap(rows, MEMBERS, draws=1000)
    for value, name in ((found.auc, "auc"), (rate_of(found), "tpr@0.1")):
        people = drawn.interval(name)
        assert isinstance(people, metrics.Interval)
        assert value.value == pytest.approx(drawn.estimate(name))
        # Nearly three times as wide where the readings' own intervals are averaged as if all erred alike.
        assert value.interval.width == pytest.approx(people.width, rel=0.3)


def test_a_step_that_ties_leave_open_does_not_average_out() -> None:
    rng = np.random.default_rng(3)
    called = rng.random((18, 1008)) < np.where(np.arange(1008) < 504, 0.5, 0.01)
    rate = rate_of(metrics.pooled(called.astype(float), np.arange(1008) < 504, fprs=[0.01]))
    # With a step at 1 % the truth is 0 or 1/2, and 18 looks at it do not say which.
    assert rate.interval.low < 0.05
    assert rate.interval.high > 0.45


def test_the_members_of_one_reading_may_be_the_non_members_of_another() -> None:
    inside = np.stack([MEMBERS, ~MEMBERS])
    rng = np.random.default_rng(4)
    look = 3 * rng.normal(size=N)
    found = metrics.pooled(look + rng.normal(size=(2, N)) + inside, inside)
    # A person's look pulls one reading up and the other down, so that the mean knows more than either alone.
    alone = metrics.pooled(look + rng.normal(size=N) + MEMBERS, MEMBERS)
    assert found.auc.interval.width < 0.6 * alone.auc.interval.width
    drawn = metrics.bootstrap(look + rng.normal(size=(2, N)) + inside, inside, draws=500).interval("auc")
    assert isinstance(drawn, metrics.Interval)
    assert found.auc.interval.width == pytest.approx(drawn.width, rel=0.2)


def test_who_is_neither_does_not_count() -> None:
    rows, out = readings(2), np.arange(N) % 5 == 0
    holes = np.where(out, np.nan, rows)
    left = metrics.pooled(holes, MEMBERS & ~out, ~MEMBERS & ~out)
    gone = metrics.pooled(rows[:, ~out], MEMBERS[~out])
    assert left.auc.value == gone.auc.value
    assert left.auc.interval == gone.auc.interval
    assert left.rates == gone.rates


def test_bad_input_is_refused() -> None:
    rows = readings(2)
    for scores, members, nonmembers, words in (
        (np.full((2, N), np.nan), MEMBERS, None, "finite"),
        (rows, MEMBERS[:-1], None, "members must have shape"),
        (rows, MEMBERS, MEMBERS, "cannot be both"),
        (rows, np.arange(N) < 1, None, "at least two members"),
        (rows[None], MEMBERS, None, "readings, identities"),
    ):
        with pytest.raises(metrics.MetricError, match=words):
            metrics.pooled(scores, members, nonmembers)
    with pytest.raises(metrics.MetricError, match="needs somebody"):
        metrics.pooled_rate(rows > 0, np.zeros(N, dtype=bool))


def test_a_mean_share_of_one_reading_is_clopper_pearsons_and_of_copies_too() -> None:
    hits = readings(1) > 1
    one = metrics.pooled_rate(hits, MEMBERS)
    alone = metrics.rate(int((hits[0] & MEMBERS).sum()), int(MEMBERS.sum()))
    assert one.value == alone.value
    assert (one.interval.low, one.interval.high) == pytest.approx((alone.interval.low, alone.interval.high))
    copies = metrics.pooled_rate(np.repeat(hits, 9, axis=0), MEMBERS)
    assert copies.interval.width == pytest.approx(alone.interval.width)
    apart = metrics.pooled_rate(readings(9, shared=0.0) > 1, MEMBERS)
    assert apart.interval.width < 0.45 * alone.interval.width
    nobody = metrics.pooled_rate(np.zeros((3, N), dtype=bool), MEMBERS)
    assert (nobody.value, nobody.interval.low) == (0.0, 0.0)
    assert nobody.interval.high == pytest.approx(metrics.clopper_pearson(0, N // 2).high)


def test_the_spread_over_targets_leaves_seeds_out() -> None:
    assert metrics.spread([0.6, 0.8, 0.8, 0.6], ["a", "a", "b", "b"]) == 0.0
    assert metrics.spread([0.6, 0.8], ["a", "b"]) == pytest.approx(np.std([0.6, 0.8], ddof=1))
    assert metrics.spread([0.7]) == 0.0
    with pytest.raises(metrics.MetricError, match="one group"):
        metrics.spread([0.7], ["a", "b"])


@settings(max_examples=60, deadline=None)
@given(tied_samples(), st.integers(0, 2**32 - 1))
def test_a_difference_in_one_reading_is_the_paired_test(sample: Sample, seed: int) -> None:
    scores, members = sample
    if min(members.sum(), (~members).sum()) < 2:
        return
    other = np.random.default_rng(seed).permutation(scores)
    found = metrics.pooled_difference(scores[None], other[None], members)
    alone = metrics.delong_test(scores, other, members)
    for name in ("auc_a", "auc_b", "difference", "standard_error", "statistic", "freedom", "p"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name), rel=1e-9, abs=1e-12), name
    assert [found.interval.low, found.interval.high] == pytest.approx([alone.interval.low, alone.interval.high])


def test_a_difference_without_spread_is_not_certain() -> None:
    """One method separates the classes perfectly, the other not at all: no variance, yet only six people."""
    members = np.array([True, True, True, False, False, False])
    perfect, constant = np.tile(members * 1.0, (2, 1)), np.zeros((2, 6))
    found = metrics.pooled_difference(perfect, constant, members)
    assert found.difference == 0.5
    assert 0.001 < found.p < 1
    assert found.interval.low < 0.5 < found.interval.high
