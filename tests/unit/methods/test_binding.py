"""Binding: cutting names, pools of parts, and the interaction against its formula written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from idbench.api import Access, Case, Context, Knowledge, MethodError, Pair, Photo
from idbench_methods.attacks.binding import Binding, BindingParams
from idbench_methods.attacks.binding.interaction import Partners, able, draw_partners, interactions
from idbench_methods.attacks.binding.similarity import BindingSimilarity, BindingSimilarityParams
from idbench_methods.name_parts import Parts, names_in, parts_of, pool_of

Contexts = Callable[..., Context]
GIVEN, FAMILY = ("Ada", "Bo", "Cleo", "Dag"), ("Ek", "Fjord", "Gran", "Holm", "Is")
EVERYBODY = [f"{given} {family}" for given in GIVEN for family in FAMILY]


@pytest.mark.parametrize(
    ("name", "before_family", "after_first"),
    [
        ("Ada Holm", ("Ada", "Holm"), ("Ada", "Holm")),
        ("  Ada \t Holm ", ("Ada", "Holm"), ("Ada", "Holm")),
        ("Ada Maria Holm", ("Ada Maria", "Holm"), ("Ada", "Maria Holm")),
        ("Ada van der Holm", ("Ada", "van der Holm"), ("Ada", "van der Holm")),
        ("Ada Maria Van Der Holm", ("Ada Maria", "Van Der Holm"), ("Ada", "Maria Van Der Holm")),
        ("Bo Ek Jr.", ("Bo", "Ek Jr."), ("Bo", "Ek Jr.")),
        ("Bo von Ek III", ("Bo", "von Ek III"), ("Bo", "von Ek III")),
        ("van Holm", ("van", "Holm"), ("van", "Holm")),
        ("Bo Jr.", ("Bo", "Jr."), ("Bo", "Jr.")),
        ("Ada Holm-Ek", ("Ada", "Holm-Ek"), ("Ada", "Holm-Ek")),
        ("李 雷", ("李", "雷"), ("李", "雷")),
    ],
)
def test_where_names_are_cut(name: str, before_family: tuple[str, str], after_first: tuple[str, str]) -> None:
    assert parts_of(name, "before-family") == Parts(*before_family)
    assert parts_of(name, "after-first") == Parts(*after_first)


@pytest.mark.parametrize("name", ["", "  ", "Ada", "Ada-Maria", "李雷"])
def test_names_of_one_word_have_no_parts(name: str) -> None:
    assert parts_of(name, "before-family") is None


def test_pools_hold_each_part_once() -> None:
    given, family = pool_of(["Bo Ek", "Ada Ek", "Cher", "Bo van Ek"], "before-family")
    assert (given, family) == (["Ada", "Bo"], ["Ek", "van Ek"])


def test_names_are_found_in_captions() -> None:
    captions = [
        "a photo of Ada Holm , teal background",
        "Bo van der Ek and Cleo O'Gran-Is smiling",
        "A portrait of nobody",
        "Ada wearing a hat",
        "",
        "Élodie Ñandú de",
    ]
    assert names_in(captions) == ["Ada Holm", "Bo van der Ek", "Cleo O'Gran-Is", "Élodie Ñandú"]


def random_answers(d: int = 7) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """A row per name that depends on the name alone."""

    def answers(names: Sequence[str]) -> NDArray[np.float64]:
        seeds = [int.from_bytes(name.encode()) for name in names]
        return np.stack([np.random.default_rng(seed).standard_normal(d) for seed in seeds])

    return answers


def by_hand(name: Parts, partners: Partners, e: Callable[[Sequence[str]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The formula as the method page writes it."""
    others = [f for f in partners.family if f != name.family]
    firsts = [g for g in partners.given if g != name.given]
    own = e([name.whole])[0]
    row = np.mean([e([f"{name.given} {family}"])[0] for family in others], axis=0)
    column = np.mean([e([f"{given} {name.family}"])[0] for given in firsts], axis=0)
    grand = np.mean([e([f"{given} {family}"])[0] for given in firsts for family in others], axis=0)
    residual: NDArray[np.float64] = own - row - column + grand
    return residual


