"""What a split can detect, against the normal integrals that the closed forms stand for."""

import math

import numpy as np
import pytest
from scipy import stats

from idbench import metrics


@pytest.mark.parametrize("value", [0.5, 0.62, 0.8, 0.97])
def test_variance_uses_the_right_normal_probability(value: float) -> None:
    shift = float(stats.norm.ppf(value))
    both = stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([shift, shift])
    m, n = 30, 50
    expected = (value * (1 - value) + (m + n - 2) * (both - value**2)) / (m * n)
    assert metrics.auc_variance(value, m, n) == pytest.approx(expected, rel=1e-4)


def test_variance_at_chance_is_that_of_the_rank_sum() -> None:
    assert metrics.auc_variance(0.5, 540, 8) == pytest.approx((540 + 8 + 1) / (12 * 540 * 8))


def test_variance_against_simulation() -> None:
    rng = np.random.default_rng(0)
    members = np.arange(70) < 30
    shift = math.sqrt(2) * stats.norm.ppf(0.8)
    found = [metrics.auc(rng.normal(size=70) + shift * members, members) for _ in range(4000)]
    assert np.var(found) == pytest.approx(metrics.auc_variance(0.8, 30, 40), rel=0.09)


def test_more_people_detect_less() -> None:
    found = [metrics.minimum_detectable_auc(n, n) for n in (8, 50, 100, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.54
    assert metrics.minimum_detectable_auc(100, 100, power=0.9) > found[2]
    assert metrics.minimum_detectable_auc(100, 100, chance=0.6) > found[2] + 0.05
    assert metrics.minimum_detectable_auc(1, 1) == 1.0


def test_difference_shrinks_with_correlation() -> None:
    loose, tight = (metrics.minimum_detectable_difference(100, 100, correlation=r) for r in (0.0, 0.75))
    assert tight == pytest.approx(loose / 2)
    assert metrics.minimum_detectable_difference(1, 1) == 1.0


def test_people_needed_for_an_auc_are_the_fewest_that_see_it() -> None:
    for value in (0.55, 0.6, 0.75, 0.95):
        n = metrics.people_needed_for_auc(value)
        assert metrics.minimum_detectable_auc(n, n) <= value
        assert n == 1 or metrics.minimum_detectable_auc(n - 1, n - 1) > value
    with pytest.raises(metrics.MetricError, match="must lie above"):
        metrics.people_needed_for_auc(0.4)


def test_people_needed_for_a_tpr_have_the_power_in_simulation() -> None:
    """The threshold is read off the non-members, as an attack's would be; the test is the one that was planned."""
    n = metrics.people_needed_for_tpr(0.05, 0.01)
    assert n == 300
    rng = np.random.default_rng(0)
    shift = stats.norm.ppf(0.05) - stats.norm.ppf(0.01)
    allowed = n // 100
    tails = stats.betabinom.sf(np.arange(n + 1) - 1, n, allowed + 1, n - allowed)
    critical = int(np.argmax(tails <= 0.05))
    thresholds = np.sort(rng.standard_normal((2000, n)), axis=1)[:, -(allowed + 1)]
    members = rng.standard_normal((2000, n))
    seen = ((members + shift > thresholds[:, None]).sum(axis=1) >= critical).mean()
    by_chance = ((members > thresholds[:, None]).sum(axis=1) >= critical).mean()
    assert seen > 0.8
    assert by_chance < 0.05
    with pytest.raises(metrics.MetricError, match="above fpr"):
        metrics.people_needed_for_tpr(0.01, 0.05)
