"""The likelihood ratio of two normal distributions fitted to shadows with and without each person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1e-6
"""Least variance; below it rounding would decide."""

_SHARE = 0.01
"""A person's own variance is at least this share of the pooled one: a few values may agree by chance."""


def online_scores(
    observed: NDArray[np.float64], shadows: NDArray[np.float64], inside: NDArray[np.bool_], *, pooled: bool
) -> NDArray[np.float64]:
    """log N(observed; in) - log N(observed; out) for each person, (n,).

    Args:
        observed: the target's statistic, (n,).
        shadows: the shadows' statistics, (K, n).
        inside: whether the shadow contains the person, (K, n); somebody is in at least one. People in none get the
            mean without, moved by the average difference.
        pooled: one variance for everybody and both halves, within people, and differences between a person's means as
            far as they are more than noise (`believed`); otherwise each person's own two variances and means.
    """
    mean_out, square_out, n_out = _moments(shadows, ~inside)
    mean_in, square_in, n_in = _moments(shadows, inside)
    trained = n_in > 0
    shift = np.full(len(observed), float((mean_in - mean_out)[trained].mean()))
    shift[trained] = (mean_in - mean_out)[trained]
    common = _variance(np.concatenate([square_in, square_out]), np.concatenate([n_in, n_out]))
    if pooled:
        var_in = var_out = np.full(len(observed), common)
        noise = common * (1 / n_in[trained] + 1 / n_out[trained])
        shift[trained] = believed(shift[trained], noise)
        shift[~trained] = shift[trained].mean()
    else:
        var_in, var_out = _own(square_in, n_in, common), _own(square_out, n_out, common)
    mean_in = mean_out + shift
    far_out, far_in = (observed - mean_out) ** 2 / var_out, (observed - mean_in) ** 2 / var_in
    ratio: NDArray[np.float64] = 0.5 * (far_out - far_in + np.log(var_out / var_in))
    return ratio


def believed(differences: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences drawn towards their mean as far as their spread is noise (empirical Bayes), (n,).

    With many shadows the noise vanishes and the differences stay as they are.

    Args:
        differences: measured, (n,).
        noise: variance of each measurement, (n,).
    """
    centre = differences.mean()
    genuine = max(0.0, float(differences.var() - noise.mean()))
    kept = genuine / (genuine + noise)
    drawn: NDArray[np.float64] = centre + kept * (differences - centre)
    return drawn


def offline_scores(
    observed: NDArray[np.float64], shadows: NDArray[np.float64], inside: NDArray[np.bool_], *, pooled: bool
) -> NDArray[np.float64]:
    """Standard deviations by which the target stands above the shadows without the person, (n,).

    The paper's one-sided probability rises with it. Arguments as in `online_scores`.
    """
    mean, square, count = _moments(shadows, ~inside)
    common = _variance(square, count)
    variance = np.full(len(observed), common) if pooled else _own(square, count, common)
    score: NDArray[np.float64] = (observed - mean) / np.sqrt(variance)
    return score


def _moments(
    values: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean, sum of squared deviations and number of the chosen values of each column, (n,) each; 0 without any."""
    count = chosen.sum(axis=0)
    mean = np.where(chosen, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(chosen, (values - mean) ** 2, 0.0).sum(axis=0)
    return mean, squares, count


def _variance(squares: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    freedom = int(np.maximum(counts - 1, 0).sum())
    return max(float(squares.sum()) / max(freedom, 1), _SMALLEST)


def _own(squares: NDArray[np.float64], counts: NDArray[np.int64], common: float) -> NDArray[np.float64]:
    """Each person's variance; the common one where there are fewer than two values."""
    own = squares / np.maximum(counts - 1, 1)
    return np.where(counts > 1, np.maximum(own, _SHARE * common), common)
