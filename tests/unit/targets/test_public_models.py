"""What targets compute beside their weights: open_clip's public models, and what is asked where they disagree."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.errors import TargetError, UnknownNameError
from idbench.targets import Preprocessing, TargetSpec, public_models, resolve_target
from idbench.targets.fetch import pin_target
from idbench.targets.load import load_target
from idbench.targets.public_models import architecture_names, model_config, settle_target
from idbench.targets.spec import CLIP_MEAN, CLIP_STD

HALF = (0.5, 0.5, 0.5)
TAGS = open_clip.list_pretrained()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text towers need packages that this test's arithmetic on tables does not."""
    monkeypatch.setattr(public_models, "check_packages", lambda name, config: None)


def computes(reference: str) -> dict[str, Any]:
    spec = settle_target(resolve_target(reference))
    assert spec.preprocessing is not None
    assert spec.stated is None
    quick = bool(model_config(spec).get("quick_gelu", False))
    return spec.preprocessing.model_dump(exclude={"fill_color"}) | {"quick_gelu": quick}


def public(architecture: str, tag: str) -> dict[str, Any]:
    table = open_clip.get_pretrained_cfg(architecture, tag)
    quick = bool(table.get("quick_gelu") or open_clip.get_model_config(architecture).get("quick_gelu"))
    return {name: table[name] for name in ("mean", "std", "interpolation", "resize_mode")} | {"quick_gelu": quick}


def test_the_names_of_architectures_are_open_clips() -> None:
    assert architecture_names() == set(open_clip.list_models())
    assert (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD) == (CLIP_MEAN, CLIP_STD)


@pytest.mark.usefixtures("no_packages")
def test_every_public_model_is_computed_as_it_is_or_asked_about(weights: Path) -> None:
    """All tags in all ways of writing them: none may compute anything else without a word."""
    asked = 0
    for architecture, tag in TAGS:
        expected = public(architecture, tag)
        if architecture == "roberta-ViT-B-32":  # open_clip's tables contradict each other
            for reference in (f"open_clip:{architecture}/{tag}", f"file:{weights}?arch={architecture}&tag={tag}"):
                with pytest.raises(TargetError, match="contradict each other"):
                    computes(reference)
                option = f"{'&' if '?' in reference else '?'}quick_gelu=true"
                assert computes(reference + option) == expected
            continue
        assert computes(f"open_clip:{architecture}/{tag}") == expected
        assert computes(f"file:{weights}?arch={architecture}&tag={tag}") == expected
        try:
            assert computes(f"file:{weights}?arch={architecture}") == expected
        except TargetError as error:
            asked += "tag=" in error.hint
    assert 0 < asked < len(TAGS) / 2


def test_a_question_says_exactly_what_to_type(weights: Path) -> None:
    with pytest.raises(TargetError, match=r"ViT-L-14 differ in mean and std and quick_gelu") as caught:
        computes(f"file:{weights}?arch=ViT-L-14")
    hint = caught.value.hint
    assert f"Type 'file:{weights}?arch=ViT-L-14&tag=openai'" in hint
    assert "&tag=laion2b_s32b_b82k (mean 0.5 std 0.5, bicubic, shortest, GELU)" in hint
    assert "&mean=R,G,B and &std=R,G,B and &quick_gelu=true or false" in hint
    typed = f"file:{weights}?arch=ViT-L-14&tag=laion2b_s32b_b82k"
    assert computes(typed)["mean"] == HALF
    own = f"file:{weights}?arch=ViT-L-14&mean=0.5&std=0.5&quick_gelu=false"
    assert computes(own) == computes(typed)
    # What is said narrows the question down: the two public models with this activation differ in their pixels.
    with pytest.raises(TargetError, match=r"differ in mean and std,"):
        computes(f"file:{weights}?arch=ViT-L-14&quick_gelu=false")


