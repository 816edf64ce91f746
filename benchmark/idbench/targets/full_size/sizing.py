"""What a training step takes: tried and counted on a model without numbers, not guessed."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
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


_COPIES = 4
"""How often the outputs of all pairs of a step are held where it is computed in turns: kept from the first pass,
together, as what the loss makes of them, and as its gradient (4.0 measured for the logits of CoCa's captions)."""


def turns_that_fit(config: Mapping[str, Any], memory: int, pairs: int) -> tuple[int, int]:
    """Pairs that a training process can compute at once, and in how many turns it takes a step.

    The step keeps its size, unless the outputs of its pairs alone are too much: CoCa gives a number for each word of
    its vocabulary and each place in a caption, 14 MiB a pair. Then the step is as large as fits at once.

    Args:
        config: open_clip model configuration.
        memory: bytes that the process may take.
        pairs: of a step.

    Raises:
        TargetError: open_clip rejects the configuration, or not even two pairs fit.
    """
    need = _needs(config, memory)
    kept = _COPIES * need.outputs
    if kept * pairs <= need.left // 2:
        times = ceil(pairs / max(1, (need.left - kept * pairs) // need.each))
        return max(1, pairs // times), times
    return max(1, min(pairs, need.left // (need.each + kept))), 1


_NEEDS_NUMBERS = re.compile("meta tensor|meta device|register_meta")
"""What torch says where a value is asked of a tensor without numbers: of several kinds of errors."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """Bytes: left for pairs beside the weights; of each pair for its gradient, and of what the model makes of it."""

    left: int
    each: int
    outputs: int


def _needs(config: Mapping[str, Any], memory: int) -> _Needs:
    """What pairs of picture and caption take in a training step of a model.

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
    (few, _), (more, outputs) = (_saved(model, config, pairs, weights) for pairs in (2, 4))
    each = max(1, (more - few) // 2)
    left = int(memory * _SHARE) - _PER_WEIGHT * sum(weight.numel() for weight in model.parameters())
    if left < 2 * each:
        need = (int((_PER_WEIGHT * sum(w.numel() for w in model.parameters()) + 2 * each) / _SHARE) >> 30) + 1
        raise TargetError(
            f"Training this model takes about {need} GiB at least; each process has {memory / 2**30:.1f} here.",
            hint="Choose a smaller architecture or a larger machine, or give --batch-size after `--` to try anyway.",
        )
    return _Needs(left, each, outputs // 4)


def model_without_numbers(config: Mapping[str, Any]) -> torch.nn.Module:
    """A model in training mode whose tensors have sizes but no numbers; finds out at once whether it can be built.

    Raises:
        TargetError: open_clip rejects the configuration, or a package is missing.
    """
    check_packages("the training", config)
    with torch.device("meta"):
        return build_model(config, "the training").train()


def check_first_step(config: Mapping[str, Any], options: Namespace) -> None:
    """Take the trainer's first step with two pairs without numbers; finds out at once whether there can be one.

    Args:
        config: open_clip model configuration.
        options: as the trainer parses them.

    Raises:
        TargetError: open_clip rejects the configuration, a package is missing, or model and loss do not fit together.
    """
    captions = "multimodal_cfg" in config
    if captions and options.siglip:
        raise TargetError(
            "--siglip does not apply to a CoCa model: open_clip has no such loss for its captions.",
            hint="Leave it out.",
        )
    bias = {"init_logit_bias": -10.0} if options.siglip else {}  # as the trainer begins
    model: Any = model_without_numbers({**config, **bias})
    model.output_dict = True
    loss, (images, texts) = _loss(captions, options), _pairs(config, 2)
    try:
        losses = loss(**model(images, texts), output_dict=True)
        sum(losses.values()).backward()
    except Exception as error:
        if _NEEDS_NUMBERS.search(str(error)):
            return  # a tower that decides by what it computes can only be tried with numbers
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TargetError(
            f"open_clip's trainer cannot take a step with this model: {reason.rstrip('.')}.",
            hint="Check the model configuration; a CoCa needs output_tokens in vision_cfg and text_cfg.",
        ) from error


def _loss(captions: bool, options: Namespace) -> Any:
    from open_clip.loss import ClipLoss, CoCaLoss, SigLipLoss

    if captions:
        return CoCaLoss(options.coca_caption_loss_weight, options.coca_contrastive_loss_weight)
    return SigLipLoss() if options.siglip else ClipLoss()


def _pairs(config: Mapping[str, Any], pairs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and texts of the sizes that a model takes, without numbers."""
    size = config["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    length = int(config["text_cfg"].get("context_length", 77))
    images = torch.empty(pairs, 3, height, width, device="meta")
    return images, torch.zeros(pairs, length, dtype=torch.int64, device="meta")


def _saved(
    model: torch.nn.Module, config: Mapping[str, Any], pairs: int, weights: tuple[torch.Tensor, ...]
) -> tuple[int, int]:
    """Bytes that pairs' gradients need, and those of what the model makes of the pairs."""
    images, texts = _pairs(config, pairs)
    found: list[Any] = []
    saved = gradient_bytes(lambda: found.append(model(images, texts)), weights)
    (outputs,) = found
    tensors = outputs.values() if isinstance(outputs, Mapping) else outputs
    return saved, sum(one.nbytes for one in tensors if isinstance(one, torch.Tensor) and one.ndim > 1)
