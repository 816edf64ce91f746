"""The interaction of a two-way table of first and last names, with the pools' parts as partners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench_methods.name_parts import Parts

Answers = Callable[[Sequence[str]], NDArray[np.float64]]
"""What the target says of names, (n, d): an embedding, or a row of cosines."""


@dataclass(frozen=True, slots=True)
class Partners:
    """Parts that stand in for a name's own: first parts and last parts, each once."""

    given: tuple[str, ...]
    family: tuple[str, ...]


def draw_partners(pool: tuple[Sequence[str], Sequence[str]], most: int | None, rng: np.random.Generator) -> Partners:
    """At most so many of each pool, drawn evenly; None: all. The same for everybody, so that the table is small."""
    chosen = []
    for parts in pool:
        count = len(parts) if most is None else min(most, len(parts))
        chosen.append(tuple(parts[i] for i in np.sort(rng.choice(len(parts), count, replace=False))) if parts else ())
    return Partners(*chosen)


def able(names: Sequence[Parts], partners: Partners) -> NDArray[np.bool_]:
    """Whether each name has a partner for either part that is not its own, (n,)."""
    return np.array(
        [
            any(part != name.given for part in partners.given) and any(part != name.family for part in partners.family)
            for name in names
        ],
        dtype=np.bool_,
    )


def interactions(names: Sequence[Parts], partners: Partners, answers: Answers) -> NDArray[np.float64]:
    """E(f, l) - mean of E(f, l') - mean of E(f', l) + mean of E(f', l'), over partners f' and l', (n, d).

    Args:
        names: each with a partner for either part; see `able`.
        partners: a name's own parts are left out of its means.
        answers: asked once, about every cell of the table that is needed.
    """
    firsts = {part: i for i, part in enumerate(dict.fromkeys(name.given for name in names))}
    lasts = {part: i for i, part in enumerate(dict.fromkeys(name.family for name in names))}
    first = np.array([firsts[name.given] for name in names], dtype=np.int64)
    last = np.array([lasts[name.family] for name in names], dtype=np.int64)
    own = [name.whole for name in names]
    rows = [Parts(f, l).whole for f in firsts for l in partners.family]  # noqa: E741
    columns = [Parts(f, l).whole for l in lasts for f in partners.given]  # noqa: E741
    corner = [Parts(f, l).whole for f in partners.given for l in partners.family]  # noqa: E741
    cells = answers([*own, *rows, *columns, *corner])
    d = cells.shape[1]
    own_cells, row_cells, column_cells, corner_cells = np.split(cells, np.cumsum([len(own), len(rows), len(columns)]))
    by_first = row_cells.reshape(len(firsts), len(partners.family), d)
    by_last = column_cells.reshape(len(lasts), len(partners.given), d)
    weight_first = _shares(list(firsts), partners.given)[first]
    weight_last = _shares(list(lasts), partners.family)[last]
    left = corner_cells.reshape(len(partners.given), len(partners.family) * d)
    grand = (weight_first @ left).reshape(len(names), len(partners.family), d)
    residuals: NDArray[np.float64] = own_cells + np.einsum("nl,nld->nd", weight_last, grand - by_first[first])
    residuals -= np.einsum("nf,nfd->nd", weight_first, by_last[last])
    return residuals


def _shares(parts: Sequence[str], partners: Sequence[str]) -> NDArray[np.float64]:
    """Weight of each partner in the mean for each part, (n_parts, n_partners): equal for all but the part itself."""
    others = np.array([[partner != part for partner in partners] for part in parts], dtype=np.float64)
    shares: NDArray[np.float64] = others / others.sum(axis=1, keepdims=True)
    return shares