def test_the_architecture_has_a_say_in_the_activation(weights: Path) -> None:
    """Every public RN50 has QuickGELU, but open_clip trains an RN50 with GELU."""
    with pytest.raises(TargetError, match="RN50 differ in quick_gelu"):
        computes(f"file:{weights}?arch=RN50")
    assert computes(f"file:{weights}?arch=RN50&quick_gelu=false")["quick_gelu"] is False
    assert computes(f"file:{weights}?arch=RN50&tag=yfcc15m")["quick_gelu"] is True
    assert computes(f"file:{weights}?arch=RN50-quickgelu")["quick_gelu"] is True


def test_what_is_said_outweighs_the_tag(weights: Path) -> None:
    computed = computes(f"file:{weights}?arch=ViT-B-32&tag=openai&resize_mode=squash&quick_gelu=false")
    assert (computed["mean"], computed["resize_mode"], computed["quick_gelu"]) == (CLIP_MEAN, "squash", False)
    assert computes("open_clip:ViT-B-32/openai?interpolation=bilinear")["interpolation"] == "bilinear"


def test_an_architecture_without_public_weights_has_open_clips_defaults(weights: Path) -> None:
    assert computes(f"file:{weights}?arch=ViT-S-16") == Preprocessing().model_dump(exclude={"fill_color"}) | {
        "quick_gelu": False
    }


def test_unknown_tags_are_found_before_anything_is_fetched(weights: Path) -> None:
    with pytest.raises(UnknownNameError, match="laion400m_e32"):
        pin_target(resolve_target("open_clip:ViT-B-32/laion400m_e3"))
    with pytest.raises(UnknownNameError, match="laion2b_s32b_b82k"):
        pin_target(resolve_target(f"file:{weights}?arch=ViT-L-14&tag=laion2b_s32b_b8"))


def test_pinning_settles(weights: Path) -> None:
    spec = pin_target(resolve_target(f"file:{weights}?arch=ViT-B-32&tag=openai"))
    assert (spec.quick_gelu, spec.preprocessing, spec.stated) == (True, Preprocessing(), None)
    assert TargetSpec.model_validate_json(spec.model_dump_json()) == spec
    assert pin_target(spec) == spec
    shipped = resolve_target("avatars-a")
    assert pin_target(shipped) == shipped


def test_a_configuration_brings_its_preprocessing_and_activation(tmp_path: Path) -> None:
    save_file(state_of(random_model(SMALL)), tmp_path / "small.safetensors")
    own = {"mean": list(HALF), "std": list(HALF), "interpolation": "bilinear", "resize_mode": "squash"}
    config = {"model_cfg": SMALL | {"quick_gelu": True}, "preprocess_cfg": own}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    reference = f"file:{tmp_path}/small.safetensors?arch={tmp_path}/open_clip_config.json"
    target = load_target(resolve_target(reference))
    assert target.preprocessing == Preprocessing(mean=HALF, std=HALF, interpolation="bilinear", resize_mode="squash")
    assert any(type(module).__name__ == "QuickGELU" for module in target.model.modules())
    with pytest.raises(TargetError, match="trained with GELU, but its configuration computes QuickGELU"):
        load_target(resolve_target(f"{reference}&quick_gelu=false"))
    with pytest.raises(TargetError, match=r"which architecture") as caught:
        resolve_target(f"file:{tmp_path}/small.safetensors")
    assert f"arch={tmp_path}/open_clip_config.json" in caught.value.hint


def test_the_activation_that_is_said_is_the_one_computed(small_file: Path) -> None:
    """Weights of one architecture with one or the other activation: shapes are equal, embeddings are not."""
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for quick in (True, False):
        target = load_target(spec_of(small_file, SMALL, quick_gelu=quick))
        model = random_model(SMALL | {"quick_gelu": quick})
        model.load_state_dict(target.model.state_dict())
        ours, own = (one.encode_image(images).detach() for one in (target.model, model))  # type: ignore[operator]
        torch.testing.assert_close(ours, own)
        found.append(ours)
    assert not torch.allclose(*found, rtol=1e-3)


