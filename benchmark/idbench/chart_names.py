"""Names of a chart's points in a column beside them, none over another, however close the points are."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from idbench.figures import GREY

NAME_HEIGHT: Final = 14
"""Pixels from one name to the next."""
_NAME_WIDTH: Final = 118  # pixels that the names beside the points take, on a phone too


def range_beside(width: int | None = None) -> list[Any]:
    """Range of an x scale whose points leave the names their column.

    Args:
        width: of the chart in pixels; None: as wide as its container, and not part of a concatenation.
    """
    return [0, _from_the_right(_NAME_WIDTH, width)]


def _from_the_right(pixels: int, width: int | None) -> Any:
    return alt.ExprRef(f"width - {pixels}") if width is None else width - pixels


def names_beside(base: alt.Chart, y: alt.Y, at: alt.Y, name: str, width: int | None = None) -> list[alt.Chart]:
    """Names in a column right of all points, and a thin line from each point to its name: points may be close.

    Args:
        base: with the data and the x channel, whose scale has `range_beside`.
        y: of the points.
        at: of the names.
        name: column of the names.
        width: as given to `range_beside`.
    """
    edge = _from_the_right(_NAME_WIDTH - 8, width)
    return [
        base.mark_rule(color=GREY, opacity=0.5).encode(y=y, y2=alt.Y2(at.shorthand), x2=alt.value(edge)),
        base.mark_text(align="left", dx=2, fontSize=11, limit=_NAME_WIDTH - 10).encode(
            x=alt.value(edge), y=at, text=f"{name}:N"
        ),
    ]


def heights_of_names(auc: pd.Series[float], low: float, high: float, unit: float) -> NDArray[np.float64]:
    """How high each name stands: near its point, none over another, all inside the chart.

    Args:
        auc: of the points.
        low: the least AUC of the axis.
        high: the largest.
        unit: AUC per pixel.
    """
    at: NDArray[np.float64] = np.array(auc, np.float64)
    gap = NAME_HEIGHT * unit
    order = np.argsort(at, kind="stable")
    if order.size:
        steps = gap * (np.arange(order.size) + 0.5)
        at[order] = np.clip(_apart(at[order], gap), low + steps, high - steps[::-1])
    return at


def _apart(values: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Rising values moved as little as this takes to be at least `gap` apart: clusters spread around their middle."""
    groups: list[list[float]] = []
    for value in values.tolist():
        groups.append([value])
        while len(groups) > 1 and _start(groups[-1], gap) - _start(groups[-2], gap) < gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return np.concatenate([_start(group, gap) + gap * np.arange(len(group)) for group in groups])


def _start(group: list[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2
