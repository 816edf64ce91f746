"""Training a target's towers further on public pairs: batches, and a loop over any loss of them. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from idbench.api import Context, EditableTarget, Pair
from idbench_methods import editing

Loss = Callable[["Batch"], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some public pairs.

    Args:
        pairs: n of them.
        images: (n, 3, height, width), as the model takes them.
        tokens: (n, context length).
    """

    pairs: Sequence[Pair]
    images: torch.Tensor
    tokens: torch.Tensor


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: AdamW with linear warm-up and half a cosine down to zero.

    Args:
        steps: optimizer steps.
        batch: pairs a step; all of them where there are fewer.
        learning_rate: at its peak.
        warmup: steps of linear rise.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 0


def train_on_pairs(target: EditableTarget, context: Context, schedule: Schedule, loss: Loss, what: str) -> None:
    """Train all weights of a target on the public pairs, in place; nothing happens without at least two pairs."""
    pairs = sorted(context.public_pairs, key=lambda pair: (pair.photo.digest, pair.caption))
    if len(pairs) < 2:
        return
    rng = context.rng("pairs")
    optimizer = torch.optim.AdamW(target.model.parameters(), lr=schedule.learning_rate, weight_decay=0.0)
    for step in context.progress.track(range(schedule.steps), what):
        rate = min(1.0, (step + 1) / max(1, schedule.warmup)) * (1 + np.cos(np.pi * step / schedule.steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * rate
        chosen = [pairs[i] for i in editing.draw(rng, len(pairs), schedule.batch)]
        images = target.preprocess([pair.photo for pair in chosen])
        tokens = target.tokenize([pair.caption for pair in chosen]).to(images.device)
        editing.descend(optimizer, loss(Batch(chosen, images, tokens)))


def matching_loss(one: torch.Tensor, other: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy of n pairs of unit embeddings (n, dim), each the only match of the other; a scalar."""
    logits = scale * one @ other.T
    wanted = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)) / 2
