"""Scores with their labels: a published example, and samples full of ties."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

# Ratings of 58 normal and 51 abnormal pictures, worst to best, as printed by Hanley and McNeil (1982), table I.
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)
RATINGS = np.concatenate([np.repeat(np.arange(1, 6), ABNORMAL), np.repeat(np.arange(1, 6), NORMAL)])
IS_ABNORMAL = np.arange(109) < 51

Sample = tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]


@st.composite
def tied_samples(draw: st.DrawFn) -> Sample:
    """Few whole-number scores, so that ties within and between the classes are the rule."""
    inside = draw(st.lists(st.integers(0, 6), min_size=1, max_size=25))
    outside = draw(st.lists(st.integers(0, 6), min_size=1, max_size=25))
    order = draw(st.permutations(range(len(inside) + len(outside))))
    scores = np.array(inside + outside, dtype=np.float64)[order]
    return scores, (np.arange(len(scores)) < len(inside))[order]
