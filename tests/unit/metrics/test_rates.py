"""Rates and their intervals, against published tables and statsmodels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from idbench import metrics


@pytest.mark.parametrize(
    ("k", "n", "exact", "score"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I, methods 5 and 3
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1684), (0.0, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_published_intervals(k: int, n: int, exact: tuple[float, float], score: tuple[float, float]) -> None:
    for interval, (low, high) in ((metrics.clopper_pearson(k, n), exact), (metrics.wilson(k, n), score)):
        assert interval.low == pytest.approx(low, abs=6e-5)
        assert interval.high == pytest.approx(high, abs=6e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_intervals_against_statsmodels(n: int, data: st.DataObject, level: float) -> None:
    k = data.draw(st.integers(0, n))
    for mine, method in ((metrics.clopper_pearson, "beta"), (metrics.wilson, "wilson")):
        low, high = proportion_confint(k, n, 1 - level, method)
        found = mine(k, n, level)
        assert found.low == pytest.approx(low, abs=1e-9)
        assert found.high == pytest.approx(high, abs=1e-9)
        assert k / n in found


def test_decision_metrics_on_calibrated_threshold() -> None:
    calibration, flags = [9.0, 7.0, 5.0, 3.0], [True, True, False, False]
    threshold = metrics.best_balanced_accuracy(calibration, flags).threshold
    found = metrics.decision_metrics([8, 7, 6, 7, 2, 1], [True, True, True, False, False, False], threshold)
    assert threshold == 7
    assert [r.hits for r in (found.tpr, found.fpr, found.tnr, found.fnr, found.accuracy)] == [2, 1, 2, 1, 4]
    assert found.balanced_accuracy == pytest.approx(2 / 3)
    assert found.tpr.interval == metrics.clopper_pearson(2, 3)


def test_precision_at_prior() -> None:
    assert metrics.precision_at_prior(1.0, 0.0, 0.001) == 1.0
    assert metrics.precision_at_prior(0.3, 0.3, 0.2) == pytest.approx(0.2)
    assert metrics.precision_at_prior(0.0, 0.0, 0.2) is None
