"""DeLong's variance, the AUC intervals and the paired test, against definitions worked out pair by pair."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.samples import IS_ABNORMAL, RATINGS, Sample, tied_samples

from idbench import metrics

Floats = npt.NDArray[np.float64]


def plain_components(scores: Floats, members: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The structural components, straight from the kernel of DeLong et al. (1988), equations 4 and 5."""
    kernel = np.array([[(x > y) + 0.5 * (x == y) for y in scores[~members]] for x in scores[members]])
    return kernel.mean(axis=1), kernel.mean(axis=0)


@settings(max_examples=50, deadline=None)
@given(tied_samples(), tied_samples())
def test_covariance_follows_the_definition(first: Sample, second: Sample) -> None:
    scores, members = first
    m, n = int(members.sum()), int((~members).sum())
    if min(m, n) < 2:
        return
    other = np.resize(second[0], scores.size)
    parts = [plain_components(row, members) for row in (scores, other)]
    expected = np.cov([p[0] for p in parts]) / m + np.cov([p[1] for p in parts]) / n
    found = metrics.delong_covariance([scores, other], members)
    np.testing.assert_allclose(found.covariance, expected, atol=1e-12)
    np.testing.assert_allclose(found.auc, [p[0].mean() for p in parts], atol=1e-12)


def test_example_worked_by_hand() -> None:
    # Members 6, 5, 3 against 4, 2, 1: components (1, 1, 2/3) and (2/3, 1, 1); variance 1/27 each, over 3 identities.
    scores, members = [6, 5, 4, 3, 2, 1], [True, True, False, True, False, False]
    found = metrics.delong_covariance([scores], members)
    assert found.auc[0] == pytest.approx(8 / 9)
    assert found.covariance[0, 0] == pytest.approx(2 / 81)
    interval = metrics.delong_interval(scores, members)
    assert interval.low == pytest.approx(8 / 9 - stats.norm.ppf(0.975) * math.sqrt(2 / 81))
    assert interval.high == 1.0


def test_published_standard_error() -> None:
    # Hanley and McNeil (1982) give 0.032 for these ratings by their own variance; DeLong's is close to it.
    error = math.sqrt(float(metrics.delong_covariance([RATINGS], IS_ABNORMAL).covariance[0, 0]))
    assert error == pytest.approx(0.032, abs=0.002)


def test_paired_test_worked_by_hand() -> None:
    members = [True, True, True, False, False, False]
    found = metrics.delong_test([6, 5, 3, 4, 2, 1], [6, 2, 3, 5, 4, 1], members)
    # Differences of the components: members (0, 2/3, 1/3), non-members (1/3, 2/3, 0): variance 1/9 each, over 3.
    assert found.difference == pytest.approx(1 / 3)
    assert found.standard_error == pytest.approx(math.sqrt(2 / 27))
    assert found.freedom == pytest.approx(4.0)
    assert found.p == pytest.approx(2 * stats.t.sf(found.statistic, 4))
    assert found.statistic == pytest.approx((1 / 3) / math.sqrt(2 / 27))


@settings(max_examples=50, deadline=None)
@given(tied_samples(), tied_samples())
def test_swapping_the_methods_mirrors_the_difference(first: Sample, second: Sample) -> None:
    scores, members = first
    if min(members.sum(), (~members).sum()) < 2:
        return
    other = np.resize(second[0], scores.size)
    a, b = metrics.delong_test(scores, other, members), metrics.delong_test(other, scores, members)
    assert a.difference == -b.difference
    assert a.p == pytest.approx(b.p)
    assert a.interval.low == pytest.approx(-b.interval.high)
    assert a.difference in a.interval
    assert 0 <= a.p <= 1


@settings(max_examples=50, deadline=None)
@given(tied_samples(), st.sampled_from([0.8, 0.95, 0.99]))
def test_every_interval_holds_its_estimate_inside_0_and_1(sample: Sample, level: float) -> None:
    value = metrics.auc(*sample)
    found = [metrics.auc_interval(*sample, level)]
    if min(sample[1].sum(), (~sample[1]).sum()) >= 2:
        found += [metrics.delong_interval(*sample, level), metrics.delong_interval_logit(*sample, level)]
    for interval in found:
        assert 0 <= interval.low <= interval.high <= 1
        assert interval.low - 1e-12 <= value <= interval.high + 1e-12
        assert interval.width > 0
        assert interval.level == level


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_intervals_mirror_with_the_labels(sample: Sample) -> None:
    scores, members = sample
    a, b = metrics.auc_interval(scores, members), metrics.auc_interval(scores, ~members)
    assert a.low == pytest.approx(1 - b.high, abs=1e-9)
    assert a.high == pytest.approx(1 - b.low, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 0.93, 1.0])
def test_newcombe_ends_are_z_standard_errors_away(value: float) -> None:
    m, n, z = 20, 8, stats.norm.ppf(0.975)
    interval = metrics.newcombe_interval(value, m, n)
    for end in (interval.low, interval.high):
        if 0 < end < 1:
            # Q1 and Q2 of Hanley and McNeil, with both sizes replaced by their mean in the two last terms.
            q = end / (2 - end), 2 * end * end / (1 + end)
            rest = ((m + n) / 2 - 1) * (sum(q) - 2 * end * end)
            assert (value - end) ** 2 == pytest.approx(z * z * (end * (1 - end) + rest) / (m * n))


def test_perfect_separation_is_not_taken_for_certainty() -> None:
    scores, members = np.arange(16.0), np.arange(16) >= 8
    for interval in (metrics.delong_interval(scores, members), metrics.delong_interval_logit(scores, members)):
        assert interval.low < 0.8
        assert "Newcombe" in interval.method
    same = metrics.delong_test(scores, scores * 2, members)
    assert (same.difference, same.p) == (0.0, 1.0)
    assert same.interval.width > 0.2
    apart = metrics.delong_test(scores, np.zeros(16), members)
    assert apart.p < 0.05
    assert 0 not in apart.interval


def test_p_and_interval_agree_where_the_variance_is_unknown() -> None:
    members = np.arange(6) < 3
    found = metrics.delong_test(np.arange(6.0)[::-1], np.zeros(6), members)
    assert found.standard_error == 0.0
    edge = metrics.delong_test(np.arange(6.0)[::-1], np.zeros(6), members, level=1 - found.p)
    assert edge.interval.low == pytest.approx(0, abs=1e-6)


def test_matched_interval_nears_delong_in_large_samples() -> None:
    rng = np.random.default_rng(0)
    members = np.arange(20_000) < 10_000
    scores = np.where(members, 3 * rng.normal(size=20_000) + 2, rng.normal(size=20_000))
    mine, delong = metrics.auc_interval(scores, members), metrics.delong_interval_logit(scores, members)
    assert mine.low == pytest.approx(delong.low, abs=3e-4)
    assert mine.high == pytest.approx(delong.high, abs=3e-4)
