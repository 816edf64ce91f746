"""Shadow models of a target that trains in a second."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from idbench.api import Pair, Photo, Silent
from idbench.targets import LocalFile
from idbench.targets.load import LoadedTarget, build_model, load_target
from idbench.targets.shadows import train_shadows
from tests.squares import VIT, pairs, spec


def make_target(path: Path, **recipe: Any) -> LoadedTarget:
    """An untrained target with a recipe of seconds."""
    wanted = spec(VIT, **recipe)
    assert isinstance(wanted.architecture, dict)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(wanted.architecture, "t")
    save_file({name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}, path)
    return load_target(wanted.model_copy(update={"weights": LocalFile(path=str(path)), "title": "t"}))


def sets(n: int = 2, size: int = 40) -> list[list[Pair]]:
    """Training sets of coloured squares."""
    made = []
    for number in range(n):
        data = pairs(size, seed=number)
        pictured = zip(data.images, data.caption_ids, strict=True)
        made.append([Pair(photo_of(image), data.captions[i]) for image, i in pictured])
    return made


def photo_of(pixels: NDArray[np.uint8]) -> Photo:
    return Photo(hashlib.sha256(pixels.tobytes()).hexdigest(), lambda: pixels)


def train(target: LoadedTarget, folder: Path, given: Sequence[Sequence[Pair]] | None = None, **more: Any) -> Any:
    options: dict[str, Any] = {"seed": 0, "epochs": 1.0, "progress": Silent()} | more
    return train_shadows(target, sets() if given is None else given, folder=folder, **options)
