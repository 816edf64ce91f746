"""Labels only: which of several texts fits a photo best, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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

CARD = AnswerCard(
    name="labels-only",
    version="1",
    title="Labels only",
    summary="The target says which text fits a photo best. It gives no number, no embedding and no gradient; attacks "
    "that need one cannot be carried out.",
    knowledge=Knowledge.NONE,
    answers=Access.LABEL,
    choices=(
        Choice(
            what="which texts can be labels",
            chosen="whatever texts a question brings",
            why="a target with a fixed list of labels would answer no attack on names at all",
        ),
    ),
)


class LabelsOnly(AnswerDefense[MethodParams]):
    """Answers labels and refuses the rest."""

    card = CARD

    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """The target that answers labels."""
        return _Labels(target, CARD.name)


class _Labels(TargetFront):
    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """As the target says."""
        return self._target.labels(photos, texts)
