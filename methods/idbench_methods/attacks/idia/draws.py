"""Which photos of each person IDIA looks at, draw by draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import Case, Context, Photo


@dataclass(frozen=True, slots=True)
class DrawBatch:
    """People whose draws have the same size.

    Args:
        cases: places of these people in the list that was drawn for, (n,).
        picks: indices into `Draws.photos`, (n, n_draws, n_photos).
    """

    cases: NDArray[np.int64]
    picks: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draws:
    """All photos of a group, person after person, and the draws from them."""

    photos: tuple[Photo, ...]
    batches: tuple[DrawBatch, ...]


def draw_photos(cases: Sequence[Case], size: int | None, draws: int, context: Context) -> Draws:
    """Draw photos without replacement, independently for each person and draw.

    A person's draws depend on the run's seed, the name and the photos alone: not on the other people nor on any order.

    Args:
        cases: each with at least `size` photos, and at least one.
        size: photos per draw; None: one draw of all photos.
        draws: draws per person where `size` is given.
        context: gives the seed.
    """
    photos: list[Photo] = []
    by_shape: defaultdict[tuple[int, ...], list[tuple[int, NDArray[np.int64]]]] = defaultdict(list)
    for number, case in enumerate(cases):
        own = sorted(case.photos, key=lambda photo: photo.digest)
        n = len(own)
        if size is None or size == n:
            rows = np.arange(n, dtype=np.int64)[None, :]
        else:
            rng = context.rng("draws", case.name, *(photo.digest for photo in own))
            rows = rng.permuted(np.tile(np.arange(n, dtype=np.int64), (draws, 1)), axis=1)[:, :size]
        # Different people may have different numbers of draws (one is enough where all photos are taken).
        by_shape[rows.shape].append((number, rows + len(photos)))
        photos.extend(own)
    batches = [
        DrawBatch(np.array([number for number, _ in group]), np.stack([rows for _, rows in group]))
        for group in by_shape.values()
    ]
    return Draws(photos=tuple(photos), batches=tuple(batches))
