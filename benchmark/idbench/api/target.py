"""What a method can ask of the target under audit, and what a defense can change about one."""

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
        mean: per channel (red, green, blue), subtracted from pixels in 0..1.
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
    """A target as one attack may use it: every query is counted.

    Photos and texts may repeat: the view encodes each distinct one once. Order and length of the results are those of
    the arguments.

    Raises:
        AccessViolation: any query that the attack's card does not declare.
        MethodError: any query with unusable arguments: images of the wrong shape or with NaN, a number of texts other
            than that of the images, texts that are not strings, labels of no texts.
    """

    @property
    def info(self) -> TargetInfo:
        """What is known without asking."""
        ...

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """Index of the text that fits each photo best, int64 (n_photos,); the first of equals.

        Needs LABEL or SIMILARITY.
        """
        ...

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines in -1..1, float32 (n_photos, n_texts). Needs SIMILARITY."""
        ...

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of each photo with the text at the same place, float32 (n,). Needs SIMILARITY."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Text embeddings as the model returns them, not normalized, float32 (n_texts, embedding_dim).

        Needs TEXT_EMBEDDING.
        """
        ...

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Image embeddings, not normalized, float32 (n_photos, embedding_dim). Needs IMAGE_EMBEDDING."""
        ...

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Photos as the model takes them: float32 (n, 3, height, width) in the normalized space, on the run's device.

        Needs no access: resizing and normalizing are public.
        """
        ...

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of images, not normalized, float32 (n, embedding_dim), no gradient. Needs IMAGE_EMBEDDING.

        Args:
            images: float (n, 3, height, width) in the normalized space.
        """
        ...

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Cosine of each image with the text at the same place, in -1..1, float32 (n,), no gradient. Needs SIMILARITY.

        Args:
            images: float (n, 3, height, width) in the normalized space.
            texts: n of them.
        """
        ...

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine of each image with the text at the same place, and its gradient. Needs GRADIENT.

        One gradient query per image; texts are encoded once however often they come back.

        Args:
            images: float (n, 3, height, width) in the normalized space.
            texts: n of them.

        Returns:
            Cosines in -1..1, float32 (n,), and their derivatives with respect to the normalized images, float32
            (n, 3, height, width).
        """
        ...

    def weights(self) -> torch.nn.Module:
        """A copy of open_clip's model itself, in evaluation mode, its weights ready for gradients. Needs WEIGHTS."""
        ...

    def train_shadows(self, sets: Sequence[Sequence[Pair]], seed: int, epochs: float = 1.0) -> Sequence[TargetView]:
        """Shadow models: the target's architecture, trained by its recipe on other data. Needs TRAIN_SHADOWS.

        The same pairs (in whatever order), seed and place in `sets` give the same shadow, which is kept on disk and
        trained once. A set smaller than the recipe's batch is trained in one batch per epoch. The shadows of a defended
        target are those of the target before the defense: the attacker has the recipe, not the defense.

        Args:
            sets: one training set per shadow, at least two pairs each.
            seed: non-negative; decides, with the shadow's place in `sets`, the initial weights and the order of pairs.
            epochs: passes over the data, as a multiple of the recipe's; more than 1 where the shadows have fewer
                pairs than the target had, and so fewer steps in a pass.

        Returns:
            One view per set, in order. The shadows are the attacker's own: they may be asked everything, and only the
            steps of their training are counted.

        Raises:
            MethodError: a set has fewer than two pairs.
            TargetError: the target comes without the recipe that it was trained by, or a training failed.
        """
        ...


class EditableTarget(Protocol):
    """A target as its owner sees it: what a `TargetDefense` works on. It is a copy; nothing is counted."""

    @property
    def info(self) -> TargetInfo:
        """Name, architecture, image size, normalization, length of the embeddings."""
        ...

    @property
    def model(self) -> torch.nn.Module:
        """open_clip's model (`encode_image`, `encode_text`), in evaluation mode, its weights ready for gradients.

        It is on the run's device and may be changed in place.
        """
        ...

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts as the model takes them: int64 (n_texts, context_length), on the processor."""
        ...

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Photos as the model takes them: float32 (n, 3, height, width) in the normalized space, on the run's device.

        Raises:
            DataError: a photo has no pixels.
        """
        ...
