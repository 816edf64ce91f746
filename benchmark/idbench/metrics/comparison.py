"""Two methods on the same identities: difference, interval, tests, and one plain sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from idbench.metrics.delong import AucDifference, AucEstimate, auc_estimate, delong_covariance, difference_of
from idbench.metrics.resampling import DEFAULT_FPRS, Resampling, checked_plan, joint_draws, sorted_row
from idbench.metrics.significance import Equivalence, TprDifference, checked_pair, equivalence_of, holm, tpr_difference
from idbench.metrics.values import (
    BoolArray,
    FloatArray,
    NotEstimable,
    allowed_false_positives,
    checked_fpr,
    checked_fraction,
    checked_members,
    not_estimable,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Method a against method b on the same identities.

    Attributes:
        name_a: name of a.
        name_b: name of b.
        auc_a: AUC of a with interval.
        auc_b: AUC of b with interval.
        auc: paired DeLong test of the difference.
        equivalence: are the AUCs the same within the margin?
        tpr: TPR differences at each false-positive rate.
        p_holm: p-values of `auc` and of each estimable entry of `tpr`, Holm-corrected together; None where
            not estimable.
        alpha: significance level of the decisions in the sentence.
        n_members: number of members.
        n_nonmembers: number of non-members.
    """

    name_a: str
    name_b: str
    auc_a: AucEstimate
    auc_b: AucEstimate
    auc: AucDifference
    equivalence: Equivalence
    tpr: tuple[TprDifference | NotEstimable, ...]
    p_holm: tuple[float | None, ...]
    alpha: float
    n_members: int
    n_nonmembers: int

    def sentence(self) -> str:
        """What follows from the comparison, in one plain sentence."""
        return sentence_of(self)


