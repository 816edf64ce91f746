"""The small values that every metric is made of: errors, intervals, checked inputs."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

_SHORT: Final = 60  # characters of a wrong value that a message shows


class MetricError(ValueError):
    """The input cannot be measured; the message says what is wrong with it and what to give instead.

    Example:
        >>> from idbench.metrics import auc
        >>> auc([0.1, float("nan")], [True, False])
        Traceback (most recent call last):
            ...
        idbench.metrics.values.MetricError: 1 of 2 scores is not finite (first at position 1); give an \
abstention the lowest score instead.
    """


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval for one number: the range that `method` gives at confidence `level`.

    Attributes:
        low: lower end, in the unit of the number.
        high: upper end, at least `low`.
        level: nominal confidence, in (0, 1).
        method: how it was computed, in words.

    Example:
        >>> 0.5 in Interval(0.4, 0.6, 0.95, "wilson")
        True
    """

    low: float
    high: float
    level: float
    method: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """`high - low`."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class NotEstimable:
    """The answer when the data cannot resolve the number asked for: no 0.0 and no NaN that looks like one.

    Attributes:
        reason: one sentence for the reader.
        resolution: the smallest false-positive rate above zero that the non-members can show, 1 / n_nonmembers.

    Example:
        >>> from idbench.metrics import tpr_at_fpr
        >>> tpr_at_fpr([3.0, 2.0, 1.0], [True, False, False], fpr=0.01).resolution
        0.5
    """

    reason: str
    resolution: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Checked scores, split by membership: `members` (m,) and `nonmembers` (n,), both at least one long."""

    members: FloatArray
    nonmembers: FloatArray


def checked_scores(scores: npt.ArrayLike, name: str = "scores") -> FloatArray:
    """Scores as a float array (n,); raises `MetricError` unless they are a flat list of finite numbers."""
    values = as_numbers(scores, name)
    if values.ndim != 1:
        raise MetricError(f"{name} must be one number per identity, a flat list; got shape {values.shape}.")
    _require_finite(values, name)
    return values


def checked_matrix(scores: npt.ArrayLike, name: str = "scores") -> FloatArray:
    """Scores as a float array (rows, n); a flat list becomes one row."""
    values = np.atleast_2d(as_numbers(scores, name))
    if values.ndim != 2:
        raise MetricError(f"{name} must have shape (rows, identities); got {values.shape}.")
    _require_finite(values, name)
    return values


def checked_flags(flags: npt.ArrayLike, name: str = "members") -> BoolArray:
    """True/false (or 1/0) flags as a bool array of the same shape."""
    try:
        values = np.asarray(flags)
    except ValueError as error:
        raise MetricError(f"{name} must be true or false, equally many in each row.") from error
    if values.dtype == np.bool_:
        return values
    if values.size == 0 or values.dtype.kind not in "iuf" or not np.isin(values, (0, 1)).all():
        raise MetricError(f"{name} must be true or false (or 1 and 0) for each identity.")
    return values.astype(np.bool_)


def checked_members(members: npt.ArrayLike, count: int) -> BoolArray:
    """Membership flags (count,) in which both classes are present."""
    flags = checked_flags(members)
    if flags.shape != (count,):
        raise MetricError(f"scores and members must have the same length; got {count} and {_shape_text(flags)}.")
    if not flags.any():
        raise MetricError("there is no member among the identities; both members and non-members are needed.")
    if flags.all():
        raise MetricError("there is no non-member among the identities; both members and non-members are needed.")
    return flags


def checked_sample(scores: npt.ArrayLike, members: npt.ArrayLike, *, at_least: int = 1) -> Sample:
    """Scores split by membership, at least `at_least` identities in each class."""
    values = checked_scores(scores)
    flags = checked_members(members, values.size)
    sample = Sample(values[flags], values[~flags])
    if min(sample.members.size, sample.nonmembers.size) < at_least:
        raise MetricError(
            f"at least {at_least} members and {at_least} non-members are needed; "
            f"got {sample.members.size} and {sample.nonmembers.size}."
        )
    return sample


def checked_number(value: object, name: str) -> float:
    """`value` as a float; raises `MetricError` unless it is one real number. NaN and infinity are numbers here."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise MetricError(f"{name} must be a number; got {_kind(value)}.")
    return float(value)


def checked_fraction(value: float, name: str) -> float:
    """`value` as a float strictly between 0 and 1."""
    number = checked_number(value, name)
    if not 0.0 < number < 1.0:
        raise MetricError(f"{name} must lie strictly between 0 and 1; got {value!r}.")
    return number


def checked_fpr(value: float) -> float:
    """A false-positive rate in (0, 1]."""
    number = checked_number(value, "fpr")
    if not 0.0 < number <= 1.0:
        raise MetricError(f"fpr must lie above 0 and at most at 1 (0.01 for 1 %); got {value!r}.")
    return number


def checked_count(value: int, name: str, *, at_least: int = 1) -> int:
    """`value` as an int of at least `at_least`."""
    number = checked_number(value, name)
    if not number.is_integer() or number < at_least:
        raise MetricError(f"{name} must be a whole number of at least {at_least}; got {value!r}.")
    return int(value)


def allowed_false_positives(fpr: float, n_nonmembers: int) -> int:
    """floor(fpr * n), with a slack of one part in 10**12.

    In floating point 0.29 * 100 is 28.999999999999996: one non-member would be lost to rounding.
    """
    return math.floor(fpr * n_nonmembers * (1 + 1e-12))


def not_estimable(fpr: float, n_nonmembers: int) -> NotEstimable:
    """The `NotEstimable` for a false-positive rate below the resolution of `n_nonmembers`."""
    need = math.ceil((1 - 1e-12) / fpr)
    return NotEstimable(
        reason=(
            f"a false-positive rate of {fpr:g} needs at least {need} non-members; "
            f"{n_nonmembers} resolve no rate below {1 / n_nonmembers:.3g}."
        ),
        resolution=1 / n_nonmembers,
    )


def as_numbers(scores: npt.ArrayLike, name: str) -> FloatArray:
    """An array-like of numbers as a float array of the same shape; raises `MetricError` for anything else."""
    try:
        raw: npt.NDArray[Any] = np.asarray(scores)
    except ValueError as error:
        raise MetricError(f"{name} must be numbers, equally many in each row.") from error
    if raw.dtype.kind not in "iufb":
        raise MetricError(f"{name} must be numbers; got {raw.dtype} values.")
    return raw.astype(np.float64)


def _kind(value: object) -> str:
    """What a value is that should be a number, in a few words."""
    shown = repr(value)
    return shown if len(shown) <= _SHORT and "\n" not in shown else f"a value of type {type(value).__name__}"


def _require_finite(values: FloatArray, name: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        count, where = int(bad.sum()), int(np.flatnonzero(bad)[0])
        verb = "is" if count == 1 else "are"
        raise MetricError(
            f"{count} of {values.size} {name} {verb} not finite (first at position {where}); "
            "give an abstention the lowest score instead."
        )


def _shape_text(flags: BoolArray) -> str:
    return str(flags.size) if flags.ndim == 1 else f"shape {flags.shape}"
