"""A training set of coloured squares, and a target that learns it in a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from idbench.api import Silent
from idbench.targets import TargetSpec, TrainingRecipe, resolve_target

T = TypeVar("T")

RECIPE = TrainingRecipe(epochs=3, batch_size=16, learning_rate=3e-3, weight_decay=0.1, warmup_steps=5, seed=7)
VIT = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}


@dataclass(frozen=True)
class Pairs:
    images: NDArray[np.uint8]
    caption_ids: NDArray[np.int64]
    captions: list[str]
    digest: str = "d" * 64


def pairs(n: int = 100, size: int = 32, seed: int = 0) -> Pairs:
    """Plain squares of four colours, with noise, captioned by their colour."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, len(COLOURS), n)
    palette = np.array(list(COLOURS.values()))
    images = palette[ids][:, None, None, :] + rng.normal(0, 12, (n, size, size, 3))
    return Pairs(images.clip(0, 255).astype(np.uint8), ids, [f"a photo with {name}" for name in COLOURS])


def spec(tower: dict[str, Any] | None = None, **recipe: Any) -> TargetSpec:
    """A shipped target with a smaller image tower and a recipe of seconds."""
    shipped = resolve_target("avatars-a")
    assert isinstance(shipped.architecture, dict)
    vision = VIT if tower is None else tower
    return shipped.model_copy(
        update={
            "name": "squares",
            "architecture": shipped.architecture | {"vision_cfg": vision},
            "recipe": RECIPE.model_copy(update=recipe),
            "sha256": None,
            "golden_sha256": None,
        }
    )


class Recorder(Silent):
    """Remembers every update; may interrupt at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.updates: list[tuple[float, float]] = []
        self._stop_at = stop_at

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        yield from items

    def update(self, done: float, total: float, description: str) -> None:
        self.updates.append((done, total))
        if done == self._stop_at:
            raise KeyboardInterrupt
