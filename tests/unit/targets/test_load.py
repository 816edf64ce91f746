"""Loading: real architectures from disk, and one clear sentence for everything that can be wrong with a checkpoint."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.errors import IdbenchError, TargetError, UnknownNameError
from idbench.storage import sha256_file
from idbench.targets import HubFile, Merges, TargetSpec, resolve_target
from idbench.targets.checkpoints import read_state_dict
from idbench.targets.fetch import pin_target
from idbench.targets.load import LoadedTarget, load_target

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def save_epoch(model: torch.nn.Module, path: Path) -> None:
    """As open_clip's trainer writes it on several GPUs."""
    state = {f"module.{name}": tensor for name, tensor in state_of(model).items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state, "optimizer": {"lr": 1e-3}}, path)


@pytest.fixture(scope="session")
def vit_b_32(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A real ViT-B-32 on disk as `epoch_3.pt`, and two of its tensors to recognize it by."""
    path = tmp_path_factory.mktemp("vit") / "epoch_3.pt"
    model = random_model(open_clip.get_model_config("ViT-B-32")).half()
    save_epoch(model, path)
    state = model.state_dict()
    return path, {name: state[name].float().clone() for name in ("text_projection", "visual.proj")}


@pytest.fixture(scope="session")
def rn50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real RN50 on disk as safetensors, its running statistics unlike any batch's."""
    path = tmp_path_factory.mktemp("rn50") / "rn50.safetensors"
    model = random_model(open_clip.get_model_config("RN50"))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.fill_(0.1)
    save_file({name: t.half() if t.is_floating_point() else t for name, t in state_of(model).items()}, path)
    return path


def test_vit_b_32_from_a_trainer_checkpoint(vit_b_32: tuple[Path, dict[str, torch.Tensor]]) -> None:
    path, expected = vit_b_32
    target = load_target(spec_of(path, "ViT-B-32", quick_gelu=False))
    state = target.model.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor)
    assert target.sha256 == sha256_file(path)
    assert (target.info.image_size, target.info.embedding_dim) == ((224, 224), 512)
    assert target.info.mean == open_clip.OPENAI_DATASET_MEAN
    tokens = target.tokenize(["a photo of a person", "x"])
    assert tokens.shape == (2, 77)
    assert torch.equal(tokens, open_clip.get_tokenizer("ViT-B-32")(["a photo of a person", "x"]))
    del target, state
    gc.collect()


def test_a_resnet_is_loaded_in_evaluation_mode(rn50: Path) -> None:
    target = load_target(spec_of(rn50, "RN50", quick_gelu=False))
    assert not any(module.training for module in target.model.modules())
    assert not any(parameter.requires_grad for parameter in target.model.parameters())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    encode: Any = target.model.encode_image
    with torch.no_grad():
        alone, together = encode(images[:1]), encode(images)[:1]
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)
        target.model.train()  # the difference that eval() makes: batch statistics change the same image's embedding
        assert not torch.allclose(encode(images)[:1], together, rtol=1e-2)
    del target
    gc.collect()


def test_a_checkpoint_of_another_architecture_is_refused(rn50: Path) -> None:
    with pytest.raises(TargetError, match=r"does not fit the architecture: .* missing .* unknown"):
        load_target(spec_of(rn50, "ViT-B-32", quick_gelu=False))


def test_other_shapes_are_refused_and_never_interpolated(small_file: Path) -> None:
    larger = SMALL | {"vision_cfg": SMALL["vision_cfg"] | {"image_size": 32}}
    with pytest.raises(TargetError, match=r"another shape \(first visual.positional_embedding: \(5, 32\) instead"):
        load_target(spec_of(small_file, larger))


