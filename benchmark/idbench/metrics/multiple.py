"""Corrections for testing many hypotheses at once."""

import numpy as np
import numpy.typing as npt

from idbench.metrics.values import FloatArray, MetricError


def holm(pvalues: npt.ArrayLike) -> FloatArray:
    """p-values adjusted so that the chance of even one false claim keeps to `alpha`, whatever their dependence.

    Args:
        pvalues: (k,) each in [0, 1].

    Returns:
        (k,) adjusted p-values in the same order, at most 1; empty for an empty input.

    Raises:
        MetricError: a value outside [0, 1] or not finite, or not a flat list.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = _checked(pvalues)
    order = np.argsort(values, kind="stable")
    factors = values.size - np.arange(values.size)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return adjusted


def benjamini_hochberg(pvalues: npt.ArrayLike) -> FloatArray:
    """p-values adjusted so that the expected share of false claims among all claims keeps to `alpha`.

    Holds for independent or positively dependent tests.

    Args:
        pvalues: (k,) each in [0, 1].

    Returns:
        (k,) adjusted p-values in the same order, at most 1; empty for an empty input.

    Raises:
        MetricError: see `holm`.

    Source: Benjamini and Hochberg, Journal of the Royal Statistical Society B 57 (1995).

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.04, 0.04]
    """
    values = _checked(pvalues)
    order = np.argsort(values, kind="stable")[::-1]
    factors = values.size / (values.size - np.arange(values.size))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(values[order] * factors))
    return adjusted


def _checked(pvalues: npt.ArrayLike) -> FloatArray:
    values = np.asarray(pvalues, dtype=np.float64)
    if values.ndim != 1:
        raise MetricError(f"p-values must be a flat list; got shape {values.shape}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise MetricError("every p-value must lie between 0 and 1.")
    return values
