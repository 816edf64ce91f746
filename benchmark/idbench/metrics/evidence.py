"""One person against many: conformal p-values, and how much more often members score like this."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from idbench.metrics.rates import Rate, clopper_pearson, rate
from idbench.metrics.values import (
    FloatArray,
    Interval,
    MetricError,
    as_numbers,
    checked_count,
    checked_fraction,
    checked_number,
)


@dataclass(frozen=True, slots=True)
class Conformal:
    """Where one score stands among those of reference people.

    Attributes:
        p: (1 + references that score at least as high) / (1 + n), in [`smallest`, 1].
        smallest: 1 / (1 + n): no smaller false-positive rate can be claimed with n reference people.
        fpr: share of the reference people, in [0, 1], who would be named too if all with at least this score were.
    """

    p: float
    smallest: float
    fpr: Rate


@dataclass(frozen=True, slots=True)
class EvidenceRatio:
    """How many times as often members score in the same band as non-members do.

    Attributes:
        value: ratio of the two shares; None where no reference person is in the band.
        interval: `high` is infinite where the reference people cannot bound it.
        band: lowest and highest score of the band; infinite at the ends.
        members: share of the members in the band, in [0, 1].
        references: share of the reference people in the band, in [0, 1].
    """

    value: float | None
    interval: Interval
    band: tuple[float, float]
    members: Rate
    references: Rate


def conformal(score: float, references: npt.ArrayLike) -> Conformal:
    """The p-value of "this person is like the reference people", valid for any number of them and any method.

    If the person and the n reference people are exchangeable, P(p <= alpha) <= alpha for each alpha. Ties count
    against the person.

    Args:
        score: of the person; finite, higher means more likely a member.
        references: (n,) scores of people who are certainly not members, n at least 1.

    Returns:
        `Conformal`.

    Raises:
        MetricError: no reference people, or a score that is not finite.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), chapter 2; Bates et al., Annals
    of Statistics 51 (2023), on testing for outliers.

    Example:
        >>> found = conformal(0.9, [0.1, 0.4, 0.5, 0.95])
        >>> found.p, found.smallest, found.fpr.value
        (0.4, 0.2, 0.25)
    """
    others = _checked(references, "references")
    own = _finite(score)
    above = int((others >= own).sum())
    n = others.size
    return Conformal(p=(1 + above) / (1 + n), smallest=1 / (1 + n), fpr=rate(above, n))


def joint_conformal(scores: npt.ArrayLike, references: npt.ArrayLike) -> FloatArray:
    """Conformal p-values of one person by several attacks, corrected for having tried them all.

    Everybody, the person included, is ranked by each attack; an attack's p-value is the share of people whose best
    rank by any attack is at least as good as the person's by this one. If the person and the reference people are
    exchangeable, P(smallest p <= alpha) <= alpha, however the attacks depend on each other. Correcting the single
    p-values (Holm) would need many more reference people: k attacks cannot give less than k / (1 + n) there.

    Args:
        scores: (k,) of the person, one for each attack.
        references: (k, n) of the reference people, in the same order in each row.

    Returns:
        (k,) p-values, each at least 1 / (1 + n).

    Raises:
        MetricError: no attack, no reference people, or scores that are not finite.

    Source: Westfall and Young, Resampling-Based Multiple Testing (1993), on the smallest p-value; see `conformal`.

    Example:
        >>> joint_conformal([9, 9], [[1, 2, 3, 4], [1, 2, 3, 10]]).tolist()
        [0.4, 0.4]
    """
    own = _checked(scores, "scores")
    others = as_numbers(references, "references")
    if others.ndim != 2 or others.shape[0] != own.size or not others.shape[1] or not np.isfinite(others).all():
        raise MetricError("references must hold one row of finite scores for each attack.")
    everybody = np.column_stack([own, others])
    ordered = np.sort(everybody, axis=1)
    n = everybody.shape[1]
    ranks = np.array(
        [n - np.searchsorted(row, values, side="left") for row, values in zip(ordered, everybody, strict=True)]
    )
    best = ranks.min(axis=0)
    return np.asarray((best[None, :] <= ranks[:, :1]).mean(axis=1), dtype=np.float64)


def evidence_ratio(
    score: float, members: npt.ArrayLike, references: npt.ArrayLike, bands: int = 5, level: float = 0.95
) -> EvidenceRatio:
    """The likelihood ratio of a score, from the shares of members and of reference people in its band.

    The bands hold equally many of all scored people together, so that they do not depend on the person; a score that
    more than a band of people share is a band of its own. The interval joins two Clopper-Pearson intervals of level
    (1 + `level`) / 2 each (Bonferroni), so that it errs on the wide side.

    Args:
        score: of the person.
        members: (m,) scores of people who are certainly members.
        references: (n,) scores of people who are certainly not.
        bands: number of bands, at least 2.
        level: confidence, in (0, 1).

    Returns:
        `EvidenceRatio`; 1 means that the score says nothing.

    Raises:
        MetricError: nobody on one side, a score that is not finite, fewer than two bands, or `level` outside (0, 1).

    Source: Aitken and Taroni, Statistics and the Evaluation of Evidence for Forensic Scientists (2004), on the ratio.

    Example:
        >>> found = evidence_ratio(9.5, range(5, 15), range(0, 10), bands=2)
        >>> round(found.value, 2), found.members.hits, found.references.hits
        (2.67, 8, 3)
    """
    inside, outside = _checked(members, "members"), _checked(references, "references")
    own, confidence = _finite(score), checked_fraction(level, "level")
    if checked_count(bands, "bands") < 2:
        raise MetricError("bands must be at least 2: one band holds everybody.")
    cuts = _cuts(np.sort(np.concatenate([inside, outside])), bands)
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    place = int(np.searchsorted(cuts, own, side="right"))
    low, high = float(edges[place]), float(edges[place + 1])
    hits, false = (int(((side >= low) & (side < high)).sum()) for side in (inside, outside))
    half = (1 + confidence) / 2
    on_members, on_others = clopper_pearson(hits, inside.size, half), clopper_pearson(false, outside.size, half)
    members_share, others_share = rate(hits, inside.size), rate(false, outside.size)
    return EvidenceRatio(
        value=members_share.value / others_share.value if false else None,
        interval=Interval(
            on_members.low / on_others.high,
            on_members.high / on_others.low if on_others.low else math.inf,
            confidence,
            "two Clopper-Pearson intervals",
        ),
        band=(low, high),
        members=members_share,
        references=others_share,
    )


def _cuts(ordered: FloatArray, bands: int) -> FloatArray:
    """Lower ends of all bands but the lowest, ascending: quantiles, and what follows a score that fills a band."""
    wanted = np.unique(np.quantile(ordered, np.linspace(0, 1, bands + 1)[1:-1], method="lower"))
    after = np.searchsorted(ordered, wanted, side="right")
    shared = (after - np.searchsorted(ordered, wanted, side="left")) * bands >= ordered.size
    following = ordered[after[shared & (after < ordered.size)]]
    return np.unique(np.concatenate([wanted, following]))


def _checked(scores: npt.ArrayLike, name: str) -> FloatArray:
    values = as_numbers(scores, name)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise MetricError(f"{name} must be a flat list of at least one finite score.")
    return values


def _finite(score: float) -> float:
    value = checked_number(score, "score")
    if not math.isfinite(value):
        raise MetricError(f"score must be finite; got {score}.")
    return value
