"""The intervals of `idbench.metrics` for many rows at once; tests hold each to the number for a single row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from idbench_leaderboard.standing import Floats

_STEPS: Final = 60
_EXACT: Final = 1e-12
_DEVIATIONS: Final = 9
"""Binomial chances beyond so many standard deviations add nothing to a sum of floats."""


def auc_intervals(
    values: Floats, variances: Floats, members: NDArray[np.int64], n: int, level: float
) -> tuple[Floats, Floats]:
    """Ends of `idbench.metrics.auc_interval` for many AUCs at once.

    Args:
        values: AUCs, (k,).
        variances: DeLong's, (k,); 0 where unknown.
        members: how many members each speaks of, (k,).
        n: non-members of all.
        level: confidence.
    """
    smaller = np.minimum(members, n)
    inside = np.clip(values, 0.25 / smaller, 1 - 0.25 / smaller)
    ratio = variances * members * n / (inside * (1 - inside) * _inflation(inside, members + n))
    misplaced = smaller * np.minimum(values, 1 - values)
    shrunk = np.power(ratio, misplaced / (misplaced + 5), where=ratio > 0, out=np.ones_like(ratio))
    # Without a variance the scores say nothing of the spread: Newcombe's interval stands in, a ratio of 1.
    ratio = np.where(variances <= 0, 1.0, np.where(ratio < 1, shrunk, ratio))
    share = special.ndtri((1 + level) / 2) ** 2 * ratio / (members * n)
    both, total = np.concatenate([values, 1 - values]), np.tile(members + n, 2)
    low = _newcombe_low(both, total, np.tile(share, 2))
    return low[: values.size], 1 - low[values.size :]


def _inflation(values: Floats, total: NDArray[np.int64]) -> Floats:
    return np.asarray(1 + (total / 2 - 1) * ((1 - values) / (2 - values) + values / (1 + values)), dtype=np.float64)


def _newcombe_low(values: Floats, total: NDArray[np.int64], share: Floats) -> Floats:
    """For each value, the candidate below it that lies z of its own standard errors away; share is z² / (m n)."""
    perfect = values >= 1

    def excess(candidates: Floats) -> Floats:
        scaled = share * candidates * _inflation(candidates, total)
        # At 1 the factor 1 - candidate stands on both sides; divided out, so that the root at 1 is not found.
        gap = np.where(perfect, 1 - candidates, (values - candidates) ** 2)
        return np.asarray(np.where(perfect, scaled, scaled * (1 - candidates)) - gap, dtype=np.float64)

    return _rising_root(excess, np.zeros_like(values), values)


def _rising_root(function: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Where a function turns from negative to positive between two ends, by halving: as exact as a float can be."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        negative = function(middle) < 0
        low, high = np.where(negative, middle, low), np.where(negative, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)


def tpr_intervals(above: NDArray[np.int32], n_members: int, fpr: float, level: float) -> tuple[Floats, Floats]:
    """Ends of `idbench.metrics.tpr_at_fpr_interval` for R rows.

    Args:
        above: members strictly above each non-member, the highest non-member first, (R, non-members).
        n_members: of each row.
        fpr: a rate that the non-members can resolve.
        level: confidence.
    """
    rows, n = above.shape
    chances = stats.binom.pmf(np.arange(n + 1), n, fpr)
    likely = np.flatnonzero(chances > 1e-12)
    ends = np.zeros((rows, n + 2), dtype=np.int64)
    ends[:, 1:-1], ends[:, -1] = above, n_members
    tail = (1 - level) / 2
    low = _mixture_quantiles(chances[likely], ends[:, likely], n_members, tail)
    high = 1 - _mixture_quantiles(chances[likely], n_members - ends[:, likely + 1], n_members, tail)
    return low, high


def _mixture_quantiles(chances: Floats, hits: NDArray[np.int64], total: int, tail: float) -> Floats:
    """For each row, the rate below which the mixture of Beta(hits, total - hits + 1) holds `tail`.

    I_x(h, total - h + 1) is the chance of h or more successes in `total` tries, so the mixture's distribution function
    is the expectation of `reached[successes]`, a sum over the binomial chances around the successes to expect.
    """
    rows = len(hits)
    places = (np.arange(rows)[:, None] * (total + 1) + hits).ravel()
    weights = np.bincount(places, np.tile(chances, rows), minlength=rows * (total + 1))
    reached: Floats = np.cumsum(weights.astype(np.float64).reshape(rows, total + 1), axis=1)
    result = np.zeros(rows)
    some = reached[:, 0] < tail  # else the mixture holds more than `tail` at a rate of zero
    result[some] = _solved(reached[some], _started(chances, hits[some], total, tail), tail)
    return result


def _started(chances: Floats, hits: NDArray[np.int64], total: int, tail: float) -> Floats:
    """A first guess: the quantile of a normal distribution with the mixture's mean and variance."""
    each = hits / (total + 1)
    mean = each @ chances
    variance = ((each - mean[:, None]) ** 2 + each * (1 - each) / (total + 2)) @ chances
    guess = mean + special.ndtri(tail) * np.sqrt(np.maximum(variance, 0.0))
    return np.asarray(np.clip(guess, 0.1 * tail / total, 1 - 0.1 / total), dtype=np.float64)


def _solved(reached: Floats, guess: Floats, tail: float) -> Floats:
    """Where the expectation of `reached` is `tail`: Newton's steps, halving wherever a step would leave the bracket."""
    total = reached.shape[1] - 1
    upto = np.arange(1, total + 2)
    choose = special.gammaln(total + 1) - special.gammaln(upto) - special.gammaln(upto[::-1])
    width = min(total + 1, 2 * math.ceil(_DEVIATIONS * math.sqrt(total) / 2) + 1)
    result, left = guess, np.arange(guess.size)
    low, high = np.zeros_like(guess), np.ones_like(guess)
    for _ in range(_STEPS):
        x = result[left]
        first = np.clip(np.rint(total * x).astype(np.int64) - width // 2, 0, total + 1 - width)
        successes = first[:, None] + np.arange(width)
        odds = (np.log(x) - np.log1p(-x))[:, None]
        weighted = np.exp(choose[successes] + successes * odds + (total * np.log1p(-x))[:, None])
        weighted *= reached[left[:, None], successes]
        passed = weighted.sum(axis=1)
        # d/dx of a binomial chance is chance * (successes - total * x) / (x * (1 - x)).
        slope = ((weighted * successes).sum(axis=1) - total * x * passed) / (x * (1 - x))
        below = passed < tail
        low[left], high[left] = np.where(below, x, low[left]), np.where(below, high[left], x)
        tried = x - np.divide(passed - tail, slope, out=np.full_like(x, np.inf), where=slope > 0)
        inside = (tried >= low[left]) & (tried <= high[left])
        result[left] = np.where(inside, tried, (low[left] + high[left]) / 2)
        left = left[np.abs(result[left] - x) > _EXACT]
        if not left.size:
            break
    return result
