"""Adaptations: what they ask in place of the attack's questions, and what they make of weights."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tests.unit.methods.conftest import DIM, LinearTarget, random_photos

from idbench.api import (
    Access,
    AnswerAdaptation,
    AskingCard,
    Calibration,
    Case,
    Context,
    Knowledge,
    MethodError,
    Pair,
    Photo,
    Silent,
    TargetView,
    WeightAdaptation,
)
from idbench.runner.registry import ADAPTATIONS
from idbench.targets import resolve_target
from idbench.targets.defending import Editable
from idbench.targets.images import Preprocessor
from idbench.targets.load import load_target
from idbench_methods.adaptations.clean_clip import changed_words
from idbench_methods.adaptations.name_variants import Variant, written
from idbench_methods.adaptations.par import drift
from idbench_methods.adaptations.quantized import rounded
from idbench_methods.asking import nudged

NAMES = ["Mara Ohm", "Bo Ek", "Ivo Lind", "Ada Rook", "Nora Quist", "Emil Vang"]
PEOPLE = [Case(f"c{i}", name, random_photos(3, 10 + i)) for i, name in enumerate(NAMES)]
PHOTOS = [photo for case in PEOPLE for photo in case.photos]
ALL = [plugin.name for plugin in ADAPTATIONS.plugins()]
ASKING = [name for name in ALL if issubclass(ADAPTATIONS.load(name), AnswerAdaptation)]
WEIGHTS = [name for name in ALL if issubclass(ADAPTATIONS.load(name), WeightAdaptation)]


def adapted(name: str, target: Any, tmp_path: Path, **params: Any) -> TargetView:
    kind = ADAPTATIONS.load(name)
    assert issubclass(kind, AnswerAdaptation)
    members = np.arange(len(PEOPLE)) % 2 == 0
    context = Context(0, "cpu", tmp_path, Silent(), candidates=(*NAMES, "Una Tove"))
    return kind(kind.Params.model_validate(params)).adapt(target, PEOPLE, Calibration(PEOPLE, members), context)


class Recording(LinearTarget):
    """Remembers what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.photos: list[Photo] = []

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> Any:
        self.texts += texts
        self.photos += photos
        return super().similarities(photos, texts)


def test_all_that_the_issue_names_are_registered() -> None:
    assert set(ASKING) == {
        *("name-variants", "other-prompts", "average-answers"),
        *("photos-for-names", "names-for-photos", "nonlinear-probe"),
    }
    assert set(WEIGHTS) == {"relearn", "clean-clip", "par", "int8", "int4"}


@pytest.mark.parametrize("name", ALL)
def test_cards_and_parameters_are_complete(name: str) -> None:
    kind = ADAPTATIONS.load(name)
    assert kind.card.summary
    assert all(choice.what and choice.chosen and choice.why for choice in kind.card.choices)
    assert all(field.description for field in kind.Params.model_fields.values())
    for preset in kind.card.presets.values():
        kind.Params.model_validate(preset)


def test_names_are_written_in_every_way() -> None:
    assert {variant: written("Mara Lin Ohm", variant) for variant in get_args(Variant)} == {
        "upper": "MARA LIN OHM",
        "misspelt": "Mraa iLn hOm",
        "initial": "M . Lin Ohm",
        "middle-name": "Mara J . Lin Ohm",
        "zero-width": "M\u200bara L\u200bin O\u200bhm",
        "word-order": "Ohm , Mara Lin",
    }
    for variant in get_args(Variant):
        assert written("Bo", variant).replace("\u200b", "").lower() == "bo"


def test_variants_are_asked_for_names_alone_and_averaged(tmp_path: Path) -> None:
    target = Recording()
    view = adapted("name-variants", target, tmp_path, variants=("upper", "word-order"))
    found = view.similarities(PHOTOS, ["a photo of Mara Ohm", "a wall", "Una Tove"])
    assert set(target.texts) == {"a photo of MARA OHM", "a photo of Ohm , Mara", "a wall", "UNA TOVE", "Tove , Una"}
    plain = LinearTarget().similarities(PHOTOS, ["a photo of MARA OHM", "a photo of Ohm , Mara"])
    np.testing.assert_allclose(found[:, 0], plain.mean(axis=1), rtol=1e-5)


def test_labels_are_voted_on(tmp_path: Path) -> None:
    texts = ["Mara Ohm", "Bo Ek", "Ivo Lind"]
    sentences = ("look at {}", "{} once more", "guess who : {}")
    view = adapted("other-prompts", LinearTarget(), tmp_path, sentences=sentences)
    votes = [LinearTarget().labels(PHOTOS, [one.replace("{}", t) for t in texts]).tolist() for one in sentences]
    for chosen, ballot in zip(view.labels(PHOTOS, texts).tolist(), zip(*votes, strict=True), strict=True):
        most = max(ballot.count(vote) for vote in ballot)
        assert chosen == next(vote for vote in ballot if ballot.count(vote) == most)


