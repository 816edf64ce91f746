"""IDIA's pools, draws and scores on people whose photos and names are known to fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from idbench.api import Case, Context, MethodError, Photo
from idbench_methods.attacks.idia import CARD, Idia, IdiaParams
from idbench_methods.attacks.idia.draws import draw_photos
from idbench_methods.attacks.idia.pool import name_pools
from idbench_methods.prompts import IDIA_TEMPLATES, fill

People = Callable[..., list[Case]]
Contexts = Callable[..., Context]


def test_the_templates_are_the_papers() -> None:
    assert len(IDIA_TEMPLATES) == len(set(IDIA_TEMPLATES)) == 21
    assert all(template.count("{}") == 1 for template in IDIA_TEMPLATES)
    assert fill("a photo of {}", "A {} B") == "a photo of A {} B"


@pytest.mark.parametrize(
    "given",
    [
        {"tau": 22},
        {"tau": 0},
        {"templates": ["no slot"]},
        {"templates": []},
        {"templates": ["{} {}"]},
        {"pool_size": 1},
    ],
)
def test_impossible_parameters_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IdiaParams.model_validate(given)


def test_one_pool_holds_every_candidate_once() -> None:
    (pool,) = name_pools(["B", "A", "B"], ["C", "A", "D"], None, np.random.default_rng(0))
    assert pool.names == ("A", "B", "C", "D")
    assert pool.members.tolist() == [0, 1, 2]
    assert [pool.names[i] for i in pool.truth] == ["B", "A", "B"]


def test_a_pool_of_a_given_size_holds_everybody_under_test() -> None:
    own = [f"own {i}" for i in range(5)]
    others = [f"other {i}" for i in range(50)]
    (pool,) = name_pools(own, others, 20, np.random.default_rng(0))
    assert len(pool.names) == len(set(pool.names)) == 20
    assert set(own) <= set(pool.names)


def test_more_people_than_a_pool_holds_are_dealt_into_groups() -> None:
    own = [f"own {i}" for i in range(25)]
    pools = name_pools(own, [f"other {i}" for i in range(50)], 10, np.random.default_rng(0))
    assert [len(pool.names) for pool in pools] == [10, 10, 10]
    assert sorted(i for pool in pools for i in pool.members.tolist()) == list(range(25))
    for pool in pools:
        assert [pool.names[t] for t in pool.truth] == [own[i] for i in pool.members]


def test_groups_do_not_depend_on_the_order_of_people() -> None:
    own = [f"own {i}" for i in range(25)]
    one = name_pools(own, [], 10, np.random.default_rng(0))
    other = name_pools(own[::-1], [], 10, np.random.default_rng(0))
    assert [pool.names for pool in one] == [pool.names for pool in other]


def test_draws_are_subsets_of_the_persons_own_photos(people: People, context: Contexts) -> None:
    cases = [*people(4, n_photos=6), *people(2, n_photos=4, seed=1)]
    draws = draw_photos(cases, 4, 20, context())
    seen = {}
    for batch in draws.batches:
        for case, picks in zip(batch.cases.tolist(), batch.picks, strict=True):
            seen[case] = picks
    assert sorted(seen) == list(range(6))
    for number, picks in seen.items():
        own = set(cases[number].photos)
        assert all(len(set(row.tolist())) == 4 for row in picks)
        assert {draws.photos[i] for i in picks.ravel()} <= own
    assert seen[0].shape == (20, 4)
    assert len({tuple(sorted(row.tolist())) for row in seen[0]}) > 5
    assert seen[4].shape == (1, 4)  # all that there is: one draw says it all


def test_draws_depend_on_the_seed_and_the_person_alone(people: People, context: Contexts) -> None:
    cases = people(5, n_photos=6)
    alone = draw_photos([cases[3]], 3, 8, context())
    among = draw_photos(cases, 3, 8, context())
    shuffled = draw_photos([Case("x", cases[3].name, cases[3].photos[::-1])], 3, 8, context())
    chosen = [[alone.photos[i] for i in row] for row in alone.batches[0].picks[0]]
    assert chosen == [[among.photos[i] for i in row] for row in among.batches[0].picks[3]]
    assert chosen == [[shuffled.photos[i] for i in row] for row in shuffled.batches[0].picks[0]]
    other = draw_photos([cases[3]], 3, 8, context(seed=1))
    assert chosen != [[other.photos[i] for i in row] for row in other.batches[0].picks[0]]


class Namer:
    """A target that gives each photo the name written down for it, and otherwise the first of the pool."""

    def __init__(self, knows: dict[str, str], templates: tuple[str, ...] = IDIA_TEMPLATES) -> None:
        self._knows = knows
        self._templates = templates
        self.pool_sizes: list[int] = []

    def labels(self, photos: list[Photo], texts: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        self.pool_sizes.append(len(texts))
        places = {text: i for i, text in enumerate(texts)}
        (template,) = [t for t in self._templates if all(fill(t, name) in places for name in self._knows.values())][:1]
        return np.array([places.get(fill(template, self._knows.get(p.digest, "?")), 0) for p in photos])


def known(cases: list[Case], shares: list[int]) -> dict[str, str]:
    """The first photos of each person are known by name, as many as the share says."""
    return {photo.digest: case.name for case, n in zip(cases, shares, strict=True) for photo in case.photos[:n]}


def test_scores_count_right_prompts(people: People, context: Contexts) -> None:
    cases = people(4, n_photos=5)
    everybody = {photo.digest: case.name for case in cases for photo in case.photos}
    target = Namer(everybody | {p.digest: cases[0].name for p in cases[3].photos})
    scores = Idia().score(target, cases, context(candidates=["Aaa Aaa"]))  # type: ignore[arg-type]
    checked = scores.checked(4)
    assert checked.values.tolist() == [21, 21, 21, 0]
    assert checked.decisions is not None
    assert checked.decisions.tolist() == [True, True, True, False]
    assert target.pool_sizes == [5] * 21


def test_few_photos_are_a_matter_of_draws(people: People, context: Contexts) -> None:
    cases = people(2, n_photos=6)
    target = Namer(known(cases, [6, 2]))
    params = IdiaParams(photos_per_person=1, draws=200)
    scores = Idia(params).score(target, cases, context(candidates=["Aaa Aaa"]))  # type: ignore[arg-type]
    assert scores.values[0] == 21
    assert 21 * 0.2 < scores.values[1] < 21 * 0.47  # two of six photos are right
    assert scores.photos_used is not None
    assert scores.photos_used.tolist() == [1, 1]


def test_tau_moves_the_decision_and_not_the_score(people: People, context: Contexts) -> None:
    cases = people(2, n_photos=3)
    templates = ("{}", "a photo of {}")
    target = Namer(known(cases, [3, 3]), templates)
    strict = Idia(IdiaParams(tau=2, templates=templates)).score(target, cases, context())  # type: ignore[arg-type]
    assert strict.values.tolist() == [2, 2]
    assert strict.decisions is not None
    assert strict.decisions.all()


def test_people_with_too_few_photos_are_left_out(people: People, context: Contexts) -> None:
    cases = [*people(2, n_photos=4), *people(1, n_photos=2, seed=3)]
    target = Namer(known(cases, [4, 4, 2]))
    scores = Idia(IdiaParams(photos_per_person=3)).score(target, cases, context())  # type: ignore[arg-type]
    checked = scores.checked(3)
    assert checked.abstained is not None
    assert checked.abstained.tolist() == [False, False, True]
    assert checked.photos_used is not None
    assert checked.photos_used.tolist() == [3, 3, 0]
    reasons = {why: whom.tolist() for why, whom in checked.reasons.items()}
    assert reasons == {"fewer than 3 photos": [False, False, True]}


def test_asking_for_more_photos_than_anybody_has_is_an_error(people: People, context: Contexts) -> None:
    params = IdiaParams.model_validate(CARD.presets["paper"])
    with pytest.raises(MethodError, match="no one has more than 4") as caught:
        Idia(params).score(Namer({}), people(2, n_photos=4), context())  # type: ignore[arg-type]
    assert "photos_per_person" in caught.value.hint
