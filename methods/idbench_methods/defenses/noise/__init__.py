"""Noise: every similarity and embedding is answered with noise, the same question with the same noise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    AnswerCard,
    AnswerDefense,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodParams,
    Photo,
    TargetView,
)
from idbench_methods.answering import LabelsFollow

if TYPE_CHECKING:
    import torch

CARD = AnswerCard(
    name="noise",
    version="1",
    title="Noisy answers",
    summary="Normal noise on each cosine, and on each coordinate of an embedding of length one. Labels follow from "
    "noisy cosines.",
    knowledge=Knowledge.NONE,
    answers=Access.LABEL | Access.SIMILARITY | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING,
    choices=(
        Choice(
            what="noise of a question that is repeated",
            chosen="the same, unless `fresh`",
            why="fresh noise is averaged away by asking again",
        ),
        Choice(
            what="noise of embeddings",
            chosen="of the same standard deviation on each coordinate of the unit embedding",
            why="a cosine that is computed from it then has at least the noise of a cosine that is asked for",
        ),
        Choice(what="gradients", chosen="not answered", why="noise on them would have another unit"),
    ),
)


class NoiseParams(MethodParams):
    """Parameters of the noise."""

    deviation: float = Field(default=0.1, ge=0, description="standard deviation, in units of a cosine")
    fresh: bool = Field(default=False, description="whether a repeated question is answered with other noise")


class Noise(AnswerDefense[NoiseParams]):
    """Adds noise to cosines and embeddings."""

    card = CARD

    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """The target with noisy answers."""
        return NoisyTarget(target, self.params.deviation, self.params.fresh, context.seed)


class NoisyTarget(LabelsFollow):
    """A target whose answers carry noise.

    Args:
        target: what stands behind.
        deviation: of the noise, in units of a cosine.
        fresh: whether a repeated question gets other noise.
        seed: of the noise.
    """

    def __init__(self, target: TargetView, deviation: float, fresh: bool, seed: int) -> None:
        super().__init__(target, CARD.name)
        self._deviation = deviation
        self._seed = seed
        self._asked = 0
        self._fresh = fresh

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Noisy cosines, kept within -1..1."""
        found = self._target.similarities(photos, texts)
        rows = self._keys([photo.digest for photo in photos])
        return _within(found + self._noise(_mixed(rows[:, None], self._keys(texts)[None, :])))

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Noisy cosines, kept within -1..1; the noise is that of `similarities`."""
        found = self._target.paired_similarities(photos, texts)
        keys = _mixed(self._keys([photo.digest for photo in photos]), self._keys(texts))
        return _within(found + self._noise(keys))

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Noisy cosines, kept within -1..1."""
        import torch

        found = self._target.image_similarities(images, texts)
        keys = _mixed(self._keys(_contents(images)), self._keys(texts))
        noisy = found + torch.from_numpy(self._noise(keys)).to(found)
        return noisy.clamp(-1.0, 1.0)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Noisy embeddings."""
        return self._around(self._target.embed_texts(texts), self._keys(texts))

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Noisy embeddings."""
        return self._around(self._target.embed_photos(photos), self._keys([photo.digest for photo in photos]))

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Noisy embeddings."""
        import torch

        found = self._target.embed_images(images)
        noisy = self._around(found.detach().cpu().numpy(), self._keys(_contents(images)))
        return torch.from_numpy(noisy).to(found)

    def _around(self, embeddings: NDArray[np.float32], keys: NDArray[np.uint64]) -> NDArray[np.float32]:
        coordinates = np.arange(embeddings.shape[1], dtype=np.uint64)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        noisy: NDArray[np.float32] = (embeddings + lengths * self._noise(_mixed(keys[:, None], coordinates))).astype(
            np.float32
        )
        return noisy

    def _keys(self, questions: Sequence[str]) -> NDArray[np.uint64]:
        """A number for each question; equal ones have equal numbers, unless noise is fresh."""
        distinct = {question: _number(f"{self._seed}/{question}") for question in dict.fromkeys(questions)}
        keys = np.array([distinct[question] for question in questions], dtype=np.uint64)
        if self._fresh:
            keys ^= np.array([_number(f"{self._seed}/asked/{self._asked + i}") for i in range(len(keys))], np.uint64)
            self._asked += len(keys)
        return keys

    def _noise(self, keys: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Normal noise that follows from the keys, of their shape."""
        # Box-Muller: two uniform numbers from each key.
        first = (_mixed(keys, np.uint64(1)) >> np.uint64(11)).astype(np.float64) + 0.5
        second = (_mixed(keys, np.uint64(2)) >> np.uint64(11)).astype(np.float64)
        normal = np.sqrt(-2 * np.log(first / 2**53)) * np.cos(2 * np.pi * second / 2**53)
        scaled: NDArray[np.float32] = (self._deviation * normal).astype(np.float32)
        return scaled


def _within(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(values, -1.0, 1.0).astype(np.float32)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _contents(images: torch.Tensor) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images.detach().cpu().numpy()]


def _mixed(one: NDArray[np.uint64], other: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """A well mixed number of two, elementwise (splitmix64's finalizer)."""
    with np.errstate(over="ignore"):
        x = one * np.uint64(0x9E3779B97F4A7C15) + other + np.uint64(0x632BE59BD9B4E019)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
