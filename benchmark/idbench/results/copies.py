"""Tells scores that were taken from another record, whatever file holds them and on whatever scale they are.

Two methods that are not the same may well agree; that they agree about everybody, to the last digit or in every rank,
is another matter. So is a method that asks two targets and hears the same. Noise hides neither: of 13,625 pairs of
reference records of different methods on one target, none has a rank correlation above 0.993 or shares more than 0.6 %
of its numbers; of 3,844 pairs of one method on different targets, none is above 0.84 or shares more than 12 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import rankdata

from idbench.escaping import line
from idbench.results.aligning import Floats
from idbench.results.plausibility import MeasuredRecord
from idbench.results.record import RunRecord
from idbench.storage import sha256_bytes

LEAST_DISTINCT: Final = 20
"""Number of different scores from which the same order of all people cannot be a coincidence."""
CLOSE: Final = 0.997
"""Rank correlation from which one order is another with noise."""
SHARED: Final = 0.25
"""Share of people with the very number of another record from which these numbers were taken from there."""


@dataclass(frozen=True, slots=True)
class _Print:
    """What two tables of scores share if one was made from the other.

    Args:
        found: one measurement of the record.
        values: over the scores.
        order: over their ranks, ties included.
        places: mid-ranks about their mean, of length one: the product of two is their correlation.
    """

    found: MeasuredRecord
    values: str
    order: str
    places: Floats


def copied(proposed: Sequence[MeasuredRecord], accepted: Sequence[MeasuredRecord]) -> Iterator[tuple[str, str, bool]]:
    """Proposed records with the scores of another record: which one, why, and whether that is certain.

    Args:
        proposed: as measured, in order.
        accepted: of the same splits.
    """
    before: dict[tuple[str, int], list[_Print]] = {}
    for each in _prints(accepted):
        before.setdefault(_split_of(each), []).append(each)
    for mine in _prints(proposed):
        others = before.setdefault(_split_of(mine), [])
        for judge in (_verdict, _of_near_ones):
            verdict = next(filter(None, (judge(mine, other) for other in others)), None)
            if verdict is not None:
                yield mine.found.candidate.where, *verdict
                break
        others.append(mine)


def _split_of(one: _Print) -> tuple[str, int]:
    split = one.found.record.split
    return split.name, split.version


def _prints(measured: Iterable[MeasuredRecord]) -> Iterator[_Print]:
    """One for each record with scores that tell people apart; a control is measured for several corpora."""
    seen: set[str] = set()
    for each in measured:
        if each.distinct < LEAST_DISTINCT or each.candidate.where in seen:
            continue
        seen.add(each.candidate.where)
        ranks = np.unique(each.scores, return_inverse=True)[1].astype(np.int64)
        places = rankdata(each.scores)
        places -= places.mean()
        places /= np.linalg.norm(places)
        yield _Print(each, sha256_bytes(each.scores.tobytes()), sha256_bytes(ranks.tobytes()), places)


def _verdict(mine: _Print, other: _Print) -> tuple[str, bool] | None:
    """What the same order of all people means; None if it may be."""
    first, second = mine.found.record, other.found.record
    where = line(other.found.candidate.where)
    if mine.order != other.order or first.run_id == second.run_id:
        return None  # or a repetition, which is judged as one
    if not _same_code(first, second):
        if mine.values == other.values:
            return f"its scores are, number for number, those of another method: {where}", True
        return f"it puts everybody in exactly the order of another method: {where}", False
    return _of_one_method(first, second, where)


def _same_code(first: RunRecord, second: RunRecord) -> bool:
    return (first.attack.name, first.attack.code_sha256) == (second.attack.name, second.attack.code_sha256)


def _of_near_ones(mine: _Print, other: _Print) -> tuple[str, bool] | None:
    """What it means that scores are almost those of another record: for maintainers to judge, never certain."""
    first, second = mine.found.record, other.found.record
    same_target = first.target.sha256 == second.target.sha256
    if _same_code(first, second) == same_target:  # one method with other seeds or settings, or nothing in common
        return None
    if not same_target and not (first.attack.access and first.defense is None and second.defense is None):
        return None
    whose = "another method" if same_target else "the same method on another target"
    where = line(other.found.candidate.where)
    shared = mine.found.scores == other.found.scores
    if shared.mean() >= SHARED and np.unique(mine.found.scores[shared]).size >= LEAST_DISTINCT:
        share = f"{100 * shared.mean():.0f} % of its scores"
        return f"{share} are, number for number, those of {whose}: {where}", False
    if mine.places @ other.places >= CLOSE:
        return f"it puts people in almost exactly the order of {whose}: {where}", False
    return None


def _of_one_method(first: RunRecord, second: RunRecord, where: str) -> tuple[str, bool] | None:
    if first.target.sha256 != second.target.sha256:
        heard = first.attack.access and first.defense is None and second.defense is None
        reason = "its scores put everybody in the order that they have on another target, which answers otherwise"
        return (f"{reason}: {where}", True) if heard else None
    if first.seed != second.seed and first.parameters == second.parameters:
        reason = f"its scores are those of seed {second.seed}: it draws nothing by chance, or they were copied"
        return f"{reason}: {where}", False
    return None
