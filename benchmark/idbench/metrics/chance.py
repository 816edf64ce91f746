"""Tests against chance: how unusual an AUC is among all relabellings of the same scores, for one row and for many."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from idbench.metrics.curve import area
from idbench.metrics.values import FloatArray, IntArray, checked_count, checked_sample

MAX_EXACT = 100  # identities up to which the permutation distribution is counted out
DRAWS = 9999  # labellings drawn beyond that
_BLOCK = 1024  # labellings at once
_CELLS = 1 << 20  # numbers in them at most: 8 MiB
KEPT_BYTES = 1 << 24  # of labellings that are kept for the next board
_MOST_READINGS = 12  # seeds of a row, or seeds times targets, whose mean is looked at in whole numbers
_ROUNDING = 1e-12  # of a mean rank, as a share of the greatest
WHOLE = 1 << 24  # whole numbers up to here, and their sums, are exact in single precision


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """AUC against chance by permuting the membership labels.

    Attributes:
        auc: the AUC observed.
        p_two_sided: probability, if labels are random, of an AUC at least as far from 0.5 in either direction: the
            "p against chance" of command line and board.
        p_greater: probability, if labels are random, of an AUC at least as high: does the attack find members?
        method: "exact", or "Monte Carlo" with the number of draws.
        draws: permutations drawn; 0 for the exact test. With draws no p-value is below 1 / (draws + 1).
    """

    auc: float
    p_two_sided: float
    p_greater: float
    method: str
    draws: int


def permutation_test(
    scores: npt.ArrayLike, members: npt.ArrayLike, *, draws: int = DRAWS, seed: int = 0
) -> PermutationTest:
    """Is the AUC different from chance? The only assumption: under chance every labelling is equally likely.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        draws: permutations drawn if there are more than 100 identities; up to there all are counted, ties included.
        seed: seed of the draws.

    Returns:
        `PermutationTest`.

    Raises:
        MetricError: see `auc`; or fewer than one draw, or a negative seed.

    Source: Streitberg and Roehmel, Statistical Software Newsletter 12 (1986), for the exact distribution with ties;
    Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010), for (b + 1) / (B + 1).

    Example:
        >>> result = permutation_test([6, 5, 4, 3, 2, 1], [True, True, True, False, False, False])
        >>> result.p_two_sided, result.p_greater, result.method
        (0.1, 0.05, 'exact')
    """
    repeats, start = checked_count(draws, "draws"), checked_count(seed, "seed", at_least=0)
    sample = checked_sample(scores, members)
    m = sample.members.size
    ranks = stats.rankdata(np.concatenate([np.sort(sample.members), np.sort(sample.nonmembers)]))
    two_sided, greater = chance_ps(ranks[None], np.arange(ranks.size) < m, repeats, start)
    exact = ranks.size <= MAX_EXACT
    return PermutationTest(
        auc=area(sample),
        p_two_sided=float(two_sided[0]),
        p_greater=float(greater[0]),
        method="exact" if exact else f"Monte Carlo, {repeats} draws",
        draws=0 if exact else repeats,
    )


def chance_ps(
    ranks: FloatArray, members: npt.NDArray[np.bool_], draws: int = DRAWS, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """p-values of "the labels are independent of the ranks" for many rows, by permuting the labels.

    The AUC is linear in the mid-ranks, and so is a mean of AUCs over rows with the same members in the mean of their
    mid-ranks. All rows are judged by the same labellings, drawn from the sizes of the classes and the seed alone, so
    that a row's p-value depends on its own ranks and on nothing else.

    Args:
        ranks: mid-ranks, or their means over seeds and targets, (E, n).
        members: (n,).
        draws: labellings drawn where the distribution is not counted out.
        seed: of the draws.

    Returns:
        Two-sided p-values (E,), and those of "members rank higher", (E,). Up to 100 identities with whole or half
        ranks all labellings are counted; otherwise they are drawn, and the observed one counts as one more draw.
    """
    return chances_of(rank_sums(ranks, members), draws, seed)


@dataclass(frozen=True, slots=True)
class RankSums:
    """What the labels of rows of ranks are permuted over.

    Attributes:
        twice: doubled mid-ranks of each row, rising, (E, n).
        observed: doubled rank sums of the members, (E,).
        m: members among the n.
    """

    twice: FloatArray
    observed: FloatArray
    m: int


def rank_sums(ranks: FloatArray, members: npt.NDArray[np.bool_]) -> RankSums:
    """The `RankSums` of mid-ranks (E, n), or of means of mid-ranks, for labels (n,)."""
    twice = 2 * ranks
    twice.sort(axis=1)
    return RankSums(twice, 2 * ranks[:, members].sum(axis=1), int(members.sum()))


def chances_of(found: RankSums, draws: int = DRAWS, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """The p-values of `chance_ps` from rank sums that were prepared beforehand."""
    twice, observed, m, n = found.twice, found.observed, found.m, found.twice.shape[1]
    counted: npt.NDArray[np.bool_] = np.zeros(len(twice), dtype=np.bool_)
    if n <= MAX_EXACT:
        counted = np.asarray((np.abs(twice - np.rint(twice)) < 1e-9).all(axis=1))
    two_sided, greater = np.empty(len(twice)), np.empty(len(twice))
    for row in np.flatnonzero(counted):
        sums, chances = _exact_rank_sums(np.rint(twice[row]).astype(np.int64).tobytes(), m)
        far, high = _beyond(sums[None], observed[row : row + 1], _expected(twice[row : row + 1], m))
        two_sided[row], greater[row] = min(1.0, float(chances @ far[0])), min(1.0, float(chances @ high[0]))
    drawn = np.flatnonzero(~counted)
    if drawn.size:
        # The labels as they are count as one more draw, so that no p-value is 0.
        rest = (twice, observed) if drawn.size == len(twice) else (twice[drawn], observed[drawn])
        far_as, high_as = _drawn_beyond(*rest, m, draws, seed)
        two_sided[drawn], greater[drawn] = (far_as + 1) / (draws + 1), (high_as + 1) / (draws + 1)
    return two_sided, greater


def _expected(twice: FloatArray, m: int) -> FloatArray:
    return np.asarray(twice.sum(axis=1) * m / twice.shape[1], dtype=np.float64)


def _beyond(
    sums: FloatArray | IntArray, observed: FloatArray, expected: FloatArray
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which sums (E, k) lie at least as far from what is expected as the observed ones, (E,), and which as high."""
    # Sums that are equal in exact arithmetic may differ in the last bits; no two others are so close.
    slack = 1e-9 * np.maximum(1.0, np.abs(observed))[:, None]
    far = np.abs(sums - expected[:, None]) >= np.abs(observed - expected)[:, None] - slack
    return far, sums >= observed[:, None] - slack


