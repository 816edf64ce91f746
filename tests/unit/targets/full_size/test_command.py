"""The command that trains: exactly these words, understood by torchrun's and by open_clip's own parser."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idbench.cli.target import app
from idbench.errors import TargetError
from idbench.targets import resolve_target
from idbench.targets.full_size.command import (
    ARCHITECTURES,
    Machines,
    Training,
    TrainingSet,
    command_of,
    parse,
    shown,
    trainer_arguments,
)
from idbench.targets.full_size.run import reference_of

DATA = TrainingSet("cc3m-injected-a", Path("/data/a"), 2_800_000, 280, "0" * 64)


def training(machines: Machines, architecture: str = "RN50", *extra: str, data: TrainingSet = DATA) -> Training:
    return Training(data, architecture, machines, Path("/logs"), extra)


def test_eight_gpus_under_torchrun_word_for_word() -> None:
    assert shown(command_of(training(Machines(8)))) == (
        f"{shlex.quote(sys.executable)} -m torch.distributed.run --nproc_per_node 8 --standalone -m -- "
        "open_clip_train.main --model RN50 --dataset-type webdataset --train-data '/data/a/{00000..00279}.tar' "
        "--train-num-samples 2800000 --epochs 50 --batch-size 128 --lr 0.001 --wd 0.1 --workers 4 --logs /logs "
        "--name cc3m-injected-a-RN50 --save-most-recent --save-frequency 0 --resume latest --precision amp "
        "--local-loss --gather-with-grad --warmup 10000"
    )


def test_one_process_on_the_processor_word_for_word() -> None:
    small = TrainingSet("c-0", Path("/data/0"), 100, 1, "0" * 64)
    assert shown(command_of(training(Machines(0), "ViT-B-32", "--epochs", "3", data=small))) == (
        f"env WORLD_SIZE=1 {shlex.quote(sys.executable)} -m open_clip_train.main --model ViT-B-32 "
        "--dataset-type webdataset --train-data /data/0/00000.tar "
        "--train-num-samples 100 --epochs 50 --batch-size 100 --lr 0.001 --wd 0.1 "
        "--workers 1 --logs /logs --name c-0-ViT-B-32 --save-most-recent --save-frequency 0 --resume latest "
        "--device cpu --precision fp32 --warmup 0 --epochs 3"
    )


def test_torchruns_own_parser_understands_two_nodes() -> None:
    run = pytest.importorskip("torch.distributed.run")
    command = command_of(training(Machines(4, 2, "first:29500"), "ViT-L-14", "--grad-checkpointing"))
    assert command[:3] == (sys.executable, "-m", "torch.distributed.run")
    said = run.get_args_parser().parse_args(list(command[3:]))
    assert (said.nproc_per_node, said.nnodes) == ("4", "2")
    assert (said.rdzv_backend, said.rdzv_endpoint) == ("c10d", "first:29500")
    assert (said.module, said.training_script) == (True, "open_clip_train.main")
    trainer = parse(said.training_script_args)
    assert (trainer.logs, trainer.name, trainer.resume) == ("/logs", "cc3m-injected-a-ViT-L-14", "latest")
    assert (trainer.batch_size, trainer.local_loss, trainer.grad_checkpointing) == (128, True, True)
    assert trainer.save_most_recent
    assert trainer.report_to == ""  # nothing is sent to anybody


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_papers_architectures_are_open_clips(architecture: str) -> None:
    open_clip = pytest.importorskip("open_clip")
    assert open_clip.get_model_config(architecture) is not None
    said = parse(trainer_arguments(training(Machines(1), architecture)))
    assert said.model == architecture
    assert said.precision == "amp"


def test_extra_arguments_win_and_decide_the_warm_up() -> None:
    extra = ("--epochs", "2", "--batch-size", "1000", "--lr", "5e-4")
    said = parse(trainer_arguments(training(Machines(1), "RN50", *extra)))
    assert (said.epochs, said.batch_size, said.lr, said.warmup) == (2, 1000, 5e-4, 560)


@pytest.mark.parametrize(
    ("machines", "extra", "said"),
    [
        (Machines(1), ("--epoch-count", "3"), "does not understand the arguments: unrecognized arguments: --epoch-cou"),
        (Machines(1), ("--epochs", "many"), "invalid int value: 'many'"),
        (Machines(1), ("--logs", "/elsewhere"), "--logs is for idbench to say"),
        (Machines(1), ("--name", "mine"), "--name is for idbench to say"),
        (Machines(1), ("--model", "RN101"), "--model is for idbench to say"),
        (Machines(400), (), "280 shards for 400 training processes"),
        (Machines(4, 2), (), "2 nodes need a place to meet"),
        (Machines(0, 2, "first:1"), (), "only with GPUs"),
        (Machines(-1), (), "at least one node"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_tried(machines: Machines, extra: tuple[str, ...], said: str) -> None:
    with pytest.raises(TargetError, match=said) as caught:
        command_of(training(machines, "RN50", *extra))
    assert caught.value.hint


def test_a_finished_training_is_a_target(tmp_path: Path) -> None:
    config = {"embed_dim": 8, "vision_cfg": {"image_size": 32}, "text_cfg": {}}
    control = TrainingSet("c-0", tmp_path, 9, 1, "0" * 64, ("c-a", "c-b"))
    mine = Training(control, "tiny.json", Machines(0), tmp_path / "my logs", ("--epochs", "7"))
    mine.config_dir.mkdir(parents=True)
    (mine.config_dir / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    spec = resolve_target(reference_of(mine))
    assert spec.architecture == config
    assert (spec.name, spec.corpus, spec.control_for) == ("c-0-tiny", "c-0", ("c-a", "c-b"))
    assert spec.corpus_digest == "0" * 64  # so that labels of another build are not taken for its own
    assert spec.weights.model_dump()["path"] == str(tmp_path / "my logs" / "c-0-tiny" / "checkpoints" / "epoch_7.pt")
    named = resolve_target(reference_of(training(Machines(8))))
    assert (named.architecture, named.corpus, named.control_for) == ("RN50", "cc3m-injected-a", ())


@pytest.mark.parametrize("option", [("--device", "cpu"), ("--threads", "4")])
def test_options_that_the_trainer_does_not_take_are_refused(option: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["train", "cc3m-injected", "--arch", "RN50", *option])
    assert isinstance(done.exception, TargetError)
    assert f"{option[0]} means nothing to open_clip's trainer" in done.exception.message
    assert "--gpus" in done.exception.hint
