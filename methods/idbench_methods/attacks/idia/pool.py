"""The names that IDIA lets the target choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NamePool:
    """Names to choose from, and whose photos are judged with them.

    Args:
        names: distinct, in alphabetical order, so that ties favour no one.
        members: places of the judged people in the list that the pools were made for, (n,).
        truth: index in `names` of each judged person's own name, (n,).
    """

    names: tuple[str, ...]
    members: NDArray[np.int64]
    truth: NDArray[np.int64]


def name_pools(
    own: Sequence[str], candidates: Sequence[str], size: int | None, rng: np.random.Generator
) -> list[NamePool]:
    """Pools that together judge everybody once.

    Args:
        own: name of each person under test; may repeat.
        candidates: every name that the attacker considers possible.
        size: names per pool (less where the candidates run out); None: all of them in one pool.
        rng: draws the groups and the other names; independent of the order of `own`.

    Returns:
        One pool, or as many as it takes for each to hold the names of the people that it judges. Empty without people.
    """
    distinct = sorted(set(own))
    everyone = sorted({*distinct, *candidates})
    if not distinct:
        return []
    if size is None or size >= len(everyone):
        return [_pool(everyone, own, set(distinct))]
    n_groups = -(-len(distinct) // size)
    groups = np.array_split(rng.permutation(len(distinct)), n_groups)
    return [_filled([distinct[i] for i in group], everyone, own, size, rng) for group in groups]


def _filled(
    judged: Sequence[str], everyone: Sequence[str], own: Sequence[str], size: int, rng: np.random.Generator
) -> NamePool:
    inside = set(judged)
    others = [name for name in everyone if name not in inside]
    extra = rng.choice(len(others), size=size - len(judged), replace=False)
    return _pool(sorted([*judged, *(others[i] for i in extra)]), own, inside)


def _pool(names: Sequence[str], own: Sequence[str], judged: set[str]) -> NamePool:
    place = {name: index for index, name in enumerate(names)}
    members = [index for index, name in enumerate(own) if name in judged]
    return NamePool(
        names=tuple(names),
        members=np.array(members, dtype=np.int64),
        truth=np.array([place[own[index]] for index in members], dtype=np.int64),
    )
