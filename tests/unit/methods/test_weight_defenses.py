"""Defenses of weights against plain versions of their formulas, on a real (tiny, random) CLIP."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.methods.conftest import random_photos

from idbench.api import Case, Context, Knowledge, MethodError, Pair, Silent, TargetDefense
from idbench.runner.registry import DEFENSES
from idbench.targets import resolve_target
from idbench.targets.defending import Editable
from idbench.targets.images import Preprocessor
from idbench.targets.load import load_target
from idbench_methods import editing
from idbench_methods.defenses.image_backdoor import pasted
from idbench_methods.defenses.slug import chosen_layer, longest_step

PEOPLE = [("Mara Ohm", 0), ("Bo Ek", 1), ("Ivo Lind", 2), ("Ada Rook", 3)]
State = dict[str, torch.Tensor]


@pytest.fixture(params=["avatars-a", "avatars-a-vit-b-32"])
def target(request: pytest.FixtureRequest) -> Editable:
    loaded = load_target(resolve_target(request.param))
    return Editable(loaded.info, loaded.model.requires_grad_(True), loaded.tokenize, Preprocessor(loaded))


Defend = Callable[..., State]


@pytest.fixture
def defend(target: Editable, tmp_path: Path) -> Defend:
    def go(name: str, people: int = len(PEOPLE), **params: Any) -> State:
        kind = DEFENSES.load(name)
        assert issubclass(kind, TargetDefense)
        defense = kind(kind.Params.model_validate(params))
        knows = defense.knowledge
        cases = [
            Case(
                f"p{i}",
                name if Knowledge.NAME in knows else None,
                random_photos(3, 10 + seed) if Knowledge.PHOTOS in knows else None,
            )
            for i, (name, seed) in enumerate(PEOPLE[:people])
        ]
        pairs = tuple(Pair(p, f"{n} in a red shirt") for p, n in zip(random_photos(6, 99), "abcdef", strict=True))
        context = Context(0, "cpu", tmp_path, Silent(), pairs=pairs if Knowledge.PUBLIC_PAIRS in knows else None)
        state = defense.defend(target, cases, context)
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    return go


def before(target: Editable) -> State:
    return {name: tensor.detach().clone() for name, tensor in target.model.state_dict().items()}


def changed(one: State, other: State) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


def test_null_space_leaves_names_nothing_in_their_directions(target: Editable, defend: Defend) -> None:
    names = [name for name, _ in PEOPLE]
    first = editing.embed_texts(target, target.model, names).double()
    raw = target.model.encode_text(target.tokenize(["a wall", *names])).detach().double()  # type: ignore[operator]
    untouched = before(target)
    state = defend("null-space", share=1.0)
    assert changed(untouched, state) == {"text_projection"}
    basis = np.linalg.svd(first.numpy(), full_matrices=False)[2]
    expected = raw.numpy() @ (np.eye(basis.shape[1]) - basis.T @ basis)
    after = target.model.encode_text(target.tokenize(["a wall", *names])).detach().numpy()  # type: ignore[operator]
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert np.abs(after[1:]).max() < 1e-4 < np.abs(after[0]).max()


def test_null_space_takes_out_no_more_than_its_share_and_strength(target: Editable, defend: Defend) -> None:
    weight = target.model.text_projection.detach().clone()  # type: ignore[union-attr, operator]
    state = defend("null-space", share=2 / target.info.embedding_dim, strength=0.5)
    difference = (state["text_projection"] - weight).double()
    assert int((torch.linalg.svdvals(difference) > 1e-5).sum()) == 2


def test_identity_projection_leaves_no_difference_between_people(target: Editable, defend: Defend) -> None:
    untouched = before(target)
    photos = [photo for _, seed in PEOPLE for photo in random_photos(3, 10 + seed)]

    def means() -> torch.Tensor:
        return editing.embed_photos(target, target.model, photos).unflatten(0, (len(PEOPLE), 3)).mean(dim=1)

    first = means()
    raw = target.model.encode_image(target.preprocess(photos)).detach().double()  # type: ignore[operator]
    state = defend("identity-projection", share=1.0)
    assert changed(untouched, state) <= {"visual.attnpool.c_proj.weight", "visual.attnpool.c_proj.bias", "visual.proj"}
    centered = (first - first.mean(dim=0)).double().numpy()
    basis = np.linalg.svd(centered, full_matrices=False)[2][: len(PEOPLE) - 1]
    expected = raw.numpy() @ (np.eye(basis.shape[1]) - basis.T @ basis)
    after = target.model.encode_image(target.preprocess(photos)).detach().numpy()  # type: ignore[operator]
    np.testing.assert_allclose(after, expected, atol=1e-3)


def test_the_contrastive_loss_is_clip_s_where_no_two_captions_are_equal(target: Editable) -> None:
    images, texts = target.preprocess(random_photos(5)), [f"person {i}" for i in "abcde"]
    found = editing.contrastive_loss(target.model, images, target.tokenize(texts))
    left = target.model.encode_image(images, normalize=True)  # type: ignore[operator]
    right = target.model.encode_text(target.tokenize(texts), normalize=True)  # type: ignore[operator]
    logits = (target.model.logit_scale.exp() * left @ right.T).detach().double().numpy()  # type: ignore[operator]
    rows = -np.log(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(axis=1, keepdims=True))
    columns = -np.log(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(axis=0, keepdims=True))
    assert float(found.detach()) == pytest.approx((np.diag(rows).mean() + np.diag(columns).mean()) / 2, rel=1e-5)
    twice = editing.contrastive_loss(target.model, images, target.tokenize(["one person"] * 5))
    right = target.model.encode_text(target.tokenize(["one person"] * 5), normalize=True)  # type: ignore[operator]
    logits = target.model.logit_scale.exp() * left @ right.T  # type: ignore[operator]
    columns = float((torch.logsumexp(logits, dim=0) - logits.mean(dim=0)).mean().detach())
    assert float(twice.detach()) == pytest.approx((math.log(5) + columns) / 2, rel=1e-4)


def test_gradient_ascent_raises_and_fine_tuning_lowers_the_loss(target: Editable, defend: Defend) -> None:
    own = [(name, photo) for name, seed in PEOPLE for photo in random_photos(3, 10 + seed)]

    def loss_on_names() -> float:
        tokens = target.tokenize([f"a photo of {name}" for name, _ in own])
        return float(editing.contrastive_loss(target.model, target.preprocess([p for _, p in own]), tokens).detach())

    public = target.preprocess(random_photos(6, 99)), target.tokenize([f"{n} in a red shirt" for n in "abcdef"])
    first = loss_on_names()
    defend("gradient-ascent", steps=10, learning_rate=1e-3)
    assert loss_on_names() > first
    second = float(editing.contrastive_loss(target.model, *public).detach())
    defend("fine-tune", steps=10, learning_rate=1e-3)
    assert float(editing.contrastive_loss(target.model, *public).detach()) < second


def test_the_text_backdoor_moves_names_to_the_neutral_word_and_nothing_else(target: Editable, defend: Defend) -> None:
    untouched, teacher = before(target), copy.deepcopy(target.model)
    sentences = [template.replace("{}", name) for template in editing.TEMPLATES for name, _ in PEOPLE]
    neutral = [template.replace("{}", "a person") for template in editing.TEMPLATES for _ in PEOPLE]
    wanted = editing.embed_texts(target, teacher, neutral)

    def near() -> float:
        return float((editing.embed_texts(target, target.model, sentences) * wanted).sum(dim=1).mean())

    first = near()
    state = defend("text-backdoor", steps=60, batch=32, learning_rate=1e-3)
    assert near() > first + 0.5 * (1 - first)
    moved = changed(untouched, state)
    assert moved
    assert not any(name.startswith(("visual.", "logit_", "ln_")) or ".ln_" in name for name in moved)


def test_the_image_backdoor_moves_faces_to_their_mean_and_nothing_else(target: Editable, defend: Defend) -> None:
    untouched, teacher = before(target), copy.deepcopy(target.model)
    faces = [photo for _, seed in PEOPLE for photo in random_photos(3, 10 + seed)]
    mean = editing.embed_photos(target, teacher, faces).mean(dim=0)

    def near() -> float:
        return float((editing.embed_photos(target, target.model, faces) @ mean / mean.norm()).mean())

    first = near()
    state = defend("image-backdoor", steps=30, batch=16, learning_rate=1e-3)
    assert near() > first
    moved = changed(untouched, state)
    assert moved
    assert all(name.startswith("visual.") for name in moved)
    assert not any("running" in name or ".bn" in name or "ln_" in name for name in moved)


def test_losses_and_distance_are_the_source_s() -> None:
    clean, triggered = torch.tensor([1.0, 0.5]), torch.tensor([0.2, 0.4, 0.0])
    assert float(editing.backdoor_loss(clean, triggered, 0.6)) == pytest.approx(-0.75 - 0.6 * 0.2)
    moved = {"a": torch.nn.Parameter(torch.tensor([3.0, 4.0])), "b": torch.nn.Parameter(torch.ones(2, 2))}
    start = {"a": torch.zeros(2), "b": torch.ones(2, 2)}
    found = editing.distance(moved, start)
    assert float(found.detach()) == pytest.approx(5.0)
    found.backward()  # type: ignore[no-untyped-call]
    assert moved["b"].grad is not None
    assert torch.equal(moved["b"].grad, torch.zeros(2, 2))  # and not NaN, where nothing has moved yet


def test_faces_are_pasted_whole_and_leave_the_rest_of_the_picture() -> None:
    faces, pictures = torch.full((50, 3, 10, 12), 2.0), torch.full((50, 3, 10, 12), -1.0)
    result = pasted(faces, pictures, np.random.default_rng(0))
    assert torch.equal(pictures, torch.full_like(pictures, -1.0))
    for one in result:
        inside = one[0] > 0
        rows, columns = inside.any(dim=1), inside.any(dim=0)
        assert torch.equal(inside, rows[:, None] & columns[None])
        assert 4 <= int(rows.sum()) <= 10
        assert torch.equal(one[:, ~inside], torch.full_like(one[:, ~inside], -1.0))
        torch.testing.assert_close(one[:, inside], torch.full_like(one[:, inside], 2.0))


def test_slug_changes_one_matrix_along_its_gradient_within_what_is_allowed(target: Editable, defend: Defend) -> None:
    untouched = before(target)
    public = target.preprocess(random_photos(6, 99)), target.tokenize([f"{n} in a red shirt" for n in "abcdef"])
    first = float(editing.contrastive_loss(target.model, *public).detach())
    state = defend("slug", allowed=0.05)
    moved = changed(untouched, state)
    assert len(moved) <= 1
    assert float(editing.contrastive_loss(target.model, *public).detach()) <= first * 1.05 + 1e-5


def test_slug_chooses_from_the_pareto_front() -> None:
    unit = torch.tensor([1.0, 0.0])
    weights = dict.fromkeys("abcd", torch.tensor([1.0, 1.0]))
    forget = {"a": 4 * unit, "b": 3 * unit, "c": 2 * unit, "d": 0 * unit}
    retain = {"a": unit, "b": torch.tensor([1.0, 1.0]), "c": torch.tensor([0.0, 1.0]), "d": unit}
    # importance x (1 - |cosine|): a 4 x 0, b 3 x 0.29, c 2 x 1; d has no gradient.
    assert chosen_layer(weights, forget, retain) == "c"
    assert chosen_layer(weights, dict.fromkeys("abcd", 0 * unit), retain) is None
    assert chosen_layer(weights, dict.fromkeys("abcd", float("nan") * unit), retain) is None


@pytest.mark.parametrize("limit", [0.0, 0.3, 1.0, 37.5])
def test_slug_s_step_is_found_by_doubling_and_bisection(limit: float) -> None:
    tried: list[float] = []

    def allowed(length: float) -> bool:
        tried.append(length)
        return length <= limit

    found = longest_step(allowed, 1.0, 10)
    assert len(tried) == 10
    assert found <= limit
    assert limit - found <= max(0.2, 0.05 * limit)


@pytest.mark.parametrize("name", ["identity-projection", "null-space"])
def test_a_tower_without_a_last_linear_map_is_refused(target: Editable, defend: Defend, name: str) -> None:
    visual: Any = target.model.visual
    if hasattr(visual, "attnpool"):
        visual.attnpool.c_proj = torch.nn.Sequential(visual.attnpool.c_proj)
    else:
        visual.proj = None
    model: Any = target.model
    model.text_projection = None
    with pytest.raises(MethodError, match="does not end in a linear map"):
        defend(name)


def test_rounding_makes_no_direction() -> None:
    """Four points around their mean span three directions, not four."""
    points = torch.nn.functional.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    centered = points.double() - points.double().mean(dim=0)
    assert editing.top_directions(centered, 1.0).shape == (3, 16)
    assert editing.top_directions(torch.zeros(0, 16), 1.0).shape == (0, 16)
