"""TUNI's optional second stage: do the images optimized for a name look like the person's real photos?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from idbench.api import Photo, TargetView
from idbench_methods.attacks.tuni.features import Features
from idbench_methods.descriptor import SIDE, describe, describe_photos


class Looks(Protocol):
    """A feature space in which real photos and optimized images are compared."""

    def of_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """(n, length)."""
        ...

    def of_images(self, features: Features) -> NDArray[np.float32]:
        """Of a text's optimized images, (runs, length)."""
        ...


class TargetLooks:
    """The target's own image embeddings, scaled to length one."""

    def __init__(self, target: TargetView) -> None:
        self._target = target

    def of_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """(n, dim)."""
        return _unit(self._target.embed_photos(photos))

    def of_images(self, features: Features) -> NDArray[np.float32]:
        """(runs, dim)."""
        return _unit(features.embeddings)


class DescriptorLooks:
    """The fixed descriptor of colours and edges, which has learned nothing."""

    def __init__(self, target: TargetView) -> None:
        self._mean = torch.tensor(target.info.mean).view(1, 3, 1, 1)
        self._std = torch.tensor(target.info.std).view(1, 3, 1, 1)

    def of_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """(n, length)."""
        return describe_photos(photos)

    def of_images(self, features: Features) -> NDArray[np.float32]:
        """(runs, length); pixels outside of what a photo can hold are cut off."""
        pixels = (features.images.cpu() * self._std + self._mean).clamp(0, 1)
        small = torch.nn.functional.interpolate(pixels, size=(SIDE, SIDE), mode="area")
        return describe(small.permute(0, 2, 3, 1).numpy())


def closeness(photos: NDArray[np.float32], own: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> float:
    """How much closer the images optimized for a name lie to the person's photos than those of gibberish do.

    Args:
        photos: features of the person's photos, (n_photos, length).
        own: features of the images optimized for the name, (runs, length).
        others: the same for each gibberish string.

    Returns:
        Mean distance over all pairs, in standard deviations of gibberish, below gibberish's mean: higher = closer.
    """
    far = cdist(np.concatenate(others), photos).mean(axis=1)
    typical = np.array([part.mean() for part in np.split(far, np.cumsum([len(part) for part in others])[:-1])])
    deviation = float(typical.std())
    return float((typical.mean() - cdist(own, photos).mean()) / deviation) if deviation > 0 else 0.0


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return scaled