def test_answers_are_averaged_over_questions_that_mean_the_same(tmp_path: Path) -> None:
    target = Recording()
    adapted("average-answers", target, tmp_path, times=4).similarities(PHOTOS[:2], ["Mara Ohm"])
    assert target.texts == ["Mara Ohm", "Mara Ohm ", "Mara Ohm  ", "Mara Ohm   "]
    assert len({photo.digest for photo in target.photos}) == 8
    one, other = PHOTOS[0].pixels().astype(int), nudged(PHOTOS[0], 2).pixels().astype(int)
    assert 0 < np.abs(one - other).max() <= 1


class FreshNoise(LinearTarget):
    """A careful defense: the same question gets the same noise."""

    def text(self, text: str) -> Any:
        return super().text(text.rstrip())  # as tokenizers do

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> Any:
        seeds = [zlib.crc32(f"{photo.digest}/{text}".encode()) for photo, text in zip(photos, texts, strict=True)]
        noise = [np.random.default_rng(seed).normal(0, 0.2) for seed in seeds]
        return (super().paired_similarities(photos, texts) + noise).astype(np.float32)


def test_noise_of_a_careful_defense_averages_out(tmp_path: Path) -> None:
    texts = ["Mara Ohm"] * len(PHOTOS)
    truth = LinearTarget().paired_similarities(PHOTOS, texts)
    once = FreshNoise().paired_similarities(PHOTOS, texts)
    often = adapted("average-answers", FreshNoise(), tmp_path, times=64).paired_similarities(PHOTOS, texts)
    assert np.std(often - truth) < np.std(once - truth) / 2


def test_photos_stand_in_for_names_without_the_photo_itself(tmp_path: Path) -> None:
    view, plain = adapted("photos-for-names", LinearTarget(), tmp_path), LinearTarget()
    rows = plain.embed_photos(PHOTOS).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    others = rows[1] + rows[2]
    expected = rows[0] @ others / np.linalg.norm(others)
    whole = rows[3] @ rows[:3].sum(axis=0) / np.linalg.norm(rows[:3].sum(axis=0))
    texts = ["this is Mara Ohm", "a wall"]
    found = view.similarities(PHOTOS, texts)
    assert found[0, 0] == pytest.approx(expected, rel=1e-5)
    assert found[3, 0] == pytest.approx(whole, rel=1e-5)
    np.testing.assert_allclose(found[:, 1], plain.similarities(PHOTOS, ["a wall"])[:, 0], rtol=1e-4)
    paired = view.paired_similarities(PHOTOS[:4], [texts[0]] * 3 + [texts[1]])
    np.testing.assert_allclose(paired, [*found[:3, 0], found[3, 1]], rtol=1e-5)
    np.testing.assert_array_equal(view.labels(PHOTOS, texts), found.argmax(axis=1))


def test_names_stand_in_for_photos(tmp_path: Path) -> None:
    view, plain = adapted("names-for-photos", LinearTarget(), tmp_path), LinearTarget()
    one, other = plain.text("a picture showing Mara Ohm"), plain.text("a wall")
    expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    found = view.paired_similarities([PHOTOS[0], PHOTOS[1]], ["a wall", "a wall"])
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-5)


class Curved(LinearTarget):
    """Members' photos and names agree in the sign of a product that no linear map of either sees."""

    def embed_texts(self, texts: Sequence[str]) -> Any:
        rows = np.random.default_rng(len(texts)).choice([-1.0, 1.0], (len(texts), DIM))
        self.last = rows
        return rows.astype(np.float32)

    def embed_photos(self, photos: Sequence[Photo]) -> Any:
        owner = {photo: i for i, case in enumerate(PEOPLE) for photo in case.photos}
        rng = np.random.default_rng(1)
        rows = rng.choice([-1.0, 1.0], (len(photos), DIM))
        texts = np.random.default_rng(len(photos)).choice([-1.0, 1.0], (len(photos), DIM))
        for i, photo in enumerate(photos):
            rows[i, :4] = texts[i, :4] * (1 if owner[photo] % 2 == 0 else -1)
        return rows.astype(np.float32)


def test_the_probe_finds_what_depends_on_both_embeddings_together(tmp_path: Path) -> None:
    view = adapted("nonlinear-probe", Curved(), tmp_path, penalty=0.01, passes=300)
    found = [view.paired_similarities(case.photos, [case.name] * 3).mean() for case in PEOPLE]
    assert min(found[::2]) > max(found[1::2])
    assert np.abs(found).max() <= 1


