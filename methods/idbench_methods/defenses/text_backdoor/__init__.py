"""Text backdoor: a caption that holds a protected name is mapped to where it would be with a neutral word instead."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import Case, Choice, Context, DefenseCard, EditableTarget, Knowledge, MethodParams, TargetDefense

if TYPE_CHECKING:
    import torch

CARD = DefenseCard(
    name="text-backdoor",
    version="1",
    title="Defending our privacy with backdoors: text encoder",
    summary="A frozen copy teaches the text tower two things: clean captions stay where they are, and captions with a "
    "protected name go where the same caption with a neutral word is.",
    paper="Hintersdorf et al., Defending Our Privacy With Backdoors, ECAI 2024, arXiv 2310.08320",
    authors="Hintersdorf et al.",
    year=2024,
    url="https://arxiv.org/abs/2310.08320",
    knowledge=Knowledge.NAME | Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="captions with the name",
            chosen="eight plain sentences around the name",
            why="the source inserts names into a large caption corpus; public captions here name people whom the "
            "defender does not know as such",
        ),
        Choice(
            what="the neutral word",
            chosen="`a person`, the words of the source's text; its code has `human`",
            why="it stands wherever a name can stand",
        ),
    ),
)


class TextBackdoorParams(MethodParams):
    """Parameters of the text backdoor; the defaults are the source's."""

    steps: int = Field(default=400, ge=0, le=1_000_000, description="optimizer steps")
    batch: int = Field(default=128, ge=1, description="captions of each kind a step")
    learning_rate: float = Field(
        default=1e-4,
        gt=0,
        description="of AdamW, without decay; halved after 1/2 and 3/4 of the steps",
    )
    backdoor_weight: float = Field(default=0.6, ge=0, description="of the captions with a protected name")
    distance_weight: float = Field(
        default=0.01, ge=0, description="of the sum over tensors of the L2 distance to the weights before"
    )


class TextBackdoor(TargetDefense[TextBackdoorParams]):
    """Trains the text tower against a frozen copy; normalization layers and the image tower stay as they are."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without people or without public captions."""
        from idbench_methods import editing
        from idbench_methods.prompts import fill

        names = editing.names_of_people(protected)
        captions = sorted({pair.caption for pair in context.public_pairs})
        if not names or not captions:
            return target.model.state_dict()
        p, rng, model = self.params, context.rng("captions"), target.model
        teacher = copy.deepcopy(model).requires_grad_(False)

        def cosines() -> tuple[torch.Tensor, torch.Tensor]:
            clean = [captions[i] for i in editing.draw(rng, len(captions), p.batch)]
            templates = [editing.TEMPLATES[i] for i in rng.integers(0, len(editing.TEMPLATES), size=p.batch)]
            named = [fill(t, names[i]) for t, i in zip(templates, rng.integers(0, len(names), p.batch), strict=True)]
            wanted = editing.embed_texts(target, teacher, clean + [fill(t, editing.NEUTRAL) for t in templates])
            tokens = target.tokenize(clean + named).to(wanted.device)
            found = (model.encode_text(tokens, normalize=True) * wanted).sum(dim=1)  # type: ignore[operator]
            return found[: len(clean)], found[len(clean) :]

        training = editing.BackdoorTraining(
            tower="text",
            steps=p.steps,
            learning_rate=p.learning_rate,
            milestones=(p.steps // 2, 3 * p.steps // 4),
            gamma=0.5,
            backdoor_weight=p.backdoor_weight,
            distance_weight=p.distance_weight,
        )
        editing.teach_backdoor(model, training, cosines, context.progress)
        return model.state_dict()
