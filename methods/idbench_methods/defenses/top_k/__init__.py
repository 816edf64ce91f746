"""Top k: only the texts that fit a photo best get their similarity; all others are as unlike as can be."""

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
    name="top-k",
    version="1",
    title="The k best texts alone",
    summary="A text's cosine is answered if it is among the k best for the photo, of the texts asked about and of a "
    "list that the owner keeps; else the answer is -1.",
    knowledge=Knowledge.PUBLIC_PAIRS,
    answers=Access.LABEL | Access.SIMILARITY,
    choices=(
        Choice(
            what="questions about one text",
            chosen="each text competes with a list that the owner keeps: the public captions",
            why="a text that is asked about alone would be the best of one, and nothing would be hidden",
        ),
        Choice(
            what="embeddings and gradients",
            chosen="not answered",
            why="all similarities follow from them",
        ),
    ),
)


class TopKParams(MethodParams):
    """Parameters of top k."""

    k: int = Field(default=5, ge=1, description="texts of each photo whose cosine is answered, at most")


class TopK(AnswerDefense[TopKParams]):
    """Answers what is among the k best, -1 for all else."""

    card = CARD

    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """The target that answers the best alone."""
        return _Best(target, self.params.k, sorted({pair.caption for pair in context.public_pairs}))


class _Best(LabelsFollow):
    def __init__(self, target: TargetView, k: int, listed: list[str]) -> None:
        super().__init__(target, CARD.name)
        self._k = k
        self._listed = listed

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines of the k best texts of each photo; -1 for the others."""
        distinct = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(distinct)}
        found = self._target.similarities(photos, distinct)
        rivals = self._target.similarities(photos, [text for text in self._listed if text not in place])
        every = np.concatenate([found, rivals], axis=1)
        shown = np.where(found >= _threshold(every, self._k)[:, None], found, np.float32(-1.0))
        answered: NDArray[np.float32] = shown[:, [place[text] for text in texts]].astype(np.float32)
        return answered

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """The cosine of a text that is among the k best for its photo, of itself and the owner's list; else -1."""
        found = self._target.paired_similarities(photos, texts)
        limits = _threshold(self._target.similarities(photos, self._listed), self._k)
        return np.where(found >= limits, found, np.float32(-1.0)).astype(np.float32)

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """As `paired_similarities`."""
        import torch

        found = self._target.image_similarities(images, texts)
        n, m = len(images), len(self._listed)
        if not n or not m:
            return found
        rivals = torch.stack([self._target.image_similarities(images, [text] * n) for text in self._listed], dim=1)
        limits = torch.from_numpy(_threshold(rivals.cpu().numpy(), self._k)).to(found)
        return torch.where(found >= limits, found, torch.full_like(found, -1.0))


def _threshold(cosines: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """The k-th largest of each row, (n,); -1 where there are fewer."""
    rows, columns = cosines.shape
    if columns < k:
        return np.full(rows, -1.0, dtype=np.float32)
    kth: NDArray[np.float32] = np.partition(cosines, columns - k, axis=1)[:, columns - k]
    return kth
