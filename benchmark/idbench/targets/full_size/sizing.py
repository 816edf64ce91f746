"""How many pairs a training process can hold at once: counted on a model without numbers, not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from idbench.errors import TargetError
from idbench.targets.load import build_model
from idbench.targets.memory import gradient_bytes
from idbench.targets.public_models import check_packages

_SHARE = 0.8
"""Of the memory that a training may take; the rest is for loaders, buffers and other programs on the machine."""

_PER_WEIGHT = 16
"""Bytes: the weight, its gradient and AdamW's two moments."""


def pairs_that_fit(config: Mapping[str, Any], memory: int) -> int:
    """Pairs of picture and caption that a training step of a model can hold.

    What the forward pass of two and of four pairs saves for the backward pass is counted on torch's `meta` device,
    where tensors have sizes but no numbers: a second for any model, no memory. Numbers are single precision; mixed
    precision takes less.

    Args:
        config: open_clip model configuration.
        memory: bytes that the process may take.

    Raises:
        TargetError: open_clip rejects the configuration, or not even two pairs fit.
    """
    model = model_without_numbers(config)
    weights = (*model.parameters(), *model.buffers())
    few, more = (_saved(model, config, pairs, weights) for pairs in (2, 4))
    each = max(1, (more - few) // 2)
    left = int(memory * _SHARE) - _PER_WEIGHT * sum(weight.numel() for weight in model.parameters())
    if left < 2 * each:
        need = (int((_PER_WEIGHT * sum(w.numel() for w in model.parameters()) + 2 * each) / _SHARE) >> 30) + 1
        raise TargetError(
            f"Training this model takes about {need} GiB at least; each process has {memory / 2**30:.1f} here.",
            hint="Choose a smaller architecture or a larger machine, or give --batch-size after `--` to try anyway.",
        )
    return left // each


def model_without_numbers(config: Mapping[str, Any]) -> torch.nn.Module:
    """A model in training mode whose tensors have sizes but no numbers; finds out at once whether it can be built.

    Raises:
        TargetError: open_clip rejects the configuration, or a package is missing.
    """
    check_packages("the training", config)
    with torch.device("meta"):
        return build_model(config, "the training").train()


def _saved(model: torch.nn.Module, config: Mapping[str, Any], pairs: int, weights: tuple[torch.Tensor, ...]) -> int:
    size = config["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    length = int(config["text_cfg"].get("context_length", 77))
    images = torch.empty(pairs, 3, height, width, device="meta")
    texts = torch.zeros(pairs, length, dtype=torch.int64, device="meta")
    return gradient_bytes(lambda: model(images, texts), weights)
