"""One definition of p against chance: for one row and for many, with ties and for means over seeds."""

import numpy as np
import pytest
from scipy import stats

from idbench import metrics
from idbench.metrics.chance import chance_ps

MEMBERS = np.arange(1008) < 504


def ranked(rows: object) -> np.ndarray:
    return np.asarray(stats.rankdata(rows, axis=1))


def test_heavy_ties_as_on_a_control_are_judged_exactly() -> None:
    """IDIA on a control: hardly anybody is hit, and the normal distribution is off by a factor of three."""
    scores = np.zeros((1, 1008))
    scores[0, [3, 600]] = 1.0  # one member, one non-member
    exact = stats.fisher_exact([[1, 503], [1, 503]]).pvalue
    assert chance_ps(ranked(scores), MEMBERS)[0][0] == pytest.approx(exact, abs=0.01)
    scores[0, [700, 800]] = 1.0
    table = [[1, 503], [3, 501]]
    exact = stats.fisher_exact(table).pvalue
    found = metrics.permutation_test(scores[0], MEMBERS).p_two_sided
    assert found == pytest.approx(exact, abs=0.03)
    normal = stats.mannwhitneyu(scores[0, :504], scores[0, 504:], method="asymptotic", use_continuity=False).pvalue
    assert abs(normal - exact) > 0.2


def test_a_row_has_the_same_p_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, size=(7, 1008)) + 0.3 * MEMBERS
    together = chance_ps(ranked(rows), MEMBERS)[0]
    for row, p in zip(rows, together, strict=True):
        assert metrics.permutation_test(row, MEMBERS).p_two_sided == p


def test_the_order_of_people_and_which_class_is_smaller_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    members = np.arange(300) < 40
    scores, order = rng.normal(size=300) + 0.4 * members, rng.permutation(300)
    first = metrics.permutation_test(scores, members)
    assert metrics.permutation_test(scores[order], members[order]) == first
    mirrored = metrics.permutation_test(-scores, members)
    assert mirrored.p_two_sided == pytest.approx(first.p_two_sided, abs=0.01)


def test_a_mean_over_seeds_is_judged_by_its_own_spread() -> None:
    rng = np.random.default_rng(2)
    seeds = ranked(rng.normal(size=(3, 1008)) + 0.12 * MEMBERS)
    each, mean = chance_ps(seeds, MEMBERS)[0], chance_ps(seeds.mean(axis=0, keepdims=True), MEMBERS)[0]
    assert mean[0] < each.max()
    labels = np.array([rng.permutation(seeds.mean(axis=0))[:504].sum() for _ in range(4000)])
    middle = seeds.mean() * 504
    far = np.abs(labels - middle) >= abs(seeds.mean(axis=0)[:504].sum() - middle)
    assert mean[0] == pytest.approx(far.mean(), abs=4 * (mean[0] / 4000) ** 0.5 + 0.002)


def test_small_samples_are_counted_out_and_constants_say_nothing() -> None:
    members = np.arange(20) < 10
    assert metrics.permutation_test(np.arange(20.0), members).method == "exact"
    assert chance_ps(np.full((2, 20), 10.5), members)[0] == pytest.approx([1.0, 1.0])
    assert chance_ps(np.full((1, 1008), 504.5), MEMBERS)[0] == pytest.approx([1.0])


def test_sums_of_whole_numbers_count_what_sums_with_rounding_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    for people, share, seeds in ((300, 40, 1), (300, 260, 3), (1008, 504, 5), (203, 101, 7)):
        members = rng.permutation(np.arange(people) < share)
        scores = np.round(2 * rng.normal(size=(seeds, 6, people)) + rng.uniform(0, 0.4, (1, 6, 1)) * members)
        means = np.mean([ranked(each) for each in scores], axis=0)
        exact = chance_ps(means, members, draws=999)
        with monkeypatch.context() as patch:
            patch.setattr("idbench.metrics.chance.WHOLE", 0)  # nothing is a whole number then
            rounded = chance_ps(means, members, draws=999)
        assert np.array_equal(exact, rounded)


def test_labellings_that_are_not_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    ranks, members = ranked(rng.normal(size=(3, 1008)) + 0.1 * MEMBERS), MEMBERS
    kept = chance_ps(ranks, members, draws=2999)
    monkeypatch.setattr("idbench.metrics.chance.KEPT_BYTES", 0)
    assert np.array_equal(chance_ps(ranks, members, draws=2999), kept)


def test_labellings_in_blocks_of_bits_count_what_drawn_places_do() -> None:
    rng = np.random.default_rng(3)
    members = np.arange(203) % 3 == 0
    ranks = stats.rankdata(rng.normal(size=(4, members.size)) + 0.3 * members, axis=1)
    generator = np.random.default_rng(0)
    places = [generator.choice(203, members.sum(), replace=False, shuffle=False) for _ in range(2999)]
    sums = np.array([[2 * row[chosen].sum() for chosen in places] for row in np.sort(ranks, axis=1)])
    observed = 2 * ranks[:, members].sum(axis=1)
    expected = (sums >= observed[:, None]).sum(axis=1)
    assert (chance_ps(ranks, members, draws=2999)[1] == (expected + 1) / 3000).all()  # three blocks
