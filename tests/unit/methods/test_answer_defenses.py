"""Defenses of answers: what each lets through, against a target whose insides are known; nothing goes past them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.methods.conftest import DIM, LinearTarget, random_photos

from idbench.api import (
    Access,
    AccessViolation,
    AnswerDefense,
    Case,
    Context,
    Knowledge,
    MethodError,
    Pair,
    Silent,
    TargetFront,
)
from idbench.runner.registry import DEFENSES
from idbench.targets.gate import Gate

NAMES = sorted(
    plugin.name
    for plugin in DEFENSES.plugins()
    if plugin.distribution.startswith("idbench ") and issubclass(DEFENSES.checked(plugin), AnswerDefense)
)
TEXTS = ["Mara Ohm", "a photo of Bo Ek", "a wall", "Bo Ek"]

Behind = Callable[..., Gate]


@pytest.fixture
def behind(tmp_path: Path) -> Behind:
    def make(name: str, declared: Access = ~Access.NONE, people: Sequence[str] = ("Mara Ohm",), **params: Any) -> Gate:
        kind = DEFENSES.load(name)
        assert issubclass(kind, AnswerDefense)
        defense = kind(kind.Params.model_validate(params))
        knows = defense.knowledge
        pairs = tuple(Pair(p, f"caption {i}") for i, p in enumerate(random_photos(6, 9)))
        context = Context(0, "cpu", tmp_path, Silent(), pairs=pairs if Knowledge.PUBLIC_PAIRS in knows else None)
        cases = [Case(f"p{i}", n if Knowledge.NAME in knows else None, None) for i, n in enumerate(people)]
        target: Any = LinearTarget()
        return Gate(defense.defend(target, cases, context), declared, kind.card.answers, name)

    return make


def test_all_six_are_registered() -> None:
    assert NAMES == ["labels-only", "noise", "query-budget", "refuse-names", "round", "top-k"]


@pytest.mark.parametrize("name", NAMES)
def test_answers_agree_with_each_other_and_with_the_card(behind: Behind, name: str) -> None:
    gate, photos = behind(name), random_photos(5)
    images = gate.preprocess(photos)
    answered = DEFENSES.load(name).card.answers  # type: ignore[attr-defined]
    labels = gate.labels(photos, TEXTS)
    asked: dict[Access, list[Callable[[], Any]]] = {
        Access.SIMILARITY: [
            lambda: gate.similarities(photos, TEXTS),
            lambda: gate.paired_similarities(photos, [TEXTS[0]] * 5),
            lambda: gate.image_similarities(images, [TEXTS[0]] * 5),
        ],
        Access.TEXT_EMBEDDING: [lambda: gate.embed_texts(TEXTS)],
        Access.IMAGE_EMBEDDING: [lambda: gate.embed_photos(photos), lambda: gate.embed_images(images)],
        Access.WEIGHTS: [gate.weights],
    }
    for flag, queries in asked.items():
        for query in queries:
            if flag in answered:
                assert np.isfinite(np.asarray(query())).all()
            else:
                with pytest.raises(AccessViolation, match=f"behind {name} does not answer"):
                    query()
    if Access.SIMILARITY in answered:
        assert np.array_equal(labels, gate.similarities(photos, TEXTS).argmax(axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_what_an_attack_does_not_declare_stays_refused(behind: Behind, name: str) -> None:
    gate = behind(name, Access.LABEL)
    with pytest.raises(AccessViolation, match="its card does not declare"):
        gate.similarities(random_photos(1), TEXTS)


def test_rounded_similarities_are_those_of_the_target_rounded(behind: Behind) -> None:
    photos = random_photos(7)
    plain = LinearTarget().similarities(photos, TEXTS)
    gate = behind("round", decimals=1)
    assert np.array_equal(gate.similarities(photos, TEXTS), np.round(plain, 1))
    assert np.array_equal(gate.labels(photos, TEXTS), np.round(plain, 1).argmax(axis=1))
    assert len(np.unique(gate.paired_similarities(photos, [TEXTS[0]] * 7))) < 7


def test_noise_has_its_deviation_and_comes_back_with_the_question(behind: Behind) -> None:
    photos, texts = random_photos(60), [f"text {i}" for i in range(50)]
    plain = LinearTarget().similarities(photos, texts)
    gate = behind("noise", deviation=0.05)
    noise = gate.similarities(photos, texts) - plain
    assert noise.std() == pytest.approx(0.05, rel=0.05)
    assert abs(noise.mean()) < 0.005
    assert abs(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]) < 0.06
    assert np.array_equal(gate.similarities(photos, texts) - plain, noise)
    paired = gate.paired_similarities(photos, [texts[3]] * 60)
    np.testing.assert_allclose(paired, plain[:, 3] + noise[:, 3], atol=1e-6)
    fresh = behind("noise", deviation=0.05, fresh=True)
    repeated = np.mean([fresh.similarities(photos[:5], texts[:5]) for _ in range(200)], axis=0)
    assert np.abs(repeated - plain[:5, :5]).max() < 0.02


def test_what_is_computed_from_noisy_embeddings_has_the_noise_too(behind: Behind) -> None:
    photos, texts = random_photos(40), [f"text {i}" for i in range(40)]
    gate = behind("noise", deviation=0.1)
    right = LinearTarget().embed_texts(texts)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    left = gate.embed_photos(photos)
    plain = LinearTarget().embed_photos(photos)
    scale = np.linalg.norm(plain, axis=1, keepdims=True)
    assert ((left / scale) @ right.T - (plain / scale) @ right.T).std() == pytest.approx(0.1, rel=0.15)


def test_top_k_answers_the_best_alone_and_one_text_competes_too(behind: Behind) -> None:
    photos = random_photos(9)
    target, listed = LinearTarget(), [f"caption {i}" for i in range(6)]
    every = target.similarities(photos, TEXTS + listed)
    gate = behind("top-k", k=3)
    shown = gate.similarities(photos, TEXTS)
    for row, own in zip(every, shown, strict=True):
        best = np.sort(row)[-3]
        assert np.array_equal(own, np.where(row[: len(TEXTS)] >= best, row[: len(TEXTS)], np.float32(-1)))
    alone = gate.paired_similarities(photos, [TEXTS[0]] * 9)
    limit = np.sort(target.similarities(photos, listed), axis=1)[:, -3]
    assert np.array_equal(alone == -1, every[:, 0] < limit)
    assert 0 < (alone == -1).sum() < 9
    images = gate.preprocess(photos)
    np.testing.assert_allclose(gate.image_similarities(images, [TEXTS[0]] * 9).numpy(), alone, atol=1e-6)


def test_a_budget_binds_all_kinds_of_questions_together(behind: Behind) -> None:
    photos = random_photos(6)
    plain = LinearTarget().similarities(photos, TEXTS)
    gate = behind("query-budget", budget=4 * 4 + 2 + 1)
    np.testing.assert_array_equal(gate.similarities(photos[:4], TEXTS), plain[:4])
    embedded = gate.embed_texts(TEXTS)
    assert np.array_equal(embedded[:3], LinearTarget().embed_texts(TEXTS[:3]))
    assert np.array_equal(embedded[3], np.eye(DIM, dtype=np.float32)[0])
    assert not gate.similarities(photos, TEXTS).any()
    assert not gate.labels(photos, TEXTS).any()
    cosines, gradients = gate.similarity_gradients(gate.preprocess(photos), [TEXTS[0]] * 6)
    assert not cosines.any()
    assert not gradients.any()


def test_refused_names_get_one_answer_in_every_kind_of_question(behind: Behind) -> None:
    photos = random_photos(4)
    gate = behind("refuse-names", people=["Mara Ohm", "Bo Ek"])
    plain = LinearTarget().similarities(photos, ["a person", "Mara Ohmsen", "a wall"])
    texts = ["a photo of MARA   ohm, smiling", "Mara Ohmsen", "a wall", "Bo Ek"]
    found = gate.similarities(photos, texts)
    np.testing.assert_array_equal(found, plain[:, [0, 1, 2, 0]])
    embedded = gate.embed_texts(texts)
    assert np.array_equal(embedded[0], embedded[3])
    assert not np.array_equal(embedded[0], embedded[1])
    cosines, _ = gate.similarity_gradients(gate.preprocess(photos), ["Bo Ek"] * 4)
    np.testing.assert_allclose(cosines.numpy(), plain[:, 0], atol=1e-6)
    # It is a filter of words: what it does not recognize is answered.
    assert not np.array_equal(gate.embed_texts(["Ma\u200bra Ohm"])[0], embedded[0])
    assert not np.array_equal(gate.embed_texts(["M. Ohm"])[0], embedded[0])


class Broken(TargetFront):
    def similarities(self, photos: Any, texts: Any) -> Any:
        return self._target.similarities(photos, texts) * float("nan")

    def paired_similarities(self, photos: Any, texts: Any) -> Any:
        return self._target.similarities(photos, texts)

    def labels(self, photos: Any, texts: Any) -> Any:
        return self._target.labels(photos, texts) + 100

    def embed_photos(self, photos: Any) -> Any:
        return self._target.embed_photos(photos).astype(np.float64)


def test_answers_that_cannot_be_used_are_refused() -> None:
    target: Any = LinearTarget()
    gate = Gate(Broken(target, "broken"), ~Access.NONE, ~Access.NONE, "broken")
    photos = random_photos(2)
    for query, says in (
        (lambda: gate.similarities(photos, TEXTS), "NaN"),
        (lambda: gate.paired_similarities(photos, TEXTS[:2]), "another shape"),
        (lambda: gate.labels(photos, TEXTS), "name no text"),
        (lambda: gate.embed_photos(photos), "another shape or type"),
    ):
        with pytest.raises(MethodError, match=says):
            query()
    # What a child of TargetFront does not answer on purpose is refused.
    for refused in (
        lambda: gate.embed_texts(TEXTS),
        lambda: gate.embed_images(torch.zeros(1, 3, 8, 8)),
        lambda: gate.similarity_gradients(torch.zeros(1, 3, 8, 8), TEXTS[:1]),
        gate.weights,
    ):
        with pytest.raises(AccessViolation, match="behind broken does not answer"):
            refused()
