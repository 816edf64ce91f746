"""Checkpoints as people have them: each gives the same weights, runs nothing, or is refused with the true reason."""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip import CLIP
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.errors import TargetError
from idbench.targets.checkpoints import read_checkpoint_file, read_state_dict
from idbench.targets.load import LoadedTarget, load_target

State = dict[str, torch.Tensor]
OPENAI = {"input_resolution": torch.tensor(16), "context_length": torch.tensor(77), "vocab_size": torch.tensor(49408)}
jit_warns = pytest.mark.filterwarnings("ignore:.*torch.jit.*", "ignore:.*TorchScript.*", "ignore:Converting a tensor.*")


def prefixed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


KINDS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 1e-3}},
    "model": lambda state: {"model": state, "args": {"lr": 1.0}},
    "model_state_dict": lambda state: {"model_state_dict": state, "step": 4},
    "nested": lambda state: {"model": {"state_dict": state}},
    "module.": lambda state: {"state_dict": prefixed("module.")(state)},
    "_orig_mod.": prefixed("_orig_mod."),
    "model.": lambda state: {"state_dict": prefixed("model.")(state)},
    "module._orig_mod.": prefixed("module._orig_mod."),
    "_orig_mod.module.": prefixed("_orig_mod.module."),
    "net.": lambda state: {"state_dict": prefixed("net.")(state), "hyper_parameters": {"lr": 1.0}},
    "network.": prefixed("network."),
    "clip.": prefixed("clip."),
    "module.clip_model.": prefixed("module.clip_model."),
    "_forward_module.": prefixed("_forward_module.model."),
    "_fsdp_wrapped_module.": prefixed("_fsdp_wrapped_module."),
    "parts compiled": lambda state: {name.replace("visual.", "visual._orig_mod."): t for name, t in state.items()},
    "blocks wrapped": lambda state: {
        name.replace("resblocks.0.", "resblocks.0._checkpoint_wrapped_module."): t for name, t in state.items()
    },
    "visual.module.": lambda state: {name.replace("visual.", "visual.module."): t for name, t in state.items()},
    "an average alone": lambda state: {"model_ema": prefixed("module.")(state), "decay": 0.999},
    "averaged by torch": lambda state: prefixed("module.")(state) | {"n_averaged": torch.tensor(7)},
    "beside its average": lambda state: {
        "state_dict": state,
        "state_dict_ema": {name: tensor + 1 for name, tensor in state.items()},
    },
    "any key": lambda state: {"weights": {"state_dict": state}, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "a tower wrapped by hand": lambda state: {
        f"model.{name}" if name.startswith("visual.") else name: tensor for name, tensor in state.items()
    },
    "towers with prefixes of their own": lambda state: {
        f"image_side.{name}" if name.startswith("visual.") else f"text_side.{name}": t for name, t in state.items()
    },
    "all but the scale": lambda state: (
        prefixed("module.")({n: t for n, t in state.items() if n != "logit_scale"})
        | {"logit_scale": state["logit_scale"]}
    ),
    "a prefix nobody knows": prefixed("student.clip."),
    "twice the same": lambda state: prefixed("module.")(state) | state,
    "beside its average, in one": lambda state: (
        prefixed("model.")(state)
        | {f"model_ema.{name}": tensor + 1 for name, tensor in state.items()}
        | {"model_ema.decay": torch.tensor(0.999), "model_ema.num_updates": torch.tensor(9)}
    ),
    "its average in one, by halves": lambda state: (
        state | {f"ema.{name}": tensor + 1 for name, tensor in state.items() if name.startswith("visual.")}
    ),
    "an average with a prefix": prefixed("ema_model.module."),
    "with options": lambda state: {"model": state, "args": argparse.Namespace(lr=1.0)},
}


def assert_same(path: Path, expected: LoadedTarget, **more: Any) -> LoadedTarget:
    loaded = load_target(spec_of(path, SMALL, **more))
    state = loaded.model.state_dict()
    for name, tensor in expected.model.state_dict().items():
        assert torch.equal(state[name], tensor), name
    return loaded


@pytest.mark.parametrize("kind", KINDS)
def test_every_wrapping_and_prefix_gives_the_same_weights(tmp_path: Path, kind: str, small: LoadedTarget) -> None:
    torch.save(KINDS[kind](state_of(random_model(SMALL))), tmp_path / "x.pt")
    assert_same(tmp_path / "x.pt", small)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model", "model.ckpt"])
