"""What a method can ask of the target under audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from idbench.api.cases import Pair, Photo

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What everybody knows of a target without asking it.

    Args:
        name: e.g. `avatars-a`.
        architecture: e.g. `ViT-B-32`.
        image_size: (height, width) in pixels of the images that it takes.
        mean: per channel, subtracted from pixels in 0..1.
        std: per channel; the normalized space is (pixels - mean) / std.
        embedding_dim: length of its embeddings.
    """

    name: str
    architecture: str
    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    embedding_dim: int


class TargetView(Protocol):
    """A target as one method may use it: undeclared access raises `AccessViolation`, every query is counted.

    Photos and texts may repeat: the view encodes each distinct one once. Order and length of the results are those of
    the arguments.
    """

    @property
    def info(self) -> TargetInfo:
        """What is known without asking."""
        ...

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """Index of the text that fits each photo best, (n_photos,); the first of equals. Needs LABEL or SIMILARITY."""
        ...

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines in -1..1, (n_photos, n_texts). Needs SIMILARITY."""
        ...

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of each photo with the text at the same place, (n,). Needs SIMILARITY."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Text embeddings as the model returns them, not normalized, (n_texts, dim). Needs TEXT_EMBEDDING."""
        ...

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Image embeddings, not normalized, (n_photos, dim). Needs IMAGE_EMBEDDING."""
        ...

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Photos as the model takes them: float (n, 3, height, width) in the normalized space, on the run's device.

        Needs no access: resizing and normalizing are public.
        """
        ...

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of images in the normalized space, (n, 3, height, width) -> (n, dim), no gradient.

        Needs IMAGE_EMBEDDING.
        """
        ...

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Cosine of each image (normalized space) with the text at the same place, (n,), no gradient.

        Needs SIMILARITY.
        """
        ...

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine of each image with the text at the same place, (n,), and its gradient, (n, 3, height, width).

        One gradient query per image; texts are encoded once however often they come back. Needs GRADIENT.
        """
        ...

    def weights(self) -> torch.nn.Module:
        """A copy of the model itself, in evaluation mode. Needs WEIGHTS."""
        ...

    def train_shadows(self, sets: Sequence[Sequence[Pair]], seed: int, epochs: float = 1.0) -> Sequence[TargetView]:
        """Look-alikes of the target: its architecture, trained by its recipe on other data. Needs TRAIN_SHADOWS.

        The same pairs (in whatever order), seed and place in `sets` give the same shadow, which is kept on disk and
        trained once. A set smaller than the recipe's batch is trained in one batch an epoch.

        Args:
            sets: one training set per shadow, at least two pairs each.
            seed: non-negative; decides, with the shadow's place in `sets`, the first weights and the order of pairs.
            epochs: passes over the data, as a multiple of the recipe's; more than one where the shadows have fewer
                pairs than the target had, and so fewer steps in a pass.

        Returns:
            One view per set, in order. The shadows are the attacker's own: they may be asked everything, and only the
            steps of their training are counted.

        Raises:
            TargetError: nobody knows how the target was trained.
        """
        ...
