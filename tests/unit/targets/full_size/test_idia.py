"""The public checkpoints of the authors of IDIA: their names, their format, their architectures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from idbench.errors import TargetError, UnknownNameError
from idbench.targets import TargetSpec, resolve_target
from idbench.targets.checkpoints import read_state_dict
from idbench.targets.full_size.idia import FILES, LEVELS, checkpoint_file, references
from idbench.targets.load import build_model, load_target
from idbench.targets.spec import LocalFile

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def save_as_the_authors(model: torch.nn.Module, path: Path) -> None:
    """What open_clip's trainer of 2022 wrote: on several GPUs, a bare temperature, numpy's numbers in the optimizer."""
    state = {f"module.{name}": tensor.detach() for name, tensor in model.state_dict().items()}
    state["module.logit_scale"] = state["module.logit_scale"].reshape(())
    rate = np.float64(0.5) * (1 + np.cos(np.pi))
    groups = [{"lr": rate, "weight_decay": 0.1, "params": [0, 1]}]
    saved = {"epoch": 50, "name": "a run", "state_dict": state, "optimizer": {"state": {}, "param_groups": groups}}
    torch.save({**saved, "scaler": {"scale": 65536.0, "growth_factor": 2.0}}, path)


def test_there_are_eighteen() -> None:
    assert len(references()) == 18
    files = {checkpoint_file(architecture, level) for architecture, level in itertools.product(FILES, LEVELS)}
    assert {"rn50_top75_epoch_50.pt", "rn50x4_top05_epoch_50.pt", "vitb32_top01_epoch_50.pt"} <= files
    assert len(files) == 18


@pytest.mark.parametrize("architecture", FILES)
def test_each_is_open_clips_architecture_without_quick_gelu(
    tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_IDIA_CHECKPOINTS", str(tmp_path))
    (tmp_path / checkpoint_file(architecture, 5)).write_bytes(b"")
    spec = resolve_target(f"idia:{architecture}/5")
    assert (spec.architecture, spec.corpus, spec.quick_gelu) == (architecture, "cc3m+5", False)
    assert not open_clip.get_model_config(architecture).get("quick_gelu", False)
    with torch.device("meta"):  # shapes alone: no gigabytes of random numbers
        model = build_model(open_clip.get_model_config(architecture), architecture)
    names = set(model.state_dict())
    assert {"visual.conv1.weight", "token_embedding.weight", "text_projection", "logit_scale"} <= names


def test_a_missing_file_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_IDIA_CHECKPOINTS", raising=False)
    with pytest.raises(TargetError, match=r"rn50_top75_epoch_50\.pt .* not on this machine") as caught:
        resolve_target("idia:RN50/75")
    assert "BENCH_IDIA_CHECKPOINTS" in caught.value.hint
    monkeypatch.setenv("BENCH_IDIA_CHECKPOINTS", str(tmp_path))
    with pytest.raises(TargetError, match="is not in"):
        resolve_target("idia:RN50/75")


def test_unknown_ones_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="idia:RN101/75"):
        resolve_target("idia:RN101/75")
    with pytest.raises(UnknownNameError, match="idia:RN50/75"):
        resolve_target("idia:RN50/7")
    with pytest.raises(TargetError, match="cannot have arch="):
        resolve_target("idia:RN50/75?arch=RN50")


def test_the_format_is_read_though_torch_refuses_it_by_default(tmp_path: Path) -> None:
    path = tmp_path / "tiny_top75_epoch_50.pt"
    model = build_model(TINY, "tiny")
    save_as_the_authors(model, path)
    with pytest.raises(Exception, match="numpy"):
        torch.load(path, weights_only=True)
    state = read_state_dict(path)
    torch.testing.assert_close(state["text_projection"], model.state_dict()["text_projection"])
    spec = TargetSpec(name="t", version="1", title="t", architecture=TINY, weights=LocalFile(path=str(path)))
    loaded = load_target(spec)
    torch.testing.assert_close(loaded.model.state_dict()["logit_scale"], model.state_dict()["logit_scale"])


class _Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("harm",)


def test_code_beside_the_weights_is_still_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rn50_top75_epoch_50.pt"
    torch.save({"state_dict": {"x": torch.zeros(1)}, "optimizer": _Harm()}, path)
    with pytest.raises(TargetError, match="could run code"):
        read_state_dict(path)
    assert "harm" not in capsys.readouterr().out


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rn50_top75_epoch_50.pt"
    save_as_the_authors(build_model(TINY, "tiny"), path)
    other = {**TINY, "embed_dim": 24}
    spec = TargetSpec(name="t", version="1", title="t", architecture=other, weights=LocalFile(path=str(path)))
    with pytest.raises(TargetError, match=r"does not fit the architecture: .* have another shape") as caught:
        load_target(spec)
    assert "architecture that it was trained with" in caught.value.hint


@pytest.mark.slow
def test_a_real_vit_b_32_in_the_authors_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_IDIA_CHECKPOINTS", str(tmp_path))
    model = build_model(open_clip.get_model_config("ViT-B-32"), "ViT-B-32").half()
    save_as_the_authors(model, tmp_path / "vitb32_top10_epoch_50.pt")
    loaded = load_target(resolve_target("idia:ViT-B-32/10"))
    expected = model.state_dict()["visual.proj"].float()
    torch.testing.assert_close(loaded.model.state_dict()["visual.proj"], expected)
    assert loaded.info.image_size == (224, 224)