def test_safetensors_under_another_ending(tmp_path: Path, name: str, small: LoadedTarget) -> None:
    save_file(state_of(random_model(SMALL)), tmp_path / name)
    assert_same(tmp_path / name, small)


def test_a_state_dict_under_the_ending_of_safetensors(tmp_path: Path, small: LoadedTarget) -> None:
    torch.save(state_of(random_model(SMALL)), tmp_path / "x.safetensors")
    assert_same(tmp_path / "x.safetensors", small)


def test_a_prefix_that_only_some_names_have_is_part_of_them(tmp_path: Path) -> None:
    torch.save({"model.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.pt")
    assert read_state_dict(tmp_path / "x.pt").keys() == {"model.a", "b"}


class OpenAI(CLIP):
    """A model that keeps its sizes beside its weights, as OpenAI's code does."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        del self.context_length, self.vocab_size
        for name, value in OPENAI.items():
            self.register_buffer(name, value)

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encode_image(image), self.encode_text(text)


def openai_model() -> torch.nn.Module:
    model = OpenAI(**SMALL)
    model.load_state_dict(state_of(random_model(SMALL)), strict=False)
    return model.eval()


@jit_warns
@pytest.mark.parametrize("half", [False, True])
def test_openais_archives_are_read_without_running_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: LoadedTarget, half: bool
) -> None:
    """TorchScript, as OpenAI publishes it: the tensors are had from pickle and raw bytes, the code stays shut."""
    model = openai_model().half().float() if half else openai_model()
    traced = torch.jit.trace(
        model, (torch.zeros(1, 3, 16, 16), torch.zeros(1, 77, dtype=torch.int64)), check_trace=False
    )
    (traced.half() if half else traced).save(str(tmp_path / "small.pt"))
    expected = torch.jit.load(str(tmp_path / "small.pt")).state_dict()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("code was opened")

    monkeypatch.setattr(torch.jit, "load", refuse)
    found = read_checkpoint_file(tmp_path / "small.pt")
    assert found.by_openai
    assert found.tensors.keys() == expected.keys() - OPENAI.keys() - {"attn_mask"}
    for name, tensor in found.tensors.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name
    with pytest.raises(TargetError, match="written by OpenAI's code, whose models have QuickGELU") as caught:
        load_target(spec_of(tmp_path / "small.pt", SMALL))
    assert "Add quick_gelu=true" in caught.value.hint
    if not half:
        assert_same(tmp_path / "small.pt", small, quick_gelu=True)


@jit_warns
def test_a_scripted_model_is_read_alike(tmp_path: Path, small: LoadedTarget) -> None:
    torch.jit.script(random_model(SMALL)).save(str(tmp_path / "small.pt"))
    assert_same(tmp_path / "small.pt", small)


def test_openais_state_dict(tmp_path: Path, small: LoadedTarget) -> None:
    for sizes in (OPENAI, {name: int(value) for name, value in OPENAI.items()}):
        torch.save(state_of(random_model(SMALL)) | sizes, tmp_path / "x.pt")
        with pytest.raises(TargetError, match="does not name an activation"):
            load_target(spec_of(tmp_path / "x.pt", SMALL))
        loaded = assert_same(tmp_path / "x.pt", small, quick_gelu=True)
        assert any(type(module).__name__ == "QuickGELU" for module in loaded.model.modules())


@jit_warns
def test_an_archive_of_another_model_does_not_fit(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "x.pt"))
    with pytest.raises(TargetError, match="does not fit the architecture"):
        load_target(spec_of(tmp_path / "x.pt", SMALL))


class _Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


@jit_warns
@pytest.mark.parametrize("payload", [_Code(), {"a": 1}, [1, 2]])
def test_an_archive_with_anything_else_in_its_pickle(tmp_path: Path, payload: object) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "good.pt"))
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, pickle.dumps(payload, 2) if name.endswith("/data.pkl") else good.read(name))
    with pytest.raises(TargetError, match=r"damaged or not a checkpoint|no state dict"):
        read_state_dict(tmp_path / "bad.pt")


@jit_warns
@pytest.mark.parametrize("keep", [100, 3000, -200])
def test_a_truncated_archive(tmp_path: Path, keep: int) -> None:
    torch.jit.script(random_model(SMALL)).save(str(tmp_path / "x.pt"))
    (tmp_path / "x.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:keep])
    with pytest.raises(TargetError, match="damaged or not a checkpoint"):
        read_state_dict(tmp_path / "x.pt")


def test_a_bias_of_the_logits_is_kept(tmp_path: Path) -> None:
    state = state_of(random_model(SMALL)) | {"logit_bias": torch.tensor(-9.5)}
    torch.save(state, tmp_path / "x.pt")
    model: Any = load_target(spec_of(tmp_path / "x.pt", SMALL)).model
    assert float(model.logit_bias) == -9.5


def test_a_text_tower_of_its_own(tmp_path: Path) -> None:
    """As open_clip's trainer saves it after --force-custom-text; the names of the tensors say so."""
    model = random_model(SMALL | {"custom_text": True})
    torch.save(state_of(model), tmp_path / "x.pt")
    target: Any = load_target(spec_of(tmp_path / "x.pt", SMALL))
    tokens = target.tokenize(["a photo of a person"])
    own: Any = model
    torch.testing.assert_close(target.model.encode_text(tokens), own.encode_text(tokens))


def test_the_transformers_librarys_names_are_recognized(tmp_path: Path) -> None:
    state = {"text_model.embeddings.token_embedding.weight": torch.zeros(2, 2), "logit_scale": torch.zeros(())}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(TargetError, match="checkpoint of the transformers library") as caught:
        load_target(spec_of(tmp_path / "model.safetensors", SMALL))
    assert "open_clip_model.safetensors" in caught.value.hint


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {
            "checkpoint": {"epoch": 3, "weights": prefixed("base_model.model.")(state)},
            "adam": {"state": {0: {"exp_avg": torch.ones(2)}}, "by name": {"visual.proj": {"exp_avg": torch.ones(2)}}},
        },
        lambda state: prefixed("model.")(state) | {"step": 5, "lr": 1e-4, "note": "the last one", "best": None},
        lambda state: {"run": {"params": state | {"step": 5}}},
    ],
)
def test_state_dicts_deeper_within_and_with_plain_values_beside_the_tensors(
    tmp_path: Path, small: LoadedTarget, wrapped: Callable[[State], Any]
) -> None:
    torch.save(wrapped(state_of(random_model(SMALL))), tmp_path / "x.pt")
    assert_same(tmp_path / "x.pt", small)


