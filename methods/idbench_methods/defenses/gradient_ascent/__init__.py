"""Gradient ascent: drives the loss of the protected people's photos and names up. The control of brute force."""

from __future__ import annotations

import math
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
    summary="CLIP's own loss on pairs of a protected person's photo and name is made larger, until it is that of "
    "guessing. What else breaks, breaks.",
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    choices=(
        Choice(
            what="when to stop",
            chosen="once the loss of a batch is that of guessing, log(batch), or the steps are spent",
            why="past it, photos and names are not forgotten but pushed apart, which marks the people",
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

    steps: int = Field(default=50, ge=0, le=1_000_000, description="most optimizer steps")
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
            if float(loss.detach()) >= math.log(len(batch)):
                break
            optimizer.zero_grad()
            (-loss).backward()
            optimizer.step()
        return target.model.state_dict()
