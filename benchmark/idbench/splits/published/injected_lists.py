"""Reads the four lists in which the authors of IDIA say whom they added to CC3M and whom they did not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.injected.people import name_of
from idbench.storage import storage_errors

if TYPE_CHECKING:
    import pandas as pd

FILES = ("actors_members.csv", "actresses_members.csv", "actors_non_members.csv", "actresses_non_members.csv")
RATES = ("openclip_percentage_correct_preds", "resnet50_percentage_correct_preds")
"""Share of CC3M's pictures nearest to a person's photos that a CLIP, or a face classifier, took for that person."""

_NUMBERS = ("num_samples_with_name_in_cap", *RATES)
_HINT = f"Give the authors' folder with {', '.join(FILES)}."


@dataclass(frozen=True, slots=True)
class Listed:
    """One person of the lists.

    Args:
        name: full name, words separated by one space.
        member: whether the person's pictures were added.
        numbers: what the authors chose people by, by column.
    """

    name: str
    member: bool
    numbers: dict[str, float]

    @property
    def found(self) -> float:
        """The larger of `RATES`, 0..1: how much of the person the authors' search found in CC3M beforehand."""
        return max(self.numbers[rate] for rate in RATES)

    @property
    def confidence(self) -> float:
        """How sure the label is, 0..1: members were added by hand; a non-member may be in CC3M all the same."""
        return 1.0 if self.member else round(1.0 - self.found, 4)


@dataclass(frozen=True, slots=True)
class Lists:
    """All people of the lists.

    Args:
        people: sorted by name.
        confounding: for each number that the authors chose people by, the AUC with which it alone tells members from
            others.
    """

    people: tuple[Listed, ...]
    confounding: dict[str, float]

    @property
    def warning(self) -> str:
        """What these lists do to every result, in a sentence."""
        column, value = max(self.confounding.items(), key=lambda item: abs(item[1] - 0.5))
        return (
            f"Membership was not assigned at random: {column} alone, known before any training, tells members from "
            f"non-members with AUC {max(value, 1 - value):.2f}."
        )


def read_lists(folder: Path) -> Lists:
    """Read the four lists.

    Raises:
        DataError: a list is missing, empty, no CSV, lacks a column, or two entries have one name.
    """
    import numpy as np
    import pandas as pd

    from idbench.metrics import auc

    frames = [_read(folder / file) for file in FILES]
    table = pd.concat(
        [frame.assign(member="non_members" not in file) for file, frame in zip(FILES, frames, strict=True)]
    )
    table["name"] = [name_of(str(name)) for name in table["name"]]
    keys = [FOLDED(name) for name in table["name"]]
    if again := sorted({name for name, key in zip(table["name"], keys, strict=True) if keys.count(key) > 1}):
        raise DataError(f"The lists in {folder} name {again[0]} more than once.", hint="Repair or fetch them again.")
    members = table["member"].to_numpy(dtype=np.bool_)
    numbers = table[list(_NUMBERS)].to_numpy(dtype=np.float64)
    people = tuple(
        Listed(str(name), bool(member), dict(zip(_NUMBERS, map(float, row), strict=True)))
        for name, member, row in zip(table["name"], members, numbers, strict=True)
    )
    confounding = {column: auc(table[column].to_numpy(dtype=np.float64), members) for column in _NUMBERS}
    return Lists(tuple(sorted(people, key=lambda one: one.name)), confounding)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"There is no list {path}.", hint=_HINT)
    try:
        with storage_errors(path):
            frame = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path} is not a list of people: {str(error).splitlines()[0]}.", hint=_HINT) from error
    missing = [column for column in ("name", *_NUMBERS) if column not in frame.columns]
    if missing:
        raise DataError(f"{path} lacks the column {missing[0]}.", hint=_HINT)
    if frame.empty:
        raise DataError(f"{path} lists nobody.", hint=_HINT)
    for column in _NUMBERS:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        if numbers.isna().any() or (column in RATES and not numbers.between(0, 1).all()):
            raise DataError(f"{path} holds values that are not numbers in its column {column}.", hint=_HINT)
        frame[column] = numbers
    return frame
