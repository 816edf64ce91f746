"""Rates from counts: Clopper-Pearson and Wilson intervals, decisions at a threshold, precision at a prior."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from idbench.metrics.values import (
    Interval,
    MetricError,
    checked_count,
    checked_fraction,
    checked_number,
    checked_sample,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate k / n with its interval.

    Attributes:
        value: `hits / total`, in [0, 1].
        hits: numerator.
        total: denominator.
        interval: Clopper-Pearson interval.
    """

    value: float
    hits: int
    total: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class DecisionMetrics:
    """How good the decisions "member if score >= threshold" are. Each `Rate` has a value in [0, 1] and an interval.

    Attributes:
        threshold: the threshold used, in the unit of the scores.
        tpr: share of the members who are called members.
        fpr: share of the non-members who are called members.
        tnr: share of the non-members who are called non-members.
        fnr: share of the members who are called non-members.
        accuracy: share of all identities who are decided correctly.
        balanced_accuracy: (TPR + TNR) / 2, in [0, 1].
    """

    threshold: float
    tpr: Rate
    fpr: Rate
    tnr: Rate
    fnr: Rate
    accuracy: Rate
    balanced_accuracy: float


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a rate: it covers at least as often as `level` says, so it errs on the wide side.

    Args:
        k: hits, 0..n.
        n: trials, at least 1.
        level: confidence, in (0, 1).

    Returns:
        `Interval` in [0, 1]; starts at 0 for k = 0 and ends at 1 for k = n.

    Raises:
        MetricError: `k` or `n` is not a count, `k` exceeds `n`, or `level` lies outside (0, 1).

    Source: Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> interval = clopper_pearson(0, 8)
        >>> interval.low, round(interval.high, 3)
        (0.0, 0.369)
    """
    return _binomial(k, n, level, "exact", "Clopper-Pearson")


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a rate: narrower than Clopper-Pearson, nominal on average, below nominal for some rates.

    Args:
        k: hits, 0..n.
        n: trials, at least 1.
        level: confidence, in (0, 1).

    Returns:
        `Interval` in [0, 1].

    Raises:
        MetricError: `k` or `n` is not a count, `k` exceeds `n`, or `level` lies outside (0, 1).

    Source: Wilson, JASA 22 (1927); Brown, Cai and DasGupta, Statistical Science 16 (2001), on its coverage.

    Example:
        >>> interval = wilson(8, 10)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.4902, 0.9433)
    """
    return _binomial(k, n, level, "wilson", "Wilson")


def _binomial(k: int, n: int, level: float, how: Literal["exact", "wilson"], name: str) -> Interval:
    total = checked_count(n, "n")
    hits = checked_count(k, "k", at_least=0)
    if hits > total:
        raise MetricError(f"k must not exceed n; got {hits} of {total}.")
    confidence = checked_fraction(level, "level")
    return Interval(*_ends(hits, total, confidence, how), confidence, name)


@lru_cache(maxsize=1 << 14)  # the same few class sizes again and again, and SciPy searches for each end
def _ends(hits: int, total: int, confidence: float, how: Literal["exact", "wilson"]) -> tuple[float, float]:
    found = stats.binomtest(hits, total).proportion_ci(confidence, method=how)
    return float(found.low), float(found.high)


def rate(k: int, n: int, level: float = 0.95) -> Rate:
    """The rate k / n with its Clopper-Pearson interval.

    Args:
        k: hits, 0..n.
        n: trials, at least 1.
        level: confidence, in (0, 1).

    Returns:
        `Rate`.

    Raises:
        MetricError: see `clopper_pearson`.

    Source: see `clopper_pearson`.

    Example:
        >>> rate(70, 100).value
        0.7
    """
    interval = clopper_pearson(k, n, level)
    return Rate(value=k / n, hits=int(k), total=int(n), interval=interval)


def decision_metrics(
    scores: npt.ArrayLike, members: npt.ArrayLike, threshold: float, level: float = 0.95
) -> DecisionMetrics:
    """TPR, FPR, TNR, FNR and accuracy of "member if score >= threshold".

    Choose the threshold on the calibration part (`tpr_at_fpr(...).threshold` or
    `best_balanced_accuracy(...).threshold`) and give the scores of the test part here.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        threshold: the operating threshold; +inf and -inf are allowed, NaN is not.
        level: confidence of the Clopper-Pearson intervals, in (0, 1).

    Returns:
        `DecisionMetrics`.

    Raises:
        MetricError: see `auc`; or the threshold is NaN, or `level` lies outside (0, 1).

    Source: plain counts.

    Example:
        >>> result = decision_metrics([4, 3, 2, 1], [True, False, True, False], threshold=3)
        >>> result.tpr.value, result.fpr.value, result.accuracy.hits
        (0.5, 0.5, 2)
    """
    cut = checked_number(threshold, "threshold")
    if math.isnan(cut):
        raise MetricError("threshold must be a number; got NaN.")
    sample = checked_sample(scores, members)
    m, n = sample.members.size, sample.nonmembers.size
    tp, fp = int(np.sum(sample.members >= cut)), int(np.sum(sample.nonmembers >= cut))
    return DecisionMetrics(
        threshold=cut,
        tpr=rate(tp, m, level),
        fpr=rate(fp, n, level),
        tnr=rate(n - fp, n, level),
        fnr=rate(m - tp, m, level),
        accuracy=rate(tp + n - fp, m + n, level),
        balanced_accuracy=(tp / m + (n - fp) / n) / 2,
    )


def precision_at_prior(tpr: float, fpr: float, prior: float) -> float | None:
    """Probability that an identity called a member is one, where a share `prior` of all identities are members.

    Args:
        tpr: true-positive rate, in [0, 1].
        fpr: false-positive rate, in [0, 1].
        prior: share of members among the people that the attack will be used on, in (0, 1).

    Returns:
        Precision in [0, 1]; None if nobody is called a member (both rates are 0): precision is then undefined.

    Raises:
        MetricError: a rate lies outside [0, 1], or the prior outside (0, 1).

    Source: Bayes' rule; Jayaraman et al., PoPETs 2021 (arXiv 2005.10881), on priors in membership inference.

    Example:
        >>> round(precision_at_prior(tpr=0.7, fpr=0.01, prior=0.01), 4)
        0.4142
    """
    share = checked_fraction(prior, "prior")
    for name, value in (("tpr", tpr), ("fpr", fpr)):
        if not 0.0 <= checked_number(value, name) <= 1.0:
            raise MetricError(f"{name} must lie between 0 and 1; got {value!r}.")
    called = tpr * share + fpr * (1 - share)
    return None if called == 0.0 else tpr * share / called
