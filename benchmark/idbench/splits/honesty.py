"""What a split can show before any target is asked: what separates members from others, what its numbers resolve."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.api import Progress
from idbench.errors import LabelsWithheld
from idbench.splits.photos import decode_photo
from idbench.splits.split import Identity, Split
from idbench.wording import counted

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Kind = Literal["name", "photos", "pictures", "selection", "all"]

LEVEL: Final = 0.05
"""Of the tests, Holm-corrected over the covariates of one corpus."""

GOOD, NOT_EXAMINED = "no covariate tells", "not examined"

SMALL_AUC, SMALL_TPR, SMALL_FPR = 0.6, 0.05, 0.01
"""What it takes to see these is printed for every split."""

_LOOKED_AT = 3  # photos of each identity whose statistics are taken
_FOLDS, _FEWEST_TO_LEARN = 5, 10


@dataclass(frozen=True, slots=True)
class Covariate:
    """One number that is known of every identity without asking a target.

    Args:
        name: what it is.
        kind: where it comes from; `all`: a classifier learnt from all of them, cross-validated.
        auc: with which it alone tells members from non-members, on the better side of 0.5.
        low: of the 95 % interval, turned likewise.
        high: likewise.
        p: of "it says nothing", Holm-corrected.
    """

    name: str
    kind: Kind
    auc: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class CorpusHonesty:
    """What the labels of one corpus can show.

    Args:
        corpora: corpora with the same members, or with the same people the other way round.
        members: of the test part.
        nonmembers: of the test part.
        covariates: most telling first.
        resolution: smallest false-positive rate above zero that the non-members have.
        detectable: smallest AUC that is told from chance with a power of 80 %.
    """

    corpora: tuple[str, ...]
    members: int
    nonmembers: int
    covariates: tuple[Covariate, ...]
    resolution: float
    detectable: float

    @property
    def telling(self) -> tuple[Covariate, ...]:
        """Covariates that separate members from non-members beyond chance."""
        return tuple(one for one in self.covariates if one.p < LEVEL)


@dataclass(frozen=True, slots=True)
class Honesty:
    """What a split can show.

    Args:
        verdict: `no covariate tells`, `confounded`, `too few`, `confounded, too few` or `not examined`.
        sentences: what follows, the most important first.
        corpora: the numbers behind it.
    """

    verdict: str
    sentences: tuple[str, ...]
    corpora: tuple[CorpusHonesty, ...]

    @property
    def usable(self) -> bool:
        """Whether nothing known here makes an attack's result meaningless."""
        return self.verdict in (GOOD, NOT_EXAMINED)


def examine(split: Split, progress: Progress) -> Honesty:
    """Look at everything that is known without a target.

    Args:
        split: with all its labels.
        progress: shows how far the photos are.

    Raises:
        DataError: a photo is damaged.
    """
    try:
        groups = _groups(split)
    except LabelsWithheld as error:
        return Honesty(NOT_EXAMINED, (error.message,), ())
    if not groups:
        return Honesty(NOT_EXAMINED, ("No corpus of this split has both members and non-members.",), ())
    values = covariates_of(split, progress)
    corpora = tuple(_corpus_honesty(split, names, members, values) for names, members in groups)
    has_control = any(corpus.control for corpus in split.manifest.corpora)
    return Honesty(_verdict(corpora), tuple(_sentences(corpora, has_control=has_control)), corpora)


def covariates_of(split: Split, progress: Progress) -> dict[tuple[str, Kind], FloatArray]:
    """Every covariate by name and kind, float (n,) aligned with the identities; NaN where it is not known."""
    people = split.identities
    found: dict[tuple[str, Kind], FloatArray] = {
        (name, "name"): np.array([value(one.name) for one in people], dtype=np.float64)
        for name, value in _OF_NAMES.items()
    }
    found["number of photos", "photos"] = np.array([len(one.photos) for one in people], dtype=np.float64)
    place = {one.id: i for i, one in enumerate(people)}
    if urls := split.rows("urls"):
        counts = np.zeros(len(people))
        for row in urls:
            counts[place[row[0]]] += 1
        found["number of addresses", "photos"] = counts
    for identity, column, value in split.rows("selection"):
        array = found.setdefault((str(column), "selection"), np.full(len(people), np.nan))
        array[place[identity]] = value
    return found | _picture_statistics(split, people, progress)


