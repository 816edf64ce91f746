"""One question asked in several ways: numbers are averaged, labels are voted on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from idbench.api import Access, Photo, TargetFront, TargetView

if TYPE_CHECKING:
    import torch

ANSWERS = Access.LABEL | Access.SIMILARITY | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING
"""What can be put together from several answers."""


class SeveralWays(TargetFront):
    """A target that is asked each question in several ways.

    Args:
        target: what is asked.
        name: of the adaptation.
        texts: for each way, what a text becomes.
        photos: for each way, what a photo becomes; None: photos stay.
    """

    def __init__(
        self,
        target: TargetView,
        name: str,
        texts: Sequence[Callable[[str], str]],
        photos: Sequence[Callable[[Photo], Photo]] | None = None,
    ) -> None:
        super().__init__(target, name)
        self._texts = texts
        self._photos = photos or [_same] * len(texts)

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """The text that most ways choose; of equals, the one that the earliest way chooses."""
        votes = np.stack(
            [self._target.labels(*self._asked(way, photos, texts)) for way in range(len(self._texts))]
        )  # (ways, photos)
        counts = (votes[:, None, :] == votes[None, :, :]).sum(axis=1)
        chosen: NDArray[np.int64] = votes[counts.argmax(axis=0), np.arange(votes.shape[1])]
        return chosen

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean cosine over the ways."""
        return self._mean(lambda way: self._target.similarities(*self._asked(way, photos, texts)))

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean cosine over the ways."""
        return self._mean(lambda way: self._target.paired_similarities(*self._asked(way, photos, texts)))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean of the unit embeddings over the ways."""
        return self._mean(lambda way: _unit(self._target.embed_texts([self._texts[way](text) for text in texts])))

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Mean of the unit embeddings over the ways."""
        return self._mean(lambda way: _unit(self._target.embed_photos([self._photos[way](one) for one in photos])))

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """As the target says: images of the attack's own are asked about as they are."""
        return self._target.embed_images(images)

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Mean cosine over the ways; images are asked about as they are."""
        import torch

        ways = [self._target.image_similarities(images, [way(text) for text in texts]) for way in self._texts]
        return torch.stack(ways).mean(dim=0)

    def _asked(self, way: int, photos: Sequence[Photo], texts: Sequence[str]) -> tuple[list[Photo], list[str]]:
        return [self._photos[way](photo) for photo in photos], [self._texts[way](text) for text in texts]

    def _mean(self, ask: Callable[[int], NDArray[np.float32]]) -> NDArray[np.float32]:
        total = ask(0).astype(np.float64)
        for way in range(1, len(self._texts)):
            total += ask(way)
        return (total / len(self._texts)).astype(np.float32)


def _same(photo: Photo) -> Photo:
    return photo


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    unit: NDArray[np.float32] = (rows / lengths).astype(np.float32)
    return unit


def nudged(photo: Photo, way: int) -> Photo:
    """The photo with the last bits of some pixels flipped: another question that means the same; way 0: the photo."""
    if way == 0:
        return photo

    def pixels() -> NDArray[np.uint8]:
        own = photo.pixels().copy()
        entropy = [way, int(photo.digest[:8], 16)]
        own ^= np.random.default_rng(entropy).integers(0, 2, own.shape, dtype=np.uint8)
        return own

    return Photo(hashlib.sha256(f"{photo.digest}/nudged/{way}".encode()).hexdigest(), pixels)
