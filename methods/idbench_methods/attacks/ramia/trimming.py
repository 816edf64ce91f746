"""The trimmed mean over a range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def trimmed_mean(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Mean of what lies between two quantiles of each row, both included, (n, range) -> (n,).

    Args:
        values: scores of a range's samples, (n, range), range at least 1.
        low, high: quantiles, 0 to 1, low at most high.
    """
    bounds = np.quantile(values, [low, high], axis=1, method="linear")[:, :, None]
    # The quantiles are interpolated: rounding must not leave a row of equal values without any.
    slack = 1e-9 * (1 + np.abs(values).max(initial=0.0))
    kept = (values >= bounds[0] - slack) & (values <= bounds[1] + slack)
    mean: NDArray[np.float64] = np.where(kept, values, 0.0).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)
    return mean


def by_person(
    values: NDArray[np.float64], owner: NDArray[np.int64], n: int, low: float, high: float
) -> NDArray[np.float64]:
    """Trimmed mean of each person's samples, (n,); NaN for people without photos.

    Args:
        values: of each photo under each prompt, (n_photos, n_prompts).
        owner: person of each photo, (n_photos,).
        n: people.
        low, high: quantiles.
    """
    result = np.full(n, np.nan)
    counts = np.bincount(owner, minlength=n)
    for count in np.unique(counts[counts > 0]).tolist():
        people = np.flatnonzero(counts == count)
        rows = np.flatnonzero(np.isin(owner, people))
        rows = rows[np.argsort(owner[rows], kind="stable")]
        result[people] = trimmed_mean(values[rows].reshape(len(people), -1), low, high)
    return result
