"""The target behind a defense of answers, as one attack may use it: access checked, answers checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api.cases import Pair, Photo
from idbench.api.target import TargetInfo, TargetView
from idbench.api.words import Access
from idbench.errors import AccessViolation, MethodError

A = TypeVar("A", NDArray[np.float32], NDArray[np.int64], torch.Tensor)


class Gate:
    """Lets through what the attack's card declares and the defense's card still answers.

    Like `idbench.targets.view.View`, it is a fence and not a wall.

    Args:
        front: what a defense put before the target.
        declared: what the attack's card declares.
        answered: what the defense's card still answers.
        defense: its name, for messages.
    """

    def __init__(self, front: TargetView, declared: Access, answered: Access, defense: str) -> None:
        self.__front = front
        self.__declared = declared
        self.__answered = answered
        self.__defense = defense

    @property
    def info(self) -> TargetInfo:
        """What is known without asking."""
        return self.__front.info

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Photos as the model takes them; needs no access."""
        return self.__front.preprocess(photos)

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """See `TargetView.labels`."""
        self.__need("labels", Access.LABEL, Access.SIMILARITY)
        found = self.__checked("labels", self.__front.labels(photos, texts), (len(photos),), np.dtype(np.int64))
        if found.size and not (found.min() >= 0 and found.max() < len(texts)):
            raise MethodError(f"{self.__defense} answered with labels that name no text.")
        return found

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """See `TargetView.similarities`."""
        self.__need("similarities", Access.SIMILARITY)
        found = self.__front.similarities(photos, texts)
        return self.__checked("similarities", found, (len(photos), len(texts)), np.dtype(np.float32))

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """See `TargetView.paired_similarities`."""
        self.__need("paired_similarities", Access.SIMILARITY)
        found = self.__front.paired_similarities(photos, texts)
        return self.__checked("similarities", found, (len(photos),), np.dtype(np.float32))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `TargetView.embed_texts`."""
        self.__need("embed_texts", Access.TEXT_EMBEDDING)
        shape = (len(texts), self.info.embedding_dim)
        return self.__checked("embeddings", self.__front.embed_texts(texts), shape, np.dtype(np.float32))

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """See `TargetView.embed_photos`."""
        self.__need("embed_photos", Access.IMAGE_EMBEDDING)
        shape = (len(photos), self.info.embedding_dim)
        return self.__checked("embeddings", self.__front.embed_photos(photos), shape, np.dtype(np.float32))

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """See `TargetView.embed_images`."""
        self.__need("embed_images", Access.IMAGE_EMBEDDING)
        shape = (len(images), self.info.embedding_dim)
        return self.__checked("embeddings", self.__front.embed_images(images), shape, torch.float32)

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """See `TargetView.image_similarities`."""
        self.__need("image_similarities", Access.SIMILARITY)
        found = self.__front.image_similarities(images, texts)
        return self.__checked("similarities", found, (len(images),), torch.float32)

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `TargetView.similarity_gradients`."""
        self.__need("similarity_gradients", Access.GRADIENT)
        cosines, gradients = self.__front.similarity_gradients(images, texts)
        return (
            self.__checked("similarities", cosines, (len(images),), torch.float32),
            self.__checked("gradients", gradients, tuple(images.shape), torch.float32),
        )

    def weights(self) -> torch.nn.Module:
        """With the weights an attack needs no answers, so no defense of answers releases them."""
        self.__need("weights", Access.WEIGHTS)
        return self.__front.weights()

    def train_shadows(self, sets: Sequence[Sequence[Pair]], seed: int, epochs: float = 1.0) -> Sequence[TargetView]:
        """Shadow models are the attacker's own, and behind no defense."""
        if Access.TRAIN_SHADOWS not in self.__declared:
            self.__undeclared("shadow models", Access.TRAIN_SHADOWS)
        return self.__front.train_shadows(sets, seed, epochs)

    def __need(self, query: str, *enough: Access) -> None:
        if not any(flag in self.__declared for flag in enough):
            self.__undeclared(query, *enough)
        if not any(flag in self.__answered for flag in enough):
            raise AccessViolation(
                f"The target behind {self.__defense} does not answer {query}.",
                hint="This attack cannot be carried out against it.",
            )

    @staticmethod
    def __undeclared(query: str, *enough: Access) -> None:
        names = " or ".join(f"Access.{flag.name}" for flag in enough)
        raise AccessViolation(
            f"The method asked the target for {query}, which its card does not declare.",
            hint=f"Add {names} to the card's access.",
        )

    def __checked(self, what: str, found: A, shape: tuple[int, ...], dtype: Any) -> A:
        """An answer, if it has the shape and type that `TargetView` states, and can be computed with."""
        if tuple(getattr(found, "shape", ())) != shape or getattr(found, "dtype", None) != dtype:
            raise MethodError(
                f"{self.__defense} answered with {what} of another shape or type than {tuple(shape)}, {dtype}.",
                hint="A defense's answers have the shapes that TargetView states.",
            )
        if not bool(np.isfinite(np.asarray(found.detach().cpu() if isinstance(found, torch.Tensor) else found)).all()):
            raise MethodError(f"{self.__defense} answered with NaN or infinite {what}.")
        return found
