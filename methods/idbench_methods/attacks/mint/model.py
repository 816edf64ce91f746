"""Activations of an image tower, and the network that learns from them. Imports torch and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from idbench.api import MethodError, Photo, Progress, TargetView
from idbench_methods.layers import passes
from idbench_methods.perceptron import Perceptron

if TYPE_CHECKING:
    from idbench_methods.attacks.mint import MintParams
    from idbench_methods.learning import Classifier


def activation_model(params: MintParams, seed: int) -> Classifier:
    """Standardized activations, perceptron; unfitted."""
    network = Perceptron(params.hidden, alpha=params.penalty, max_iter=500, random_state=seed)
    model: Classifier = make_pipeline(StandardScaler(), network)
    return model


def activations(target: TargetView, photos: Sequence[Photo], progress: Progress) -> NDArray[np.float64]:
    """Activations of each photo, averaged over places, all layers side by side, (n_photos, channels).

    Raises:
        MethodError: the image tower is neither open_clip's ResNet nor its transformer.
    """
    model = target.weights()
    layers = _layers(model.visual, target.info.name)  # type: ignore[arg-type]
    blocks = progress.track(passes(target, model, photos, layers, _pooled), "looking", total=None)
    rows = [torch.cat([block[name] for name in layers], dim=1) for block in blocks]
    found: NDArray[np.float64] = torch.cat(rows).double().cpu().numpy()
    return found


def _layers(tower: torch.nn.Module, name: str) -> dict[str, torch.nn.Module]:
    stages = {f"layer{i}": getattr(tower, f"layer{i}") for i in range(1, 5) if hasattr(tower, f"layer{i}")}
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
    layers = stages or {f"block{i}": block for i, block in enumerate(blocks)}
    if not layers:
        raise MethodError(
            f"The image tower of {name} is neither a ResNet nor a transformer of open_clip's own.",
            hint="Choose another target.",
        )
    return layers


def _pooled(module: torch.nn.Module, given: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """Means over places: (n, channels, h, w) or (n, tokens, channels) -> (n, channels)."""
    return result.mean(dim=(2, 3)) if result.ndim == 4 else result.mean(dim=1)
