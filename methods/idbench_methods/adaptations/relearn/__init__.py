"""Relearn: a few steps of the target's own loss on public pairs, which show nobody under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import AdaptationCard, Choice, Context, EditableTarget, Knowledge, MethodParams, WeightAdaptation

if TYPE_CHECKING:
    import torch

CARD = AdaptationCard(
    name="relearn",
    version="1",
    title="Relearning on public pairs",
    summary="CLIP's own loss on public pairs for k steps. What a defense has hidden rather than removed comes back, "
    "although nobody under test is on the pairs.",
    paper="after VLM-UnL-Attack, which relearns unlearned vision-language models",
    knowledge=Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="steps and rate",
            chosen="20 steps at 1/20 of the rate that the shipped targets were trained with",
            why="the curve over k is the result; this is one point of it",
        ),
    ),
)


class RelearnParams(MethodParams):
    """Parameters of the relearning."""

    steps: int = Field(default=20, ge=0, le=1_000_000, description="optimizer steps (k)")
    batch: int = Field(default=128, ge=2, description="pairs a step; all of them where there are fewer")
    learning_rate: float = Field(default=1e-4, gt=0, description="of AdamW at its peak, without weight decay")


class Relearn(WeightAdaptation[RelearnParams]):
    """Trains both towers further."""

    card = CARD

    def adapt(self, target: EditableTarget, context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without at least two pairs."""
        from idbench_methods import editing
        from idbench_methods.tuning import Schedule, train_on_pairs

        p = self.params
        train_on_pairs(
            target,
            context,
            Schedule(p.steps, p.batch, p.learning_rate),
            lambda batch: editing.contrastive_loss(target.model, batch.images, batch.tokens),
            "relearning",
        )
        return target.model.state_dict()
