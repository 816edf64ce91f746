"""Counting IDIA's votes: integer arrays only, in blocks of bounded size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 21
"""Votes looked at together; keeps the working memory near 64 MiB."""


def right_prompts(
    labels: NDArray[np.integer], picks: NDArray[np.integer], truth: NDArray[np.integer]
) -> NDArray[np.int64]:
    """In how many prompts the true name wins, for each person and draw of photos.

    Args:
        labels: name that the target gave to each photo under each prompt, (n_prompts, n_photos).
        picks: which photos each draw holds, (n_cases, n_draws, n_drawn), at least one photo per draw.
        truth: each person's own name, (n_cases,).

    Returns:
        (n_cases, n_draws), 0 to n_prompts.
    """
    n_cases, n_draws, n_drawn = picks.shape
    right = np.zeros((n_cases, n_draws), dtype=np.int64)
    step = max(1, _BLOCK // max(1, n_draws * n_drawn))
    for start in range(0, n_cases, step):
        block = slice(start, start + step)
        for prompt in labels:
            right[block] += strictly_most_frequent(prompt[picks[block]], truth[block, None])
    return right


def strictly_most_frequent(votes: NDArray[np.integer], name: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether `name` has more votes than every other name; a tie for the top is a no (the paper's released rule).

    Args:
        votes: (..., n_votes), at least one vote.
        name: broadcasts against votes without its last axis.
    """
    ordered = np.sort(votes, axis=-1)
    place = np.arange(votes.shape[-1], dtype=np.int32)
    fresh = np.ones(ordered.shape, dtype=np.bool_)
    fresh[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    # Length of the run of equal votes up to each place; the longest run of others is the rival's count.
    run = place + 1 - np.maximum.accumulate(np.where(fresh, place, 0), axis=-1)
    own = ordered == name[..., None]
    rival = np.where(own, 0, run).max(axis=-1)
    won: NDArray[np.bool_] = own.sum(axis=-1) > rival
    return won
