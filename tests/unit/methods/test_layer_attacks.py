"""Attacks on a tower's layers, against plain versions, on real tiny towers of open_clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from idbench.api import Case, Context, MethodError, Photo, TargetInfo
from idbench.targets.load import build_model
from idbench_methods.attacks.batchnorm import BatchNorm
from idbench_methods.attacks.batchnorm.statistics import distances
from idbench_methods.attacks.mint.model import activations

TEXT = {"context_length": 16, "vocab_size": 849, "width": 16, "heads": 2, "layers": 1}
TOWERS: dict[str, dict[str, Any]] = {
    "resnet": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "transformer": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
}


class Opened:
    """A target whose weights may be read."""

    def __init__(self, tower: str) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = build_model({"embed_dim": 16, "vision_cfg": TOWERS[tower], "text_cfg": TEXT}, tower).eval()
            for module in self.model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.running_mean = torch.randn(module.num_features)
                    module.running_var = torch.rand(module.num_features) + 0.5
        self.info = TargetInfo(tower, tower, (32, 32), (0.5,) * 3, (0.25,) * 3, 16)

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        pixels = np.stack([photo.pixels() for photo in photos]).astype(np.float32) / 255
        return torch.from_numpy((pixels - 0.5) / 0.25).permute(0, 3, 1, 2).contiguous()

    def weights(self) -> torch.nn.Module:
        return self.model


def test_batch_norm_distances_are_those_of_the_formula(photos: Callable[..., list[Photo]], context: Any) -> None:
    opened: Any = Opened("resnet")
    shown = photos(3, side=32)
    found = distances(opened, shown, context().progress)
    own: list[np.ndarray[Any, Any]] = []
    norms = [module for module in opened.model.visual.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_pre_hook(lambda norm, given: own.append(_distance(norm, given[0])))
    with torch.no_grad():
        opened.model.visual(opened.preprocess(shown))
    assert len(own) == len(norms) > 4
    np.testing.assert_allclose(found, np.mean(own, axis=0), rtol=1e-4)


def _distance(norm: torch.nn.BatchNorm2d, given: torch.Tensor) -> np.ndarray[Any, Any]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    return (((given.numpy().mean(axis=(2, 3)) - mean) ** 2) / (variance + norm.eps)).mean(axis=1)


def test_photos_like_the_statistics_score_higher(photo: Any, context: Any) -> None:
    opened: Any = Opened("resnet")
    plain = photo(np.full((32, 32, 3), 127, dtype=np.uint8))
    wild = photo(np.where(np.indices((32, 32)).sum(axis=0)[..., None] % 2, 255, 0).astype(np.uint8).repeat(3, axis=2))
    for module in opened.model.visual.modules():  # what the plain photo shows is what was seen in training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(_remember)
    with torch.no_grad():
        opened.model.visual(opened.preprocess([plain]))
    for module in opened.model.visual.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module._forward_pre_hooks.clear()
    cases = [Case("a", None, [plain]), Case("b", None, [wild]), Case("c", None, [])]
    scores = BatchNorm().score(opened, cases, context())
    assert scores.values[0] == pytest.approx(0, abs=1e-6)
    assert scores.values[1] < -0.01
    assert scores.abstained is not None
    assert scores.abstained.tolist() == [False, False, True]


def _remember(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    module.running_mean = given[0].mean(dim=(0, 2, 3))


def test_towers_without_batch_norms_are_refused(context: Callable[..., Context], people: Any) -> None:
    opened: Any = Opened("transformer")
    with pytest.raises(MethodError, match="has no batch norms"):
        BatchNorm().score(opened, people(1), context())


@pytest.mark.parametrize("tower", ["resnet", "transformer"])
def test_activations_are_means_over_places(tower: str, photos: Callable[..., list[Photo]], context: Any) -> None:
    opened: Any = Opened(tower)
    shown = photos(3, side=32)
    found = activations(opened, shown, context().progress)
    visual, x = opened.model.visual, opened.preprocess(shown)
    with torch.no_grad():
        if tower == "resnet":
            x = visual.stem(x)
            parts = []
            for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
                x = stage(x)
                parts.append(x.mean(dim=(2, 3)))
        else:
            x = visual._embeds(x)
            parts = []
            for block in visual.transformer.resblocks:
                x = block(x)
                parts.append(x.mean(dim=1))
    np.testing.assert_allclose(found, torch.cat(parts, dim=1).numpy(), rtol=1e-4, atol=1e-5)
    assert not any(module._forward_hooks for module in opened.model.modules())