def test_a_contradiction_is_refused(small_file: Path) -> None:
    with pytest.raises(TargetError, match=r"trained with QuickGELU, but its configuration computes GELU"):
        load_target(spec_of(small_file, SMALL | {"quick_gelu": False}, quick_gelu=True))
    with pytest.raises(TargetError, match=r"trained with GELU.*") as caught:
        load_target(spec_of(small_file, "ViT-B-32-quickgelu", quick_gelu=False, preprocessing=Preprocessing()))
    assert "Use the architecture ViT-B-32." in caught.value.hint


def test_a_missing_package_is_named_and_not_the_network(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # as Python itself marks what cannot be imported
    for reference in ("open_clip:ViT-B-16-SigLIP/webli", f"file:{weights}?arch=ViT-B-16-SigLIP"):
        with pytest.raises(TargetError, match=r"tokenizer of .* needs the package transformers") as caught:
            pin_target(resolve_target(reference))
        assert "pip install 'idbench[transformers]'" in caught.value.hint
        assert "network" not in caught.value.message + caught.value.hint
    with pytest.raises(TargetError, match=r"text tower of .* needs the package transformers"):
        pin_target(resolve_target("open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"))


def own(place: Path, config: object) -> str:
    """A checkpoint with a configuration of its own, as a person writes it."""
    save_file(state_of(random_model(SMALL)), place / "own.safetensors")
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    (place / "own.json").write_bytes(content)
    return f"file:{place}/own.safetensors?arch={place}/own.json"


SQUASHED = {"mean": [0.5], "std": 0.5, "interpolation": "bilinear", "resize_mode": "squash", "size": [16, 16]}


@pytest.mark.parametrize(
    "config",
    [
        {"model_cfg": SMALL, "preprocess_cfg": SQUASHED},
        SMALL | {"preprocess_cfg": SQUASHED},
        b"\xef\xbb\xbf" + json.dumps({"model_cfg": SMALL, "preprocess_cfg": SQUASHED}).encode(),
    ],
)
def test_what_is_stated_goes_before_the_configuration(tmp_path: Path, config: object) -> None:
    """When loaded without being pinned before, too."""
    reference = own(tmp_path, config)
    given = Preprocessing(mean=HALF, std=HALF, interpolation="bilinear", resize_mode="squash")
    assert load_target(resolve_target(reference)).preprocessing == given
    changed = load_target(resolve_target(f"{reference}&mean=0.1,0.2,0.3&resize_mode=longest"))
    stated = given.model_copy(update={"mean": (0.1, 0.2, 0.3), "resize_mode": "longest"})
    assert changed.preprocessing == changed.spec.preprocessing == stated


def test_random_interpolation_is_of_training_pictures(tmp_path: Path) -> None:
    reference = own(tmp_path, {"model_cfg": SMALL, "preprocess_cfg": {"interpolation": "random"}})
    assert load_target(resolve_target(reference)).preprocessing == Preprocessing()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_cfg": SMALL, "preprocess_cfg": [0.5]}, "preprocess_cfg .* is not an object"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"image_mean": [0.5] * 3}}, "does not have: image_mean"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"mode": "L"}}, "has mode 'L'"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"mean": [123.7, 116.3, 103.5]}}, "wrong mean: .* less than or equal"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"mean": True}}, "wrong mean"),
        (SMALL | {"quick_gelu": "false"}, "quick_gelu .* neither true nor false"),
        (SMALL | {"vision_cfg": None}, "vision_cfg .* is not an object"),
        ({"architectures": ["CLIPModel"], "text_config": {}, "vision_config": {}}, "of the transformers library"),
        ({"embed_dim": 16}, "lacks text_cfg, vision_cfg"),
        (json.dumps(SMALL).encode("utf-16"), "is not UTF-8"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_configuration_that_says_something_else(tmp_path: Path, config: object, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):
        resolve_target(own(tmp_path, config))
