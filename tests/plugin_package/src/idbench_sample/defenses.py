"""Defenses of targets: one that changes nothing, and one that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
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


class _Bad(TargetDefense[MethodParams]):
    """What the ways to be bad have in common; abstract."""


class NaNs(_Bad):
    card = DefenseCard(name="sample-nan-weights", version="1", title="Sample: NaN", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        state = dict(target.model.state_dict())
        name = next(iter(state))
        state[name] = state[name] * float("nan")
        return state


class Raises(_Bad):
    card = DefenseCard(name="sample-raises-weights", version="1", title="Sample: raises", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        raise RuntimeError("no such layer")


class Dies(_Bad):
    card = DefenseCard(name="sample-dies-weights", version="1", title="Sample: dies", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        import os

        os._exit(3)


class Hangs(_Bad):
    card = DefenseCard(name="sample-hangs-weights", version="1", title="Sample: hangs", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        import time

        while True:
            time.sleep(1)


class Nothing(_Bad):
    card = DefenseCard(name="sample-none-weights", version="1", title="Sample: None", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        return None  # type: ignore[return-value]


class Short(_Bad):
    card = DefenseCard(name="sample-short-weights", version="1", title="Sample: short", knowledge=Knowledge.NONE)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        state = dict(target.model.state_dict())
        del state[next(iter(state))]
        return state


class Curious(_Bad):
    """Writes down whatever it can see of the people and of its folder."""

    card = DefenseCard(name="sample-curious", version="1", title="Sample: curious", knowledge=Knowledge.NAME)

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        import json
        import sys
        from pathlib import Path

        def tried(ask: Callable[[], Sized]) -> int | str:
            try:
                return len(ask())
            except Exception:  # noqa: BLE001
                return "refused"

        folder = Path(sys.argv[1])
        seen = {
            "names": [case.name for case in protected],
            "photos": tried(lambda: protected[0].photos),
            "pairs": tried(lambda: context.public_pairs),
            "auxiliary": tried(lambda: context.auxiliary_people),
            "bytes_of_photos": sum(f.stat().st_size for f in folder.rglob("photos.bin")),
            "request": "".join(f.read_text() for f in folder.rglob("*.json")),
        }
        (context.cache / "seen.json").write_text(json.dumps(seen))
        return target.model.state_dict()