def _drawn_beyond(twice: FloatArray, observed: FloatArray, m: int, draws: int, seed: int) -> tuple[IntArray, IntArray]:
    """In how many labellings the rank sums (E,) of the members are as far out as the observed ones, and as high."""
    n = twice.shape[1]
    small = min(m, n - m)
    centred = _centred(twice)
    beyond = _beyond_with_rounding(twice, observed, m) if centred is None else _beyond_exactly(*centred, observed, m)
    kind = np.float64 if centred is None else np.float32
    far, high = np.zeros(len(twice), dtype=np.int64), np.zeros(len(twice), dtype=np.int64)
    for flags in _labellings(n, small, draws, seed):
        each = beyond(flags.astype(kind))
        far += each[0]
        high += each[1]
    return far, high


_Counting: TypeAlias = Callable[[npt.NDArray[Any]], tuple[IntArray, IntArray]]
"""Of labellings (k, n), 1.0 for the smaller class: in how many the rows (E,) are as far out, and as high."""


def _beyond_with_rounding(twice: FloatArray, observed: FloatArray, m: int) -> _Counting:
    """Sums in double precision, which are equal up to their last bits where they are equal."""
    expected, total = _expected(twice, m), twice.sum(axis=1)
    mirrored = 2 * m > twice.shape[1]

    def count(flags: FloatArray) -> tuple[IntArray, IntArray]:
        sums = twice @ flags.T
        far, high = _beyond(total[:, None] - sums if mirrored else sums, observed, expected)
        return np.count_nonzero(far, axis=1), np.count_nonzero(high, axis=1)

    return count


