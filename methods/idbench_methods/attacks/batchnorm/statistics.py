"""Distances of photos' features to the running statistics of batch norms. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api import MethodError, Photo, Progress, TargetView
from idbench_methods.layers import passes


def distances(target: TargetView, photos: Sequence[Photo], progress: Progress) -> NDArray[np.float64]:
    """Mean over batch norms of the distance of each photo, (n_photos,).

    Raises:
        MethodError: the image tower has no batch norms with running statistics.
    """
    model = target.weights()
    norms = {
        name: module
        for name, module in model.visual.named_modules()  # type: ignore[union-attr]
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None
    }
    if not norms:
        raise MethodError(
            f"The image tower of {target.info.name} has no batch norms, whose statistics the attack needs.",
            hint="Choose a target with a ResNet tower.",
        )
    blocks = passes(target, model, photos, norms, _distance)
    rows = [torch.stack(list(block.values())).mean(dim=0) for block in progress.track(blocks, "looking", total=None)]
    found: NDArray[np.float64] = torch.cat(rows).double().cpu().numpy()
    return found


def _distance(module: torch.nn.Module, given: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    """Mean over channels of (mean over places - running mean)^2 / running variance, (n,)."""
    assert isinstance(module, torch.nn.BatchNorm2d)
    assert module.running_mean is not None
    assert module.running_var is not None
    away = given.mean(dim=(2, 3)) - module.running_mean
    return (away**2 / (module.running_var + module.eps)).mean(dim=1)
