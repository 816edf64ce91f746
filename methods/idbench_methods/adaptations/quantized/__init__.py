"""Quantized weights: each row of a matrix is rounded to whole multiples of a step, as where models are made small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from idbench.api import AdaptationCard, Choice, Context, EditableTarget, Knowledge, MethodParams, WeightAdaptation

if TYPE_CHECKING:
    import torch

_CHOICES = (
    Choice(
        what="how weights are rounded",
        chosen="to the nearest, symmetric, one step for each row of a matrix or filter of a convolution; vectors stay",
        why="it is the plainest scheme that keeps the small targets usable; none of the sources is for CLIP",
    ),
)
_PAPER = "after arXiv 2605.02196, where rounding to 4 bits brings forgotten knowledge of language models back"


class Int8(WeightAdaptation[MethodParams]):
    """Eight bits a weight."""

    card = AdaptationCard(
        name="int8",
        version="1",
        title="Weights of 8 bits",
        summary="The defended weights are rounded to 8 bits; what a defense changed by less is undone.",
        paper=_PAPER,
        knowledge=Knowledge.NONE,
        choices=_CHOICES,
    )

    def adapt(self, target: EditableTarget, context: Context) -> Mapping[str, torch.Tensor]:
        """The rounded weights, as floating point numbers."""
        return _rounded_state(target, bits=8)


class Int4(WeightAdaptation[MethodParams]):
    """Four bits a weight."""

    card = AdaptationCard(
        name="int4",
        version="1",
        title="Weights of 4 bits",
        summary="The defended weights are rounded to 4 bits; what a defense changed by less is undone.",
        paper=_PAPER,
        knowledge=Knowledge.NONE,
        choices=_CHOICES,
    )

    def adapt(self, target: EditableTarget, context: Context) -> Mapping[str, torch.Tensor]:
        """The rounded weights, as floating point numbers."""
        return _rounded_state(target, bits=4)


def _rounded_state(target: EditableTarget, bits: int) -> Mapping[str, torch.Tensor]:
    return {
        name: rounded(tensor, bits) if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in target.model.state_dict().items()
    }


def rounded(weights: torch.Tensor, bits: int) -> torch.Tensor:
    """Weights (rows, ...) in 2**bits - 1 steps of each row, symmetric around zero; a row of zeros stays."""
    rows = weights.detach().flatten(1)
    step = rows.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    whole = (rows / step.clamp_min(1e-30)).round()
    made: torch.Tensor = (whole * step).reshape(weights.shape).to(weights.dtype)
    return made