def _beyond_exactly(centred: npt.NDArray[np.float32], scale: int, observed: FloatArray, m: int) -> _Counting:
    """Sums of whole numbers that single precision holds: in half the time, and nothing is rounded."""
    n = centred.shape[1]
    above = np.rint(scale * (observed - m * (n + 1))).astype(np.float32)[:, None]
    mirrored = 2 * m > n

    def count(flags: npt.NDArray[np.float32]) -> tuple[IntArray, IntArray]:
        sums = centred @ flags.T
        if mirrored:  # the centred ranks of all sum to nothing
            np.negative(sums, out=sums)
        high = np.count_nonzero(sums >= above, axis=1)
        np.abs(sums, out=sums)
        return np.count_nonzero(sums >= np.abs(above), axis=1), high

    return count


def _centred(twice: FloatArray) -> tuple[npt.NDArray[np.float32], int] | None:
    """Doubled ranks less their mean, times what makes them whole, and that factor; None where sums would be inexact.

    A mean over three seeds is a number of thirds. Mid-ranks of n people sum to n (n + 1) / 2, ties or not.
    """
    n = twice.shape[1]
    if n * n >= 2 * WHOLE:
        return None
    centred = twice - (n + 1)
    most = float(np.abs(centred).sum(axis=1).max(initial=0.0))
    for scale in range(1, _MOST_READINGS + 1):
        if scale * most >= WHOLE:
            return None
        whole = np.rint(scale * centred)
        if np.abs(whole - scale * centred).max(initial=0.0) < _ROUNDING * n and not whole.sum(axis=1).any():
            return whole.astype(np.float32), scale
    return None


def _labellings(n: int, small: int, draws: int, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """`draws` choices of `small` of n places without replacement, in blocks (k, n): 1 for each place that is chosen."""
    block = min(_BLOCK, max(1, _CELLS // n))
    if draws * n <= 8 * KEPT_BYTES:
        packed = _kept_labellings(n, small, draws, seed)
        for begin in range(0, draws, block):
            yield np.unpackbits(packed[begin : begin + block], axis=1, count=n)
    else:
        generator = np.random.default_rng(seed)
        for begin in range(0, draws, block):
            yield _drawn(generator, min(block, draws - begin), n, small)


@lru_cache(maxsize=4)  # a board asks for the same two or three class sizes again and again
def _kept_labellings(n: int, small: int, draws: int, seed: int) -> npt.NDArray[np.uint8]:
    """The same as a bit for each place, (draws, n / 8 rounded up)."""
    generator = np.random.default_rng(seed)
    chosen = np.stack([np.packbits(_drawn(generator, 1, n, small)[0]) for _ in range(draws)])
    chosen.flags.writeable = False  # shared by all who ask again
    return chosen


def _drawn(generator: np.random.Generator, count: int, n: int, small: int) -> npt.NDArray[np.uint8]:
    flags = np.zeros((count, n), dtype=np.uint8)
    for row in flags:
        row[generator.choice(n, small, replace=False, shuffle=False)] = 1
    return flags


@lru_cache(maxsize=64)  # rows without ties have the same ranks
def _exact_rank_sums(ranks: bytes, m: int) -> tuple[IntArray, FloatArray]:
    """Every possible sum of m of the doubled ranks with its probability, counted one identity after another."""
    twice_ranks = np.frombuffer(ranks, dtype=np.int64)
    small = min(m, twice_ranks.size - m)
    offset = int(twice_ranks.min())
    shifted = twice_ranks - offset
    top = int(np.sort(shifted)[-small:].sum())
    # chance[j, s]: chance that j of the identities so far are taken and sum to s, when `small` of all are drawn.
    chance = np.zeros((small + 1, top + 1))
    chance[0, 0] = 1.0
    for seen, rank in enumerate(shifted.tolist()):
        left = shifted.size - seen
        take = (small - np.arange(small + 1)) / left
        taken = chance[:-1, : top + 1 - rank] * take[:-1, None]
        chance *= np.clip(1 - take, 0, None)[:, None]
        chance[1:, rank:] += taken
    sums = np.flatnonzero(chance[small] > 0)
    chances = chance[small][sums]
    found = sums + small * offset
    return (found if small == m else int(twice_ranks.sum()) - found), chances