def compare(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    name_a: str = "A",
    name_b: str = "B",
    margin: float = 0.02,
    fprs: Sequence[float] = DEFAULT_FPRS,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods that scored the same identities.

    Args:
        scores_a: (n,) finite scores of method a. An abstention is given the lowest score by the caller.
        scores_b: (n,) finite scores of method b, same identities in the same order.
        members: (n,) true for members; at least two of each class.
        name_a: name of a in the sentence.
        name_b: name of b in the sentence.
        margin: largest AUC difference that does not matter, in (0, 1).
        fprs: false-positive rates in (0, 1].
        level: confidence of the intervals; the tests use 1 - level. In (0, 1).
        draws: bootstrap draws, at least 2.
        seed: seed of the draws.

    Returns:
        `Comparison`.

    Raises:
        MetricError: see `delong_test`, `equivalence` and `bootstrap_test_tpr`.

    Source: see `delong_test`, `equivalence`, `bootstrap_test_tpr` and `holm`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(1000) < 500
        >>> noise = rng.normal(size=1000)
        >>> compare(noise + 2 * members, noise, members, name_a="tuni", name_b="random").sentence()
        'tuni is better than random by 0.418 AUC [0.390, 0.446] (p < 0.001).'
    """
    plan = checked_plan(draws, seed, level)
    confidence, alpha = plan.level, 1 - plan.level
    pair = checked_pair(scores_a, scores_b)
    flags = checked_members(members, pair.shape[1])
    found = delong_covariance(pair, flags)
    difference = difference_of(found, (0, 1), confidence)
    narrow = difference_of(found, (0, 1), 1 - 2 * alpha)
    rates = _rates(pair, flags, [checked_fpr(fpr) for fpr in fprs], plan)
    tested = [difference.p, *(r.p for r in rates if isinstance(r, TprDifference))]
    corrected = iter(holm(tested).tolist())
    return Comparison(
        name_a=name_a,
        name_b=name_b,
        auc_a=auc_estimate(pair[0], flags, confidence),
        auc_b=auc_estimate(pair[1], flags, confidence),
        auc=difference,
        equivalence=equivalence_of(narrow, checked_fraction(margin, "margin"), alpha),
        tpr=rates,
        p_holm=(next(corrected), *(next(corrected) if isinstance(r, TprDifference) else None for r in rates)),
        alpha=alpha,
        n_members=found.n_members,
        n_nonmembers=found.n_nonmembers,
    )


def _rates(
    pair: FloatArray, flags: BoolArray, fprs: Sequence[float], plan: Resampling
) -> tuple[TprDifference | NotEstimable, ...]:
    n = int((~flags).sum())
    allowed = [allowed_false_positives(fpr, n) for fpr in fprs]
    found, drawn = joint_draws([sorted_row(row, flags, ~flags) for row in pair], flags, allowed, plan)
    gaps = drawn[:, 0, 1:] - drawn[:, 1, 1:]
    return tuple(
        not_estimable(fpr, n)
        if allowed[k] < 1
        else tpr_difference(fpr, (float(found[0, k + 1]), float(found[1, k + 1])), gaps[:, k], plan)
        for k, fpr in enumerate(fprs)
    )


def sentence_of(result: Comparison) -> str:
    """What follows from a comparison, in one plain sentence.

    Args:
        result: from `compare`.

    Returns:
        One sentence: better by how much, the same within the margin, or undecided; and where the TPR at a low
        false-positive rate tells the methods apart although the AUC does not, or the other way round, that too.

    Source: the decisions are those of `delong_test` and `equivalence`.

    Example:
        >>> members = np.arange(8) < 4
        >>> scores = np.arange(8.0)
        >>> sentence_of(compare(scores, scores[::-1], members, draws=100))
        'B is better than A by 1.000 AUC [0.409, 1.000] (p < 0.001).'
    """
    return f"{_auc_clause(result)}{_rate_clause(result)}."


def _auc_clause(result: Comparison) -> str:
    first, second, sign = result.name_a, result.name_b, 1.0
    if result.auc.difference < 0:
        first, second, sign = second, first, -1.0
    low, high = sorted((sign * result.auc.interval.low, sign * result.auc.interval.high))
    margin = f"{result.equivalence.margin:g}"
    gap = f"{abs(result.auc.difference):.3f} AUC [{_three(low)}, {_three(high)}] ({_p(result)})"
    different = result.auc.p < result.alpha
    if different and result.equivalence.equivalent:
        return f"{first} is better than {second} by {gap}, less than the {margin} that matters"
    if different:
        return f"{first} is better than {second} by {gap}"
    if result.equivalence.equivalent:
        return f"{first} and {second} cannot be told apart within {margin} AUC: the difference is {gap}"
    return (
        f"The data do not decide between {first} and {second}: the difference of {gap} "
        f"shows neither that one is better nor that they are the same within {margin}"
    )


def _three(value: float) -> str:
    """Three decimals, without the sign of a rounded zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def _p(result: Comparison) -> str:
    return "p < 0.001" if result.auc.p < 0.001 else f"p = {result.auc.p:.2g}"


def _rate_clause(result: Comparison) -> str:
    """The lowest false-positive rate whose difference contradicts the AUC's, after Holm's correction."""
    sign = np.sign(result.auc.difference) if result.auc.p < result.alpha else 0.0
    for rate, p in sorted(
        ((r, p) for r, p in zip(result.tpr, result.p_holm[1:], strict=True) if isinstance(r, TprDifference)),
        key=lambda entry: entry[0].fpr,
    ):
        other_sign = np.sign(rate.difference)
        if p is not None and p < result.alpha and other_sign != sign:
            winner = result.name_a if other_sign > 0 else result.name_b
            low, high = sorted((other_sign * rate.interval.low, other_sign * rate.interval.high))
            return (
                f"; at {100 * rate.fpr:g} % FPR {winner} finds {abs(rate.difference):.3f} more of the members "
                f"[{_three(low)}, {_three(high)}]"
            )
    return ""
