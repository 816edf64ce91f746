"""What a split can detect: the smallest AUC and difference found with a given power, and how many people that takes."""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special, stats

from idbench.metrics.values import MetricError, checked_count, checked_fraction, checked_number


def auc_variance(auc_value: float, n_members: int, n_nonmembers: int) -> float:
    """Sampling variance of the AUC for normal scores of equal spread.

    Args:
        auc_value: true AUC, in (0, 1).
        n_members: number of members, at least 1.
        n_nonmembers: number of non-members, at least 1.

    Returns:
        Exact variance of the mid-rank AUC under that model; a good guide for others.

    Raises:
        MetricError: `auc_value` outside (0, 1), or a size below 1.

    Source: Hanley and McNeil, Radiology 143 (1982), equation 1, with the two probabilities in closed form by
    Owen's T function.

    Example:
        >>> round(auc_variance(0.5, 100, 100) ** 0.5, 4)  # sqrt((m + n + 1) / (12 m n))
        0.0409
    """
    value = checked_fraction(auc_value, "auc_value")
    m, n = checked_count(n_members, "n_members"), checked_count(n_nonmembers, "n_nonmembers")
    shift = float(special.ndtri(value))
    # Chance that two members both exceed one non-member: two normals with correlation 1/2, both below `shift`.
    both = value - 2 * float(special.owens_t(shift, 1 / math.sqrt(3)))
    return (value * (1 - value) + (m + n - 2) * (both - value**2)) / (m * n)


def minimum_detectable_auc(
    n_members: int, n_nonmembers: int, *, power: float = 0.8, alpha: float = 0.05, chance: float = 0.5
) -> float:
    """The smallest AUC above chance that a two-sided test finds with probability `power`.

    Args:
        n_members: number of members, at least 1.
        n_nonmembers: number of non-members, at least 1.
        power: probability of finding it, in (0, 1).
        alpha: two-sided significance level, in (0, 1).
        chance: the AUC tested against, in [0.5, 1); a blind attack's AUC taken as known, for instance.

    Returns:
        An AUC in (chance, 1]; 1.0 means that not even a perfect attack would be found that often.

    Raises:
        MetricError: a size below 1, `chance` outside [0.5, 1), or `power` or `alpha` outside (0, 1).

    Source: Obuchowski, Statistical Methods in Medical Research 7 (1998), with `auc_variance` in place of its
    approximation; checked by simulation in docs/coverage.md.

    Example:
        >>> round(minimum_detectable_auc(100, 100), 3), round(minimum_detectable_auc(540, 8), 3)
        (0.614, 0.771)
    """
    base, strength = checked_fraction(chance, "chance"), checked_fraction(power, "power")
    size = checked_fraction(alpha, "alpha")
    if base < 0.5:
        raise MetricError(f"chance must be at least 0.5; got {chance!r}.")
    reach = float(special.ndtri(1 - size / 2)) * math.sqrt(auc_variance(base, n_members, n_nonmembers))
    quantile = float(special.ndtri(strength))

    def excess(value: float) -> float:
        return value - base - reach - quantile * math.sqrt(auc_variance(value, n_members, n_nonmembers))

    return _root(excess, base)


