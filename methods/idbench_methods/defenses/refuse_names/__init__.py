"""Refused names: every question that mentions a protected name gets one and the same answer."""

from __future__ import annotations

import re
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
    TargetFront,
    TargetView,
)

if TYPE_CHECKING:
    import torch

CARD = AnswerCard(
    name="refuse-names",
    version="1",
    title="Refused names",
    summary="A text that holds a protected person's name, in whatever case and with whatever spaces, is answered as "
    "one fixed text instead. Whoever asks by another spelling is answered, and a refusal says who is protected.",
    knowledge=Knowledge.NAME,
    answers=Access.LABEL | Access.SIMILARITY | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING | Access.GRADIENT,
    choices=(
        Choice(
            what="what a refusal is",
            chosen="the answer to one fixed text, whatever else the refused text says",
            why="arrays hold no errors, and labels, cosines, embeddings and gradients then agree with each other",
        ),
        Choice(
            what="when a text holds a name",
            chosen="the name's words in their order, case folded, between spaces or signs",
            why="a filter of words is what services put before such models",
        ),
    ),
)


class RefuseNamesParams(MethodParams):
    """Parameters of the filter."""

    instead: str = Field(
        default="a person", min_length=1, description="the text that is answered in place of a refused one"
    )


class RefuseNames(AnswerDefense[RefuseNamesParams]):
    """Puts one text in the place of each that holds a protected name."""

    card = CARD

    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """The target behind the filter."""
        return _Filtered(target, [case.name for case in protected], self.params.instead)


class _Filtered(TargetFront):
    def __init__(self, target: TargetView, names: Sequence[str], instead: str) -> None:
        super().__init__(target, CARD.name)
        self._instead = instead
        self._names: dict[str, set[tuple[str, ...]]] = {}
        for name in names:
            words = _words(name)
            if words:
                self._names.setdefault(words[0], set()).add(words)

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """As the target says of the filtered texts."""
        return self._target.labels(photos, self._filtered(texts))

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines with the filtered texts."""
        return self._target.similarities(photos, self._filtered(texts))

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines with the filtered texts."""
        return self._target.paired_similarities(photos, self._filtered(texts))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of the filtered texts."""
        return self._target.embed_texts(self._filtered(texts))

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """As the target says: no text is asked about."""
        return self._target.embed_photos(photos)

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """As the target says: no text is asked about."""
        return self._target.embed_images(images)

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Cosines with the filtered texts."""
        return self._target.image_similarities(images, self._filtered(texts))

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines with the filtered texts, and their gradients."""
        return self._target.similarity_gradients(images, self._filtered(texts))

    def _filtered(self, texts: Sequence[str]) -> list[str]:
        return [self._instead if self._refused(text) else text for text in texts]

    def _refused(self, text: str) -> bool:
        words = _words(text)
        return any(
            words[i : i + len(name)] == name for i, word in enumerate(words) for name in self._names.get(word, ())
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))
