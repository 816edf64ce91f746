"""Tests: between two methods, between two targets, of equality within a margin; corrections for many at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from idbench.metrics.chance import permutation_test
from idbench.metrics.delong import AucDifference, auc_interval, delong_test
from idbench.metrics.resampling import Resampling, checked_plan, joint_draws, sorted_row
from idbench.metrics.values import (
    FloatArray,
    Interval,
    MetricError,
    NotEstimable,
    Sample,
    allowed_false_positives,
    as_numbers,
    checked_flags,
    checked_fpr,
    checked_fraction,
    checked_members,
    checked_number,
    checked_scores,
    not_estimable,
)


@dataclass(frozen=True, slots=True)
class TprDifference:
    """TPR of method a minus TPR of method b at one false-positive rate, on the same identities.

    Attributes:
        fpr: the false-positive rate.
        tpr_a: true-positive rate of a, in [0, 1].
        tpr_b: true-positive rate of b, in [0, 1].
        difference: `tpr_a - tpr_b`, in [-1, 1].
        interval: bootstrap percentile interval of the difference.
        p: two-sided p-value of "no difference".
        draws: bootstrap draws.
    """

    fpr: float
    tpr_a: float
    tpr_b: float
    difference: float
    interval: Interval
    p: float
    draws: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two methods' decisions on the same identities.

    Attributes:
        only_a: number of identities that a alone decided correctly.
        only_b: number of identities that b alone decided correctly.
        p: exact two-sided p-value; never too small, often too large.
        p_mid: mid-p version, closer to its nominal significance level.
        accuracy_difference: accuracy of a minus accuracy of b, in [-1, 1].
    """

    only_a: int
    only_b: int
    p: float
    p_mid: float
    accuracy_difference: float