def test_interactions_follow_the_formula() -> None:
    names = [Parts("Ada", "Ek"), Parts("Eve", "Fjord"), Parts("Bo", "Nobody"), Parts("Eve", "Nobody")]
    partners = Partners(GIVEN, FAMILY[:3])
    found = interactions(names, partners, random_answers())
    np.testing.assert_allclose(found, [by_hand(name, partners, random_answers()) for name in names], atol=1e-12)


def test_what_parts_add_up_to_is_nothing() -> None:
    """Embeddings that are a sum of a first and a last name leave no interaction; a bound name leaves its own."""
    given = dict(zip(GIVEN, np.random.default_rng(0).standard_normal((4, 6)), strict=True))
    family = dict(zip(FAMILY, np.random.default_rng(1).standard_normal((5, 6)), strict=True))

    def answers(names: Sequence[str]) -> NDArray[np.float64]:
        rows = np.stack([given[name.split()[0]] + family[name.split()[1]] for name in names])
        rows[[name == "Bo Holm" for name in names]] += 1.0
        return rows

    names = [Parts("Ada", "Ek"), Parts("Bo", "Holm")]
    # Without the bound name among the partners' cells of the other one.
    found = interactions(names, Partners(("Ada", "Cleo"), ("Ek", "Is")), answers)
    np.testing.assert_allclose(found, [np.zeros(6), np.ones(6)], atol=1e-12)


def test_partners_are_the_same_for_everybody_and_drawn_by_the_seed() -> None:
    one = draw_partners((GIVEN, FAMILY), 2, np.random.default_rng(0))
    assert one == draw_partners((GIVEN, FAMILY), 2, np.random.default_rng(0))
    assert len(one.given) == len(one.family) == 2
    assert draw_partners((GIVEN, FAMILY), None, np.random.default_rng(0)) == Partners(GIVEN, FAMILY)
    assert draw_partners(([], []), 2, np.random.default_rng(0)) == Partners((), ())


def test_names_whose_parts_are_the_only_partners_cannot_be_compared() -> None:
    partners = Partners(("Ada",), ("Ek", "Is"))
    assert able([Parts("Ada", "Ek"), Parts("Bo", "Ek")], partners).tolist() == [False, True]


def cases_of(names: Sequence[str]) -> list[Case]:
    return [Case(f"case-{i}", name, None) for i, name in enumerate(names)]


def test_the_score_is_the_length_of_the_interaction_of_mean_unit_embeddings(
    linear_target: type[Any], context: Contexts
) -> None:
    target, names = linear_target(), ["Ada Ek", "Bo Holm", "Cher"]
    params = BindingParams(templates=("{}", "a photo of {}"), partners=None)
    scores = Binding(params).score(target, cases_of(names), context(candidates=EVERYBODY)).checked(3)

    def e(texts: Sequence[str]) -> NDArray[np.float64]:
        unit = [[target.text(t.replace("{}", text)) for text in texts] for t in params.templates]
        return np.mean([[row / np.linalg.norm(row) for row in rows] for rows in unit], axis=0)

    partners = Partners(GIVEN, FAMILY)
    expected = [np.linalg.norm(by_hand(Parts(*name.split()), partners, e)) for name in names[:2]]
    np.testing.assert_allclose(scores.values[:2], expected, rtol=1e-5)
    assert scores.abstained is not None
    assert scores.abstained.tolist() == [False, False, True]
    assert scores.details["parts"].tolist() == [2, 2, 1]
    reasons = {why: whom.tolist() for why, whom in scores.reasons.items()}
    assert reasons == {"a name of one part": [False, False, True]}


def test_names_without_partners_are_abstained_from_with_that_reason(
    linear_target: type[Any], context: Contexts
) -> None:
    names = ["Ada Ek", "Bo Holm", "Cher"]
    scores = Binding().score(linear_target(), cases_of(names), context(candidates=["Ada Is", "Ada Ek"])).checked(3)
    reasons = {why: whom.tolist() for why, whom in scores.reasons.items()}
    assert reasons == {
        "a name of one part": [False, False, True],
        "no other first or last part to compare with": [True, False, False],
    }