_OF_NAMES: Final[Mapping[str, Callable[[str], float]]] = {
    "letters of the name": lambda name: float(sum(sign.isalpha() for sign in name)),
    "words of the name": lambda name: float(len(name.split())),
    "letters beyond ASCII": lambda name: float(sum(not sign.isascii() for sign in name)),
    "full stops and hyphens": lambda name: float(sum(sign in ".-" for sign in name)),
}

_OF_PICTURES: Final = ("brightness", "contrast", "saturation", "sharpness", "pixels", "bytes")


def _picture_statistics(
    split: Split, people: Sequence[Identity], progress: Progress
) -> dict[tuple[str, Kind], FloatArray]:
    if not any(one.photos for one in people):
        return {}
    table = np.full((len(people), len(_OF_PICTURES)), np.nan)
    for i, one in enumerate(progress.track(people, "Looking at photos", len(people))):
        if one.photos:
            looks = [_statistics(split.read_photo(photo), photo) for photo in one.photos[:_LOOKED_AT]]
            table[i] = np.mean(looks, axis=0)
    return {(name, "pictures"): table[:, k] for k, name in enumerate(_OF_PICTURES)}


def _statistics(data: bytes, photo: str) -> FloatArray:
    pixels = decode_photo(data, photo).astype(np.float32)
    gray = pixels.mean(axis=2)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    edges = np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean() if min(gray.shape) > 1 else 0.0
    return np.array([gray.mean(), gray.std(), spread.mean(), edges, gray.size, len(data)], dtype=np.float64)


def _groups(split: Split) -> list[tuple[tuple[str, ...], BoolArray]]:
    """Corpora with members and non-members; those with the same division, or its reverse, count once."""
    groups: dict[bytes, tuple[list[str], BoolArray]] = {}
    for corpus in split.corpora:
        members = np.asarray(split.labels(corpus).member, dtype=np.bool_)
        if members.all() or not members.any():
            continue
        key = (members if members[0] else ~members).tobytes()
        groups.setdefault(key, ([], members))[0].append(corpus)
    return [(tuple(names), members) for names, members in groups.values()]


def _corpus_honesty(
    split: Split, corpora: tuple[str, ...], members: BoolArray, values: Mapping[tuple[str, Kind], FloatArray]
) -> CorpusHonesty:
    tested = np.array([one.part == "test" for one in split.identities])
    inside, outside = int((members & tested).sum()), int((~members & tested).sum())
    raw = [one for name, array in values.items() if (one := _covariate(*name, array, members)) is not None]
    if (learnt := _learnt(values, members)) is not None:
        raw.append(learnt)
    corrected = metrics.holm([one.p for one in raw]) if raw else np.empty(0)
    covariates = [
        Covariate(one.name, one.kind, one.auc, one.low, one.high, float(p))
        for one, p in zip(raw, corrected, strict=True)
    ]
    return CorpusHonesty(
        corpora,
        inside,
        outside,
        tuple(sorted(covariates, key=lambda one: (-one.auc, one.name))),
        1 / outside if outside else math.inf,
        metrics.minimum_detectable_auc(inside, outside) if inside and outside else 1.0,
    )


def _covariate(name: str, kind: Kind, values: FloatArray, members: BoolArray) -> Covariate | None:
    """None where it is the same for everybody, or known for too few."""
    known = ~np.isnan(values)
    found, sides = values[known], members[known]
    if len(found) < 2 or sides.all() or not sides.any() or np.ptp(found) == 0:
        return None
    turned = found if metrics.auc(found, sides) >= 0.5 else -found
    estimate = metrics.auc_estimate(turned, sides)
    p = metrics.permutation_test(turned, sides).p_two_sided
    return Covariate(name, kind, estimate.value, estimate.interval.low, estimate.interval.high, p)


