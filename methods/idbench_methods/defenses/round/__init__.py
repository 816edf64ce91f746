"""Rounding: similarities are answered with few decimals, and labels follow from what was rounded."""

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
    TargetView,
)
from idbench_methods.answering import LabelsFollow

if TYPE_CHECKING:
    import torch

CARD = AnswerCard(
    name="round",
    version="1",
    title="Rounded similarities",
    summary="Cosines are rounded before anybody sees them; of texts that are then equal, the first is the label.",
    knowledge=Knowledge.NONE,
    answers=Access.LABEL | Access.SIMILARITY,
    choices=(
        Choice(
            what="embeddings and gradients",
            chosen="not answered",
            why="from rounded embeddings follow similarities far finer than the rounding",
        ),
    ),
)


class RoundParams(MethodParams):
    """Parameters of rounding."""

    decimals: int = Field(default=1, ge=0, le=7, description="of a cosine")


class Round(AnswerDefense[RoundParams]):
    """Rounds every cosine."""

    card = CARD

    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """The target with rounded answers."""
        return _Rounded(target, self.params.decimals)


class _Rounded(LabelsFollow):
    def __init__(self, target: TargetView, decimals: int) -> None:
        super().__init__(target, CARD.name)
        self._decimals = decimals

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Rounded cosines."""
        return np.round(self._target.similarities(photos, texts), self._decimals)

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Rounded cosines."""
        return np.round(self._target.paired_similarities(photos, texts), self._decimals)

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Rounded cosines."""
        return self._target.image_similarities(images, texts).round(decimals=self._decimals)
