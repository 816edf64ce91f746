"""The ROC curve and what is read off it: areas, rates at a false-positive rate, the best threshold."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from idbench.metrics.rates import clopper_pearson
from idbench.metrics.values import (
    FloatArray,
    IntArray,
    Interval,
    NotEstimable,
    Sample,
    allowed_false_positives,
    checked_fpr,
    checked_sample,
    not_estimable,
)


@dataclass(frozen=True, slots=True)
class Roc:
    """Every attainable point of a ROC curve, from (0, 0) to (1, 1); nothing lies between the points.

    A threshold t calls an identity a member if its score is at least t.

    Attributes:
        thresholds: (k + 1,) falling; the first is +inf (nobody is called a member), then each distinct score.
        false_positives: (k + 1,) non-members at or above the threshold.
        true_positives: (k + 1,) members at or above the threshold.
        n_members: number of members.
        n_nonmembers: number of non-members.
    """

    thresholds: FloatArray
    false_positives: IntArray
    true_positives: IntArray
    n_members: int
    n_nonmembers: int

    @property
    def fpr(self) -> FloatArray:
        """(k + 1,) false-positive rates, rising from 0 to 1."""
        return self.false_positives / self.n_nonmembers

    @property
    def tpr(self) -> FloatArray:
        """(k + 1,) true-positive rates, rising from 0 to 1."""
        return self.true_positives / self.n_members

    @property
    def resolution(self) -> float:
        """The smallest false-positive rate above zero that the non-members can show."""
        return 1 / self.n_nonmembers


@dataclass(frozen=True, slots=True)
class RateAtFpr:
    """The true-positive rate at the largest attainable false-positive rate that is at most the one asked for.

    Attributes:
        value: true-positive rate, in [0, 1].
        threshold: the lowest score that keeps the false-positive rate; +inf if tied non-members allow no finite one.
        fpr: the false-positive rate asked for.
        attained_fpr: the rate at `threshold`, at most `fpr`.
        true_positives: members at or above the threshold.
        n_members: number of members.
        false_positives: non-members at or above the threshold.
        n_nonmembers: number of non-members.
        interval: Clopper-Pearson interval of the true-positive rate at this threshold, taken as given. As an interval
            for the rate at the FPR asked for it is far too narrow: use `tpr_at_fpr_interval`.
    """

    value: float
    threshold: float
    fpr: float
    attained_fpr: float
    true_positives: int
    n_members: int
    false_positives: int
    n_nonmembers: int
    interval: Interval

    @property
    def resolution(self) -> float:
        """The smallest false-positive rate above zero that the non-members can show."""
        return 1 / self.n_nonmembers


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """The threshold with the largest TPR - FPR on the data it was chosen on.

    Attributes:
        balanced_accuracy: (TPR + 1 - FPR) / 2, in [0.5, 1].
        advantage: TPR - FPR, in [0, 1] (Yeom et al. 2018; Youden's J).
        threshold: the highest threshold that reaches it.
        tpr: true-positive rate there.
        fpr: false-positive rate there.
    """

    balanced_accuracy: float
    advantage: float
    threshold: float
    tpr: float
    fpr: float


def auc(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """Area under the ROC curve: the chance that a member scores above a non-member, a tie counting one half.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.

    Returns:
        A number in [0, 1]; 0.5 is chance. Equals the trapezoid area under all attainable points.

    Raises:
        MetricError: scores not finite or not flat, lengths differ, or a class is missing.

    Source: Hanley and McNeil, Radiology 143 (1982); mid-ranks as in the Mann-Whitney test.

    Example:
        >>> auc([3, 2, 2, 1], [True, True, False, False])
        0.875
    """
    return area(checked_sample(scores, members))


def area(sample: Sample) -> float:
    """Mid-rank AUC of a checked sample, from whole numbers, so that equal rankings give equal bits."""
    nonmembers = np.sort(sample.nonmembers)
    queries = np.sort(sample.members)
    twice = int(nonmembers.searchsorted(queries, "left").sum() + nonmembers.searchsorted(queries, "right").sum())
    return twice / (2 * queries.size * nonmembers.size)


def roc(scores: npt.ArrayLike, members: npt.ArrayLike) -> Roc:
    """All attainable points of the ROC curve, tied scores taken together.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.

    Returns:
        A `Roc` with one point per distinct score and (0, 0). Same points as scikit-learn's
        `roc_curve(drop_intermediate=False)`; its default drops points that are attainable.

    Raises:
        MetricError: see `auc`.

    Source: Fawcett, Pattern Recognition Letters 27 (2006), algorithm 1.

    Example:
        >>> curve = roc([3, 2, 2, 1], [True, True, False, False])
        >>> curve.thresholds.tolist(), curve.fpr.tolist(), curve.tpr.tolist()
        ([inf, 3.0, 2.0, 1.0], [0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    return curve_of(checked_sample(scores, members))


def curve_of(sample: Sample) -> Roc:
    """The ROC curve of a checked sample."""
    distinct = np.unique(np.concatenate([sample.members, sample.nonmembers]))[::-1]
    return Roc(
        thresholds=np.concatenate([[np.inf], distinct]),
        false_positives=_at_or_above(sample.nonmembers, distinct),
        true_positives=_at_or_above(sample.members, distinct),
        n_members=sample.members.size,
        n_nonmembers=sample.nonmembers.size,
    )


def _at_or_above(values: FloatArray, thresholds: FloatArray) -> IntArray:
    counts = values.size - np.sort(values).searchsorted(thresholds, "left")
    return np.concatenate([[0], counts]).astype(np.int64)


def partial_auc(scores: npt.ArrayLike, members: npt.ArrayLike, max_fpr: float) -> float | NotEstimable:
    """Area under the ROC curve up to a false-positive rate, rescaled so that chance is 0.5 and perfect is 1.

    The curve is followed in steps (no interpolation between attainable points): at each false-positive rate
    counts the true-positive rate of the best attainable point at or below it, tied scores included.

    Args:
        scores: (n,) finite; higher means more likely a member.
        members: (n,) true for members; both classes must be present.
        max_fpr: upper end of the false-positive rates, in (0, 1].

    Returns:
        The standardized area; or `NotEstimable` below the resolution of the non-members.
        With `max_fpr=1` and no ties it equals `auc`; with ties it is lower, as a step is below its chord.

    Raises:
        MetricError: see `auc`; or `max_fpr` outside (0, 1].

    Source: McClish, Medical Decision Making 9 (1989), for the rescaling.

    Example:
        >>> partial_auc([4, 3, 2, 1], [True, False, True, False], max_fpr=0.5)
        0.6666666666666666
    """
    limit = checked_fpr(max_fpr)
    return partial_auc_of(roc(scores, members), limit)


def partial_auc_of(curve: Roc, limit: float) -> float | NotEstimable:
    """`partial_auc` of a curve."""
    if allowed_false_positives(limit, curve.n_nonmembers) < 1:
        return not_estimable(limit, curve.n_nonmembers)
    steps = np.append(np.minimum(curve.fpr, limit), limit)
    raw = float(np.sum(np.diff(steps) * curve.tpr))
    chance = limit * limit / 2
    return 0.5 * (1 + (raw - chance) / (limit - chance))


def tpr_at_fpr(scores: npt.ArrayLike, members: npt.ArrayLike, fpr: float) -> RateAtFpr | NotEstimable:
    """True-positive rate at the largest attainable false-positive rate that is at most `fpr`.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        fpr: the false-positive rate asked for, in (0, 1].

    Returns:
        `RateAtFpr`; or `NotEstimable` if not even one false positive is allowed, floor(fpr * n_nonmembers) < 1.
        A value of 0 with `attained_fpr` 0 and threshold +inf is a measured zero: too many non-members share
        the highest score that no threshold keeps the rate.

    Raises:
        MetricError: see `auc`; or `fpr` outside (0, 1].

    Source: Carlini et al., IEEE S&P 2022 (arXiv 2112.03570), section III, for the choice of the metric.

    Example:
        >>> rate = tpr_at_fpr([5, 4, 3, 2, 1], [True, True, False, True, False], fpr=0.5)
        >>> rate.value, rate.threshold, rate.attained_fpr
        (1.0, 2.0, 0.5)
        >>> tpr_at_fpr([5, 4, 3, 2, 1], [True, True, False, True, False], fpr=0.1)
        NotEstimable(reason='a false-positive rate of 0.1 needs at least 10 non-members; 2 resolve no rate below 0.5.',\
 resolution=0.5)
    """
    limit = checked_fpr(fpr)
    return tpr_of(roc(scores, members), limit)


def tpr_of(curve: Roc, limit: float) -> RateAtFpr | NotEstimable:
    """`tpr_at_fpr` of a curve."""
    allowed = allowed_false_positives(limit, curve.n_nonmembers)
    if allowed < 1:
        return not_estimable(limit, curve.n_nonmembers)
    # The last point within the allowance has the most true positives, and of the equal ones the lowest threshold;
    # the first of the equal ones is the threshold that stands further from the non-members.
    last = int(curve.false_positives.searchsorted(allowed, "right")) - 1
    true_positives = int(curve.true_positives[last])
    return RateAtFpr(
        value=true_positives / curve.n_members,
        threshold=float(curve.thresholds[last]),
        fpr=limit,
        attained_fpr=float(curve.fpr[last]),
        true_positives=true_positives,
        n_members=curve.n_members,
        false_positives=int(curve.false_positives[last]),
        n_nonmembers=curve.n_nonmembers,
        interval=clopper_pearson(true_positives, curve.n_members),
    )


def best_balanced_accuracy(scores: npt.ArrayLike, members: npt.ArrayLike) -> BestThreshold:
    """The largest balanced accuracy over all thresholds, with the threshold that reaches it.

    It is optimistic on the data that it is computed on (at chance it lies above 0.5): choose the threshold on
    the calibration part and judge it with `decision_metrics` on the test part.

    Args:
        scores: (n,) finite; higher means more likely a member.
        members: (n,) true for members; both classes must be present.

    Returns:
        `BestThreshold`; of equally good thresholds the highest. Its balanced accuracy is at least 0.5.

    Raises:
        MetricError: see `auc`.

    Source: Youden, Cancer 3 (1950).

    Example:
        >>> best = best_balanced_accuracy([4, 3, 2, 1], [True, False, True, False])
        >>> best.balanced_accuracy, best.threshold
        (0.75, 4.0)
    """
    return best_of(roc(scores, members))


def best_of(curve: Roc) -> BestThreshold:
    """`best_balanced_accuracy` of a curve."""
    # Whole numbers, so that equally good thresholds compare equal.
    gain = curve.true_positives * curve.n_nonmembers - curve.false_positives * curve.n_members
    best = int(np.argmax(gain))
    value = float(gain[best]) / (curve.n_members * curve.n_nonmembers)
    return BestThreshold(
        balanced_accuracy=(1 + value) / 2,
        advantage=value,
        threshold=float(curve.thresholds[best]),
        tpr=float(curve.tpr[best]),
        fpr=float(curve.fpr[best]),
    )


def advantage(scores: npt.ArrayLike, members: npt.ArrayLike) -> float:
    """Membership advantage: the largest TPR - FPR over all thresholds.

    Args:
        scores: (n,) finite; higher means more likely a member.
        members: (n,) true for members; both classes must be present.

    Returns:
        A number in [0, 1]; optimistic like `best_balanced_accuracy`.

    Raises:
        MetricError: see `auc`.

    Source: Yeom et al., CSF 2018 (arXiv 1709.01604), definition 4.

    Example:
        >>> advantage([4, 3, 2, 1], [True, False, True, False])
        0.5
    """
    return best_balanced_accuracy(scores, members).advantage
