"""One score against many: p-values that hold for any number of reference people, and ratios with their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idbench import metrics
from idbench.metrics import MetricError


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(-1, 6))
def test_the_p_value_counts_the_person_among_the_reference_people(references: list[int], score: int) -> None:
    found = metrics.conformal(score, references)
    above = sum(one >= score for one in references)
    assert found.p == (1 + above) / (1 + len(references))
    assert found.p >= found.smallest == 1 / (1 + len(references))
    assert (found.fpr.hits, found.fpr.total) == (above, len(references))


def test_somebody_like_the_reference_people_is_named_no_more_often_than_said() -> None:
    rng = np.random.default_rng(5)
    draws = rng.normal(size=(4000, 20)).round(1)  # with ties
    p = np.array([metrics.conformal(row[0], row[1:]).p for row in draws])
    for alpha in (0.05, 0.1, 0.5):
        assert (p <= alpha).mean() <= alpha + 3 * math.sqrt(alpha / 4000)


def test_trying_many_attacks_names_nobody_more_often() -> None:
    rng = np.random.default_rng(8)
    smallest = []
    for _ in range(1500):
        people = rng.normal(size=(20, 1)) * np.linspace(0, 1, 6) + rng.normal(size=(20, 6))  # attacks that depend
        smallest.append(metrics.joint_conformal(people[0], people[1:].T).min())
    for alpha in (0.05, 0.1, 0.3):
        assert np.mean(np.array(smallest) <= alpha) <= alpha + 3 * math.sqrt(alpha / 1500)


def test_one_attack_needs_no_correction() -> None:
    references = [0.1, 0.4, 0.5, 0.95]
    assert metrics.joint_conformal([0.9], [references]).tolist() == [metrics.conformal(0.9, references).p]


def test_no_member_in_the_band_of_a_low_score_gives_a_ratio_of_zero_and_an_upper_bound() -> None:
    found = metrics.evidence_ratio(-5, np.arange(100, 200), np.arange(100))
    assert found.value == 0
    assert 0 == found.interval.low < found.interval.high < 1


def test_a_band_without_reference_people_has_a_lower_bound_alone() -> None:
    found = metrics.evidence_ratio(199, np.arange(100, 200), np.arange(100))
    assert found.value is None
    assert found.interval.low > 1
    assert math.isinf(found.interval.high)


def test_scores_that_many_share_are_a_band_of_their_own() -> None:
    members, references = [0] * 160 + [1] * 40, [0] * 198 + [1] * 2
    assert metrics.evidence_ratio(1, members, references).value == pytest.approx(20)
    assert metrics.evidence_ratio(0, members, references).value == pytest.approx(160 / 198)


def test_the_interval_of_the_ratio_holds_the_true_one_as_often_as_it_says() -> None:
    # Members and references are uniform on two halves that overlap; above 0.5 lie 75 % and 25 %: a ratio of 3.
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        members = rng.choice([0.25, 0.75], size=80, p=[0.25, 0.75])
        references = rng.choice([0.25, 0.75], size=80, p=[0.75, 0.25])
        held += 3.0 in metrics.evidence_ratio(0.75, members, references, bands=2).interval
    assert held / 400 >= 0.95


@pytest.mark.parametrize(("score", "references"), [(math.nan, [1.0]), (1.0, []), (1.0, [math.inf]), (1.0, [[1.0]])])
def test_what_is_no_score_is_refused(score: float, references: list[float]) -> None:
    with pytest.raises(MetricError):
        metrics.conformal(score, references)


def test_one_band_is_refused() -> None:
    with pytest.raises(MetricError, match="bands"):
        metrics.evidence_ratio(1.0, [1.0], [0.0], bands=1)