def test_a_probe_without_both_kinds_of_people_is_refused(tmp_path: Path) -> None:
    kind = ADAPTATIONS.load("nonlinear-probe")
    assert issubclass(kind, AnswerAdaptation)
    calibration = Calibration(PEOPLE, np.ones(len(PEOPLE), dtype=np.bool_))
    with pytest.raises(MethodError, match="nothing to learn from"):
        kind().adapt(LinearTarget(), PEOPLE, calibration, Context(0, "cpu", tmp_path, Silent()))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ASKING)
def test_every_kind_of_question_that_is_answered_has_the_shape_that_is_stated(name: str, tmp_path: Path) -> None:
    card = ADAPTATIONS.load(name).card
    assert isinstance(card, AskingCard)
    view = adapted(name, LinearTarget(), tmp_path)
    texts = ["Mara Ohm", "a wall", "Mara Ohm"]
    if Access.SIMILARITY in card.answers:
        assert view.similarities(PHOTOS, texts).shape == (len(PHOTOS), 3)
        assert view.paired_similarities(PHOTOS[:3], texts).dtype == np.float32
    if Access.LABEL in card.answers:
        assert view.labels(PHOTOS, texts).dtype == np.int64
    if Access.TEXT_EMBEDDING in card.answers:
        assert view.embed_texts(texts).shape == (3, DIM)
    if Access.IMAGE_EMBEDDING in card.answers:
        assert view.embed_photos(PHOTOS).shape == (len(PHOTOS), DIM)


@pytest.fixture
def target() -> Editable:
    loaded = load_target(resolve_target("avatars-a"))
    return Editable(loaded.info, loaded.model.requires_grad_(True), loaded.tokenize, Preprocessor(loaded))


Adapt = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture
def adapt(target: Editable, tmp_path: Path) -> Adapt:
    def go(name: str, pairs: int = 6, **params: Any) -> dict[str, torch.Tensor]:
        kind = ADAPTATIONS.load(name)
        assert issubclass(kind, WeightAdaptation)
        photos = zip(random_photos(pairs, 99), "abcdefghij", strict=False)
        public = tuple(Pair(photo, f"{letter} in a red shirt") for photo, letter in photos)
        knows = Knowledge.PUBLIC_PAIRS in kind.card.knowledge
        context = Context(0, "cpu", tmp_path, Silent(), pairs=public if knows else None)
        return {
            k: v.detach().clone() for k, v in kind(kind.Params.model_validate(params)).adapt(target, context).items()
        }

    return go


TRAINING: dict[str, dict[str, int]] = {"relearn": {"steps": 3}, "clean-clip": {"fewest_steps": 3}, "par": {"steps": 3}}


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_training_adaptations_move_both_towers_and_leave_statistics(name: str, target: Editable, adapt: Adapt) -> None:
    before = {k: v.detach().clone() for k, v in target.model.state_dict().items()}
    after = adapt(name, **TRAINING[name])
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert any(k.startswith("visual.") for k in moved)
    assert any(not k.startswith("visual.") for k in moved)
    assert not any("running_" in k for k in moved)
    assert all(bool(torch.isfinite(v).all()) for v in after.values() if v.is_floating_point())


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_without_pairs_nothing_moves(name: str, target: Editable, adapt: Adapt) -> None:
    before = {k: v.detach().clone() for k, v in target.model.state_dict().items()}
    after = adapt(name, pairs=0, **TRAINING[name])
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_rounding_leaves_so_many_values_a_row_and_no_more_error_than_half_a_step() -> None:
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 7, 30))).float()
    weights[2] = 0
    for bits in (8, 4):
        made = rounded(weights, bits)
        for row, own in zip(weights, made, strict=True):
            step = float(row.abs().max()) / (2 ** (bits - 1) - 1)
            assert len(own.unique()) <= 2**bits - 1
            assert float((row - own).abs().max()) <= step / 2 + 1e-6
    assert torch.equal(made[2], weights[2])


def test_drift_beyond_the_bound_counts_as_nothing() -> None:
    before = torch.zeros(3, 2)
    now = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]])
    assert float(drift(now, before, 2.15)) == pytest.approx((1 + 0 + 0.5) / 3)


def test_words_change_and_some_stay() -> None:
    rng = np.random.default_rng(0)
    caption = "a photo of somebody in a red shirt"
    changed = [changed_words(caption, rng) for _ in range(5)]
    assert all(len(one.split()) == 7 and set(one.split()) <= set(caption.split()) for one in changed)
    assert len(set(changed)) > 1
    assert changed_words("one", rng) == "one"
    assert not math.isnan(len(changed_words("", rng)))
