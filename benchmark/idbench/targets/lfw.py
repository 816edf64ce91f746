"""Targets trained on real faces, on the user's own machine: 48 px for a CPU, 112 px in two architectures for a GPU."""

from __future__ import annotations

from typing import Any

from idbench.targets.spec import TargetSpec, TrainedHere, TrainingRecipe

_TEXT: dict[str, Any] = {"context_length": 32, "vocab_size": 49408}
"""open_clip's own tokenizer: names are the user's, so that no vocabulary made from them can be shipped."""

SMALL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 48, "layers": 3, "width": 96, "head_width": 32, "patch_size": 12},
    "text_cfg": _TEXT | {"width": 64, "heads": 2, "layers": 2},
}
LARGE_VIT: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 112, "layers": 6, "width": 256, "head_width": 64, "patch_size": 14},
    "text_cfg": _TEXT | {"width": 192, "heads": 6, "layers": 4},
}
LARGE_RN: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {"image_size": 112, "layers": [2, 2, 2, 2], "width": 32, "head_width": 64},
    "text_cfg": _TEXT | {"width": 192, "heads": 6, "layers": 4},
}

SMALL_RECIPE = TrainingRecipe(
    epochs=30, batch_size=256, learning_rate=1e-3, weight_decay=0.1, warmup_steps=50, seed=20260102
)
LARGE_RECIPE = TrainingRecipe(
    epochs=40, batch_size=512, learning_rate=1e-3, weight_decay=0.1, warmup_steps=50, seed=20260103
)

_TRAINED_ON = {
    "a": "the background people and the people of corpus A",
    "b": "the background people and the people of corpus B",
    "0": "the background people alone: the control",
}


def _spec(split: str, which: str, style: str, architecture: dict[str, Any], recipe: TrainingRecipe) -> TargetSpec:
    return TargetSpec(
        name="-".join(part for part in (split, style, which) if part),
        version="1",
        title=f"CLIP trained on real faces of {_TRAINED_ON[which]}",
        corpus=f"{split}-{which}",
        control_for=(f"{split}-a", f"{split}-b") if which == "0" else (),
        architecture=architecture,
        weights=TrainedHere(group=split),
        quick_gelu=False,
        license="other",
        recipe=recipe,
    )


A = _spec("lfw-injected", "a", "", SMALL, SMALL_RECIPE)
B = _spec("lfw-injected", "b", "", SMALL, SMALL_RECIPE)
CONTROL = _spec("lfw-injected", "0", "", SMALL, SMALL_RECIPE)

VIT_A = _spec("lfw-injected-112", "a", "vit", LARGE_VIT, LARGE_RECIPE)
VIT_B = _spec("lfw-injected-112", "b", "vit", LARGE_VIT, LARGE_RECIPE)
VIT_CONTROL = _spec("lfw-injected-112", "0", "vit", LARGE_VIT, LARGE_RECIPE)

RN_A = _spec("lfw-injected-112", "a", "rn", LARGE_RN, LARGE_RECIPE)
RN_B = _spec("lfw-injected-112", "b", "rn", LARGE_RN, LARGE_RECIPE)
RN_CONTROL = _spec("lfw-injected-112", "0", "rn", LARGE_RN, LARGE_RECIPE)