@pytest.mark.parametrize("kind", ["plain.pt", "wrapped.pt", "plain.safetensors"])
def test_every_kind_of_checkpoint_gives_the_same_weights(tmp_path: Path, kind: str, small: LoadedTarget) -> None:
    path = tmp_path / kind
    if kind == "wrapped.pt":
        save_epoch(random_model(SMALL), path)
    elif kind == "plain.pt":
        torch.save(state_of(random_model(SMALL)), path)
    else:
        save_file(state_of(random_model(SMALL)), path)
    loaded = load_target(spec_of(path, SMALL)).model.state_dict()
    for name, tensor in small.model.state_dict().items():
        assert torch.equal(loaded[name], tensor), name


def test_custom_text_towers_take_old_checkpoints(small_file: Path, small: LoadedTarget) -> None:
    target = load_target(spec_of(small_file, SMALL | {"custom_text": True}))
    assert type(target.model).__name__ == "CustomTextCLIP"
    tokens = target.tokenize(["a photo of a person"])
    left: Any = target.model
    right: Any = small.model
    torch.testing.assert_close(left.encode_text(tokens), right.encode_text(tokens))


def test_a_wrong_hash_is_noticed_before_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "not-even-a-checkpoint.pt"
    path.write_bytes(b"anything")
    with pytest.raises(TargetError, match="SHA-256"):
        load_target(spec_of(path, SMALL, sha256="0" * 64))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no checkpoint at"):
        load_target(spec_of(tmp_path / "none.pt", SMALL))
    with pytest.raises(TargetError, match="no checkpoint at"):
        load_target(spec_of(tmp_path, SMALL))


@pytest.mark.parametrize("kind", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("keep", [0, 7, 1000, -100])
def test_a_truncated_file(tmp_path: Path, kind: str, keep: int) -> None:
    path = tmp_path / kind
    state = state_of(random_model(SMALL))
    if path.suffix == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TargetError, match="damaged or not a checkpoint"):
        load_target(spec_of(path, SMALL))


class _Code:
    ran = False

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("import test_load_marker_that_does_not_exist",)


def test_code_in_a_pickle_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "code.pt"
    torch.save({"state_dict": state_of(random_model(SMALL)), "extra": _Code()}, path)
    with pytest.raises(TargetError, match="could run code"):
        load_target(spec_of(path, SMALL))
    path.write_bytes(pickle.dumps(_Code(), protocol=2))
    with pytest.raises(TargetError, match=r"could run code|damaged"):
        load_target(spec_of(path, SMALL))


@pytest.mark.parametrize("content", [{"epoch": 3}, {}, [1, 2], {"state_dict": {"a": 1}}, torch.zeros(2)])
def test_a_file_without_state_dict(tmp_path: Path, content: object) -> None:
    path = tmp_path / "odd.pt"
    torch.save(content, path)
    with pytest.raises(TargetError, match="no state dict"):
        load_target(spec_of(path, SMALL))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers(tmp_path: Path, value: float) -> None:
    state = state_of(random_model(SMALL))
    state["text_projection"][3, 2] = value
    path = tmp_path / "nan.safetensors"
    save_file(state, path)
    with pytest.raises(TargetError, match=r"NaN or infinite weights \(first in text_projection"):
        load_target(spec_of(path, SMALL))


def test_half_precision_checkpoints_become_single_precision(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.half() for name, tensor in state_of(random_model(SMALL)).items()}, path)
    assert {p.dtype for p in load_target(spec_of(path, SMALL)).model.parameters()} == {torch.float32}


def test_tags_without_network_say_what_to_do() -> None:
    with pytest.raises(
        TargetError,
        match=r"could not be fetched: HF_HUB_OFFLINE forbids it.* Connect to the network once.*tag=laion2b_e16",
    ):
        load_target(resolve_target("open_clip:ViT-B-32/laion2b_e16"))
    with pytest.raises(UnknownNameError, match="laion400m_e32"):
        load_target(resolve_target("open_clip:ViT-B-32/laion400m_e3"))
    with pytest.raises(UnknownNameError, match="ViT-B-32"):
        load_target(resolve_target("open_clip:ViT-B32/openai"))


