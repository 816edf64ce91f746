"""Training again after a defense of the training set: the same weights where nothing changed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.squares import RESNET, pairs, spec

from idbench.api import (
    Case,
    Context,
    CorpusCard,
    CorpusDefense,
    Guarantee,
    Knowledge,
    MethodError,
    MethodParams,
    PrivateGradients,
    Silent,
    TargetError,
    Training,
)
from idbench.targets import LocalFile
from idbench.targets.defended import check_retrainable
from idbench.targets.retraining import retrain
from idbench.targets.train import contrastive, make_private, train_target

Change = Callable[[Training], Any]


class Changing(CorpusDefense[MethodParams]):
    """Applies a function."""

    card = CorpusCard(name="changing", version="1", title="Changing", knowledge=Knowledge.TRAINING_SET)
    change: Change = staticmethod(lambda training: training)

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        result: Training = type(self).change(training)
        return result


def after(change: Change, folder: Path, tower: dict[str, Any] | None = None) -> dict[str, torch.Tensor]:
    defense = type("Now", (Changing,), {"change": staticmethod(change)})()
    context = Context(0, "cpu", folder, Silent())
    cost = retrain(folder / "w.safetensors", spec(tower, epochs=2), pairs(), defense, [], context)
    assert cost.steps == 2 * (len(pairs().images) // 16)
    return load_file(folder / "w.safetensors")


def test_a_training_that_is_left_alone_gives_the_target_again(tmp_path: Path) -> None:
    train_target(spec(epochs=2), pairs(), tmp_path / "plain.safetensors")
    plain, again = load_file(tmp_path / "plain.safetensors"), after(lambda training: training, tmp_path)
    for name in plain:  # captions are encoded in another order, which rounds differently
        torch.testing.assert_close(plain[name], again[name], rtol=1e-3, atol=1e-4)


def test_the_smoothed_loss_is_the_cross_entropy_with_soft_targets() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, other = (torch.nn.functional.normalize(torch.randn(5, 3, dtype=torch.float64), dim=1) for _ in range(2))
    scale = torch.tensor(7.0, dtype=torch.float64)
    for smoothing in (0.3, -0.1):
        logs = [torch.log_softmax(scale * m, dim=1).numpy() for m in (one @ other.T, other @ one.T)]
        wanted = (1 - smoothing) * np.eye(5) + smoothing / 5
        expected = -sum((wanted * log).sum(axis=1).mean() for log in logs) / 2
        assert float(contrastive(smoothing)(one, other, scale)) == pytest.approx(expected, rel=1e-6)
    plain, zero = contrastive(0.0)(one, other, scale), contrastive(1e-12)(one, other, scale)
    assert float(plain) == pytest.approx(float(zero), rel=1e-9)


def test_gradients_are_clipped_together_and_carry_the_noise_that_is_said() -> None:
    def prepared(length: float, noise: float, step: int) -> torch.Tensor:
        weights = [torch.nn.Parameter(torch.zeros(200, 100)), torch.nn.Parameter(torch.zeros(100))]
        for weight in weights:
            weight.grad = torch.full_like(weight, length / np.sqrt(20_100))
        make_private(weights, PrivateGradients(2.0, noise, 5, np.zeros((1, 1, 1, 3), np.uint8)), step)
        return torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])

    assert float(prepared(50.0, 0.0, 0).norm()) == pytest.approx(2.0, rel=1e-4)
    assert float(prepared(0.5, 0.0, 0).norm()) == pytest.approx(0.5, rel=1e-4)
    noisy = prepared(0.0, 3.0, 1)
    assert float(noisy.std()) == pytest.approx(6.0, rel=0.03)
    assert torch.equal(noisy, prepared(0.0, 3.0, 1))
    assert not torch.equal(noisy, prepared(0.0, 3.0, 2))


def test_statistics_of_batch_normalization_come_from_public_pictures(tmp_path: Path) -> None:
    """Without noise, two trainings on the same pairs differ by the public pictures in these statistics alone."""
    found = []
    for shade in (20, 200):
        public = np.full((40, 32, 32, 3), shade, dtype=np.uint8)
        private = PrivateGradients(1.0, 0.0, 1, public)
        found.append(after(lambda t, private=private: replace(t, private=private), tmp_path, RESNET))
    one, other = found
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing
    assert all("running_" in name for name in differing)


BAD: list[tuple[Change, str]] = [
    (lambda t: None, "a NoneType is not a Training"),
    (lambda t: replace(t, captions=t.captions[:-1]), "has 100 pictures and 99 captions"),
    (lambda t: replace(t, images=t.images[:, :8]), "not uint8"),
    (lambda t: replace(t, images=t.images.astype(np.float32)), "not uint8"),
    (lambda t: replace(t, images=t.images[:3], captions=t.captions[:3]), "3 pairs, fewer than one batch of 16"),
    (lambda t: replace(t, captions=(1,) * 100), "a caption is not a text"),
    (lambda t: replace(t, smoothing=float("nan")), "smoothing of nan"),
    (lambda t: replace(t, private=PrivateGradients(0.0, 1.0, 0, t.images)), "clipping norm of 0.0"),
    (lambda t: replace(t, private=PrivateGradients(1.0, -1.0, 0, t.images)), "noise of -1.0"),
    (lambda t: replace(t, private=PrivateGradients(1.0, 1.0, 0, t.images[:0])), "no public pictures"),
]


@pytest.mark.parametrize(("change", "says"), BAD, ids=[says for _, says in BAD])
def test_what_nothing_can_be_trained_on_is_refused(change: Change, says: str, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=says):
        after(change, tmp_path)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_target_without_a_recipe_or_a_known_training_set_is_refused(tmp_path: Path) -> None:
    known = spec()
    check_retrainable(known)
    for update, says in (
        ({"recipe": None}, "the recipe that it was trained by is not known"),
        ({"corpus_digest": None}, "what it was trained on is not known exactly"),
        ({"architecture": "ViT-B-32", "weights": LocalFile(path="x")}, "the recipe"),
    ):
        with pytest.raises(TargetError, match=says):
            check_retrainable(known.model_copy(update=update))


def test_a_guarantee_is_checked() -> None:
    good = {"unit": "pair", "pairs": 1, "epsilon": 1.0, "delta": 1e-5, "accountant": "by hand"}
    Guarantee.model_validate(good)
    for change in ({"epsilon": -1.0}, {"epsilon": float("inf")}, {"delta": 0.0}, {"pairs": 0}, {"unit": "family"}):
        with pytest.raises(ValueError, match="validation error"):
            Guarantee.model_validate(good | change)
