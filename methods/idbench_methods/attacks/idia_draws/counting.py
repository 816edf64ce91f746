"""Counts IDIA's votes for every number of photos and every draw in one go: products of small matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.api import Case, Context
from idbench_methods.attacks.idia.draws import draw_photos

_BLOCK = 1 << 24
"""Numbers in the largest array; keeps the working memory near 256 MiB."""


def places_in_draws(cases: Sequence[Case], draws: int, context: Context) -> NDArray[np.int64]:
    """At which place each photo stands in each draw's order, (n_cases, draws, n_photos).

    A draw of k photos holds those at places 0 to k - 1, and is the one that `idia` draws with the same seed.

    Args:
        cases: people with equally many photos, at least one; photos are counted in the order of their digests.
        draws: draws per person.
        context: gives the seed.
    """
    n, h = len(cases), len(cases[0].photos)
    places = np.full((n, draws, h), h - 1, dtype=np.int64)
    if h > 1:
        # IDIA's draw of all photos but one; the one that is missing comes last.
        (batch,) = draw_photos(cases, h - 1, draws, context).batches
        own = batch.picks - h * batch.cases[:, None, None]
        np.put_along_axis(places, own, np.broadcast_to(np.arange(h - 1), own.shape), axis=2)
    return places


def right_by_size(
    labels: NDArray[np.int32], truth: NDArray[np.int64], places: NDArray[np.int64], sizes: Sequence[int]
) -> NDArray[np.int64]:
    """In how many prompts the true name has strictly more votes than every other, (n_cases, n_sizes, draws).

    Args:
        labels: name given to each photo under each prompt, (n_prompts, n_cases, n_photos).
        truth: each person's own name, (n_cases,).
        places: from `places_in_draws`, (n_cases, draws, n_photos).
        sizes: numbers of photos, each from 1 to n_photos.
    """
    n, draws, h = places.shape
    right = np.zeros((n, len(sizes), draws), dtype=np.int64)
    step = max(1, _BLOCK // (len(sizes) * draws * h))
    for start in range(0, n, step):
        block = slice(start, start + step)
        drawn = places[block, None] < np.array(sizes)[None, :, None, None]
        chosen = drawn.reshape(drawn.shape[0], -1, h).astype(np.float32)
        for prompt in labels[:, block]:
            won = _strictly_most(prompt, truth[block], chosen)
            right[block] += won.reshape(-1, len(sizes), draws)
    return right


def _strictly_most(
    votes: NDArray[np.int32], truth: NDArray[np.int64], chosen: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Whether the true name wins among the chosen photos, (n, n_choices); votes (n, h), chosen (n, n_choices, h)."""
    same = (votes[:, :, None] == votes[:, None, :]).astype(np.float32)
    true = (votes == truth[:, None]).astype(np.float32)
    own = chosen @ true[:, :, None]
    # Votes of the name that each photo was given; those of the true name do not compete with themselves.
    rivals = (chosen @ same) * (1 - true)[:, None, :]
    won: NDArray[np.bool_] = own[:, :, 0] > rivals.max(axis=2)
    return won