@dataclass(frozen=True, slots=True)
class PairedContrast:
    """Score on target A minus score on target B, against which of the two corpora holds the person.

    Attributes:
        auc: probability that a person of A has a larger contrast than a person of B; 0.5 if the attack reads nothing.
        interval: of that AUC.
        mean_difference: mean contrast of A's people minus that of B's, each target's scores first brought to mean 0
            and standard deviation 1, in standard deviations.
        mean_interval: Welch interval of the mean difference.
        p: two-sided p-value of "the contrast is unrelated to membership", by permuting which corpus holds whom.
        p_greater: the same, one-sided: A's people have the larger contrast.
        n_a: people in A's corpus.
        n_b: people in B's corpus.
    """

    auc: float
    interval: Interval
    mean_difference: float
    mean_interval: Interval
    p: float
    p_greater: float
    n_a: int
    n_b: int


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Are two AUCs the same within a margin?

    Attributes:
        equivalent: true if `p` is at most `alpha`.
        p: the larger of the two one-sided p-values.
        margin: largest AUC difference that does not matter.
        alpha: significance level of the test.
        interval: interval of the difference at confidence 1 - 2 alpha; inside the margin exactly if equivalent.
        difference: AUC of a minus AUC of b.
    """

    equivalent: bool
    p: float
    margin: float
    alpha: float
    interval: Interval
    difference: float


def bootstrap_test_tpr(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    members: npt.ArrayLike,
    fpr: float,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> TprDifference | NotEstimable:
    """Do two methods that scored the same identities have the same TPR at one false-positive rate?

    Errs on the safe side (rejects in 0 to 6 % of the cases where it should in 5 %), as the TPR moves in steps.

    Args:
        scores_a: (n,) finite scores of method a. An abstention is given the lowest score by the caller.
        scores_b: (n,) finite scores of method b, same identities in the same order.
        members: (n,) true for members; both classes must be present.
        fpr: false-positive rate, in (0, 1].
        draws: bootstrap draws, at least 2.
        seed: seed of the draws.
        level: confidence of the interval, in (0, 1).

    Returns:
        `TprDifference`; or `NotEstimable` below the resolution of the non-members.

    Raises:
        MetricError: see `auc`; or `fpr` outside (0, 1], `level` outside (0, 1), fewer than two draws, or a negative
            seed.

    Source: Hall, Biometrika 75 (1988), and Davison and Hinkley, Bootstrap Methods and their Application (1997),
    chapter 4, for tests from bootstrap draws.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(1000) < 500
        >>> good, poor = rng.normal(size=1000) + 3 * members, rng.normal(size=1000)
        >>> result = bootstrap_test_tpr(good, poor, members, fpr=0.05)
        >>> result.p < 0.01, result.interval.low > 0.5
        (True, True)
    """
    limit = checked_fpr(fpr)
    pair = checked_pair(scores_a, scores_b)
    flags = checked_members(members, pair.shape[1])
    n = int((~flags).sum())
    allowed = allowed_false_positives(limit, n)
    if allowed < 1:
        return not_estimable(limit, n)
    plan = checked_plan(draws, seed, level)
    found, drawn = joint_draws([sorted_row(row, flags, ~flags) for row in pair], flags, [allowed], plan)
    return tpr_difference(limit, (float(found[0, 1]), float(found[1, 1])), drawn[:, 0, 1] - drawn[:, 1, 1], plan)


def tpr_difference(fpr: float, values: tuple[float, float], drawn: FloatArray, plan: Resampling) -> TprDifference:
    """Difference, interval and p-value from joint bootstrap draws of the difference."""
    side = min(int(np.sum(drawn <= 0)), int(np.sum(drawn >= 0)))
    return TprDifference(
        fpr=fpr,
        tpr_a=values[0],
        tpr_b=values[1],
        difference=values[0] - values[1],
        interval=plan.interval(drawn),
        p=min(1.0, 2 * (side + 1) / (drawn.size + 1)),
        draws=drawn.size,
    )


def checked_pair(scores_a: npt.ArrayLike, scores_b: npt.ArrayLike) -> FloatArray:
    """(2, n) scores of two methods on the same identities."""
    a, b = checked_scores(scores_a, "scores_a"), checked_scores(scores_b, "scores_b")
    if a.size != b.size:
        raise MetricError(f"both methods must score the same identities; got {a.size} and {b.size} scores.")
    return np.stack([a, b])


def mcnemar(decisions_a: npt.ArrayLike, decisions_b: npt.ArrayLike, members: npt.ArrayLike) -> McNemar:
    """Do two methods decide correctly equally often?

    Args:
        decisions_a: (n,) true where a calls the identity a member.
        decisions_b: (n,) true where b does.
        members: (n,) true for members.

    Returns:
        `McNemar`; with no disagreement both p-values are 1.

    Raises:
        MetricError: values that are not flags, or lengths that differ.

    Source: McNemar, Psychometrika 12 (1947); Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13 (2013),
    for the mid-p version.

    Example:
        >>> members = [True] * 6 + [False] * 6
        >>> result = mcnemar(members, [not m for m in members[:6]] + members[6:], members)
        >>> result.only_a, result.only_b, result.p, round(result.p_mid, 6)
        (6, 0, 0.03125, 0.015625)
    """
    a, b = checked_flags(decisions_a, "decisions_a"), checked_flags(decisions_b, "decisions_b")
    truth = checked_flags(members)
    if a.ndim != 1 or not a.shape == b.shape == truth.shape or a.size == 0:
        raise MetricError(
            f"decisions and members must be flat and equally long; got {a.shape}, {b.shape}, {truth.shape}."
        )
    right_a, right_b = a == truth, b == truth
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    apart, fewer = only_a + only_b, min(only_a, only_b)
    tail = float(stats.binom.cdf(fewer, apart, 0.5))
    at = float(stats.binom.pmf(fewer, apart, 0.5))
    return McNemar(
        only_a=only_a,
        only_b=only_b,
        p=min(1.0, 2 * tail),
        p_mid=1.0 if only_a == only_b else 2 * tail - at,
        accuracy_difference=(only_a - only_b) / a.size,
    )


def paired_contrast(
    score_a: npt.ArrayLike,
    score_b: npt.ArrayLike,
    member_a: npt.ArrayLike,
    level: float = 0.95,
    *,
    draws: int = 9999,
    seed: int = 0,
) -> PairedContrast:
    """Does the attack turn around from target A to target B? Each identity is its own control.

    The contrast score_a - score_b removes what an attack knows of an identity without the target (its look, its
    name), so a blind attack, and one that reads only the picture, has AUC 0.5.

    Args:
        score_a: (n,) finite scores of the identities on target A.
        score_b: (n,) finite scores of the same identities on target B, in the same order and unit.
        member_a: (n,) true if the person is in A's corpus, false if in B's; leave out who is in both or in neither.
        level: confidence of the intervals, in (0, 1).
        draws: permutations drawn beyond 100 identities.
        seed: seed of the draws.

    Returns:
        `PairedContrast`.

    Raises:
        MetricError: see `auc`; or fewer than two people in either corpus, `level` outside (0, 1), fewer than one
            draw, or a negative seed.

    Source: the crossover contrast, Hills and Armitage, British Journal of Clinical Pharmacology 8 (1979).

    Example:
        >>> look = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
        >>> in_a = np.array([True, True, True, False, False, False])
        >>> result = paired_contrast(look + in_a, look + ~in_a, in_a)
        >>> result.auc, result.p
        (1.0, 0.1)
    """
    pair = checked_pair(score_a, score_b)
    flags = checked_members(member_a, pair.shape[1])
    n_a = int(flags.sum())
    if min(n_a, flags.size - n_a) < 2:
        raise MetricError(f"a contrast needs at least two people in either corpus; got {n_a} and {flags.size - n_a}.")
    contrast = pair[0] - pair[1]
    interval = auc_interval(contrast, flags, level)
    chance = permutation_test(contrast, flags, draws=draws, seed=seed)
    unit = _standardized(pair[0]) - _standardized(pair[1])
    mean, mean_interval = _welch(Sample(unit[flags], unit[~flags]), level)
    return PairedContrast(
        auc=chance.auc,
        interval=interval,
        mean_difference=mean,
        mean_interval=mean_interval,
        p=chance.p_two_sided,
        p_greater=chance.p_greater,
        n_a=n_a,
        n_b=flags.size - n_a,
    )


def _standardized(values: FloatArray) -> FloatArray:
    spread = float(values.std())
    return np.zeros_like(values) if spread == 0.0 else (values - values.mean()) / spread


def _welch(sample: Sample, level: float) -> tuple[float, Interval]:
    a, b = sample.members, sample.nonmembers
    difference = float(a.mean() - b.mean())
    if np.ptp(a) == 0.0 and np.ptp(b) == 0.0:
        return difference, Interval(difference, difference, level, "Welch (no spread)")
    low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    return difference, Interval(float(low), float(high), level, "Welch")


def equivalence(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    members: npt.ArrayLike,
    *,
    margin: float = 0.02,
    alpha: float = 0.05,
) -> Equivalence:
    """Are the AUCs of two methods the same within `margin`? Two one-sided tests.

    Rejects as often as it says, or less, for every size measured, except for AUCs above 0.9 with a handful of
    non-members: do not use it there.

    Args:
        scores_a: (n,) finite scores of method a. An abstention is given the lowest score by the caller.
        scores_b: (n,) finite scores of method b, same identities in the same order.
        members: (n,) true for members; at least two of each class.
        margin: largest AUC difference that does not matter, in (0, 1).
        alpha: significance level of the test, in (0, 0.5).

    Returns:
        `Equivalence`. "Not equivalent" does not mean different: the data may be too few to tell.

    Raises:
        MetricError: see `delong_test`; or `margin` outside (0, 1), or `alpha` outside (0, 0.5).

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> members = np.arange(2000) < 1000
        >>> scores = rng.normal(size=2000) + members
        >>> equivalence(scores, scores + 0.01 * rng.normal(size=2000), members).equivalent
        True
    """
    width = checked_fraction(margin, "margin")
    size = checked_fraction(2 * checked_number(alpha, "alpha"), "2 * alpha") / 2
    return equivalence_of(delong_test(scores_a, scores_b, members, level=1 - 2 * size), width, size)


def equivalence_of(found: AucDifference, margin: float, alpha: float) -> Equivalence:
    """The two one-sided tests from a paired DeLong result whose interval has confidence 1 - 2 alpha."""
    if found.standard_error > 0:
        nearest = (margin - abs(found.difference)) / found.standard_error
        p = float(special.stdtr(found.freedom, -nearest))
    else:
        inside = found.interval.low > -margin and found.interval.high < margin
        p = alpha if inside else 1.0
    return Equivalence(p <= alpha, p, margin, alpha, found.interval, found.difference)


def holm(pvalues: npt.ArrayLike) -> FloatArray:
    """p-values adjusted for many tests, so that the probability of even one false claim stays within the level.

    Claims are made where an adjusted p-value is at most the level. Holds however the tests depend on each other.

    Args:
        pvalues: (k,) each in [0, 1].

    Returns:
        (k,) adjusted p-values in the same order, at most 1; empty for an empty input.

    Raises:
        MetricError: a value outside [0, 1] or not finite, or not a flat list.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = _checked(pvalues)
    order = np.argsort(values, kind="stable")
    factors = values.size - np.arange(values.size)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def benjamini_hochberg(pvalues: npt.ArrayLike) -> FloatArray:
    """p-values adjusted for many tests, so that the expected share of false claims among all stays within the level.

    Claims are made where an adjusted p-value is at most the level. Holds for independent or positively dependent tests.

    Args:
        pvalues: (k,) each in [0, 1].

    Returns:
        (k,) adjusted p-values in the same order, at most 1; empty for an empty input.

    Raises:
        MetricError: see `holm`.

    Source: Benjamini and Hochberg, Journal of the Royal Statistical Society B 57 (1995).

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.04, 0.04]
    """
    values = _checked(pvalues)
    order = np.argsort(values, kind="stable")[::-1]
    factors = values.size / (values.size - np.arange(values.size))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(values[order] * factors))
    return adjusted


def _checked(pvalues: npt.ArrayLike) -> FloatArray:
    values = as_numbers(pvalues, "p-values")
    if values.ndim != 1:
        raise MetricError(f"p-values must be a flat list; got shape {values.shape}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise MetricError("every p-value must lie between 0 and 1.")
    return values
