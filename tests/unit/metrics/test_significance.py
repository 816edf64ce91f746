"""Tests against chance and between methods, against every labelling counted out, scipy and statsmodels."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from idbench import metrics


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=9), st.data())
def test_exact_permutation_counts_every_labelling(scores: list[int], data: st.DataObject) -> None:
    m = data.draw(st.integers(1, len(scores) - 1))
    members = np.arange(len(scores)) < m
    found = metrics.permutation_test(scores, members)
    values = [
        metrics.auc(scores, np.isin(np.arange(len(scores)), chosen)) for chosen in combinations(range(len(scores)), m)
    ]
    observed = metrics.auc(scores, members)
    far = [abs(v - 0.5) >= abs(observed - 0.5) - 1e-12 for v in values]
    assert found.method == "exact"
    assert found.p_two_sided == pytest.approx(np.mean(far), abs=1e-12)
    assert found.p_greater == pytest.approx(np.mean([v >= observed - 1e-12 for v in values]), abs=1e-12)


def test_exact_permutation_against_scipy_without_ties() -> None:
    scores = np.random.default_rng(0).normal(size=90) + np.repeat([0.5, 0.0], [30, 60])
    members = np.arange(90) < 30
    found = metrics.permutation_test(scores, members)
    two = stats.mannwhitneyu(scores[:30], scores[30:], alternative="two-sided", method="exact").pvalue
    greater = stats.mannwhitneyu(scores[:30], scores[30:], alternative="greater", method="exact").pvalue
    assert found.p_two_sided == pytest.approx(two, rel=1e-9)
    assert found.p_greater == pytest.approx(greater, rel=1e-9)


def test_drawn_permutations_agree_with_the_normal_approximation() -> None:
    scores = np.random.default_rng(1).normal(size=600) + np.repeat([0.15, 0.0], [150, 450])
    members = np.arange(600) < 150
    found = metrics.permutation_test(scores, members, draws=4000)
    theirs = stats.mannwhitneyu(scores[members], scores[~members], method="asymptotic").pvalue
    assert found.p_two_sided == pytest.approx(theirs, abs=4 * (theirs * (1 - theirs) / 4000) ** 0.5)
    assert found.draws == 4000
    mirrored = metrics.permutation_test(scores, ~members, draws=4000)
    assert mirrored.p_greater == pytest.approx(1 - found.p_greater, abs=0.03)


def test_no_attack_is_never_significant() -> None:
    found = metrics.permutation_test(np.zeros(20), np.arange(20) < 10)
    assert (found.auc, found.p_two_sided, found.p_greater) == pytest.approx((0.5, 1.0, 1.0))


def test_smallest_p_of_eight_non_members() -> None:
    found = metrics.permutation_test(np.arange(16.0), np.arange(16) >= 8)
    assert found.p_greater == pytest.approx(1 / 12870)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_against_statsmodels(rows: list[tuple[bool, bool, bool]]) -> None:
    a, b, truth = (np.array(column) for column in zip(*rows, strict=True))
    found = metrics.mcnemar(a, b, truth)
    right_a, right_b = a == truth, b == truth
    table = [
        [np.sum(right_a & right_b), np.sum(right_a & ~right_b)],
        [np.sum(~right_a & right_b), np.sum(~right_a & ~right_b)],
    ]
    assert found.p == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)
    assert 0 < found.p_mid <= found.p <= 1
    assert found.accuracy_difference == pytest.approx(right_a.mean() - right_b.mean())


def test_paired_contrast_forgets_the_look_and_finds_the_turn() -> None:
    rng = np.random.default_rng(2)
    in_a = rng.permutation(np.arange(200) < 100)
    look = 5 * rng.normal(size=200)
    a, b = look + rng.normal(size=200) + in_a, look + rng.normal(size=200) + ~in_a
    assert abs(metrics.auc(a, in_a) - 0.5) < 0.2
    found = metrics.paired_contrast(a, b, in_a)
    assert found.auc > 0.75
    assert found.p == found.p_greater == pytest.approx(1e-4)
    assert found.auc in found.interval
    assert found.mean_difference in found.mean_interval
    assert (found.n_a, found.n_b) == (100, 100)


def test_paired_contrast_of_a_blind_attack_is_exactly_chance() -> None:
    look = np.random.default_rng(3).normal(size=40)
    found = metrics.paired_contrast(look, look, np.arange(40) < 20)
    assert (found.auc, found.mean_difference) == (0.5, 0.0)
    assert found.p == pytest.approx(1.0)


def test_paired_contrast_mean_against_scipy() -> None:
    rng = np.random.default_rng(4)
    in_a = np.arange(60) < 25
    a, b = 7 + 3 * rng.normal(size=60) + in_a, rng.normal(size=60)
    found = metrics.paired_contrast(a, b, in_a, level=0.9)
    unit = stats.zscore(a) - stats.zscore(b)
    theirs = stats.ttest_ind(unit[in_a], unit[~in_a], equal_var=False).confidence_interval(0.9)
    assert found.mean_interval.low == pytest.approx(theirs.low)
    assert found.mean_interval.high == pytest.approx(theirs.high)


def test_bootstrap_test_of_a_method_against_itself() -> None:
    rng = np.random.default_rng(5)
    members = np.arange(400) < 200
    scores = rng.normal(size=400) + members
    found = metrics.bootstrap_test_tpr(scores, np.exp(scores), members, 0.1, draws=200)
    assert isinstance(found, metrics.TprDifference)
    assert (found.difference, found.p, found.interval.low, found.interval.high) == (0.0, 1.0, 0.0, 0.0)
    assert isinstance(metrics.bootstrap_test_tpr(scores, scores, members, 0.001, draws=10), metrics.NotEstimable)


def test_bootstrap_test_is_paired() -> None:
    rng = np.random.default_rng(6)
    members = np.arange(1000) < 500
    scores = rng.normal(size=1000) + members
    better = scores + 0.4 * members
    found = metrics.bootstrap_test_tpr(better, scores, members, 0.1, draws=1000)
    alone = [metrics.bootstrap(s, members, [0.1], draws=1000) for s in (better, scores)]
    assert isinstance(found, metrics.TprDifference)
    assert found.p < 0.01
    errors = [error for b in alone if isinstance(error := b.standard_error("tpr@0.1"), float)]
    unpaired = float(np.sqrt(np.sum(np.square(errors))))
    assert len(errors) == 2
    assert found.interval.width < 2 * 1.96 * unpaired * 0.8


@pytest.mark.parametrize(("ours", "theirs"), [(metrics.holm, "holm"), (metrics.benjamini_hochberg, "fdr_bh")])
@settings(max_examples=30, deadline=None)
@given(pvalues=st.lists(st.floats(0, 1), max_size=20))
def test_corrections_against_statsmodels(ours: object, theirs: str, pvalues: list[float]) -> None:
    assert callable(ours)
    found = ours(pvalues)
    if pvalues:
        np.testing.assert_allclose(found, multipletests(pvalues, method=theirs)[1], atol=1e-12)
    else:
        assert found.size == 0


def test_published_false_discovery_example() -> None:
    # Benjamini and Hochberg (1995), section 4.1: 15 p-values; at 0.05 their procedure claims four, Bonferroni three.
    pvalues = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
        0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
    ]  # fmt: skip
    assert int(np.sum(metrics.benjamini_hochberg(pvalues) <= 0.05)) == 4
    assert int(np.sum(metrics.holm(pvalues) <= 0.05)) == 3


def test_equivalence_is_the_narrow_interval_inside_the_margin() -> None:
    rng = np.random.default_rng(7)
    members = np.arange(800) < 400
    base = rng.normal(size=800) + members
    for noise in np.linspace(0.02, 1.0, 25):
        other = base + noise * rng.normal(size=800)
        found = metrics.equivalence(base, other, members, margin=0.02)
        inside = found.interval.low > -0.02 and found.interval.high < 0.02
        assert found.equivalent == inside == (found.p <= 0.05)
        assert found.interval.level == pytest.approx(0.9)


def test_two_perfect_attacks_on_few_people_are_not_called_equivalent() -> None:
    found = metrics.equivalence(np.arange(16.0), np.arange(16.0) * 3, np.arange(16) >= 8)
    assert not found.equivalent
    assert found.difference == 0.0
