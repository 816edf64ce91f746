"""Tests against chance: how unusual an AUC is among all relabellings of the same scores, for one row and for many."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from idbench.metrics.curve import area
from idbench.metrics.values import FloatArray, IntArray, checked_count, checked_sample

MAX_EXACT = 100  # identities up to which the permutation distribution is counted out
DRAWS = 9999  # labellings drawn beyond that
_BLOCK = 1024  # labellings at once
_CELLS = 1 << 21  # numbers in them at most: 16 MiB


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """AUC against chance by permuting the membership labels.

    Attributes:
        auc: the AUC observed.
        p_two_sided: chance of an AUC at least as far from 0.5 in either direction. The "p against chance" of command
            line and board.
        p_greater: chance of an AUC at least as high: does the attack find members?
        method: "exact", or "Monte Carlo" with the number of draws.
        draws: permutations drawn; 0 for the exact test. The smallest p-value is then 1 / (draws + 1).
    """

    auc: float
    p_two_sided: float
    p_greater: float
    method: str
    draws: int


def permutation_test(
    scores: npt.ArrayLike, members: npt.ArrayLike, *, draws: int = DRAWS, seed: int = 0
) -> PermutationTest:
    """Is the AUC different from chance? Nothing is assumed but that under chance any labelling is equally likely.

    Args:
        scores: (n,) finite; higher means more likely a member. An abstention is given the lowest score by the caller.
        members: (n,) true for members; both classes must be present.
        draws: permutations drawn if there are more than 100 identities; up to there all are counted, ties included.
        seed: seed of the draws.

    Returns:
        `PermutationTest`.

    Raises:
        MetricError: see `auc`.

    Source: Streitberg and Roehmel, Statistical Software Newsletter 12 (1986), for the exact distribution with ties;
    Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010), for (b + 1) / (B + 1).

    Example:
        >>> result = permutation_test([6, 5, 4, 3, 2, 1], [True, True, True, False, False, False])
        >>> result.p_two_sided, result.p_greater, result.method
        (0.1, 0.05, 'exact')
    """
    repeats = checked_count(draws, "draws")
    sample = checked_sample(scores, members)
    m = sample.members.size
    ranks = stats.rankdata(np.concatenate([np.sort(sample.members), np.sort(sample.nonmembers)]))
    two_sided, greater = chance_ps(ranks[None], np.arange(ranks.size) < m, repeats, seed)
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
        ranks all labellings are counted; else they are drawn, the labels as they are counting as one more draw.
    """
    m, n = int(members.sum()), members.size
    observed = 2 * ranks[:, members].sum(axis=1)
    twice = np.sort(2 * ranks, axis=1)
    counted = np.full(len(twice), n <= MAX_EXACT) & (np.abs(twice - np.rint(twice)) < 1e-9).all(axis=1)
    two_sided, greater = np.empty(len(twice)), np.empty(len(twice))
    for row in np.flatnonzero(counted):
        sums, chances = _exact_rank_sums(np.rint(twice[row]).astype(np.int64).tobytes(), m)
        far, high = _beyond(sums[None], observed[row : row + 1], _expected(twice[row : row + 1], m))
        two_sided[row], greater[row] = min(1.0, float(chances @ far[0])), min(1.0, float(chances @ high[0]))
    drawn = np.flatnonzero(~counted)
    if drawn.size:
        # The labels as they are count as one more draw, so that no p-value is 0.
        far_as, high_as = _drawn_beyond(twice[drawn], observed[drawn], m, draws, seed)
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
    small, expected = min(m, n - m), _expected(twice, m)
    total = twice.sum(axis=1)
    far, high = np.zeros(len(twice), dtype=np.int64), np.zeros(len(twice), dtype=np.int64)
    chosen = _labellings(n, small, draws, seed)
    block = min(_BLOCK, max(1, _CELLS // n))
    for begin in range(0, draws, block):
        flags = np.unpackbits(chosen[begin : begin + block], axis=1, count=n).astype(np.float64)
        sums = twice @ flags.T
        each = _beyond(sums if small == m else total[:, None] - sums, observed, expected)
        far += each[0].sum(axis=1)
        high += each[1].sum(axis=1)
    return far, high


@lru_cache(maxsize=4)  # a board asks for the same two or three class sizes again and again
def _labellings(n: int, small: int, draws: int, seed: int) -> npt.NDArray[np.uint8]:
    """`draws` choices of `small` of n places, without replacement: a bit for each place, (draws, n / 8 rounded up)."""
    generator = np.random.default_rng(seed)
    chosen = np.empty((draws, (n + 7) // 8), dtype=np.uint8)
    flags = np.empty(n, dtype=np.bool_)
    for row in chosen:
        flags[:] = False
        flags[generator.choice(n, small, replace=False, shuffle=False)] = True
        row[:] = np.packbits(flags)
    chosen.flags.writeable = False  # shared by all who ask again
    return chosen


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
