"""What options make of a training's target: the checkpoint computes what the trainer's own model computes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from idbench.api import Photo, Silent
from idbench.cli.target import app
from idbench.errors import IdbenchError, TargetError
from idbench.targets import resolve_target
from idbench.targets.full_size import run
from idbench.targets.full_size.command import FullSizeTraining, Machines, ShardSet, options_of
from idbench.targets.full_size.outcome import outcome_of
from idbench.targets.full_size.run import checkpoint_of, reference_of, run_training
from idbench.targets.images import Preprocessor, encode_images
from idbench.targets.load import load_target

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def training(folder: Path, *extra: str, config: dict[str, Any] | None = None) -> FullSizeTraining:
    (folder / "tiny.json").write_text(json.dumps(config or TINY))
    data = ShardSet("c-0", folder / "shards", 100, 2, "0" * 64, ("c-a", "c-b"))
    return FullSizeTraining(
        data, str(folder / "tiny.json"), Machines(0), folder / "my logs, 50%", ("--epochs", "3", *extra)
    )


def trainers_model(options: Namespace) -> tuple[Any, Any]:
    """Model and evaluation transform, made as open_clip's `main` makes them of its arguments."""
    size = options.force_image_size
    more = {"init_logit_scale": np.log(10), "init_logit_bias": -10} if options.siglip else {}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model, _, preprocess = open_clip.create_model_and_transforms(
            options.model,
            options.pretrained,
            precision=options.precision,
            device="cpu",
            force_quick_gelu=options.force_quick_gelu,
            force_custom_text=options.force_custom_text,
            force_patch_dropout=options.force_patch_dropout,
            force_image_size=size[0] if size is not None and len(size) == 1 else size,
            force_context_length=options.force_context_length,
            image_mean=options.image_mean,
            image_std=options.image_std,
            image_interpolation=options.image_interpolation,
            image_resize_mode=options.image_resize_mode,
            output_dict=True,
            **more,
        )
    return model.eval(), preprocess


def finished(mine: FullSizeTraining, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Run the training with the trainer's own model saved in place of a trained one."""
    made = []

    def trainer(command: object, log: Path, *rest: object) -> int:
        made.append(trainers_model(options_of(mine)))
        state = made[0][0].state_dict()
        checkpoint_of(mine).parent.mkdir(parents=True)
        torch.save({"epoch": 3, "name": mine.name, "state_dict": state}, checkpoint_of(mine))
        log.write_bytes(b"")
        return 0

    monkeypatch.setattr(run, "run_program", trainer)
    run_training(mine, Silent())
    return made[0]


OPTIONS = [
    (),
    ("--force-quick-gelu",),
    ("--force-custom-text",),
    ("--siglip",),
    ("--force-image-size", "48"),
    ("--force-image-size", "32", "48"),
    ("--force-context-length", "16"),
    ("--force-patch-dropout", "0.5"),
    ("--image-mean", "0.5", "0.4", "0.3", "--image-std", "0.2", "0.3", "0.4"),
    ("--image-mean", "0.5", "--image-interpolation", "bilinear"),
    ("--image-resize-mode", "squash", "--image-interpolation", "random"),
    ("--image-resize-mode", "longest"),
    ("--siglip", "--force-custom-text", "--force-quick-gelu", "--force-image-size", "40"),
]


@pytest.mark.parametrize("extra", OPTIONS, ids=" ".join)
def test_the_target_computes_what_the_trainer_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    mine = training(tmp_path, *extra)
    model, preprocess = finished(mine, monkeypatch)
    target = load_target(resolve_target(reference_of(mine)))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    own = preprocess(Image.fromarray(pixels))[None]
    ours = Preprocessor(target)([Photo("0", lambda: pixels)])
    torch.testing.assert_close(ours, own)
    texts = ["a photo of Mara Ohm"]
    tokens = open_clip.get_tokenizer(mine.model, context_length=model.context_length)(texts)
    with torch.no_grad():
        torch.testing.assert_close(encode_images(target, ours), model.encode_image(own))
        mapped: Any = target.model
        torch.testing.assert_close(mapped.encode_text(target.tokenize(texts)), model.encode_text(tokens))


def test_a_users_own_preprocessing_reaches_trainer_and_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mean = [0.1, 0.2, 0.3]
    mine = training(tmp_path, config={"model_cfg": TINY, "preprocess_cfg": {"mean": mean, "resize_mode": "squash"}})
    _, preprocess = finished(mine, monkeypatch)
    target = load_target(resolve_target(reference_of(mine)))
    assert list(target.preprocessing.mean) == mean
    assert preprocess.transforms[-1].mean == tuple(mean) or list(preprocess.transforms[-1].mean) == mean


def test_the_reference_says_everything(tmp_path: Path) -> None:
    data = ShardSet("cc3m-injected-a", tmp_path, 2_800_000, 280, "0" * 64)
    named = FullSizeTraining(data, "ViT-B-32", Machines(1), tmp_path, ("--force-quick-gelu", "--image-mean", "0.5"))
    reference = reference_of(named)
    checkpoint_of(named).parent.mkdir(parents=True)
    checkpoint_of(named).write_bytes(b"")
    spec = resolve_target(reference)
    assert (spec.architecture, spec.quick_gelu, spec.corpus) == ("ViT-B-32", True, "cc3m-injected-a")
    assert spec.stated is not None
    assert spec.stated.mean == (0.5, 0.5, 0.5)
    assert spec.stated.resize_mode == "shortest"
    assert spec.corpus_digest == "0" * 64  # so that labels of another build are not taken for its own
    larger = FullSizeTraining(data, "ViT-B-32", Machines(1), tmp_path, ("--force-image-size", "256"))
    assert "arch=" + str(larger.folder / "target" / "open_clip_config.json") in reference_of(larger)


def test_a_control_is_known_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = training(tmp_path)
    finished(mine, monkeypatch)
    spec = resolve_target(reference_of(mine))
    assert (spec.name, spec.corpus, spec.control_for) == ("c-0-tiny", "c-0", ("c-a", "c-b"))
    assert spec.architecture == outcome_of(mine.architecture, options_of(mine)).config
    assert spec.weights.model_dump()["path"] == str(checkpoint_of(mine))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--image-mean", "0.5", "0.5"), "--image-mean takes one number or three"),
        (("--force-image-size", "1", "2", "3"), "--force-image-size takes one number"),
        (("--image-std", "0"), "wrong std"),
    ],
)
def test_options_that_make_no_target(tmp_path: Path, extra: tuple[str, ...], message: str) -> None:
    mine = training(tmp_path, *extra)
    with pytest.raises(TargetError, match=message):
        run_training(mine, Silent())
    assert not mine.folder.exists()


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("RN51", "no open_clip architecture called 'RN51'"),
        ("none.json", "does not exist"),
        ("odd.json", "cannot build the model"),
        ("roberta-ViT-B-32", "needs the package transformers"),
    ],
)
def test_an_architecture_is_tried_before_the_dry_run_says_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)  # as Python itself marks what cannot be imported
    (tmp_path / "odd.json").write_text(json.dumps(TINY | {"colour": "red"}))
    done = CliRunner().invoke(app, ["train", "cc3m-injected", "--arch", arch, "--gpus", "0", "--dry-run"])
    assert isinstance(done.exception, IdbenchError)
    assert message in done.exception.message
