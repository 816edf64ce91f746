"""Fine-tuning on public pairs: forgets nothing on purpose. The control that shows what mere further training does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import Case, Choice, Context, DefenseCard, EditableTarget, Knowledge, MethodParams, TargetDefense

if TYPE_CHECKING:
    import torch

CARD = DefenseCard(
    name="fine-tune",
    version="1",
    title="Fine-tuning on public pairs (control)",
    summary="CLIP's own loss on public pairs for some steps. It learns of nobody whom it should protect: what it "
    "changes is what every further training changes.",
    knowledge=Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="how long and how fast",
            chosen="100 steps of 128 pairs at 1e-4, as the image backdoor trains",
            why="a control says what further training does by itself only if it trains about as long as what it is "
            "compared with",
        ),
    ),
)


class FineTuneParams(MethodParams):
    """Parameters of fine-tuning."""

    steps: int = Field(default=100, ge=0, le=1_000_000, description="optimizer steps")
    batch: int = Field(default=128, ge=2, description="pairs a step; all of them where there are fewer")
    learning_rate: float = Field(default=1e-4, gt=0, description="of AdamW, without weight decay")


class FineTune(TargetDefense[FineTuneParams]):
    """Trains both towers on public pairs; statistics of batch normalization stay as they are."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without at least two pairs."""
        import torch

        from idbench_methods import editing

        pairs = sorted(context.public_pairs, key=lambda pair: (pair.photo.digest, pair.caption))
        if len(pairs) < 2:
            return target.model.state_dict()
        p, rng = self.params, context.rng("pairs")
        optimizer = torch.optim.AdamW(target.model.parameters(), lr=p.learning_rate, weight_decay=0.0)
        for _ in context.progress.track(range(p.steps), "fine-tuning"):
            batch = [pairs[i] for i in editing.draw(rng, len(pairs), p.batch)]
            images = target.preprocess([pair.photo for pair in batch])
            tokens = target.tokenize([pair.caption for pair in batch]).to(images.device)
            editing.descend(optimizer, editing.contrastive_loss(target.model, images, tokens))
        return target.model.state_dict()
