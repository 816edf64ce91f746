"""LiRA, RMIA and the attack model: ratios against closed forms, balanced halves, statistics, and known worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from tests.unit.methods.conftest import LinearTarget, random_photos

from idbench import metrics
from idbench.api import AccessViolation, AuxiliaryPerson, Case, Context, MethodError, Pair, Photo
from idbench_methods.attacks.lira import Lira, LiraParams
from idbench_methods.attacks.lira.ratio import believed, offline_scores, online_scores
from idbench_methods.attacks.ramia.shadows import RamiaShadow, RamiaShadowParams
from idbench_methods.attacks.rmia import Rmia
from idbench_methods.attacks.rmia.ratio import dominated, log_ratio
from idbench_methods.attacks.shadow_classifier import ShadowClassifier
from idbench_methods.shadows import LOG_PROBABILITY, ShadowParams, gather
from idbench_methods.shadows.measuring import FEATURES, LOG_ODDS, measure, standing
from idbench_methods.shadows.people import Person, balanced_halves, meet, population

K = 8


@pytest.fixture
def halves() -> NDArray[np.bool_]:
    return balanced_halves(200, K, np.random.default_rng(0))


# Halves


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_everybody_is_in_half_of_the_shadows_and_each_has_half_of_the_people(n: int) -> None:
    inside = balanced_halves(n, K, np.random.default_rng(1))
    assert inside.shape == (K, n)
    assert (inside.sum(axis=0) == K // 2).all()
    assert (abs(inside.sum(axis=1) - n / 2) <= 0.5).all()


def test_halves_are_drawn() -> None:
    one, other = (balanced_halves(60, K, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(one, other)
    together = np.corrcoef(balanced_halves(2000, K, np.random.default_rng(3)).astype(float))
    assert np.abs(together - np.eye(K)).max() < 0.3  # two shadows share people by chance


# People


def test_photos_that_train_do_not_measure(people: Callable[..., list[Case]]) -> None:
    cases = people(3, n_photos=7)
    met = meet(cases, ["{}", "a photo of {}"], train=True)
    for case, place in zip(cases, met.place, strict=True):
        person = met.people[place]
        assert person.name == case.name
        assert len(person.training) == 3
        assert {p.photo for p in person.training} | set(person.measuring) == set(case.photos)
        assert not {p.photo for p in person.training} & set(person.measuring)
        assert [p.caption for p in person.training] == [case.name, f"a photo of {case.name}", case.name]
    offline = meet(cases, ["{}"], train=False)
    assert all(not p.training and len(p.measuring) == 7 for p in offline.people)


def test_the_order_of_cases_and_photos_changes_nobody(people: Callable[..., list[Case]]) -> None:
    cases = people(5)
    mixed = [Case(c.id, c.name, list(reversed(c.photos))) for c in reversed(cases)]
    one, other = meet(cases, ["{}"], train=True), meet(mixed, ["{}"], train=True)
    assert one.people == other.people
    assert one.place.tolist() == other.place.tolist()[::-1]


def test_twins_are_one_person_and_the_photoless_nobody() -> None:
    photos = random_photos(4)
    cases = [Case("1", "A B", photos), Case("2", "A B", photos[::-1]), Case("3", "A B", []), Case("4", "C", photos[:1])]
    met = meet(cases, ["{}"], train=True)
    assert met.place.tolist() == [0, 0, -1, 1]
    assert not met.people[1].training
    assert len(met.people[1].measuring) == 1


# The statistic


def test_standing_is_the_softmax_among_names() -> None:
    rng = np.random.default_rng(0)
    others = rng.uniform(-1, 1, (6, 9)).astype(np.float32)
    true = np.array([0, 3, 8, -1, -1, 2])
    mine = np.where(true >= 0, others[np.arange(6), true], rng.uniform(-1, 1, 6)).astype(np.float64)
    found = standing(mine, others, true, 0.07)
    for i in range(6):
        rest = np.delete(others[i], true[i]) if true[i] >= 0 else others[i]
        e = np.exp(rest.astype(np.float64) / 0.07).sum()
        p = np.exp(mine[i] / 0.07) / (np.exp(mine[i] / 0.07) + e)
        assert found[i, 0] == pytest.approx(np.log(p / (1 - p)), rel=1e-4, abs=1e-4)
        assert found[i, 1] == pytest.approx(np.log(p), rel=1e-4, abs=1e-4)
        assert found[i, 2] == pytest.approx(mine[i])
        assert found[i, 3] == pytest.approx(np.log1p((rest > mine[i]).sum()))


def test_measuring_averages_photos_and_templates(linear_target: type[LinearTarget]) -> None:
    target: Any = linear_target()
    names = ["A A", "B B", "C C"]
    templates = ["{}", "a photo of {}"]
    people = meet([Case(str(i), n, random_photos(3, i)) for i, n in enumerate([*names, "D D"])], ["{}"], train=False)
    found = measure(target, people.people, names, templates, 0.1)
    assert found.shape == (4, len(FEATURES))
    for row, person in zip(found, people.people, strict=True):
        odds = np.empty((2, 3))
        for t, template in enumerate(templates):
            others = target.similarities(
                person.measuring, [template.replace("{}", n) for n in names if n != person.name]
            )
            own = target.similarities(person.measuring, [template.replace("{}", person.name)])[:, 0]
            odds[t] = own / 0.1 - np.log(np.exp(others / 0.1).sum(axis=1))
        assert row[LOG_ODDS] == pytest.approx(odds.mean(), rel=1e-3, abs=1e-3)
        assert row[FEATURES.index("best")] == pytest.approx(odds.mean(axis=0).max(), rel=1e-3, abs=1e-3)
        assert row[FEATURES.index("spread")] == pytest.approx(odds.mean(axis=0).std(), rel=1e-2, abs=1e-3)


def test_somebody_without_rivals_is_refused(linear_target: type[LinearTarget]) -> None:
    target: Any = linear_target()
    alone = meet([Case("1", "A A", random_photos(1))], ["{}"], train=False).people
    with pytest.raises(MethodError, match="no other candidate name"):
        measure(target, alone, ["A A"], ["{}"], 0.1)


# LiRA


def gaussians(n: int, k: int, seed: int = 0) -> tuple[Any, ...]:
    """People with means of their own, and what a target and shadows say: normal, moved by 2 with membership."""
    rng = np.random.default_rng(seed)
    inside = balanced_halves(n, k, rng)
    member = rng.permutation(n) < n // 2
    mean = rng.normal(0, 3, n)
    shadows = mean + 2.0 * inside + rng.normal(0, 1, (k, n))
    observed = mean + 2.0 * member + rng.normal(0, 1, n)
    return observed, shadows, inside, member, mean


def test_online_ratio_equals_the_closed_form_of_known_gaussians() -> None:
    """Shadows whose values have exactly the mean and variance of known normals."""
    k, n = 8, 3
    mu_out, mu_in = np.array([-1.0, 0.5, 3.0]), np.array([1.0, 2.0, 3.5])
    spread = np.array([-1.0, -1.0, 1.0, 1.0])
    inside = np.zeros((k, n), dtype=bool)
    inside[:4] = True
    shadows = np.concatenate([mu_in + spread[:, None] * 0.5, mu_out + spread[:, None] * 2.0])
    observed = np.array([0.0, 2.5, -1.0])
    sd_in, sd_out = 0.5 * np.sqrt(4 / 3), 2.0 * np.sqrt(4 / 3)
    expected = stats.norm.logpdf(observed, mu_in, sd_in) - stats.norm.logpdf(observed, mu_out, sd_out)
    np.testing.assert_allclose(online_scores(observed, shadows, inside, pooled=False), expected)
    common = np.sqrt((sd_in**2 + sd_out**2) / 2)
    shift = believed(mu_in - mu_out, np.full(n, common**2 * 0.5))
    expected = stats.norm.logpdf(observed, mu_out + shift, common) - stats.norm.logpdf(observed, mu_out, common)
    np.testing.assert_allclose(online_scores(observed, shadows, inside, pooled=True), expected)
    out = (observed - mu_out) / sd_out
    np.testing.assert_allclose(offline_scores(observed, shadows, inside, pooled=True), out)
    np.testing.assert_allclose(offline_scores(observed, shadows, inside, pooled=False), out)


def test_with_many_shadows_lira_is_the_optimal_test() -> None:
    """The likelihood ratio of the true normals bounds every test; with 64 shadows LiRA all but reaches it."""
    observed, shadows, inside, member, mean = gaussians(4000, 64)
    best = metrics.auc(observed - mean, member)
    assert best == pytest.approx(stats.norm.cdf(2 / np.sqrt(2)), abs=0.02)
    for pooled in (True, False):
        assert metrics.auc(online_scores(observed, shadows, inside, pooled=pooled), member) > best - 0.02
        assert metrics.auc(offline_scores(observed, shadows, inside, pooled=pooled), member) > best - 0.02
    assert metrics.auc(observed, member) < best - 0.1  # people differ: without shadows it is much worse


def test_differences_are_believed_as_far_as_they_are_more_than_noise() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(1.0, 1.0, 20_000)
    noisy = true + rng.normal(0, 2.0, true.size)
    drawn = believed(noisy, np.full(true.size, 4.0))
    assert ((drawn - true) ** 2).mean() == pytest.approx(1 / (1 + 1 / 4), abs=0.03)  # of the Bayes estimate
    same = rng.normal(1.0, 1.0, 20_000)
    assert believed(same, np.ones(same.size)) == pytest.approx(np.full(same.size, 1.0), abs=0.1)
    np.testing.assert_allclose(believed(true, np.zeros(true.size)), true)


def test_people_in_no_shadow_get_everybodys_difference() -> None:
    observed, shadows, inside, member, mean = gaussians(500, K)
    inside = inside & (np.arange(500) > 100)
    shadows = np.where(inside, shadows, np.minimum(shadows, mean + 1))
    scores = online_scores(observed, shadows, inside, pooled=True)
    assert np.isfinite(scores).all()
    assert metrics.auc(scores[:100], member[:100]) > 0.8


@pytest.mark.parametrize("pooled", [True, False])
def test_shadows_without_spread_give_finite_ratios(pooled: bool) -> None:
    inside = balanced_halves(4, 4, np.random.default_rng(0))
    scores = online_scores(np.array([0.0, 1, 2, 3]), np.zeros((4, 4)), inside, pooled=pooled)
    assert np.isfinite(scores).all()


# RMIA


def test_rmia_ratios_are_those_of_the_paper() -> None:
    target, shadows = np.log([0.5, 0.2]), np.log([[0.1, 0.4], [0.3, 0.2], [0.6, 0.1], [0.2, 0.3]])
    nobody = np.zeros((4, 2), dtype=bool)
    out = np.array([0.3, 0.25])
    for a in (1.0, 0.3):
        expected = np.log([0.5, 0.2] / (0.5 * ((1 + a) * out + (1 - a))))
        np.testing.assert_allclose(log_ratio(target, shadows, nobody, a), expected)
    inside = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=bool)
    expected = np.log([0.5 / (0.5 * (0.35 + 0.25)), 0.2 / (0.5 * (0.25 + 0.25))])
    np.testing.assert_allclose(log_ratio(target, shadows, inside, 0.3), expected)
    unused = shadows.copy()
    unused[0] = np.nan
    np.testing.assert_allclose(log_ratio(target, unused, nobody, 1.0), np.log([0.5, 0.2] / np.array([1.1 / 3, 0.2])))


def test_the_share_of_the_population_that_is_outdone() -> None:
    own, rest = np.log([0.5, 1.0, 2.0, 9.0]), np.log([0.9, 1.0, 3.0, 4.0])
    np.testing.assert_allclose(dominated(own, rest, 1.0), [0, 0.5, 0.5, 1])
    np.testing.assert_allclose(dominated(own, rest, 2.0), [0, 0, 0.5, 1])


# Whole attacks in a world that is known


class World(LinearTarget):
    """A target that likes the true name of its members, and trains shadows that like those of theirs."""

    def __init__(self, members: Sequence[str] = (), boost: float = 0.5, **more: Any) -> None:
        super().__init__(**more)
        self.members = set(members)
        self.boost = boost
        self.asked: list[list[list[Pair]]] = []

    def _liked(self, photos: Sequence[Photo], text: str) -> float:
        return self.boost if any(name in text for name in self.members) else 0.0

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        found = super().similarities(photos, texts)
        mine = np.array([[self._owner.get(photo.digest, "?") in text for text in texts] for photo in photos])
        known = np.array([self._liked(photos, text) for text in texts], dtype=np.float32)
        return np.clip(found * 0.3 + mine * known, -1, 1).astype(np.float32)

    def train_shadows(self, sets: Sequence[Sequence[Pair]], seed: int, epochs: float = 1.0) -> Sequence[World]:
        self.asked.append([list(own) for own in sets])
        made = []
        for own in sets:
            shadow = World({self._owner[pair.photo.digest] for pair in own}, self.boost)
            shadow._owner = self._owner
            made.append(shadow)
        return made

    _owner: dict[str, str]


@pytest.fixture
def world(people: Callable[..., list[Case]], context: Callable[..., Context]) -> tuple[World, list[Case], Context]:
    cases = people(40, n_photos=4)
    auxiliary = tuple(
        AuxiliaryPerson(
            f"Aux Person{i}x", tuple(Pair(p, f"Aux Person{i}x smiling") for p in random_photos(4, 9000 + i))
        )
        for i in range(20)
    )
    given = replace(context(candidates=[case.name for case in cases]), auxiliary=auxiliary)
    target = World([case.name for case in cases[::2]])
    target._owner = {p.digest: case.name for case in cases for p in case.photos}
    target._owner |= {pair.photo.digest: one.name for one in auxiliary for pair in one.pairs}
    return target, cases, given


ATTACKS: list[Any] = [
    Lira(),
    Lira(LiraParams(mode="offline")),
    Lira(LiraParams(variance="per-identity")),
    ShadowClassifier(),
    Rmia(),
    Rmia(Rmia.Params(mode="online")),  # type: ignore[call-arg]
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.card.name}-{getattr(a.params, 'mode', '')}")
def test_members_of_a_known_world_are_found(attack: Any, world: tuple[World, list[Case], Context]) -> None:
    target, cases, context = world
    scores = attack.score(target, cases, context).checked(len(cases))
    members = np.arange(len(cases)) % 2 == 0
    assert metrics.auc(scores.values, members) > 0.95
    control = World()
    control._owner = target._owner
    idle = attack.score(control, cases, context).checked(len(cases))
    assert abs(metrics.auc(idle.values, members) - 0.5) < 0.25


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.card.name}-{getattr(a.params, 'mode', '')}")
def test_shadows_hold_who_they_should(attack: Any, world: tuple[World, list[Case], Context]) -> None:
    target, cases, context = world
    attack.score(target, cases, context)
    (sets,) = target.asked
    assert len(sets) == attack.params.shadows
    online = getattr(attack.params, "mode", "online") == "online"
    under_test = {photo for case in cases for photo in case.photos}
    for own in sets:
        audited = [pair for pair in own if pair.photo in under_test]
        assert len(own) - len(audited) == 10 * 4  # half of the auxiliary people, all pictures
        assert len(audited) == (20 * 2 if online else 0)  # half of the people under test, half of their photos
        assert all(target._owner[pair.photo.digest] in pair.caption for pair in own)


def test_attacks_with_the_same_parameters_share_their_shadows(world: tuple[World, list[Case], Context]) -> None:
    target, cases, context = world
    for attack in (Lira(), ShadowClassifier(), Rmia(Rmia.Params(mode="online", shadows=8))):  # type: ignore[call-arg]
        attack.score(target, cases, context)  # type: ignore[arg-type]
    first, *others = target.asked
    assert others == [first, first]


def test_auxiliary_people_are_needed_and_must_be_declared(world: tuple[World, list[Case], Context]) -> None:
    target, cases, context = world
    with pytest.raises(MethodError, match="at least 4 auxiliary people; the split has 2"):
        Lira().score(target, cases, replace(context, auxiliary=context.auxiliary_people[:2]))  # type: ignore[arg-type]
    with pytest.raises(AccessViolation, match="auxiliary people that its card does not declare"):
        Lira().score(target, cases, replace(context, auxiliary=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("base", ["rmia", "lira"])
def test_ramia_trims_the_scores_of_single_photos(base: Any, world: tuple[World, list[Case], Context]) -> None:
    target, cases, context = world
    templates = ("{}", "a photo of {}")
    params = RamiaShadowParams(base=base, templates=templates)
    scores = RamiaShadow(params).score(target, cases, context).checked(len(cases))  # type: ignore[arg-type]
    samples = [Person(case.name, (), (photo,)) for case in cases for photo in case.photos]
    columns = []
    for template in templates:
        shadow_params = ShadowParams(shadows=4, templates=(template,))
        e = gather(target, samples, context, shadow_params, online=False)  # type: ignore[arg-type]
        if base == "lira":
            e = e.standardized()
            shadows, own = e.shadows[:, :, LOG_ODDS], e.target[:, LOG_ODDS]
            columns.append((own - shadows.mean(axis=0)) / np.sqrt(shadows.var(axis=0, ddof=1).mean()))
            continue
        # Whoever is in no model has a ratio of one: only the same arithmetic breaks such ties in the same way.
        probability = e.shadows[:, :, LOG_PROBABILITY]
        others = np.where(e.population_inside, np.nan, e.population_shadows[:, :, LOG_PROBABILITY])
        own = log_ratio(e.target[:, LOG_PROBABILITY], probability, e.inside, 1.0)
        rest = log_ratio(e.population_target[:, LOG_PROBABILITY], others, np.zeros_like(e.population_inside), 1.0)
        columns.append(dominated(own, rest, 1.0))
    for i, value in enumerate(scores.values):
        own = np.concatenate([column[4 * i : 4 * i + 4] for column in columns])
        assert value == pytest.approx(own[own >= np.quantile(own, 0.4) - 1e-9].mean(), rel=1e-6, abs=1e-9)
    members = np.arange(len(cases)) % 2 == 0
    assert metrics.auc(scores.values, members) > 0.95


def test_odd_numbers_of_shadows_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be halved"):
        LiraParams(shadows=5)


def test_the_population_measures_with_the_half_of_its_photos() -> None:
    pairs = tuple(Pair(photo, "A B in a hat") for photo in random_photos(5))
    (one,) = population([AuxiliaryPerson("A B", pairs)])
    assert one.training == pairs
    assert len(one.measuring) == 3