def test_archives_of_other_programs_are_named(tmp_path: Path) -> None:
    torch.save(state_of(random_model(SMALL)), tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "x.pt", "run/x.pt")
    np.savez(tmp_path / "x.npz", weight=np.ones(2))
    for name, reason in (("x.zip", r"zip archive with x\.pt in it"), ("x.npz", "arrays of NumPy")):
        with pytest.raises(TargetError, match=reason):
            read_state_dict(tmp_path / name)


def huge(state: State) -> State:
    return state | {"text_projection": torch.zeros(1).expand(10**6, 10**6)}


def quantized(state: State) -> State:
    return {name: (tensor * 100).to(torch.int8) for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (quantized, "holds whole numbers instead of weights"),
        (lambda state: state | {"logit_scale": torch.tensor(4)}, "holds whole numbers instead of weights"),
        (lambda state: state | {"text_projection": state["text_projection"].to(torch.complex64)}, "complex numbers"),
        (lambda state: state | {"text_projection": state["text_projection"].to_sparse()}, "is sparse"),
        (lambda state: {name: tensor.to("meta") for name, tensor in state.items()}, "holds no numbers"),
        (huge, "is damaged"),
        (lambda state: {"a": state, "b": state}, "several state dicts: a, b"),
        (
            lambda state: prefixed("model.")(state) | {"loss.w": torch.ones(2)},
            r"called model\.\*, beside 1 more \(first loss\.w",
        ),
        (
            lambda state: prefixed("student.")(state) | prefixed("teacher.")({n: t + 1 for n, t in state.items()}),
            r"2 models, called student\.\* and teacher\.\*",
        ),
        (
            lambda state: state | prefixed("teacher.")({name: t + 1 for name, t in state.items()}),
            r"2 models, called without a prefix and teacher\.\*",
        ),
        (
            lambda state: state | {"old.visual.proj": state["visual.proj"] + 1},
            r"twice, with different numbers \(first visual\.proj and old\.visual\.proj\)",
        ),
        (
            lambda state: (
                {n if n[0] != "v" else f"module.{n}": t for n, t in state.items()} | {"head.w": torch.ones(2)}
            ),
            r"its tensors are there, beside 1 more \(first head\.w",
        ),
        (
            lambda state: {n if n[0] != "v" else f"module.{n}": t for n, t in state.items() if n != "visual.proj"},
            r"does not fit the architecture: 1 tensor is missing \(first visual\.proj",
        ),
        (lambda state: {"state_dict": state, "place": Path("x")}, r"more than weights \(pathlib\."),
        (
            lambda state: (
                {n.replace("c_fc.", "c_fc.base_layer."): t for n, t in state.items()}
                | {"visual.transformer.resblocks.0.mlp.c_fc.lora_A.default.weight": torch.ones(2, 16)}
            ),
            "LoRA adapters that are not merged into the model's weights",
        ),
        (
            lambda state: {"base_model.model.visual.conv1.lora_A.weight": torch.ones(2, 2)},
            "LoRA adapters without the model's weights",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*[Ss]parse.*")
def test_what_cannot_be_read_as_it_is_has_its_true_reason(
    tmp_path: Path, change: Callable[[State], Any], reason: str
) -> None:
    torch.save(change(state_of(random_model(SMALL))), tmp_path / "x.pt")
    with pytest.raises(TargetError, match=reason):
        load_target(spec_of(tmp_path / "x.pt", SMALL))


def test_a_model_in_several_files_is_called_that(tmp_path: Path) -> None:
    """Each file alone looks like a checkpoint of another architecture."""
    state = state_of(random_model(SMALL))
    names = list(state)
    parts = [f"open_clip-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for part, held in zip(parts, (names[:20], names[20:]), strict=True):
        save_file({name: state[name] for name in held}, tmp_path / part)
    where = dict.fromkeys(names[:20], parts[0]) | dict.fromkeys(names[20:], parts[1])
    (tmp_path / "open_clip.safetensors.index.json").write_text(json.dumps({"weight_map": where}, indent=1))
    for name in (*parts, "open_clip.safetensors.index.json"):
        with pytest.raises(TargetError, match="is in several files") as caught:
            load_target(spec_of(tmp_path / name, SMALL))
        assert "one file" in caught.value.hint


def test_a_number_that_is_missing_is_not_another_architecture(tmp_path: Path) -> None:
    state = state_of(random_model(SMALL))
    torch.save({name: tensor for name, tensor in state.items() if name != "logit_scale"}, tmp_path / "x.pt")
    with pytest.raises(TargetError, match=r"1 tensor is missing \(first logit_scale\)") as caught:
        load_target(spec_of(tmp_path / "x.pt", SMALL))
    assert "whole state dict" in caught.value.hint


def test_eight_bit_fractions_are_read(tmp_path: Path) -> None:
    state = state_of(random_model(SMALL))
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in state.items()}, tmp_path / "x.safetensors")
    loaded = load_target(spec_of(tmp_path / "x.safetensors", SMALL)).model.state_dict()
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor.to(torch.float8_e4m3fn).float()), name


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (bytes(5000), "is damaged or not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 605157884\n", "Git LFS"),
        (b"\n<!DOCTYPE html><html>Forbidden</html>", "is a web page"),
        (b'{"embed_dim": 512}', "is text"),
        (gzip.compress(b"weights", mtime=0), "is compressed"),
        (bz2.compress(b"weights"), "is compressed"),
        (lzma.compress(b"weights"), "is compressed"),
        (b"GGUF\x03" + bytes(100), "is a file of llama.cpp"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is a file of Keras"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "is an array of NumPy"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:" + bytes(100), "is a file of ONNX"),
        (b"\x83\xa6params\x81\xaatext_model" + bytes(100), "is a file of Flax"),
        (tarfile.TarInfo("epoch_3.pt").tobuf() + bytes(1024), "is a tar archive"),
    ],
)
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_what_is_no_checkpoint_is_called_what_it_is(tmp_path: Path, content: bytes, reason: str, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=reason):
        load_target(spec_of(path, SMALL))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_ends_early(tmp_path: Path, share: float, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save(state_of(random_model(SMALL)), path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(TargetError, match="damaged or not a checkpoint"):
        load_target(spec_of(path, SMALL))


def test_an_older_pickle_under_the_ending_of_safetensors(tmp_path: Path, small: LoadedTarget) -> None:
    path = tmp_path / "x.safetensors"
    torch.save(state_of(random_model(SMALL)), path, _use_new_zipfile_serialization=False)
    assert_same(path, small)


def test_positions_that_older_transformers_saved_are_no_weights(tmp_path: Path) -> None:
    custom = SMALL | {"custom_text": True}
    state = state_of(random_model(custom)) | {"text.transformer.embeddings.position_ids": torch.arange(3)[None]}
    torch.save(state, tmp_path / "x.pt")
    loaded = load_target(spec_of(tmp_path / "x.pt", custom)).model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())
