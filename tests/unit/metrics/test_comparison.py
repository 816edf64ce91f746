"""Comparing two methods: the parts agree with the single tests, and the sentence says what follows."""

import numpy as np
import pytest

from idbench import metrics

MEMBERS = np.arange(1000) < 500
NOISE = np.random.default_rng(0).normal(size=(3, 1000))


def test_parts_agree_with_the_single_functions() -> None:
    a, b = NOISE[0] + MEMBERS, NOISE[1] + 0.5 * MEMBERS
    found = metrics.compare(a, b, MEMBERS, draws=300, seed=2)
    assert found.auc == metrics.delong_test(a, b, MEMBERS)
    assert found.equivalence.p == metrics.equivalence(a, b, MEMBERS).p
    assert found.tpr[0] == metrics.bootstrap_test_tpr(a, b, MEMBERS, 0.1, draws=300, seed=2)
    assert isinstance(found.tpr[2], metrics.NotEstimable)
    tested = [found.auc.p, *(t.p for t in found.tpr if isinstance(t, metrics.TprDifference))]
    assert found.p_holm[:3] == pytest.approx(metrics.holm(tested))
    assert found.p_holm[3] is None
    assert found.auc_a == metrics.auc_estimate(a, MEMBERS)
    assert (found.n_members, found.n_nonmembers) == (500, 500)


def test_swapping_the_methods_keeps_the_sentence() -> None:
    a, b = NOISE[0] + 1.5 * MEMBERS, NOISE[1] + 0.2 * MEMBERS
    first = metrics.compare(a, b, MEMBERS, name_a="x", name_b="y", draws=200).sentence()
    second = metrics.compare(b, a, MEMBERS, name_a="y", name_b="x", draws=200).sentence()
    assert first == second
    assert first.startswith("x is better than y by ")


def test_sentence_when_the_same_within_the_margin() -> None:
    a = NOISE[0] + MEMBERS
    text = metrics.compare(a, a + 0.01 * NOISE[1], MEMBERS, draws=200).sentence()
    assert text.startswith("A and B cannot be told apart within 0.02 AUC")


def test_sentence_when_undecided() -> None:
    few = np.r_[0:30, 500:530]
    text = metrics.compare((NOISE[0] + MEMBERS)[few], (NOISE[1] + MEMBERS)[few], MEMBERS[few], draws=200).sentence()
    assert text.startswith("The data do not decide between ")
    assert text.endswith("within 0.02.")


def test_sentence_when_better_by_less_than_matters() -> None:
    a = NOISE[0] + MEMBERS
    text = metrics.compare(a + 0.03 * MEMBERS, a, MEMBERS, margin=0.05, draws=200).sentence()
    assert text.startswith("A is better than B by ")
    assert text.endswith("less than the 0.05 that matters.")


def test_sentence_names_the_low_rates_when_they_disagree_with_the_auc() -> None:
    # a knows a third of the members for sure and nothing of the rest; b knows a little of everybody.
    a = NOISE[0] + 8 * (np.arange(1000) < 170)
    b = NOISE[1] + 0.65 * MEMBERS
    found = metrics.compare(a, b, MEMBERS, name_a="sure", name_b="vague", draws=500)
    assert "; at 1 % FPR sure finds " in found.sentence()


def test_sentence_of_two_perfect_methods_claims_nothing() -> None:
    few = np.arange(16) < 8
    text = metrics.compare(few * 1.0, few * 2.0, few, draws=50).sentence()
    assert text.startswith("The data do not decide between ")
