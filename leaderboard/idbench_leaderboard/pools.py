"""Decides which targets are pooled into one board: those of one corpus that mostly the same methods were run on."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from idbench.results.rows import BoardKey, EntryKey
from idbench_leaderboard.rating import PooledRows, Work


@dataclass(frozen=True, slots=True)
class PooledWork:
    """Boards with what each gives to a pool, and the pools."""

    work: tuple[Work, ...]
    pools: tuple[PooledRows, ...]


def plan(boards: Sequence[Work]) -> PooledWork:
    """Pool the targets of each corpus; controls stay alone, for chance is what they must show.

    A row of a pool is a mean over targets, so all its rows must have the same ones. A target joins if at least
    half of the methods that were run on several targets were run on it; a method joins if it was run on all of these.
    """
    groups: dict[tuple[str, int, str, str], list[Work]] = defaultdict(list)
    for each in boards:
        if not _control(each):
            board = each.board
            groups[board.split, board.split_version, board.split_digest, board.corpus].append(each)
    changed: dict[BoardKey, Work] = {}
    pools = []
    for group in groups.values():
        members, shapes = _chosen(group)
        if len(members) > 1 and shapes:
            board = _board(members)
            pools.append(PooledRows(board, len(members), members[0].known))
            for each in members:
                keys = [key for key, _ in each.entries if _shape(key) in shapes]
                changed[each.board] = replace(each, pooled=dict.fromkeys(keys, board))
    return PooledWork(tuple(changed.get(each.board, each) for each in boards), tuple(pools))


def _control(work: Work) -> bool:
    return any(candidate.run.record.target.control_for for _, group in work.entries for candidate in group)


def _chosen(group: Sequence[Work]) -> tuple[list[Work], frozenset[EntryKey]]:
    """The targets that are pooled, and the rows that all of them have."""
    group = _one_per_name(group)
    rows = {each.board: {_shape(key) for key, _ in each.entries} for each in group}
    counts = Counter(shape for shapes in rows.values() for shape in shapes)
    several = {shape for shape, count in counts.items() if count > 1}
    members = [each for each in group if several and 2 * len(rows[each.board] & several) >= len(several)]
    if not members:
        return [], frozenset()
    return members, frozenset.intersection(*(frozenset(rows[each.board] & several) for each in members))


def _one_per_name(group: Sequence[Work]) -> list[Work]:
    """Of a target that was trained again, the weights that more rows have: two trainings are not two targets."""
    best: dict[str, Work] = {}
    for each in group:
        known = best.get(each.board.target)
        if known is None or len(each.entries) > len(known.entries):
            best[each.board.target] = each
    return list(best.values())


def _shape(key: EntryKey) -> EntryKey:
    """A row without its target."""
    return replace(key, design="", board=replace(key.board, target="", target_version="", target_sha256=""))


def _board(members: Iterable[Work]) -> BoardKey:
    boards = [each.board for each in members]
    first = boards[0]
    models = " ".join(sorted(board.target_sha256 for board in boards))
    return replace(
        first,
        target=f"all of {first.corpus}",
        target_version="",
        target_sha256=hashlib.sha256(models.encode()).hexdigest(),
    )
