"""TPR at a fixed FPR with the threshold's uncertainty, and the ROC band."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from tests.samples import Sample, tied_samples

from idbench import metrics
from idbench.metrics.bands import local_tail

MEMBERS = np.arange(400) < 150
SCORES = np.random.default_rng(5).normal(size=400) + 1.5 * MEMBERS


def test_interval_is_the_quantile_of_the_mixture_drawn_at_random() -> None:
    rng, m, n, fpr = np.random.default_rng(0), 150, 250, 0.05
    falling = np.sort(SCORES[~MEMBERS])[::-1]
    above = np.array([0, *(np.sum(SCORES[MEMBERS] > y) for y in falling), m])
    hits = above[rng.binomial(n + 1, fpr, size=200_000)]
    low = np.where(hits > 0, rng.beta(np.maximum(hits, 1), m - hits + 1), 0.0)
    high = rng.beta(hits + 1, np.maximum(m - hits, 1))
    found = metrics.tpr_at_fpr_interval(SCORES, MEMBERS, fpr)
    assert isinstance(found, metrics.Interval)
    assert found.low == pytest.approx(np.quantile(low, 0.025), abs=0.004)
    assert found.high == pytest.approx(np.quantile(high, 0.975), abs=0.004)


def test_interval_is_wider_than_with_the_threshold_taken_as_given() -> None:
    rate = metrics.tpr_at_fpr(SCORES, MEMBERS, 0.05)
    found = metrics.tpr_at_fpr_interval(SCORES, MEMBERS, 0.05)
    assert isinstance(rate, metrics.RateAtFpr)
    assert isinstance(found, metrics.Interval)
    assert found.low < rate.interval.low < rate.value < rate.interval.high < found.high


@pytest.mark.parametrize("step", [0.0099, 0.0101])
def test_a_step_of_ties_at_the_rate_is_held_from_both_sides(step: float) -> None:
    """Two values, 504 members of whom 30 % are hit: the truth is 0.3 with the step below 1 %, and 0 with it above."""
    rng, members, held = np.random.default_rng(7), np.arange(1008) < 504, 0
    truth = 0.3 if step < 0.01 else 0.0
    for _ in range(300):
        found = metrics.tpr_at_fpr_interval(rng.random(1008) < np.where(members, 0.3, step), members, 0.01)
        assert isinstance(found, metrics.Interval)
        held += truth in found
    assert held >= 0.94 * 300


@settings(max_examples=50, deadline=None)
@given(tied_samples(), st.sampled_from([0.1, 0.2, 0.5, 0.9]))
def test_interval_lies_in_0_to_1_or_is_not_estimable_like_the_rate(sample: Sample, fpr: float) -> None:
    rate, found = metrics.tpr_at_fpr(*sample, fpr), metrics.tpr_at_fpr_interval(*sample, fpr)
    if isinstance(rate, metrics.NotEstimable):
        assert found == rate
    else:
        assert isinstance(found, metrics.Interval)
        assert 0 <= found.low <= rate.value <= found.high <= 1


def test_a_perfect_attack_keeps_an_uncertain_rate() -> None:
    found = metrics.tpr_at_fpr_interval(np.arange(100.0), np.arange(100) >= 50, 0.1)
    assert isinstance(found, metrics.Interval)
    assert 0.85 < found.low < 1.0
    assert found.high == 1.0


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_band_holds_the_curve_and_rises(sample: Sample) -> None:
    band = metrics.roc_band(*sample, points=40)
    assert np.all((band.low >= 0) & (band.low <= band.tpr) & (band.tpr <= band.high) & (band.high <= 1))
    for edge in (band.fpr, band.low, band.tpr, band.high):
        assert np.all(np.diff(edge) >= 0)
    assert band.fpr[0] == band.resolution / 2
    assert band.fpr[-1] == 1.0


def test_band_estimate_agrees_with_tpr_at_fpr() -> None:
    band = metrics.roc_band(SCORES, MEMBERS)
    for place in range(60, 200, 20):
        rate = metrics.tpr_at_fpr(SCORES, MEMBERS, float(band.fpr[place]))
        if isinstance(rate, metrics.RateAtFpr):
            assert band.tpr[place] == rate.value


@pytest.mark.parametrize("n", [8, 60, 250])
def test_local_tail_holds_all_order_statistics_at_once(n: int) -> None:
    local = local_tail(n, 0.9, 0)
    ranks = np.arange(1, n + 1)
    draws = np.sort(np.random.default_rng(99).random((2000, n)), axis=1)
    tails = special.betainc(ranks, n - ranks + 1, draws)
    held = np.all((tails >= local) & (1 - tails >= local), axis=1).mean()
    # Above 100 the band rests on some of the order statistics; those between them hold slightly less often.
    assert held == pytest.approx(0.9, abs=0.025 if n <= 100 else 0.05)


def test_band_is_the_same_for_every_rising_transform_and_seeded() -> None:
    first, bent = metrics.roc_band(SCORES, MEMBERS), metrics.roc_band(np.exp(SCORES), MEMBERS)
    np.testing.assert_array_equal(first.low, bent.low)
    np.testing.assert_array_equal(first.high, bent.high)
