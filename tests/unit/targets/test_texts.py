"""The text engine: the numbers of the full context at the cost of the tokens that are there."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.api import Silent
from idbench.targets import resolve_target
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.texts import TextEncoder, buckets, encode_cut, is_cuttable, text_lengths

TEXTS = [
    "",
    "x",
    "a photo of a person named somebody",
    "actor",
    "a black and white photo of " + "very " * 100,
    "q7#zk!0 vx~~~",
    "émile ☃ 图",
    *(f"a photo of number {i}" for i in range(30)),
]


def plain(target: LoadedTarget, texts: list[str]) -> torch.Tensor:
    """What open_clip itself computes on the full context, one text at a time."""
    model: Any = target.model
    with torch.no_grad():
        return torch.cat([model.encode_text(target.tokenize([text])) for text in texts]).float()


def load(tmp_path: Path, config: dict[str, Any]) -> LoadedTarget:
    path = tmp_path / "model.safetensors"
    save_file(state_of(random_model(config)), path)
    return load_target(spec_of(path, config))


def text_config(**more: Any) -> dict[str, Any]:
    return SMALL | {"text_cfg": SMALL["text_cfg"] | more}


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL | {"quick_gelu": True},
        SMALL | {"custom_text": True},
        text_config(pool_type="eos", eos_id=49407),
        text_config(context_length=20),
        text_config(proj_type="none", width=16) | {"embed_dim": 16},
        text_config(proj_bias=True),
    ],
    ids=["clip", "quickgelu", "custom", "eos", "short", "no-projection", "projection-bias"],
)
def test_cut_and_bucketed_equals_the_full_context(tmp_path: Path, config: dict[str, Any]) -> None:
    target = load(tmp_path, config)
    assert is_cuttable(target.model)
    embeddings = TextEncoder(target, Silent()).embed(TEXTS)
    torch.testing.assert_close(embeddings, plain(target, TEXTS), rtol=1e-5, atol=1e-5)


def test_the_shipped_targets_are_cut_too() -> None:
    target = load_target(resolve_target("avatars-a"))
    assert is_cuttable(target.model)
    torch.testing.assert_close(TextEncoder(target, Silent()).embed(TEXTS), plain(target, TEXTS), rtol=1e-5, atol=1e-5)


def test_a_real_vit_b_32_is_cut_with_the_same_numbers() -> None:
    config = open_clip.get_model_config("ViT-B-32")
    config["vision_cfg"].update(layers=1, width=64)  # the image tower plays no part here and costs memory
    model = random_model(config)
    tokens = open_clip.get_tokenizer("ViT-B-32")(TEXTS[:8])
    encode: Any = model.encode_text
    with torch.no_grad():
        full = encode(tokens)
        for places, length in buckets(tokens, text_lengths(model, tokens)):
            torch.testing.assert_close(encode_cut(model, tokens[places, :length]), full[places], rtol=1e-5, atol=1e-5)
    del model
    gc.collect()


@pytest.mark.parametrize("config", [text_config(no_causal_mask=True), text_config(pool_type="last", embed_cls=False)])
def test_towers_that_look_further_get_the_full_context(tmp_path: Path, config: dict[str, Any]) -> None:
    target = load(tmp_path, config | {"custom_text": True})
    assert not is_cuttable(target.model)
    torch.testing.assert_close(TextEncoder(target, Silent()).embed(TEXTS), plain(target, TEXTS), rtol=1e-5, atol=1e-5)


def test_each_distinct_text_is_encoded_once_and_costs_its_own_tokens(small: LoadedTarget) -> None:
    tokens_seen = 0

    def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal tokens_seen
        tokens_seen += inputs[0].shape[0] * inputs[0].shape[1]

    handle = small.model.transformer.register_forward_pre_hook(count)  # type: ignore[union-attr]
    try:
        encoder = TextEncoder(small, Silent())
        distinct = ["a person", "a photo of somebody in a suit", "actor"]
        needed = int(text_lengths(small.model, small.tokenize(distinct)).sum())
        first = encoder.embed(distinct * 5)
        assert tokens_seen == needed
        assert torch.equal(encoder.embed(distinct[::-1]), first[[2, 1, 0]])
        assert tokens_seen == needed
        encoder.embed(["new", *distinct])
        assert tokens_seen == needed + 3
        assert len(encoder) == 4
    finally:
        handle.remove()


def test_no_texts(small: LoadedTarget) -> None:
    assert TextEncoder(small, Silent()).embed([]).shape == (0, 16)


def test_gradients_flow_through_the_cut_tower_as_through_the_plain_one(small: LoadedTarget) -> None:
    model: Any = random_model(SMALL)
    tokens = small.tokenize(["a photo of somebody", "x"])
    grads = []
    for run in (lambda: model.encode_text(tokens), lambda: encode_cut(model, tokens[:, :8])):
        model.zero_grad()
        run().square().sum().backward()
        grads.append(model.transformer.resblocks[0].mlp.c_fc.weight.grad.clone())
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-6)
