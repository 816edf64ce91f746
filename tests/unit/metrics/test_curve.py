"""The ROC curve and what is read off it, against plain definitions, scikit-learn and a published example."""

import math
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve
from tests.samples import IS_ABNORMAL, RATINGS, Sample, tied_samples

from idbench import metrics


def plain_auc(scores: npt.NDArray[np.float64], members: npt.NDArray[np.bool_]) -> float:
    pairs = list(product(scores[members], scores[~members]))
    return float(sum((x > y) + 0.5 * (x == y) for x, y in pairs) / len(pairs))


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_auc_is_the_share_of_pairs_in_order(sample: Sample) -> None:
    assert metrics.auc(*sample) == pytest.approx(plain_auc(*sample), abs=1e-15)
    assert metrics.auc(*sample) == pytest.approx(roc_auc_score(sample[1], sample[0]), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_roc_has_every_point_of_scikit_learn(sample: Sample) -> None:
    scores, members = sample
    curve = metrics.roc(scores, members)
    fpr, tpr, thresholds = roc_curve(members, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(metrics.auc(scores, members))


@settings(max_examples=50, deadline=None)
@given(tied_samples(), st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]))
def test_tpr_at_fpr_is_the_best_over_all_thresholds(sample: Sample, fpr: float) -> None:
    scores, members = sample
    found = metrics.tpr_at_fpr(scores, members, fpr)
    n = int((~members).sum())
    if math.floor(fpr * n + 1e-9) < 1:
        assert isinstance(found, metrics.NotEstimable)
        assert found.resolution == 1 / n
        return
    assert isinstance(found, metrics.RateAtFpr)
    candidates = [t for t in [np.inf, *scores] if np.sum(scores[~members] >= t) <= fpr * n + 1e-9]
    assert found.value == max(np.mean(scores[members] >= t) for t in candidates)
    assert found.attained_fpr <= fpr + 1e-12
    at = metrics.decision_metrics(scores, members, found.threshold)
    assert (at.tpr.value, at.fpr.value) == (found.value, found.attained_fpr)
    assert found.value in found.interval


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_rising_transforms_change_nothing(sample: Sample) -> None:
    scores, members = sample
    bent = np.exp(scores / 3) - 10
    assert metrics.auc(bent, members) == metrics.auc(scores, members)
    np.testing.assert_array_equal(
        metrics.roc(bent, members).true_positives, metrics.roc(scores, members).true_positives
    )
    assert metrics.partial_auc(bent, members, 0.5) == metrics.partial_auc(scores, members, 0.5)
    assert metrics.advantage(bent, members) == metrics.advantage(scores, members)


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_flipping_labels_or_scores_mirrors_the_auc(sample: Sample) -> None:
    scores, members = sample
    assert metrics.auc(scores, ~members) == pytest.approx(1 - metrics.auc(scores, members), abs=1e-15)
    assert metrics.auc(-scores, members) == pytest.approx(1 - metrics.auc(scores, members), abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(tied_samples(), st.randoms(use_true_random=False))
def test_the_order_of_identities_does_not_matter(sample: Sample, random: "np.random.RandomState") -> None:
    scores, members = sample
    order = list(range(scores.size))
    random.shuffle(order)
    assert metrics.auc(scores[order], members[order]) == metrics.auc(scores, members)
    assert metrics.tpr_at_fpr(scores[order], members[order], 0.5) == metrics.tpr_at_fpr(scores, members, 0.5)


@settings(max_examples=50, deadline=None)
@given(tied_samples())
def test_repeating_every_identity_keeps_the_curve(sample: Sample) -> None:
    scores, members = sample
    once, twice = metrics.roc(scores, members), metrics.roc(np.tile(scores, 2), np.tile(members, 2))
    np.testing.assert_array_equal(twice.true_positives, 2 * once.true_positives)
    np.testing.assert_array_equal(twice.thresholds, once.thresholds)
    assert metrics.auc(np.tile(scores, 2), np.tile(members, 2)) == metrics.auc(scores, members)


def test_published_example_with_ties() -> None:
    # Hanley and McNeil (1982) report an area of 0.893 by the rank method.
    assert round(metrics.auc(RATINGS, IS_ABNORMAL), 3) == 0.893
    # Threshold 4 and above: 44 of 51 abnormal and 13 of 58 normal pictures, counted in the published table.
    at = metrics.decision_metrics(RATINGS, IS_ABNORMAL, 4)
    assert (at.tpr.hits, at.fpr.hits) == (44, 13)


def test_partial_auc_against_scikit_learn_without_ties() -> None:
    scores = np.random.default_rng(0).normal(size=400) + np.repeat([1.0, 0.0], 200)
    members = np.arange(400) < 200
    for limit in (0.1, 0.25, 1.0):  # attainable rates, where the step curve and the chords agree in area
        assert metrics.partial_auc(scores, members, limit) == pytest.approx(
            roc_auc_score(members, scores, max_fpr=None if limit == 1 else limit), abs=1e-9
        )


def test_partial_auc_takes_steps_where_scores_are_tied() -> None:
    # One threshold takes both at once: up to it nothing is attainable.
    found = metrics.partial_auc([1, 1, 0, 0], [True, False, True, False], 0.5)
    assert found == pytest.approx(0.5 * (1 - 0.125 / (0.5 - 0.125)))


def test_a_measured_zero_is_told_from_not_estimable() -> None:
    scores, members = [21, 21, 5, 21, 21, 3], [True, True, True, False, False, False]
    found = metrics.tpr_at_fpr(scores, members, 1 / 3)
    assert isinstance(found, metrics.RateAtFpr)
    assert (found.value, found.attained_fpr, found.threshold) == (0.0, 0.0, math.inf)
    assert isinstance(metrics.tpr_at_fpr(scores, members, 0.3), metrics.NotEstimable)


def test_best_threshold_of_a_useless_attack_is_no_call_at_all() -> None:
    found = metrics.best_balanced_accuracy([1, 1, 1], [True, False, False])
    assert (found.balanced_accuracy, found.advantage, found.threshold) == (0.5, 0.0, math.inf)


def test_neighbouring_floats_are_different_scores() -> None:
    low = 0.1 + 0.2
    high = np.nextafter(low, 1)
    assert metrics.auc([high, low], [True, False]) == 1.0
    assert metrics.auc([0.0, -0.0], [True, False]) == 0.5
