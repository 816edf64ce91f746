"""Bins of training pictures: levels as they are, ranges with enough people, everybody in exactly one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idbench.studies.photos import bins_of


def test_few_levels_are_bins_of_their_own() -> None:
    seen = np.repeat([1, 5, 10, 25, 50, 75], 3)
    assert [own.label for own in bins_of(seen)] == ["1", "5", "10", "25", "50", "75"]


def test_many_numbers_become_ranges() -> None:
    seen = np.concatenate([np.repeat([5, 6, 7, 8, 9], 10), np.arange(10, 40), [120]])
    assert [own.label for own in bins_of(seen)] == ["5-6", "7-9", "10-120"]


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=300))
def test_everybody_is_in_exactly_one_bin(numbers: list[int]) -> None:
    seen = np.array(numbers)
    bins = bins_of(seen)
    inside = np.array([own.holds(seen) for own in bins])
    assert (inside.sum(axis=0) == 1).all()
    if len(bins) > 1 and len(np.unique(seen)) > 8:
        assert inside.sum(axis=1).min() >= 20


@pytest.mark.parametrize("label", ["5", "10-19"])
def test_labels(label: str) -> None:
    from idbench.studies.photos import Bin

    ends = [int(end) for end in label.split("-")]
    assert Bin(ends[0], ends[-1]).label == label
