"""What a method is given and what an attack returns: photos, cases, calibration, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from idbench.errors import AccessViolation, InvalidScores

S = TypeVar("S", bound=np.generic)

MOST_REASONS: Final = 20
LONGEST_REASON: Final = 100
"""Reasons for abstaining that a method may give, and characters of one."""


class Photo:
    """One picture, decoded when asked for, without file name or metadata.

    Args:
        digest: hexadecimal hash of the pixels; equal pixels have equal digests (the key of every cache).
        load: returns the pixels, uint8 (height, width, 3).
    """

    __slots__ = ("_load", "digest")

    def __init__(self, digest: str, load: Callable[[], NDArray[np.uint8]]) -> None:
        self.digest = digest
        self._load = load

    def pixels(self) -> NDArray[np.uint8]:
        """Pixels in 0..255, uint8 (height, width, 3), RGB. Decoded each time, so that memory stays small."""
        return self._load()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Photo) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Photo({self.digest[:12]})"


class Case:
    """What a method is given of one identity: a person whom an attack scores, or whom a defense protects.

    Args:
        id: drawn afresh for each run; unrelated to the person.
        name: None if the method's card does not declare Knowledge.NAME.
        photos: None if the method's card does not declare Knowledge.PHOTOS.
    """

    __slots__ = ("_name", "_photos", "id")

    def __init__(self, id: str, name: str | None, photos: Sequence[Photo] | None) -> None:  # noqa: A002
        self.id = id
        self._name = name
        self._photos = None if photos is None else tuple(photos)

    @property
    def name(self) -> str:
        """The person's full name; needs Knowledge.NAME.

        Raises:
            AccessViolation: the card does not declare it.
        """
        if self._name is None:
            raise AccessViolation(
                "The method read a name that its card does not declare.", hint="Add Knowledge.NAME to the card."
            )
        return self._name

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Photos of the person that are in no training set; needs Knowledge.PHOTOS. May be empty.

        Raises:
            AccessViolation: the card does not declare it.
        """
        if self._photos is None:
            raise AccessViolation(
                "The method read photos that its card does not declare.", hint="Add Knowledge.PHOTOS to the card."
            )
        return self._photos

    def __repr__(self) -> str:
        return f"Case({self.id})"


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo and its caption, known to everybody, showing nobody under test.

    Args:
        photo: of somebody or something.
        caption: one line of text.
    """

    photo: Photo
    caption: str


@dataclass(frozen=True, slots=True)
class AuxiliaryPerson:
    """A person like those in a target's training data, and not under test.

    Depending on the split, such people are in no target at all or in the background of every one: either way they say
    nothing about who is a member.

    Args:
        name: as in the captions; may be empty where these do not agree on one.
        pairs: the person's photos with their captions; at least one.
    """

    name: str
    pairs: tuple[Pair, ...]


class Calibration:
    """Identities apart from those under test, with labels for methods that declare Knowledge.CALIBRATION_LABELS.

    Args:
        cases: n identities.
        members: whether each is a member, bool (n,); None if the method's card does not declare the labels.
    """

    __slots__ = ("_members", "cases")

    def __init__(self, cases: Sequence[Case], members: NDArray[np.bool_] | None) -> None:
        self.cases = tuple(cases)
        self._members = members

    @property
    def members(self) -> NDArray[np.bool_]:
        """Whether each calibration case is a member, bool (n,); needs Knowledge.CALIBRATION_LABELS.

        Raises:
            AccessViolation: the card does not declare it.
        """
        if self._members is None:
            raise AccessViolation(
                "The method read calibration labels that its card does not declare.",
                hint="Add Knowledge.CALIBRATION_LABELS to the card.",
            )
        return self._members


@dataclass(frozen=True, slots=True)
class Scores:
    """What an attack returns: one score per case, in the order of the cases.

    Args:
        values: float array (n,); higher = more likely a member. Finite wherever the method does not abstain.
        abstained: bool array (n,): the method cannot say anything about this case. Counted as the lowest score.
            None: it never abstains.
        decisions: the method's own yes or no, bool array (n,), where the source defines one.
        photos_used: int array (n,): photos that went into each score. None: all that the case has.
        details: named float arrays (n,), kept in the record for inspection.
        reasons: why the method abstains: phrases such as `a name of one part`, each with a bool array (n,) of the
            cases that it holds for. At most one for each case; cases without photos need none.
    """

    values: NDArray[np.float64]
    abstained: NDArray[np.bool_] | None = None
    decisions: NDArray[np.bool_] | None = None
    photos_used: NDArray[np.int64] | None = None
    details: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    reasons: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def checked(self, n_cases: int) -> Scores:
        """The same scores with every array in its declared type, and NaN where the method abstains.

        Args:
            n_cases: how many cases were given.

        Returns:
            scores whose `abstained` is never None.

        Raises:
            InvalidScores: wrong length, not numbers, NaN or infinite where the method does not abstain; a reason where
                it does not abstain, or two for one case.
        """
        values = _vector("values", self.values, n_cases, np.float64)
        abstained = (
            np.zeros(n_cases, dtype=np.bool_)
            if self.abstained is None
            else _vector("abstained", self.abstained, n_cases, np.bool_)
        )
        bad = ~np.isfinite(values) & ~abstained
        if bad.any():
            raise InvalidScores(
                f"{int(bad.sum())} of {n_cases} scores are NaN or infinite (first at case {int(np.argmax(bad))}).",
                hint="Return finite numbers, or mark the case in `abstained`.",
            )
        return Scores(
            values=np.where(abstained, np.nan, values),
            abstained=abstained,
            decisions=None if self.decisions is None else _vector("decisions", self.decisions, n_cases, np.bool_),
            photos_used=None
            if self.photos_used is None
            else _vector("photos_used", self.photos_used, n_cases, np.int64),
            details={name: _vector(f"details[{name!r}]", v, n_cases, np.float64) for name, v in self.details.items()},
            reasons=_reasons(self.reasons, abstained),
        )


def _reasons(given: Mapping[str, NDArray[np.bool_]], abstained: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The reasons that hold for anybody, each for cases that are abstained from and have no other."""
    if len(given) > MOST_REASONS:
        raise InvalidScores(f"The scores have {len(given)} reasons; {MOST_REASONS} are allowed.", hint="Give fewer.")
    found: dict[str, NDArray[np.bool_]] = {}
    explained = np.zeros(len(abstained), dtype=np.bool_)
    for phrase, whom in given.items():
        if not isinstance(phrase, str) or not is_reason(phrase):
            raise InvalidScores(
                f"A reason is given as {str(phrase)[:50]!r}.",
                hint=f"Use 1 to {LONGEST_REASON} printable characters, none of them a blank at either end.",
            )
        where = _vector(f"reasons[{phrase!r}]", whom, len(abstained), np.bool_)
        if (where & (explained | ~abstained)).any():
            raise InvalidScores(
                f"The reason {phrase!r} is given for a case that is not abstained from, or that has another reason.",
                hint="Give one reason for each case, and mark the case in `abstained`.",
            )
        explained |= where
        if where.any():
            found[phrase] = where
    return found


def is_reason(phrase: str) -> bool:
    """Whether a phrase can be a reason: one short line of printable characters."""
    return 0 < len(phrase) <= LONGEST_REASON and phrase.isprintable() and phrase == phrase.strip()


def _vector(name: str, array: object, length: int, dtype: type[S]) -> NDArray[S]:
    given = np.asarray(array)
    wanted = np.dtype(dtype)
    if given.dtype.kind not in "bifu" or (wanted.kind == "b" and given.dtype.kind != "b"):
        raise InvalidScores(f"{name} is not an array of {wanted.name}.", hint="Return numpy arrays of numbers.")
    if given.shape != (length,):
        raise InvalidScores(
            f"{name} has shape {given.shape}; {length} cases need shape ({length},).",
            hint="Return exactly one score per case, in the order of the cases.",
        )
    return given.astype(dtype)
