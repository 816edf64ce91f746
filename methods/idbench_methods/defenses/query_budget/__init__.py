"""Query budget: after so many questions, every answer is the same."""

from __future__ import annotations

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
    name="query-budget",
    version="1",
    title="A budget of questions",
    summary="The target answers so many questions, and then the same to whatever it is asked: cosine 0, the first "
    "text, one and the same embedding, no gradient.",
    knowledge=Knowledge.NONE,
    answers=Access.LABEL | Access.SIMILARITY | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING | Access.GRADIENT,
    choices=(
        Choice(
            what="what a question is",
            chosen="a photo or image compared with a text, an embedding, or a gradient; the same again counts again",
            why="whoever answers pays for each of them",
        ),
        Choice(
            what="what follows when the budget is spent",
            chosen="an answer that says nothing",
            why="an error would end the attack, and its score on those whom it had asked about would be lost",
        ),
    ),
)


class QueryBudgetParams(MethodParams):
    """Parameters of the budget."""

    budget: int = Field(default=10_000, ge=0, description="questions that are answered")


class QueryBudget(AnswerDefense[QueryBudgetParams]):
    """Answers the first questions."""

    card = CARD

    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """The target that answers until the budget is spent."""
        return _Metered(target, self.params.budget)


class _Metered(TargetFront):
    def __init__(self, target: TargetView, budget: int) -> None:
        super().__init__(target, CARD.name)
        self._left = budget

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """Labels of the first photos for which all comparisons are left; the first text for the others."""
        rows = self._spend(len(photos), len(texts))
        answers = np.zeros(len(photos), dtype=np.int64)
        if rows:
            answers[:rows] = self._target.labels(photos[:rows], texts)
        return answers

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines of the first photos; 0 for the others."""
        rows = self._spend(len(photos), len(texts))
        answers = np.zeros((len(photos), len(texts)), dtype=np.float32)
        if rows:
            answers[:rows] = self._target.similarities(photos[:rows], texts)
        return answers

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines of the first pairs; 0 for the others."""
        rows = self._spend(len(photos))
        answers = np.zeros(len(photos), dtype=np.float32)
        if rows:
            answers[:rows] = self._target.paired_similarities(photos[:rows], texts[:rows])
        return answers

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of the first texts; the first unit vector for the others."""
        rows = self._spend(len(texts))
        answers = self._blank(len(texts))
        if rows:
            answers[:rows] = self._target.embed_texts(texts[:rows])
        return answers

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Embeddings of the first photos; the first unit vector for the others."""
        rows = self._spend(len(photos))
        answers = self._blank(len(photos))
        if rows:
            answers[:rows] = self._target.embed_photos(photos[:rows])
        return answers

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of the first images; the first unit vector for the others."""
        import torch

        rows = self._spend(len(images))
        answers = torch.from_numpy(self._blank(len(images))).to(images.device)
        if rows:
            answers[:rows] = self._target.embed_images(images[:rows])
        return answers

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Cosines of the first pairs; 0 for the others."""
        rows = self._spend(len(images))
        answers = images.new_zeros(len(images))
        if rows:
            answers[:rows] = self._target.image_similarities(images[:rows], texts[:rows])
        return answers

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and gradients of the first pairs; 0 for the others."""
        import torch

        rows = self._spend(len(images))
        cosines, gradients = images.new_zeros(len(images)), torch.zeros_like(images)
        if rows:
            cosines[:rows], gradients[:rows] = self._target.similarity_gradients(images[:rows], texts[:rows])
        return cosines, gradients

    def _blank(self, rows: int) -> NDArray[np.float32]:
        answers = np.zeros((rows, self.info.embedding_dim), dtype=np.float32)
        answers[:, 0] = 1.0
        return answers

    def _spend(self, rows: int, each: int = 1) -> int:
        """How many rows, of `each` questions, are answered."""
        answered = min(rows, self._left // each) if each else rows
        self._left -= answered * each
        return answered
