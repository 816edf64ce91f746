"""RMIA's ratios: a person's probability on the target against that on the shadows, and against the population's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_ratio(
    target: NDArray[np.float64], shadows: NDArray[np.float64], inside: NDArray[np.bool_], a: float
) -> NDArray[np.float64]:
    """log of P(person | target) / P(person), (n,).

    P(person) is the mean of the average over shadows with the person and of that over shadows without. Where no shadow
    contains the person, the former is taken as `a` times the latter plus 1 - `a` (section 3 of the paper).

    Args:
        target: log-probabilities, (n,).
        shadows: log-probabilities, (K, n); NaN where a shadow is not to be used.
        inside: whether the shadow contains the person, (K, n).
        a: 0 to 1.
    """
    outs = ~inside & ~np.isnan(shadows)
    ins = inside & ~np.isnan(shadows)
    without = _mean(shadows, outs)
    with_ = np.where(ins.any(axis=0), _mean(shadows, ins), a * without + 1.0 - a)
    ratio: NDArray[np.float64] = target - np.log(0.5 * (with_ + without))
    return ratio


def dominated(own: NDArray[np.float64], population: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Share of the population whose ratio, times gamma, does not exceed the person's own, (n,).

    Args:
        own: logarithms of ratios, (n,).
        population: logarithms of ratios, (m,), m > 0.
        gamma: positive.
    """
    ordered = np.sort(population) + np.log(gamma)
    return np.searchsorted(ordered, own, side="right") / len(ordered)


def _mean(logs: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean probability over the chosen shadows, (n,)."""
    probabilities = np.where(chosen, np.exp(np.where(chosen, logs, 0.0)), 0.0)
    mean: NDArray[np.float64] = probabilities.sum(axis=0) / np.maximum(chosen.sum(axis=0), 1)
    return np.maximum(mean, np.finfo(np.float64).tiny)
