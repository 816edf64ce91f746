"""Wrong input to any public metric is a `MetricError` that names it, never a traceback of numpy's or Python's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from idbench import metrics
from idbench.metrics import MetricError

MEMBERS = np.arange(27) < 12
SCORES = np.random.default_rng(0).normal(size=27) + MEMBERS
NO_NUMBER = (math.nan, "x", None, [], [[1, 2], [3]], np.zeros(3))

WITH_ONE_NUMBER: dict[str, Callable[..., object]] = {
    "level": lambda value: metrics.auc_interval(SCORES, MEMBERS, level=value),
    "auc_value|AUC": lambda value: metrics.newcombe_interval(value, 8, 8),
    "n_members": lambda value: metrics.auc_variance(0.7, value, 8),
    "k": lambda value: metrics.clopper_pearson(value, 8),
    "threshold": lambda value: metrics.decision_metrics(SCORES, MEMBERS, value),
    "tpr": lambda value: metrics.precision_at_prior(value, 0.1, 0.5),
    "fpr": lambda value: metrics.tpr_at_fpr(SCORES, MEMBERS, value),
    "alpha": lambda value: metrics.equivalence(SCORES, SCORES[::-1], MEMBERS, alpha=value),
    "correlation": lambda value: metrics.minimum_detectable_difference(20, 20, correlation=value),
    "score": lambda value: metrics.conformal(value, SCORES),
    "points": lambda value: metrics.roc_band(SCORES, MEMBERS, points=value),
    "draws": lambda value: metrics.bootstrap(SCORES, MEMBERS, draws=value),
}


@pytest.mark.parametrize("what", WITH_ONE_NUMBER)
def test_a_number_is_asked_for(what: str) -> None:
    for value in NO_NUMBER:
        with pytest.raises(MetricError, match=what):
            WITH_ONE_NUMBER[what](value)


@pytest.mark.parametrize("test", [metrics.permutation_test, metrics.roc_band, metrics.bootstrap])
def test_a_seed_is_a_whole_number(test: Callable[..., object]) -> None:
    for seed in (-1, 1.5, "x", math.nan):
        with pytest.raises(MetricError, match="seed must be"):
            test(SCORES, MEMBERS, seed=seed)


def test_lists_of_unequal_rows_are_named() -> None:
    uneven = [[1, 0], [1]]
    for call in (
        lambda: metrics.auc(SCORES, uneven),
        lambda: metrics.mcnemar(uneven, MEMBERS, MEMBERS),
        lambda: metrics.pooled_rate(uneven, MEMBERS),
        lambda: metrics.holm(uneven),
        lambda: metrics.by_stratum(SCORES, MEMBERS, uneven),
        lambda: metrics.joint_conformal([1.0, 2.0], uneven),
        lambda: metrics.evidence_ratio(0.5, uneven, SCORES),
    ):
        with pytest.raises(MetricError):
            call()


def test_chance_is_not_below_one_half() -> None:
    with pytest.raises(MetricError, match=r"chance must be at least 0\.5"):
        metrics.minimum_detectable_auc(20, 20, chance=0.4)


def test_a_wrong_value_is_shown_only_if_it_is_short() -> None:
    with pytest.raises(MetricError, match="level must be a number; got 'x'"):
        metrics.auc_interval(SCORES, MEMBERS, level="x")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="level must be a number; got a value of type ndarray"):
        metrics.auc_interval(SCORES, MEMBERS, level=np.zeros((9, 9)))  # type: ignore[arg-type]
