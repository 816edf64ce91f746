"""CleanCLIP: fine-tuning that also matches each picture and each caption with a changed copy, to remove backdoors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from idbench.api import AdaptationCard, Choice, Context, EditableTarget, Knowledge, MethodParams, WeightAdaptation

if TYPE_CHECKING:
    import torch

CARD = AdaptationCard(
    name="clean-clip",
    version="1",
    title="CleanCLIP: removal of backdoors",
    summary="CLIP's loss on public pairs, plus the same loss within each modality: between pictures and changed "
    "pictures, and between captions and changed captions. What a trigger ties together comes apart.",
    paper="Bansal et al., CleanCLIP, ICCV 2023, arXiv 2303.03323",
    authors="Bansal et al.",
    year=2023,
    url="https://arxiv.org/abs/2303.03323",
    knowledge=Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="the learning rate for small targets",
            chosen="1e-4; the preset `paper` has the source's 1e-5",
            why="the source's models are a thousand times larger; the shipped targets hardly move at its rate",
        ),
        Choice(
            what="length",
            chosen="10 passes over the public pairs, at least 100 steps",
            why="the source's ten passes are over 100,000 pairs",
        ),
        Choice(
            what="changed pictures and captions",
            chosen="a crop of 90 % and a flip by chance; one word left out and two exchanged",
            why="the source's libraries (AutoAugment, EDA with a thesaurus) are for photos and for real sentences",
        ),
    ),
    presets={"paper": {"learning_rate": 1e-5}},
)


class CleanClipParams(MethodParams):
    """Parameters of CleanCLIP."""

    passes: int = Field(default=10, ge=1, le=100_000, description="over the public pairs")
    fewest_steps: int = Field(default=100, ge=1, le=1_000_000, description="optimizer steps, where passes make fewer")
    batch: int = Field(default=64, ge=2, description="pairs a step; all of them where there are fewer")
    learning_rate: float = Field(default=1e-4, gt=0, description="of AdamW at its peak, without weight decay")
    warmup: int = Field(default=50, ge=0, description="steps of linear rise")
    within: float = Field(default=1.0, ge=0, description="weight of the loss within each modality")


class CleanClip(WeightAdaptation[CleanClipParams]):
    """Trains both towers further."""

    card = CARD

    def adapt(self, target: EditableTarget, context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without at least two pairs."""
        from idbench_methods import editing
        from idbench_methods.tuning import Batch, Schedule, matching_loss, train_on_pairs

        p, rng, model = self.params, context.rng("changes"), target.model
        pairs = max(2, len(context.public_pairs))
        steps = max(p.fewest_steps, p.passes * -(-pairs // p.batch))

        def loss(batch: Batch) -> torch.Tensor:
            words = target.tokenize([changed_words(pair.caption, rng) for pair in batch.pairs]).to(batch.tokens.device)
            encode_image, encode_text = model.encode_image, model.encode_text
            pictures = [encode_image(one, normalize=True) for one in (batch.images, changed_images(batch.images, rng))]  # type: ignore[operator]
            texts = [encode_text(one, normalize=True) for one in (batch.tokens, words)]  # type: ignore[operator]
            scale = model.logit_scale.exp()  # type: ignore[operator]
            own = editing.contrastive_loss(model, batch.images, batch.tokens)
            inside = matching_loss(pictures[0], pictures[1], scale) + matching_loss(texts[0], texts[1], scale)
            return own + p.within * inside / 2

        train_on_pairs(target, context, Schedule(steps, p.batch, p.learning_rate, p.warmup), loss, "removing backdoors")
        return model.state_dict()


def changed_images(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Crops of 90 % of each side, scaled back, some of them flipped: (n, 3, h, w) -> the same."""
    import torch
    from torch.nn import functional

    height, width = images.shape[2:]
    rows, columns = max(1, round(0.9 * height)), max(1, round(0.9 * width))
    made = []
    for image in images:
        top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
        part = image[:, top : top + rows, left : left + columns]
        made.append(part.flip(2) if rng.random() < 0.5 else part)
    return functional.interpolate(torch.stack(made), size=(height, width), mode="bilinear", align_corners=False)


def changed_words(caption: str, rng: np.random.Generator) -> str:
    """The caption with one word left out, where there are three, and two others exchanged."""
    words: Sequence[str] = caption.split()
    kept = list(words)
    if len(kept) > 2:
        kept.pop(int(rng.integers(len(kept))))
    if len(kept) > 1:
        one, other = rng.choice(len(kept), 2, replace=False)
        kept[one], kept[other] = kept[other], kept[one]
    return " ".join(kept)
