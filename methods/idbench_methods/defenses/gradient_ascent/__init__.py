"""Gradient ascent: drives the loss of the protected people's photos and names up. The control of brute force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import Case, Choice, Context, DefenseCard, EditableTarget, Knowledge, MethodParams, TargetDefense

if TYPE_CHECKING:
    import torch

CARD = DefenseCard(
    name="gradient-ascent",
    version="1",
    title="Gradient ascent on photos and names (control)",
    summary="CLIP's own loss on pairs of a protected person's photo and name is made larger, for so many steps. What "
    "else breaks, breaks.",
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    choices=(
        Choice(
            what="when to stop",
            chosen="after a fixed number of steps",
            why="the loss on photos that were not trained on is near that of guessing from the start, where half of "
            "the protected are not members: it does not say when enough is forgotten",
        ),
        Choice(
            what="the pairs",
            chosen="photos that are in no training set, with plain sentences around the name",
            why="the defender has no training pairs",
        ),
    ),
)


class GradientAscentParams(MethodParams):
    """Parameters of gradient ascent."""

    steps: int = Field(default=50, ge=0, le=1_000_000, description="optimizer steps")
    batch: int = Field(default=128, ge=2, description="pairs a step; all of them where there are fewer")
    learning_rate: float = Field(default=1e-4, gt=0, description="of AdamW, without weight decay")


class GradientAscent(TargetDefense[GradientAscentParams]):
    """Trains both towers with the sign of the loss turned around."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without at least two photos."""
        import torch

        from idbench_methods import editing
        from idbench_methods.prompts import fill

        pairs = editing.named_photos(protected)
        if len(pairs) < 2:
            return target.model.state_dict()
        p, rng = self.params, context.rng("pairs")
        optimizer = torch.optim.AdamW(target.model.parameters(), lr=p.learning_rate, weight_decay=0.0)
        for _ in context.progress.track(range(p.steps), "ascending"):
            batch = [pairs[i] for i in editing.draw(rng, len(pairs), p.batch)]
            templates = rng.integers(0, len(editing.TEMPLATES), size=len(batch))
            images = target.preprocess([photo for _, photo in batch])
            texts = [fill(editing.TEMPLATES[t], name) for t, (name, _) in zip(templates, batch, strict=True)]
            loss = editing.contrastive_loss(target.model, images, target.tokenize(texts).to(images.device))
            editing.descend(optimizer, -loss)
        return target.model.state_dict()
