"""What a target is trained on and how, as seen by a defense that acts before the training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.privacy import Guarantee


@dataclass(frozen=True, slots=True)
class PrivateGradients:
    """Gradients that say little about any one pair.

    Args:
        clip_norm: most that the gradient of a batch may measure, L2 over all weights; above 0.
        noise: standard deviation of the normal noise on each coordinate, in units of `clip_norm`; 0 for none.
        seed: of the noise, non-negative.
        public_images: pictures on which the statistics of batch normalization are taken after the training, since those
            of the training itself carry no noise; uint8 (n, h, w, 3).
    """

    clip_norm: float
    noise: float
    seed: int
    public_images: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Training:
    """Pairs, and how a target learns from them; everything else is the target's own recipe.

    Args:
        images: uint8 (n, h, w, 3) of the size that the target takes; not to be written to.
        captions: one for each picture, (n,).
        epochs: passes over the pairs, by the recipe. For information: a defense does not change it.
        batch_size: pairs in a step, by the recipe. For information.
        smoothing: of the contrastive targets, above -1 and below 1. Each picture's own caption is wanted with
            1 - smoothing + smoothing / b and every other of the b captions of its batch with smoothing / b; below 0,
            other captions are pushed away.
        private: clipped and noisy gradients; None: plain ones.
        guarantees: what follows for privacy, for the record.
    """

    images: NDArray[np.uint8]
    captions: tuple[str, ...]
    epochs: int
    batch_size: int
    smoothing: float = 0.0
    private: PrivateGradients | None = None
    guarantees: tuple[Guarantee, ...] = ()
