"""The bootstrap's shortcut (weights over sorted scores) against resampled data put through the plain metrics."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.samples import Sample, tied_samples

from idbench import metrics
from idbench.metrics.resampling import resampled_counts, sorted_row

MEMBERS = np.arange(300) < 120


def scores(seed: int = 0, rows: int = 1) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(rows, 300)) + MEMBERS


@settings(max_examples=50, deadline=None)
@given(tied_samples(), st.integers(0, 1000), st.lists(st.integers(1, 10), min_size=1, max_size=3))
def test_weighted_statistics_equal_those_of_the_resampled_data(sample: Sample, seed: int, allowed: list[int]) -> None:
    values, members = sample
    row = sorted_row(values, members, ~members)
    for counts in resampled_counts(members, 3, seed):
        again, flags = np.repeat(values, counts), np.repeat(members, counts)
        found = row.statistics(counts, np.array(allowed))
        assert found[0] == pytest.approx(metrics.auc(again, flags), abs=1e-12)
        curve = metrics.roc(again, flags)
        for k, rate in zip(allowed, found[1:], strict=True):
            assert rate == pytest.approx(float(curve.tpr[curve.false_positives <= k].max()), abs=1e-12)


def test_the_shortcut_over_the_highest_scores_reaches_all_of_them_when_it_must() -> None:
    # Every draw falls on the lowest non-members, far beyond the part that is summed first.
    values, members = -np.arange(1000.0), np.arange(1000) % 2 == 0
    counts = np.zeros(1000, dtype=np.int64)
    counts[-2:] = 500
    assert sorted_row(values, members, ~members).statistics(counts, np.array([1])) == [1.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 99))
def test_counts_keep_the_size_of_every_stratum(labels: list[int], seed: int) -> None:
    strata = np.array(labels)
    for counts in resampled_counts(strata, 4, seed):
        for label in set(labels):
            assert counts[strata == label].sum() == np.sum(strata == label)


def test_every_identity_is_drawn_equally_often() -> None:
    total = np.sum(list(resampled_counts(MEMBERS, 20_000, 0)), axis=0)
    # Binomial(20,000 draws x size, 1 / size): standard deviation about 141; 300 identities, six sigma.
    assert np.abs(total - 20_000).max() < 6 * np.sqrt(20_000)
    variance = np.var(list(resampled_counts(MEMBERS, 4000, 1)), axis=0)
    assert variance.mean() == pytest.approx(1 - 1 / 150, abs=0.02)


def test_same_seed_same_draws_another_seed_others() -> None:
    first, again = (metrics.bootstrap(scores()[0], MEMBERS, draws=50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.draws, again.draws)
    assert not np.array_equal(first.draws, metrics.bootstrap(scores()[0], MEMBERS, draws=50, seed=4).draws)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(300)))
def test_the_order_of_identities_does_not_matter(order: list[int]) -> None:
    values = np.round(scores()[0], 1)
    first = metrics.bootstrap(values, MEMBERS, draws=20)
    np.testing.assert_array_equal(metrics.bootstrap(values[order], MEMBERS[order], draws=20).draws, first.draws)


def test_rising_transforms_change_no_draw() -> None:
    values = scores()[0]
    first, bent = metrics.bootstrap(values, MEMBERS, draws=50), metrics.bootstrap(np.exp(values), MEMBERS, draws=50)
    np.testing.assert_array_equal(first.draws, bent.draws)


def test_standard_error_agrees_with_delong() -> None:
    found = metrics.bootstrap(scores()[0], MEMBERS, draws=4000)
    delong = float(metrics.delong_covariance(scores(), MEMBERS).covariance[0, 0]) ** 0.5
    assert found.standard_error("auc") == pytest.approx(delong, rel=0.06)
    assert found.estimate("auc") == metrics.auc(scores()[0], MEMBERS)


def test_rates_below_the_resolution_are_not_estimable_and_unknown_names_refused() -> None:
    found = metrics.bootstrap(scores()[0], MEMBERS, draws=10)
    assert found.statistics == ("auc", "tpr@0.1", "tpr@0.01")
    for answer in (found.interval("tpr@0.001"), found.estimate("tpr@0.001"), found.standard_error("tpr@0.001")):
        assert isinstance(answer, metrics.NotEstimable)
        assert answer.resolution == 1 / 180
        assert "1000 non-members" in answer.reason
    for name in ("accuracy", "tpr@", "tpr@often", "tpr@0.2"):
        with pytest.raises(metrics.MetricError, match=r"holds auc, tpr@0\.1"):
            found.interval(name)


def test_rows_of_one_identity_travel_together() -> None:
    # Three copies of one row carry no more than the row itself: the interval must not shrink.
    single = metrics.bootstrap(scores()[0], MEMBERS, draws=200)
    tripled = metrics.bootstrap(np.repeat(scores(), 3, axis=0), MEMBERS, draws=200)
    np.testing.assert_allclose(tripled.draws, single.draws, atol=1e-12)
    assert tripled.rows == 3
    np.testing.assert_array_equal(tripled.row_spread, 0)


def test_rows_with_noise_of_their_own_narrow_the_interval() -> None:
    rows = metrics.bootstrap(scores(1, rows=8), MEMBERS, draws=400)
    single = metrics.bootstrap(scores(1, rows=8)[0], MEMBERS, draws=400)
    assert rows.standard_error("auc") < 0.6 * float(single.standard_error("auc"))  # type: ignore[arg-type, operator]
    assert rows.row_spread[0] > 0


def test_targets_with_other_members_are_nested_in_identities() -> None:
    flags = np.stack([MEMBERS, MEMBERS[::-1]])
    values = np.random.default_rng(0).normal(size=(2, 300)) + flags
    found = metrics.bootstrap(values, flags, draws=100)
    expected = np.mean([metrics.auc(v, f) for v, f in zip(values, flags, strict=True)])
    assert found.estimate("auc") == pytest.approx(expected)
    assert found.draws.std(axis=0)[0] > 0