def test_a_tag_is_pinned_by_the_hash_of_its_file(
    vit_b_32: tuple[Path, dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that open_clip resolves a tag to goes into the record by its hash."""
    path, _ = vit_b_32
    config = open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_e16") | {"file": str(path)}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED["ViT-B-32"], "laion2b_e16", config)
    pinned = pin_target(resolve_target("open_clip:ViT-B-32/laion2b_e16"))
    assert pinned.sha256 == sha256_file(path)
    with pytest.raises(TargetError, match="SHA-256"):
        load_target(pinned.model_copy(update={"sha256": "f" * 64}))


def hub_repository(repo: str, files: dict[str, Path | str]) -> None:
    """What the Hub's client leaves in its cache after a download."""
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for name, content in files.items():
        if isinstance(content, Path):
            (folder / name).write_bytes(content.read_bytes())
        else:
            (folder / name).write_text(content)


def test_a_hub_repository_at_a_commit_brings_its_own_configuration(small_file: Path) -> None:
    import json

    mean = [0.5, 0.5, 0.5]
    config = {"model_cfg": SMALL, "preprocess_cfg": {"mean": mean, "std": mean, "resize_mode": "squash"}}
    hub_repository("org/tiny", {"open_clip_model.safetensors": small_file, "open_clip_config.json": json.dumps(config)})
    target = load_target(resolve_target(f"hub:org/tiny@{COMMIT}"))
    assert target.sha256 == sha256_file(small_file)
    assert target.info.mean == (0.5, 0.5, 0.5)
    assert target.preprocessing.resize_mode == "squash"
    with pytest.raises(TargetError, match="could not be fetched"):
        load_target(resolve_target(f"hub:org/other@{COMMIT}"))


def test_pinning_fills_in_the_hash_and_keeps_a_given_one(small_file: Path) -> None:
    spec = spec_of(small_file, SMALL)
    assert pin_target(spec).sha256 == sha256_file(small_file)
    given = spec.model_copy(update={"sha256": "a" * 64})
    assert pin_target(given).sha256 == "a" * 64


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there(small_file: Path, device: str) -> None:
    with pytest.raises(TargetError, match="no device"):
        load_target(spec_of(small_file, SMALL), device)


def test_a_configuration_that_open_clip_refuses(small_file: Path) -> None:
    with pytest.raises(TargetError, match="cannot build the model"):
        load_target(spec_of(small_file, SMALL | {"colour": "red"}))


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    config = SMALL | {"text_cfg": SMALL["text_cfg"] | {"vocab_size": 600}}
    path = tmp_path / "small.safetensors"
    save_file(state_of(random_model(config)), path)
    with pytest.raises(TargetError, match="49408 tokens, its model only 600"):
        load_target(spec_of(path, config))


def test_a_damaged_tokenizer_file_is_noticed() -> None:
    spec = resolve_target("avatars-a")
    assert spec.tokenizer is not None
    wrong = spec.model_copy(update={"tokenizer": Merges(file=spec.tokenizer.file, sha256="0" * 64)})
    with pytest.raises(TargetError, match="tokenizer of avatars-a"):
        load_target(wrong)


def test_an_unreadable_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(IdbenchError):
        read_state_dict(tmp_path / "nothing.safetensors")


def test_a_target_without_architecture_must_be_a_hub_repository(small_file: Path) -> None:
    spec = spec_of(small_file, SMALL).model_copy(update={"architecture": None})
    with pytest.raises(TargetError, match="has no architecture"):
        load_target(spec)
    assert TargetSpec(
        name="x", version="1", title="x", architecture=None, weights=HubFile(repo="a/b", commit=COMMIT)
    ).architecture_name


def test_two_vits_that_differ_in_their_patches_have_two_names(small_file: Path) -> None:
    def name(patch: int) -> str:
        vision = {"layers": 3, "width": 96, "image_size": 32, "patch_size": patch}
        architecture = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": {}}
        return spec_of(small_file, SMALL).model_copy(update={"architecture": architecture}).architecture_name

    assert name(4) != name(8)
