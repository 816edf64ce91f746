"""Where TUNI's optimizations begin: photos of other people, or noise, and one random crop per run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api import Context, MethodError, Pair, TargetView
from idbench_methods.attacks.tuni.ascent import Begin, Beginnings
from idbench_methods.attacks.tuni.crops import CropRange, Crops, random_boxes

if TYPE_CHECKING:
    from idbench_methods.attacks.tuni import TuniParams


class _Source:
    """Draws the start image of each text."""

    def images(self, rng: np.random.Generator, runs: int) -> torch.Tensor:
        """(runs, 3, height, width) in the normalized space."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class _PhotoOfSomebody(_Source):
    """A public photo, the same for all runs of a text."""

    target: TargetView
    pairs: tuple[Pair, ...]

    def images(self, rng: np.random.Generator, runs: int) -> torch.Tensor:
        photo = self.pairs[int(rng.integers(len(self.pairs)))].photo
        return self.target.preprocess([photo]).expand(runs, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class _OnePhoto(_Source):
    """A public photo, the same for all texts."""

    image: torch.Tensor

    def images(self, rng: np.random.Generator, runs: int) -> torch.Tensor:
        return self.image.expand(runs, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class _Noise(_Source):
    """Normal noise in the normalized space, the same for all runs of a text."""

    size: tuple[int, int]
    device: torch.device

    def images(self, rng: np.random.Generator, runs: int) -> torch.Tensor:
        noise = torch.from_numpy(rng.standard_normal((1, 3, *self.size), dtype=np.float32))
        return noise.to(self.device).expand(runs, -1, -1, -1)


def beginnings(target: TargetView, params: TuniParams, context: Context) -> Beginnings:
    """Starts as the parameters say; a text's starts depend on the run's seed and the text alone.

    Raises:
        MethodError: photos are asked for and the split has no public ones.
    """
    source = _source(target, params, context)
    height, width = target.info.image_size
    device = torch.device(context.device)
    crop = CropRange(params.crop_low, params.crop_high, params.crop_ratio)
    whole = Crops.of(_whole(params.runs, height, width), height, width, device)

    def begin(text: str) -> Begin:
        rng = context.rng("start", text)
        images = source.images(rng, params.runs)
        crops = Crops.of(random_boxes(rng, params.runs, height, width, crop), height, width, device)
        if params.crop_of == "start":
            return Begin(crops.apply(images), whole)
        return Begin(images, crops)

    return begin


def _source(target: TargetView, params: TuniParams, context: Context) -> _Source:
    if params.start == "noise":
        return _Noise(target.info.image_size, torch.device(context.device))
    pairs = tuple(sorted(context.public_pairs, key=lambda pair: pair.photo.digest))
    if not pairs:
        raise MethodError(
            "TUNI starts from photos of other people, and the split has no public pairs.",
            hint="Set start to noise.",
        )
    if params.start == "one-photo":
        photo = pairs[int(context.rng("start-photo").integers(len(pairs)))].photo
        return _OnePhoto(target.preprocess([photo]))
    return _PhotoOfSomebody(target, pairs)


def _whole(n: int, height: int, width: int) -> NDArray[np.float64]:
    return np.tile(np.array([0.0, 0.0, height, width]), (n, 1))
