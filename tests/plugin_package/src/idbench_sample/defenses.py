"""Defenses of targets: one that changes nothing, and one that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from idbench.api import Case, Context, DefenseCard, EditableTarget, Knowledge, MethodParams, TargetDefense
from pydantic import Field

if TYPE_CHECKING:
    import torch


class Identity(TargetDefense[MethodParams]):
    """Gives the weights back as they are."""

    card = DefenseCard(name="sample-identity", version="1", title="Sample: identity", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        return target.model.state_dict()


class NoiseParams(MethodParams):
    """One parameter, documented."""

    scale: float = Field(default=0.01, ge=0, description="standard deviation of what is added, in units of a weight's")


class Noise(TargetDefense[NoiseParams]):
    """Adds noise to every weight matrix, in place."""

    card = DefenseCard(
        name="sample-noise",
        version="1",
        title="Sample: noise",
        knowledge=Knowledge.NAME,
        optional_knowledge=Knowledge.PHOTOS,
        presets={"loud": {"scale": 0.5}},
    )

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        import torch

        tokens = target.tokenize([case.name for case in protected])
        assert tokens.shape[0] == len(protected)
        rng = context.rng("noise")
        with torch.no_grad():
            for parameter in target.model.parameters():
                if parameter.ndim > 1:
                    noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape), dtype="float32"))
                    parameter.add_(self.params.scale * parameter.std() * noise.to(parameter.device))
        return target.model.state_dict()
