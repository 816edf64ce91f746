"""Models trained together come out as if each had been trained alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.squares import RESNET, VIT, Pairs, Recorder, pairs, spec

from idbench.errors import DataError, TargetError
from idbench.storage import sha256_file
from idbench.targets import TargetSpec
from idbench.targets.stacked import train_stacked
from idbench.targets.train import train_target

SEEDS = (7, 8, 9)


def three(tower: dict[str, Any], tmp_path: Path, **recipe: Any) -> tuple[list[TargetSpec], list[Pairs], list[Path]]:
    """Three models whose corpora differ, the last one by its size too (with as many steps an epoch)."""
    specs = [spec(tower, seed=seed, **recipe) for seed in SEEDS]
    return (
        specs,
        [pairs(100), pairs(100, seed=1), pairs(108, seed=2)],
        [tmp_path / f"{k}.safetensors" for k in range(3)],
    )


@pytest.mark.parametrize("tower", [VIT, RESNET], ids=["vit", "resnet"])
def test_stacked_training_equals_one_after_the_other(tmp_path: Path, tower: dict[str, Any]) -> None:
    specs, corpora, outs = three(tower, tmp_path, restarts=(2,))
    together = train_stacked(specs, corpora, outs)
    for one, corpus, stacked in zip(specs, corpora, together, strict=True):
        alone = train_target(one, corpus, tmp_path / "alone.safetensors")
        assert stacked.steps == alone.steps == 18
        # Rounding grows over the steps, most of all in batch statistics: 2e-3 on one processor, less on others.
        assert stacked.loss == pytest.approx(alone.loss, rel=5e-3)
        expected, found = load_file(alone.path), load_file(stacked.path)
        assert list(found) == list(expected)
        moved = torch.cat([(found[name] - tensor).flatten().float() for name, tensor in expected.items()])
        whole = torch.cat([tensor.flatten().float() for tensor in expected.values()])
        # AdamW divides by the root of a running mean: where the gradient is nothing but rounding (the bias of
        # attention keys), rounding becomes steps. So single weights may differ, but not the model.
        assert moved.norm() < 0.01 * whole.norm()
        assert {name: tensor.dtype for name, tensor in found.items()} == {n: t.dtype for n, t in expected.items()}


def test_the_models_differ_from_each_other(tmp_path: Path) -> None:
    trained = train_stacked(*three(VIT, tmp_path))
    assert len({one.sha256 for one in trained}) == 3


@pytest.mark.parametrize("tower", [VIT, RESNET], ids=["vit", "resnet"])
def test_an_interrupted_training_goes_on_with_the_same_result(tmp_path: Path, tower: dict[str, Any]) -> None:
    (tmp_path / "whole").mkdir()
    whole = train_stacked(*three(tower, tmp_path / "whole"))
    specs, corpora, outs = three(tower, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_stacked(specs, corpora, outs, progress=Recorder(stop_at=14))
    assert not any(out.exists() for out in outs)
    second = Recorder()
    again = train_stacked(specs, corpora, outs, progress=second)
    assert second.updates[0] == (13, 18)
    assert [one.sha256 for one in again] == [one.sha256 for one in whole]
    assert [sha256_file(out) for out in outs] == [one.sha256 for one in whole]
    assert not list(tmp_path.glob(".*"))


def test_models_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    specs, corpora, outs = three(VIT, tmp_path)
    with pytest.raises(TargetError, match="cannot be trained together"):
        train_stacked(specs, [*corpora[:2], pairs(200)], outs)
    with pytest.raises(TargetError, match="cannot be trained together"):
        train_stacked([*specs[:2], spec(VIT, seed=9, weight_decay=0.0)], corpora, outs)
    with pytest.raises(DataError, match="fewer than one batch"):
        train_stacked(specs, [*corpora[:2], pairs(3)], outs)


def test_a_diverging_training_says_so(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="diverged"):
        train_stacked(*three(VIT, tmp_path, learning_rate=1e30, warmup_steps=0))
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_time_of_interrupted_calls_is_counted(tmp_path: Path) -> None:
    specs, corpora, outs = three(VIT, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_stacked(specs, corpora, outs, progress=Recorder(stop_at=14))
    (checkpoint,) = tmp_path.glob(".*.stack.resume")
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["seconds"] > 0
    torch.save(saved | {"seconds": 3000.0}, checkpoint)
    again = train_stacked(specs, corpora, outs)
    assert [one.resumed for one in again] == [2, 2, 2]
    assert all(one.seconds > 1000 for one in again)


def test_stacked_weights_that_only_the_last_step_ruined_are_not_kept(tmp_path: Path) -> None:
    specs = [spec(VIT, seed=seed, epochs=1, weight_decay=1e300, warmup_steps=0) for seed in SEEDS[:2]]
    with pytest.raises(TargetError, match="its weights are NaN or infinite"):
        train_stacked(specs, [pairs(16), pairs(16, seed=1)], [tmp_path / f"{k}.safetensors" for k in range(2)])
    assert not list(tmp_path.iterdir())
