"""Ranks: shared where the data do not separate, and never reordered by a newcomer."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idbench import metrics

MEMBERS = np.arange(200) < 100


def board(strengths: list[float], seed: int = 0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=200)
    return np.stack([common + rng.normal(size=200) + s * MEMBERS for s in strengths])


def ranked(scores: npt.NDArray[np.float64], names: list[str], **options: object) -> metrics.Ranking:
    found = metrics.ranks(scores, MEMBERS, names, draws=200, **options)  # type: ignore[arg-type]
    assert isinstance(found, metrics.Ranking)
    return found


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=2, max_size=6), st.integers(0, 50), st.sampled_from([None, 0.1]))
def test_adding_a_method_never_reorders_the_others(strengths: list[float], seed: int, fpr: float | None) -> None:
    scores = board(strengths, seed)
    names = [f"m{k}" for k in range(len(strengths))]
    before, after = ranked(scores[:-1], names[:-1], fpr=fpr), ranked(scores, names, fpr=fpr)
    kept = [m for m in after.methods if m.name != names[-1]]
    assert [m.name for m in kept] == [m.name for m in before.methods]
    assert [m.estimate for m in kept] == [m.estimate for m in before.methods]
    assert [m.interval for m in kept] == [m.interval for m in before.methods]
    shown = [m.rank for m in after.methods]
    assert shown == sorted(shown)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=6), st.integers(0, 50))
def test_rank_intervals_follow_from_the_separated_pairs(strengths: list[float], seed: int) -> None:
    names = [f"m{k}" for k in range(len(strengths))]
    found = ranked(board(strengths, seed), names)
    for place, method in enumerate(found.methods):
        assert method.rank_low == 1 + found.better[:, place].sum()
        assert method.rank_high == len(names) - found.better[place].sum()
        assert 1 <= method.rank <= method.rank_low <= place + 1 <= method.rank_high
    assert not (found.better & found.better.T).any()
    assert found.methods[0].rank == 1


def test_separated_and_shared() -> None:
    found = ranked(board([4.0, 1.0, 1.02, 0.0]), ["best", "x", "y", "chance"])
    assert {m.name: (m.rank_low, m.rank_high) for m in found.methods} == {
        "best": (1, 1),
        "x": (2, 3),
        "y": (2, 3),
        "chance": (4, 4),
    }
    assert [m.rank for m in found.methods] == [1, 2, 2, 4]


def test_copies_of_one_method_share_a_rank_in_the_order_of_names() -> None:
    scores = board([1.0, 0.0])
    found = ranked(np.stack([scores[0], np.exp(scores[0]), scores[1]]), ["b", "a", "c"])
    assert [(m.name, m.rank) for m in found.methods] == [("a", 1), ("b", 1), ("c", 3)]


def test_perfect_against_constant_with_no_spread_in_any_draw() -> None:
    scores = np.stack([MEMBERS * 1.0, np.zeros(200), MEMBERS * 2.0])
    found = ranked(scores, ["perfect", "nothing", "too"])
    assert [(m.name, m.rank) for m in found.methods] == [("perfect", 1), ("too", 1), ("nothing", 3)]


def test_ranks_by_tpr_and_by_nested_rows() -> None:
    scores = board([3.0, 0.5])
    assert ranked(scores, ["a", "b"], fpr=0.1).statistic == "tpr@0.1"
    assert isinstance(metrics.ranks(scores, MEMBERS, ["a", "b"], fpr=0.001), metrics.NotEstimable)
    nested = ranked(np.stack([np.stack([row, row]) for row in scores]), ["a", "b"])
    single = ranked(scores, ["a", "b"])
    assert [m.estimate for m in nested.methods] == pytest.approx([m.estimate for m in single.methods])
    np.testing.assert_array_equal(nested.better, single.better)


def test_intervals_are_those_of_the_single_methods() -> None:
    scores = board([1.0, 0.5])
    for method, row in zip(ranked(scores, ["a", "b"]).methods, scores, strict=True):
        assert method.interval == metrics.auc_interval(row, MEMBERS)
    for method, row in zip(ranked(scores, ["a", "b"], fpr=0.1).methods, scores, strict=True):
        assert method.interval == metrics.tpr_at_fpr_interval(row, MEMBERS, 0.1)


def test_one_method_is_first() -> None:
    (only,) = ranked(board([1.0]), ["only"]).methods
    assert (only.rank, only.rank_low, only.rank_high) == (1, 1, 1)


@pytest.mark.parametrize(("sizes", "methods"), [((540, 8), 6), ((540, 8), 2), ((540, 30), 6)])
def test_equal_methods_are_hardly_ever_ordered_against_few_non_members(sizes: tuple[int, int], methods: int) -> None:
    rng, members, claimed = np.random.default_rng(11), np.arange(sum(sizes)) < sizes[0], 0
    for _ in range(200):
        scores = rng.normal(size=members.size) + rng.normal(size=(methods, members.size))
        claimed += int((metrics.rank_intervals(metrics.delong_covariance(scores, members)).low > 1).any())
    assert claimed <= 20  # 5 % of 200, and more than three standard deviations on top


def test_rank_intervals_are_those_of_the_ranking_in_the_order_given() -> None:
    scores = board([0.0, 4.0, 1.0, 1.02])
    places = metrics.rank_intervals(metrics.delong_covariance(scores, MEMBERS))
    by_name = {m.name: m for m in ranked(scores, ["0", "1", "2", "3"]).methods}
    for k in range(4):
        one = by_name[str(k)]
        assert (places.rank[k], places.low[k], places.high[k]) == (one.rank, one.rank_low, one.rank_high)
    alone = metrics.rank_intervals(metrics.delong_covariance(scores[:1], MEMBERS))
    assert (alone.rank.tolist(), alone.low.tolist(), alone.high.tolist()) == ([1], [1], [1])
    nothing = np.zeros((0, 0))
    assert metrics.rank_intervals(metrics.AucCovariance(np.zeros(0), nothing, nothing, nothing, 2, 2)).rank.size == 0


def test_targets_with_each_others_members_rank_by_their_mean() -> None:
    flags = np.stack([MEMBERS, ~MEMBERS])
    rng = np.random.default_rng(5)
    cube = rng.normal(size=(2, 2, 200)) + np.array([2.0, 0.2])[:, None, None] * flags
    found = metrics.ranks(cube, flags, ["good", "poor"])
    assert isinstance(found, metrics.Ranking)
    assert [(m.name, m.rank) for m in found.methods] == [("good", 1), ("poor", 2)]
    assert found.methods[0].estimate == pytest.approx(
        np.mean([metrics.auc(s, f) for s, f in zip(cube[0], flags, strict=True)])
    )
