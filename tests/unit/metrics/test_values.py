"""Bad input gets one clear sentence from every function, and importing the metrics costs no heavy library."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from idbench import metrics
from idbench.metrics.values import allowed_false_positives

MEMBERS = [True, True, False, False]
ONE_SAMPLE: dict[str, Callable[[Any, Any], object]] = {
    "auc": metrics.auc,
    "roc": metrics.roc,
    "partial_auc": lambda s, m: metrics.partial_auc(s, m, 0.5),
    "tpr_at_fpr": lambda s, m: metrics.tpr_at_fpr(s, m, 0.5),
    "tpr_at_fpr_interval": lambda s, m: metrics.tpr_at_fpr_interval(s, m, 0.5),
    "best_balanced_accuracy": metrics.best_balanced_accuracy,
    "advantage": metrics.advantage,
    "decision_metrics": lambda s, m: metrics.decision_metrics(s, m, 0.0),
    "delong_interval": metrics.delong_interval,
    "delong_interval_logit": metrics.delong_interval_logit,
    "auc_interval": metrics.auc_interval,
    "auc_estimate": metrics.auc_estimate,
    "roc_band": metrics.roc_band,
    "bootstrap": lambda s, m: metrics.bootstrap(s, m, draws=2),
    "permutation_test": metrics.permutation_test,
    "delong_covariance": metrics.delong_covariance,
    "delong_test": lambda s, m: metrics.delong_test(s, s, m),
    "equivalence": lambda s, m: metrics.equivalence(s, s, m),
    "bootstrap_test_tpr": lambda s, m: metrics.bootstrap_test_tpr(s, s, m, 0.5, draws=2),
    "paired_contrast": lambda s, m: metrics.paired_contrast(s, np.zeros(len(s)), m),
    "by_stratum": lambda s, m: metrics.by_stratum(s, m, np.ones(len(s)), draws=2),
    "compare": lambda s, m: metrics.compare(s, s, m, draws=2),
    "ranks": lambda s, m: metrics.ranks([s, s], m, ["a", "b"], draws=2),
}
BAD = {
    "not a number": ([1.0, float("nan"), 2.0, 3.0], MEMBERS, "not finite"),
    "infinite": ([1.0, float("inf"), 2.0, 3.0], MEMBERS, "not finite"),
    "text": (["1", "2", "3", "4"], MEMBERS, "must be numbers"),
    "lengths differ": ([1.0, 2.0, 3.0], MEMBERS, "same length|do not fit|one label"),
    "no member": ([1.0, 2.0, 3.0, 4.0], [False] * 4, "no member"),
    "no non-member": ([1.0, 2.0, 3.0, 4.0], [True] * 4, "no non-member"),
    "members are no flags": ([1.0, 2.0, 3.0, 4.0], [0, 1, 2, 0], "true or false"),
    "empty": ([], [], "true or false|no member|same length|numbers"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ONE_SAMPLE)
def test_bad_samples_are_refused_in_one_sentence(name: str, bad: str) -> None:
    scores, members, message = BAD[bad]
    with pytest.raises(metrics.MetricError, match=message) as caught:
        ONE_SAMPLE[name](scores, members)
    assert "\n" not in str(caught.value)


def test_flags_may_be_ones_and_zeros() -> None:
    assert metrics.auc([3, 2, 1], [1, 0, 0]) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.tpr_at_fpr([1, 2], [True, False], 0.0),
        lambda: metrics.tpr_at_fpr([1, 2], [True, False], 1.5),
        lambda: metrics.tpr_at_fpr_interval([1, 2], [True, False], 1.0),
        lambda: metrics.partial_auc([1, 2], [True, False], float("nan")),
        lambda: metrics.decision_metrics([1, 2], [True, False], float("nan")),
        lambda: metrics.auc_interval([1, 2], [True, False], level=1.0),
        lambda: metrics.clopper_pearson(3, 2),
        lambda: metrics.clopper_pearson(-1, 2),
        lambda: metrics.clopper_pearson(0, 0),
        lambda: metrics.wilson(1.5, 2),  # type: ignore[arg-type]
        lambda: metrics.newcombe_interval(1.2, 5, 5),
        lambda: metrics.precision_at_prior(0.5, 0.5, 0.0),
        lambda: metrics.precision_at_prior(1.5, 0.5, 0.1),
        lambda: metrics.holm([0.1, 1.1]),
        lambda: metrics.holm([0.1, float("nan")]),
        lambda: metrics.benjamini_hochberg([[0.1]]),
        lambda: metrics.bootstrap([1, 2], [True, False], draws=1),
        lambda: metrics.bootstrap([1, 2], [True, False], seed=-1),
        lambda: metrics.bootstrap([[1, 2], [1, 2]], [[True, False], [True, True]], draws=5),
        lambda: metrics.delong_interval([1, 2, 3], [True, False, False]),
        lambda: metrics.delong_test([1, 2, 3], [1, 2], [True, False]),
        lambda: metrics.mcnemar([True], [True, False], [True, False]),
        lambda: metrics.equivalence([1, 2, 3, 4], [1, 2, 3, 4], MEMBERS, margin=0),
        lambda: metrics.equivalence([1, 2, 3, 4], [1, 2, 3, 4], MEMBERS, alpha=0.6),
        lambda: metrics.minimum_detectable_auc(0, 5),
        lambda: metrics.minimum_detectable_auc(5, 5, chance=1.0),
        lambda: metrics.minimum_detectable_difference(5, 5, correlation=1.0),
        lambda: metrics.ranks([[1, 2], [1, 2]], [True, False], ["a", "a"]),
        lambda: metrics.ranks([[1, 2], [1, 2]], [True, False], ["a"]),
        lambda: metrics.ranks([[1, 2], [1]], [True, False], ["a", "b"]),
        lambda: metrics.by_stratum([1, 2, 3], [True, False, False], [float("nan"), 0, 0]),
        lambda: metrics.by_stratum([1, 2], [True, False], [1, 0]),
        lambda: metrics.trend_test([1, 2], [1]),
        lambda: metrics.paired_contrast([1, 2, 3], [1, 2, 3], [True, False, False]),
    ],
)
def test_values_out_of_range_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(metrics.MetricError) as caught:
        call()
    assert str(caught.value).endswith(".")


def test_allowed_false_positives_is_not_lost_to_rounding() -> None:
    assert 0.29 * 100 < 29  # what floating point makes of it
    assert allowed_false_positives(0.29, 100) == 29
    assert allowed_false_positives(0.001, 1000) == 1
    assert allowed_false_positives(0.001, 999) == 0
    assert allowed_false_positives(1e-05, 100_000) == 1
    assert allowed_false_positives(1 / 3, 3) == 1


def test_results_cannot_be_changed() -> None:
    interval = metrics.wilson(1, 2)
    with pytest.raises(AttributeError):
        interval.low = 0.0  # type: ignore[misc]


def test_importing_the_metrics_loads_numpy_and_scipy_only() -> None:
    code = (
        "import sys, idbench.metrics;"
        "heavy = {'torch', 'pandas', 'sklearn', 'pydantic', 'pyarrow', 'typer', 'matplotlib'} & set(sys.modules);"
        "ours = {n for n in sys.modules if n.startswith('idbench.') and not n.startswith('idbench.metrics')};"
        "ours -= {'idbench.version'};"
        "print(sorted(heavy | ours))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_exported_is_documented() -> None:
    for name in metrics.__all__:
        found = getattr(metrics, name)
        if callable(found):
            text = found.__doc__ or ""
            assert len(text) > 30, name
            if not isinstance(found, type):
                assert "Source:" in text, name
                assert ">>>" in text, name
                assert "Args:" in text, name
                assert "Returns:" in text, name
