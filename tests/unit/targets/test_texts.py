"""The text engine: the numbers of the full context at the cost of the tokens that are there."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from hypothesis import given, strategies
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.api import Silent
from idbench.targets import resolve_target
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.prefixes import Trie, encode_trie, shares_beginnings, tries
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
    # CoCa leaves one of its weights as memory was.
    save_file({name: torch.nan_to_num(weight) for name, weight in state_of(random_model(config)).items()}, path)
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


def test_shorter_numbers_share_beginnings_too(small_file: Path, small: LoadedTarget) -> None:
    short = load_target(spec_of(small_file, SMALL, precision="bfloat16"))
    encoder = TextEncoder(short, Silent())
    found, wanted = encoder.embed(TEXTS), plain(small, TEXTS)
    assert encoder.computes_beginnings_once
    assert found.dtype == torch.float32
    off = (found - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert 0 < float(off.max()) < 0.05


def test_each_distinct_beginning_is_computed_once(small: LoadedTarget) -> None:
    seen: list[int] = []
    first: Any = small.model.transformer.resblocks[0].mlp  # type: ignore[union-attr,index]
    encoder = TextEncoder(small, Silent())
    encoder.embed(["what is checked against the model itself"])
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[:-1].numel()))
    try:
        distinct = ["a person", "a photo of somebody in a suit", "a photo of somebody", "a photo"]
        needed = len(beginnings(small, distinct))
        assert needed < int(text_lengths(small.model, small.tokenize(distinct)).sum()) - 9
        one = encoder.embed(distinct * 5)
        assert sum(seen) == needed
        assert torch.equal(encoder.embed(distinct[::-1]), one[[3, 2, 1, 0]])
        assert sum(seen) == needed
        encoder.embed(["new", *distinct])
        assert sum(seen) == needed + 3
        assert len(encoder) == 6
    finally:
        handle.remove()


def beginnings(target: LoadedTarget, texts: list[str]) -> set[tuple[int, ...]]:
    tokens = target.tokenize(texts)
    lengths = text_lengths(target.model, tokens).tolist()
    return {
        tuple(row[:end]) for row, length in zip(tokens.tolist(), lengths, strict=True) for end in range(1, length + 1)
    }


@given(
    rows=strategies.lists(strategies.lists(strategies.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=30),
    most=strategies.integers(1, 40),
)
def test_tries_hold_each_beginning_of_their_texts_once_with_the_way_to_it(rows: list[list[int]], most: int) -> None:
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.tensor([row + [9] * (6 - len(row)) for row in rows])
    found: list[int] = []
    for places, trie in tries(tokens, lengths, most):
        found += places.tolist()
        wanted = {tuple(rows[i][:end]) for i in places.tolist() for end in range(1, len(rows[i]) + 1)}
        ways = {}
        for part in trie.segments:
            for nodes, path in zip(part.nodes.tolist(), part.paths.tolist(), strict=True):
                for place, node in enumerate(nodes, len(path) - len(nodes)):
                    assert node not in ways
                    ways[node] = tuple(trie.tokens[path[: place + 1]].tolist())
                    assert path[place] == node
                    assert trie.depths[node] == place
        assert set(ways.values()) == wanted
        assert len(ways) == len(trie) == len(wanted)
        assert {node for part in trie.segments for node in part.last.nodes[:, 0].tolist()} == set(trie.ends.tolist())
        assert [ways[node] for node in trie.ends.tolist()] == [tuple(rows[i]) for i in places.tolist()]
        assert len(trie) <= most or len(places) == 1 or len({tuple(rows[i]) for i in places.tolist()}) == 1
    assert sorted(found) == list(range(len(rows)))


ARCHITECTURES = ("RN50", "ViT-B-32", "ViT-B-16-SigLIP", "coca_ViT-B-32")


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("nodes", [7, 10_000])
def test_towers_of_every_kind_give_what_open_clip_gives(
    tmp_path: Path, name: str, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = load(tmp_path, narrow(name))
    encoder = TextEncoder(target, Silent())
    monkeypatch.setattr("idbench.targets.texts.most_nodes", lambda *_: nodes)
    texts = [*TEXTS, *(f"{name} on a photo {end}" for name in ("Anna Xu", "Anna Yu") for end in ("", "today", "."))]
    embeddings = encoder.embed(texts)
    assert encoder.computes_beginnings_once == (name in ("RN50", "ViT-B-32"))
    assert float((embeddings - plain(target, texts)).abs().max()) < 1e-5


def narrow(name: str) -> dict[str, Any]:
    """An architecture of open_clip with its own kinds of blocks, masks and pooling, in small."""
    config = open_clip.get_model_config(name)
    vision, text = SMALL["vision_cfg"], config["text_cfg"]
    config["vision_cfg"] = vision if name != "RN50" else {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}
    text.update(width=32, heads=4, layers=3)
    for tokenizer in ("hf_tokenizer_name", "tokenizer_kwargs"):
        text.pop(tokenizer, None)
    text["vocab_size"] = max(text.get("vocab_size", 49408), 49408)
    if "multimodal_cfg" in config:
        config["multimodal_cfg"].update(width=32, heads=4, layers=1)
        text["embed_cls"] = True
    return config | {"embed_dim": 32}


@pytest.mark.parametrize("name", [f"avatars-{kind}" for kind in ("a", "0", "a-rn50x4", "a-vit-b-16", "a-vit-l-14")])
def test_similarities_of_the_shipped_targets_move_by_rounding_only(name: str) -> None:
    target = load_target(resolve_target(name))
    encoder = TextEncoder(target, Silent())
    names = [f"Ori{a} Dun{b}" for a in ("osha", "mund", "ville") for b in ("wicket", "mere", "field", "shaw")]
    texts = [template.format(one) for template in ("{}", "a photo of {}", "{} in a suit") for one in names]
    found = torch.nn.functional.normalize(encoder.embed(texts), dim=1)
    assert encoder.computes_beginnings_once
    wanted = torch.nn.functional.normalize(plain(target, texts), dim=1)
    directions = torch.nn.functional.normalize(torch.randn(64, wanted.shape[1], generator=torch.manual_seed(0)), dim=1)
    assert float((found @ directions.T - wanted @ directions.T).abs().max()) < 1e-6


def test_a_tower_that_only_looks_causal_is_computed_by_itself(tmp_path: Path) -> None:
    target = load(tmp_path, SMALL)
    model: Any = target.model
    whole = model.encode_text
    model.encode_text = lambda tokens: whole(tokens) + tokens.sum(dim=1, keepdim=True)
    encoder = TextEncoder(target, Silent())
    encoder.embed(TEXTS)
    assert not encoder.computes_beginnings_once


@pytest.mark.parametrize("change", ["mask", "block", "hook"])
def test_towers_with_anything_else_inside_are_not_taken_apart(tmp_path: Path, change: str) -> None:
    model: Any = load(tmp_path, SMALL).model
    assert shares_beginnings(model)
    if change == "mask":
        model.attn_mask[3, 5] = 0
    elif change == "block":
        model.transformer.resblocks[1] = torch.nn.Sequential(model.transformer.resblocks[1])
    else:
        model.transformer.resblocks[0].attn.register_forward_hook(lambda *_: None)
    assert not shares_beginnings(model)


def test_less_memory_than_a_trie_needs_makes_smaller_tries(
    small: LoadedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def scarce(tower: Any, trie: Trie) -> torch.Tensor:
        sizes.append(len(trie))
        if len(trie) > 60:
            raise torch.OutOfMemoryError
        return encode_trie(tower, trie)

    monkeypatch.setattr("idbench.targets.texts.encode_trie", scarce)
    texts = [text for text in TEXTS if len(text) < 50]
    torch.testing.assert_close(TextEncoder(small, Silent()).embed(texts), plain(small, texts), rtol=1e-5, atol=1e-5)
    assert max(sizes) > 60


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
