"""Scores of records in the order of a split's people, counted again; and the reasons why some cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from idbench.errors import IdbenchError
from idbench.results.labels import CountedPeople
from idbench.results.record import RunRecord
from idbench.results.scores import GREATEST, LastIdentities, mean_photos, read_columns, with_floor
from idbench.results.store import Rejected, Run, unexpected

if TYPE_CHECKING:
    import pyarrow as pa

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.int64]
_COLUMNS: Final = ("identity", "score", "abstained", "photos_used")


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one record, aligned with the people of its split.

    Args:
        test: scores of the test part to rank by, (n,), finite.
        abstained: (n,).
        calibration: scores of the calibration part, (c,); None unless all of it was scored.
    """

    test: Floats
    abstained: Flags
    calibration: Floats | None


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Where a table of scores has the people of a split.

    Args:
        identities: the table's column, for which this holds.
        test: rows of the test part, (n,).
        calibration: rows of the calibration part, (c,); None unless all of it is there.
        problem: why the table cannot be used; empty if it can.
    """

    identities: pa.ChunkedArray
    test: Places
    calibration: Places | None
    problem: str = ""


class Reader:
    """Reads scores in the order of a split's people; records of one split mostly list the same people alike."""

    def __init__(self, people: CountedPeople) -> None:
        """Read scores about these people."""
        self._people = people
        self._order: RowOrder | None = None
        self._identities = LastIdentities()

    def read(self, run: Run, where: str) -> Scored | Rejected:
        """The scores of a record, or why they cannot be used; a record must have scores for everybody in the test part.

        Args:
            run: the record.
            where: the name of its folder that readers are shown.
        """
        try:
            found = self._read(run)
        except IdbenchError as error:
            found = error.message.replace(str(run.path), where)
        except Exception as error:  # noqa: BLE001  whatever is wrong with these scores costs this record only
            found = unexpected(error)
        return Rejected(where, run.record.run_id, found) if isinstance(found, str) else found

    def _read(self, run: Run) -> Scored | str:
        table = read_columns(run.path, run.record, _COLUMNS, self._identities)
        order = self._order
        if order is None or not order.identities.equals(table["identity"]):
            order = self._order = _order(table["identity"], self._people)
        if order.problem:
            return order.problem
        scores, abstained = table["score"].to_numpy(), table["abstained"].to_numpy()
        problem = _miscounted(run.record, abstained, table["photos_used"].to_numpy())
        problem = problem or _unusable(scores, abstained)
        return problem if problem else _scored(scores, abstained, order)


def _miscounted(record: RunRecord, abstained: Flags, photos_used: NDArray[np.int64]) -> str:
    """The first count of a record that its scores contradict."""
    if photos_used.size and int(photos_used.min()) < 0:
        return "a number of photos used is negative"
    counted = {"n_cases": abstained.size, "n_abstained": int(abstained.sum())}
    for name, value in counted.items():
        if getattr(record, name) != value:
            return f"it says {name} {getattr(record, name)}, and its scores have {value}"
    photos = mean_photos(abstained, photos_used)
    if abs(record.photos_per_case - photos) > 1e-6 * max(1.0, photos):
        return f"it says photos_per_case {record.photos_per_case:g}, and its scores have {photos:g}"
    return ""


def _unusable(scores: Floats, abstained: Flags) -> str:
    given = scores[~abstained]
    if bad := int((~np.isfinite(given)).sum()):
        return f"{bad} scores are not finite although the attack did not abstain"
    if given.size and float(np.abs(given).max()) > GREATEST:
        return f"a score is beyond {GREATEST:g}"
    return ""


def _scored(scores: Floats, abstained: Flags, order: RowOrder) -> Scored:
    """An abstention counts as less likely than every score (`ScoreTable.ranked`)."""
    ranked = with_floor(scores, abstained)
    calibration = None if order.calibration is None else ranked[order.calibration]
    return Scored(ranked[order.test], abstained[order.test], calibration)


def _order(identities: pa.ChunkedArray, people: CountedPeople) -> RowOrder:
    names = identities.to_pylist()
    place = {identity: index for index, identity in enumerate(names)}
    nobody = np.zeros(0, dtype=np.int64)
    if len(place) < len(names):
        return RowOrder(identities, nobody, None, "an identity occurs twice in its scores")
    strangers = place.keys() - people.others - {*people.test, *people.calibration}
    if strangers:
        return RowOrder(identities, nobody, None, f"{len(strangers)} of its scores belong to nobody in the split")
    missing = sum(identity not in place for identity in people.test)
    if missing:
        problem = f"{missing} of {len(people.test)} people of the test part have no score"
        return RowOrder(identities, nobody, None, problem)
    rest = [place[identity] for identity in people.calibration if identity in place]
    complete = bool(rest) and len(rest) == len(people.calibration)
    test = np.array([place[identity] for identity in people.test], dtype=np.int64)
    return RowOrder(identities, test, np.array(rest, dtype=np.int64) if complete else None)
