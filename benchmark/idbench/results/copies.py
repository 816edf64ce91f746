"""Tells scores that were taken from another record, whatever file holds them and on whatever scale they are.

Two methods that are not the same may well agree; that they agree about everybody, to the last digit or in every rank,
is another matter. So does a method that asks two targets and hears the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from idbench.escaping import line
from idbench.results.plausibility import MeasuredRecord
from idbench.results.record import RunRecord
from idbench.storage import sha256_bytes

LEAST_DISTINCT: Final = 20
"""Number of different scores from which the same order of all people cannot be a coincidence."""


@dataclass(frozen=True, slots=True)
class _Print:
    """What two tables of scores share if one was made from the other.

    Args:
        found: one measurement of the record.
        values: over the scores.
        order: over their ranks, ties included.
    """

    found: MeasuredRecord
    values: str
    order: str


def copied(proposed: Sequence[MeasuredRecord], accepted: Sequence[MeasuredRecord]) -> Iterator[tuple[str, str, bool]]:
    """Proposed records with the scores of another record: which one, why, and whether that is certain.

    Args:
        proposed: as measured, in order.
        accepted: of the same splits.
    """
    before: dict[tuple[object, ...], list[_Print]] = {}
    for each in _prints(accepted):
        before.setdefault(_key(each), []).append(each)
    for mine in _prints(proposed):
        others = before.setdefault(_key(mine), [])
        for other in others:
            if verdict := _verdict(mine, other):
                yield mine.found.candidate.where, *verdict
                break
        others.append(mine)


def _key(one: _Print) -> tuple[object, ...]:
    split = one.found.record.split
    return split.name, split.version, one.order


def _prints(measured: Iterable[MeasuredRecord]) -> Iterator[_Print]:
    """One for each record with scores that tell people apart; a control is measured for several corpora."""
    seen: set[str] = set()
    for each in measured:
        if each.distinct < LEAST_DISTINCT or each.candidate.where in seen:
            continue
        seen.add(each.candidate.where)
        ranks = np.unique(each.scores, return_inverse=True)[1].astype(np.int64)
        yield _Print(each, sha256_bytes(each.scores.tobytes()), sha256_bytes(ranks.tobytes()))


def _verdict(mine: _Print, other: _Print) -> tuple[str, bool] | None:
    """What the same order of all people means; None if it may be."""
    first, second = mine.found.record, other.found.record
    where = line(other.found.candidate.where)
    if first.run_id == second.run_id:
        return None  # a repetition, which is judged as one
    if (first.attack.name, first.attack.code_sha256) != (second.attack.name, second.attack.code_sha256):
        if mine.values == other.values:
            return f"its scores are, number for number, those of another method: {where}", True
        return f"it puts everybody in exactly the order of another method: {where}", False
    return _of_one_method(first, second, where)


def _of_one_method(first: RunRecord, second: RunRecord, where: str) -> tuple[str, bool] | None:
    if first.target.sha256 != second.target.sha256:
        heard = first.attack.access and first.defense is None and second.defense is None
        reason = "its scores put everybody in the order that they have on another target, which answers otherwise"
        return (f"{reason}: {where}", True) if heard else None
    if first.seed != second.seed and first.parameters == second.parameters:
        reason = f"its scores are those of seed {second.seed}: it draws nothing by chance, or they were copied"
        return f"{reason}: {where}", False
    return None