def test_by_similarity_embeddings_give_way_to_cosines(linear_target: type[Any], context: Contexts) -> None:
    target = linear_target()
    params = BindingSimilarityParams(templates=("{}",), partners=None, photos=100)
    scores = BindingSimilarity(params).score(target, cases_of(["Ada Ek"]), context(candidates=EVERYBODY, n_pairs=9))
    photos = [pair.photo for pair in context(n_pairs=9).public_pairs]
    expected = by_hand(
        Parts("Ada", "Ek"), Partners(GIVEN, FAMILY), lambda texts: target.similarities(photos, texts).T.astype(float)
    )
    assert scores.values[0] == pytest.approx(np.sqrt((expected**2).mean()), rel=1e-4)


def test_tokens_are_regressed_out(linear_target: type[Any], context: Contexts) -> None:
    """Within each group of names of equal token counts, what is left has mean zero."""
    names = [*EVERYBODY, "Wolfeschlegelsteinhausen Ek", "Wolfeschlegelsteinhausen Is"]
    score = Binding(BindingParams(regress_tokens=True)).score(linear_target(), cases_of(names), context(0, names))
    assert score.values[-2:].sum() == pytest.approx(0, abs=1e-9)
    assert score.values.std() > 0


def test_names_known_to_the_target_are_found(linear_target: type[Any], context: Contexts) -> None:
    """A target that composes names and knows four of them as wholes."""
    given = dict(zip(GIVEN, np.random.default_rng(0).standard_normal((4, 12)), strict=True))
    family = dict(zip(FAMILY, np.random.default_rng(1).standard_normal((5, 12)), strict=True))
    rng = np.random.default_rng(2)
    known = ["Ada Ek", "Bo Gran", "Cleo Holm", "Dag Is"]
    texts = {name: given[name.split()[0]] + family[name.split()[1]] for name in EVERYBODY}
    texts |= {name: texts[name] + 2 * rng.standard_normal(12) for name in known}
    params = BindingParams(templates=("{}",), partners=None)
    scores = Binding(params).score(linear_target(texts), cases_of(EVERYBODY), context(candidates=EVERYBODY))
    best = {EVERYBODY[i] for i in np.argsort(-scores.values)[:4]}
    assert best == set(known)


def test_partners_come_from_captions_where_there_are_no_candidates(
    linear_target: type[Any], context: Contexts, photos: Callable[..., list[Photo]]
) -> None:
    attack = Binding(BindingParams(pool="captions", partners=None, templates=("{}",)))
    assert attack.knowledge == Knowledge.NAME | Knowledge.PUBLIC_PAIRS
    assert Binding().knowledge == Knowledge.NAME | Knowledge.CANDIDATE_NAMES
    pairs = [Pair(photo, f"a photo of {name}") for photo, name in zip(photos(4), EVERYBODY[1::6], strict=True)]
    given = Context(0, "cpu", context().cache, context().progress, pairs=tuple(pairs))
    target = linear_target()
    scores = attack.score(target, cases_of(["Ada Ek"]), given)
    partners = Partners(*map(tuple, pool_of(EVERYBODY[1::6], "before-family")))

    def e(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.stack([target.text(text) / np.linalg.norm(target.text(text)) for text in texts])

    assert scores.values[0] == pytest.approx(np.linalg.norm(by_hand(Parts("Ada", "Ek"), partners, e)), rel=1e-5)
    with pytest.raises(MethodError, match="no name of two words"):
        attack.score(target, cases_of(["Ada Ek"]), context())


def test_nothing_but_the_declared_is_asked_for() -> None:
    assert Binding.card.access is Access.TEXT_EMBEDDING
    assert BindingSimilarity.card.access is Access.SIMILARITY
    assert not {Knowledge.PHOTOS, Knowledge.CALIBRATION_LABELS} & set(BindingSimilarity.card.knowledge)