def minimum_detectable_difference(
    n_members: int,
    n_nonmembers: int,
    *,
    auc_value: float = 0.8,
    correlation: float = 0.5,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The smallest AUC difference between two methods on the same split that a paired test finds with `power`.

    Args:
        n_members: number of members, at least 1.
        n_nonmembers: number of non-members, at least 1.
        auc_value: AUC half-way between the two methods, in (0, 1).
        correlation: correlation of the two estimated AUCs, in [0, 1); similar methods are near 1.
        power: probability of finding it, in (0, 1).
        alpha: two-sided significance level, in (0, 1).

    Returns:
        A difference in (0, 1]; measured power there is 0.75 to 0.81 (docs/coverage.md).

    Raises:
        MetricError: a size below 1, `correlation` outside [0, 1), or another value outside (0, 1).

    Source: Hanley and McNeil, Radiology 148 (1983).

    Example:
        >>> round(minimum_detectable_difference(500, 500), 3)
        0.039
    """
    if not 0.0 <= checked_number(correlation, "correlation") < 1.0:
        raise MetricError(f"correlation must lie in [0, 1); got {correlation!r}.")
    strength, size = checked_fraction(power, "power"), checked_fraction(alpha, "alpha")
    factor = float(special.ndtri(1 - size / 2) + special.ndtri(strength))
    variance = 2 * auc_variance(auc_value, n_members, n_nonmembers) * (1 - correlation)
    return min(1.0, factor * math.sqrt(variance))


def _root(excess: Callable[[float], float], base: float) -> float:
    top = float(np.nextafter(1.0, 0.0))
    return 1.0 if excess(top) < 0 else float(optimize.brentq(excess, base, top))


def people_needed_for_auc(auc_value: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many members, and as many non-members, it takes to tell an AUC from chance.

    Args:
        auc_value: true AUC, in (0.5, 1).
        power: probability of finding it, in (0, 1).
        alpha: two-sided level of the test, in (0, 1).

    Returns:
        The smallest n with `minimum_detectable_auc(n, n) <= auc_value`.

    Raises:
        MetricError: `auc_value` outside (0.5, 1), or `power` or `alpha` outside (0, 1).

    Source: see `minimum_detectable_auc`.

    Example:
        >>> people_needed_for_auc(0.6)
        130
    """
    value = checked_fraction(auc_value, "auc_value")
    if value <= 0.5:
        raise MetricError(f"auc_value must lie above 0.5; got {auc_value!r}.")

    def seen(n: int) -> bool:
        return minimum_detectable_auc(n, n, power=power, alpha=alpha) <= value

    return _first(seen)


def people_needed_for_tpr(tpr: float, fpr: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many members, and as many non-members, it takes to tell a true-positive rate at a low rate from chance.

    The threshold is read off the non-members, so that its own false-positive rate varies from sample to sample: under
    chance the members above it follow a beta-binomial law, which the one-sided test is exact for.

    Args:
        tpr: true rate of members above the threshold with the false-positive rate `fpr`, in (fpr, 1); around it the
            ROC curve of normal scores of equal spread through that point is assumed.
        fpr: in (0, 1).
        power: probability of finding it, in (0, 1).
        alpha: one-sided level of the test, in (0, 1).

    Returns:
        The smallest multiple of ceil(1 / fpr), below which the rate cannot be resolved, that has the power.

    Raises:
        MetricError: a value outside (0, 1), or `tpr` not above `fpr`.

    Source: Gumbel and von Schelling, Annals of Mathematical Statistics 21 (1950): the distribution of exceedances.

    Example:
        >>> people_needed_for_tpr(0.05, 0.01)
        300
    """
    high, low = checked_fraction(tpr, "tpr"), checked_fraction(fpr, "fpr")
    strength, size = checked_fraction(power, "power"), checked_fraction(alpha, "alpha")
    if high <= low:
        raise MetricError(f"tpr must lie above fpr; got {tpr!r} at {fpr!r}.")
    step = math.ceil(1 / low)
    return step * _first(lambda turns: _power_of_tpr(turns * step, high, low, size) >= strength)


def _power_of_tpr(n: int, tpr: float, fpr: float, alpha: float) -> float:
    """Chance that the test of `people_needed_for_tpr` rejects with n members and n non-members."""
    spared = math.floor(fpr * n + 1e-9)  # non-members that may lie above the threshold
    counts = np.arange(n + 1)
    tails = stats.betabinom.sf(counts - 1, n, spared + 1, n - spared)
    critical = int(np.argmax(tails <= alpha)) if bool((tails <= alpha).any()) else n + 1
    grid = (np.arange(400) + 0.5) / 400
    true_fpr = stats.beta.ppf(grid, spared + 1, n - spared)
    shift = special.ndtri(tpr) - special.ndtri(fpr)
    rates = special.ndtr(special.ndtri(true_fpr) + shift)
    return float(np.mean(stats.binom.sf(critical - 1, n, rates)))


def _first(holds: Callable[[int], bool]) -> int:
    """The smallest number from 1 on for which something holds that goes on holding."""
    top = 1
    while not holds(top):
        top *= 2
    low = top // 2
    while top - low > 1:
        middle = (low + top) // 2
        low, top = (low, middle) if holds(middle) else (middle, top)
    return top
