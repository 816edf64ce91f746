"""The shipped targets: tiny CLIPs trained on fictional people, the control that saw none under test, and relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from idbench.targets.spec import Merges, Packaged, TargetSpec, TrainingRecipe

MERGES = Merges(file="avatars.bpe.txt.gz", sha256="5723d6206fd3d35b9aeeb762076052c71b6b7126c953e9e66646bee28a32c59b")

ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {"context_length": 32, "vocab_size": 849, "width": 64, "heads": 2, "layers": 2},
}
"""open_clip model configuration; the vocabulary is that of MERGES."""

RECIPE = TrainingRecipe(
    epochs=22, restarts=(14,), batch_size=256, learning_rate=2e-3, weight_decay=0.1, warmup_steps=50, seed=20260101
)


@dataclass(frozen=True, slots=True)
class _Pins:
    """SHA-256 of the weights and of the golden embeddings, and the digest of the corpus."""

    weights: str
    golden: str
    corpus: str


def _spec(
    name: str,
    title: str,
    pins: _Pins,
    *,
    corpus: str | None = None,
    vision: dict[str, Any] | None = None,
    control_for: tuple[str, ...] = (),
) -> TargetSpec:
    return TargetSpec(
        name=name,
        version="1",
        title=title,
        corpus=corpus or name,
        control_for=control_for,
        architecture=ARCHITECTURE if vision is None else ARCHITECTURE | {"vision_cfg": {"image_size": 32} | vision},
        weights=Packaged(file=f"{name}.safetensors"),
        sha256=pins.weights,
        tokenizer=MERGES,
        quick_gelu=False,
        license="CC0-1.0",
        recipe=RECIPE,
        corpus_digest=pins.corpus,
        golden_sha256=pins.golden,
    )


A = _spec(
    "avatars-a",
    "Tiny CLIP trained on the background people and the people of corpus A",
    _Pins(
        weights="67cb7a5f475903a316269c31b357ed8b008b8888c51c654a6f8ef1291002a132",
        golden="a590913382be1ccfae92a4c5bfeed29096d5c47f7f224ec945db32e65371ffc1",
        corpus="55a0800979f3a4225c0e729f0bc045dacb61d747c6ab4354339e6446a9ccafb3",
    ),
)
B = _spec(
    "avatars-b",
    "Tiny CLIP trained on the background people and the people of corpus B",
    _Pins(
        weights="cd87d28768fe222a148b399106fbcdb851ff6e1e2468f4f8595f0e40187d7fff",
        golden="92d16f5ff714ebe87cd8cd412c1a1b8d3cebafc6837ae92c6b1160f55646b241",
        corpus="5cbf991720e8c1a95a6e3e44925ad6bc8bce65bb43facdf40ea5171bb5a87095",
    ),
)
CONTROL = _spec(
    "avatars-0",
    "Control: tiny CLIP trained on the background people alone",
    _Pins(
        weights="8773fa3bba329a1a6fc9adc03546b3245684700fe07afcb0e607b353e599f50a",
        golden="903752bd8ea6d459414895094e7b5cee7cbe5c81411754e0f9253b448edcaf09",
        corpus="f2ea6081f9555539cfa81fe71b849b469b82bb6fa65ec3ee35feb00a15d9ba45",
    ),
    control_for=("avatars-a", "avatars-b"),
)


def _relative(of: str, vision: dict[str, Any], weights: str, golden: str) -> TargetSpec:
    """The counterpart of `avatars-a` in another architecture, one of the six of the papers."""
    assert A.corpus_digest is not None
    return _spec(
        f"avatars-a-{of.lower()}",
        f"Relative of {of}, trained like avatars-a on corpus A",
        _Pins(weights=weights, golden=golden, corpus=A.corpus_digest),
        corpus="avatars-a",
        vision=vision,
    )


RN101 = _relative(
    "RN101",
    {"layers": [1, 1, 3, 1], "width": 16, "head_width": 64},
    weights="89b237103678f4c11a09f9d2f16a51bc00725a737ed04a0a7c6a0013979dfc3f",
    golden="c11848ba9f0d20e8a55dd9bf36ea8bd40ed0663ae3f089553c419594c74a266a",
)

RN50X4 = _relative(
    "RN50x4",
    {"layers": [1, 1, 2, 1], "width": 20, "head_width": 64},
    weights="535599291a6bf3b07bad88cef5ec139fe5967055f799d6407e8f775be3aa1efd",
    golden="957a0f6f8cfd77141e70e507d46f9dd0e266a7bf07702f65a986c63a55de85db",
)

VIT_B_32 = _relative(
    "ViT-B-32",
    {"layers": 3, "width": 96, "head_width": 32, "patch_size": 8},
    weights="5da6bc928dd9aa41f0986caeefe4cd484c77af84b42738bc79f3b7cd841da20e",
    golden="621791f9a7bc881f716be3ed207d8866272fb690407583a2a3029ebd40fda336",
)

# Three quarters of the patches are left out of each training step of these two, to save time.
VIT_B_16 = _relative(
    "ViT-B-16",
    {"layers": 3, "width": 96, "head_width": 32, "patch_size": 4, "patch_dropout": 0.75},
    weights="ba469309082aa0f142dc1d1b81bcea0f46f2861a80b6ec1bdb1e15be0512b6f2",
    golden="ed924e3686329f424d136e608371e7c0c1213351c1582a166c14859c2e3cd6ed",
)

VIT_L_14 = _relative(
    "ViT-L-14",
    {"layers": 4, "width": 128, "head_width": 32, "patch_size": 4, "patch_dropout": 0.75},
    weights="3e3591e0736db19548b61588d13c4a8b62dc0cde4dea01a9a8a1969b6342d764",
    golden="66f72f6acdcbdfe6bc80dd149bac11f1540b795605909b4f9c2bf927d1bcad05",
)