def _learnt(values: Mapping[tuple[str, Kind], FloatArray], members: BoolArray) -> Covariate | None:
    """A logistic regression on all that is known of everybody, each person scored by a fit without them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    columns = [array for array in values.values() if not np.isnan(array).any() and np.ptp(array) > 0]
    if len(columns) < 2 or min(int(members.sum()), int((~members).sum())) < _FEWEST_TO_LEARN:
        return None
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    scores = cross_val_predict(model, np.column_stack(columns), members, cv=folds, method="decision_function")
    # A fit that learnt noise may come out below 0.5: only above counts, and the test is one-sided.
    p = metrics.permutation_test(scores, members).p_greater
    estimate = metrics.auc_estimate(scores, members)
    interval = estimate.interval
    return Covariate("all of them, learnt", "all", estimate.value, interval.low, interval.high, p)


def _verdict(corpora: Sequence[CorpusHonesty]) -> str:
    problems = ["confounded"] * any(one.telling for one in corpora) + ["too few"] * any(map(_too_few, corpora))
    return ", ".join(problems) or GOOD


def _too_few(one: CorpusHonesty) -> bool:
    return one.resolution > _COARSE or one.detectable > _BLUNT


_COARSE, _BLUNT = 0.1, 0.8  # no rate below 10 %; not even an AUC of 0.8 is told from chance


def _sentences(corpora: Sequence[CorpusHonesty], *, has_control: bool) -> list[str]:
    sentences: list[str] = []
    follows = (
        "an attack must beat it, and be at chance on the control"
        if has_control
        else "not evidence of identity inference without a control"
    )
    for one in corpora:
        where = "" if len(corpora) == 1 else f" ({', '.join(one.corpora)})"
        others = counted(one.nonmembers, "non-member resolves", "non-members resolve")
        resolved = f"{others} no rate below {100 * one.resolution:.3g} %{where}"
        telling = _telling_sentences(one, follows, where)
        sentences += [resolved, *telling] if _too_few(one) else [*telling, resolved]
        sentences.append(
            f"with {counted(one.members, 'member', 'members')} and "
            f"{counted(one.nonmembers, 'non-member', 'non-members')} under test, an AUC from "
            f"{one.detectable:.2f} on is told from chance four times out of five{where}"
        )
    needed = metrics.people_needed_for_auc(SMALL_AUC)
    rare = metrics.people_needed_for_tpr(SMALL_TPR, SMALL_FPR)
    sentences.append(
        f"to see an AUC of {SMALL_AUC} takes {needed} members and {needed} non-members; "
        f"a TPR of {SMALL_TPR:.0%} at {SMALL_FPR:.0%} FPR, {rare} and {rare}".replace("%", " %")
    )
    return sentences


def _telling_sentences(one: CorpusHonesty, follows: str, where: str) -> list[str]:
    single = [covariate for covariate in one.telling if covariate.kind != "all"]
    sentences = []
    chosen_by = [covariate for covariate in single if covariate.kind == "selection"]
    if chosen_by:
        sentences.append(
            f"one column of the selection separates members from non-members with AUC {chosen_by[0].auc:.2f}; "
            f"{follows}{where}"
        )
    for covariate in [each for each in single if each.kind != "selection"][:2]:
        sentences.append(
            f"{covariate.name} alone separates members from non-members with AUC {covariate.auc:.2f}; {follows}{where}"
        )
    if not single and one.telling:
        sentences.append(
            f"names and photos together separate members from non-members with AUC {one.telling[0].auc:.2f}; "
            f"{follows}{where}"
        )
    if not one.telling:
        sentences.append(f"no number that is known without a target separates members from non-members{where}")
    return sentences
