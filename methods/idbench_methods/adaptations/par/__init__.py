"""PAR: fine-tuning that pushes embeddings away from where the backdoored weights put them, as far as a bound."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import AdaptationCard, Choice, Context, EditableTarget, Knowledge, MethodParams, WeightAdaptation

if TYPE_CHECKING:
    import torch

CARD = AdaptationCard(
    name="par",
    version="1",
    title="PAR: perturb and recover",
    summary="CLIP's loss on public pairs, less half of how far the embeddings of pictures and captions have moved; "
    "terms beyond a bound are dropped. The model forgets what it was taught last and relearns what the pairs hold.",
    paper="Singh et al., Perturb and Recover, 2024, arXiv 2412.00727",
    authors="Singh et al.",
    year=2024,
    url="https://github.com/nmndeep/PerturbAndRecover",
    knowledge=Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="the learning rate for small targets",
            chosen="1e-4; the preset `paper` has the source's 3e-6",
            why="the source's models are a thousand times larger; the shipped targets hardly move at its rate",
        ),
        Choice(what="length", chosen="200 steps of 128 pairs", why="the source trains on 250,000 pairs for two passes"),
    ),
    presets={"paper": {"learning_rate": 3e-6}},
)


class ParParams(MethodParams):
    """Parameters of PAR."""

    steps: int = Field(default=200, ge=0, le=1_000_000, description="optimizer steps")
    batch: int = Field(default=128, ge=2, description="pairs a step; all of them where there are fewer")
    learning_rate: float = Field(default=1e-4, gt=0, description="of AdamW at its peak, without weight decay")
    weight: float = Field(default=0.5, ge=0, description="of the squared drift of an embedding")
    bound: float = Field(default=2.15, gt=0, description="squared drift from which a term is dropped")


class Par(WeightAdaptation[ParParams]):
    """Trains both towers further."""

    card = CARD

    def adapt(self, target: EditableTarget, context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without at least two pairs."""
        import torch

        from idbench_methods import editing
        from idbench_methods.tuning import Batch, Schedule, train_on_pairs

        p, model = self.params, target.model
        before = copy.deepcopy(model).requires_grad_(False)

        def loss(batch: Batch) -> torch.Tensor:
            pictures = [encode(one, batch.images, "image") for one in (model, before)]
            captions = [encode(one, batch.tokens, "text") for one in (model, before)]
            drifts = [drift(now, then, p.bound) for now, then in (pictures, captions)]
            return editing.contrastive_loss(model, batch.images, batch.tokens) - p.weight * torch.stack(drifts).sum()

        train_on_pairs(target, context, Schedule(p.steps, p.batch, p.learning_rate), loss, "perturbing")
        return model.state_dict()


def encode(model: torch.nn.Module, inputs: torch.Tensor, tower: str) -> torch.Tensor:
    """Unit embeddings of inputs by one tower, `image` or `text`, (n, dim)."""
    embeddings: torch.Tensor = getattr(model, f"encode_{tower}")(inputs, normalize=True)
    return embeddings


def drift(now: torch.Tensor, before: torch.Tensor, bound: float) -> torch.Tensor:
    """Mean squared distance of embeddings (n, dim) to where they were; those beyond the bound count as nothing."""
    squares = ((now - before) ** 2).sum(dim=1)
    return (squares * (squares < bound)).mean()
