"""IDIA's counting, against the rule spelled out with dictionaries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idbench_methods.attacks.idia.votes import right_prompts, strictly_most_frequent


def spelled_out(ballots: list[int], name: int) -> bool:
    counts = Counter(ballots)
    others = [count for other, count in counts.items() if other != name]
    return counts[name] > max(others, default=0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 4))
def test_counts_as_the_rule_says(ballots: list[int], name: int) -> None:
    assert bool(strictly_most_frequent(np.array(ballots), np.array(name))) is spelled_out(ballots, name)


@pytest.mark.parametrize(
    ("ballots", "won"),
    [
        ([7], True),
        ([3], False),
        ([7, 7, 3], True),
        ([7, 3], False),  # a tie for the top
        ([7, 7, 3, 3, 1], False),
        ([7, 7, 1, 2, 3], True),  # a plurality is enough
        ([1, 2, 3], False),  # never named
    ],
)
def test_ties_are_lost_and_pluralities_won(ballots: list[int], won: bool) -> None:
    assert strictly_most_frequent(np.array(ballots), np.array(7)) == won


def test_right_prompts_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, (21, 60)).astype(np.int32)
    picks = np.stack([np.stack([rng.choice(60, 7, replace=False) for _ in range(6)]) for _ in range(11)])
    truth = rng.integers(0, 4, 11)
    slow = [
        [sum(spelled_out(row[draw].tolist(), name) for row in labels) for draw in case]
        for case, name in zip(picks, truth.tolist(), strict=True)
    ]
    assert right_prompts(labels, picks, truth).tolist() == slow


def test_many_draws_are_counted_like_few() -> None:
    """So many that not all people are looked at together, and that the last ones are fewer than those before."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, (2, 40)).astype(np.int32)
    picks = np.stack([np.stack([rng.choice(40, 5, replace=False) for _ in range(4)]) for _ in range(5)])
    truth = rng.integers(0, 3, 5)
    few = right_prompts(labels, picks, truth)
    assert len(np.unique(few)) > 1
    repeated = right_prompts(labels, np.tile(picks, (1, 50_000, 1)), truth)
    assert np.array_equal(repeated, np.tile(few, (1, 50_000)))
