"""The command that trains: exactly these words, understood by torchrun's and by open_clip's own parser."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idbench.cli.target import app
from idbench.errors import TargetError
from idbench.targets.full_size.command import (
    ARCHITECTURES,
    FullSizeTraining,
    Machines,
    ShardSet,
    command_of,
    parse,
    shown,
    trainer_arguments,
)

DATA = ShardSet("cc3m-injected-a", Path("/data/a"), 2_800_000, 280, "0" * 64)


def training(machines: Machines, architecture: str = "RN50", *extra: str, data: ShardSet = DATA) -> FullSizeTraining:
    return FullSizeTraining(data, architecture, machines, Path("/logs"), extra)


def test_eight_gpus_under_torchrun_word_for_word() -> None:
    assert shown(command_of(training(Machines(8)))) == (
        f"{shlex.quote(sys.executable)} -m torch.distributed.run --nproc_per_node 8 --standalone -m -- "
        "open_clip_train.main --model RN50 --dataset-type webdataset --train-data '/data/a/{00000..00279}.tar' "
        "--train-num-samples 2800000 --epochs 50 --batch-size 128 --lr 0.001 --wd 0.1 --workers 4 --logs /logs "
        "--name cc3m-injected-a-RN50 --save-most-recent --save-frequency 0 --resume latest --precision amp "
        "--local-loss --gather-with-grad --warmup 10000"
    )


def test_one_process_on_the_processor_word_for_word() -> None:
    small = ShardSet("c-0", Path("/data/0"), 100, 1, "0" * 64)
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
    options = run.get_args_parser().parse_args(list(command[3:]))
    assert (options.nproc_per_node, options.nnodes) == ("4", "2")
    assert (options.rdzv_backend, options.rdzv_endpoint) == ("c10d", "first:29500")
    assert (options.module, options.training_script) == (True, "open_clip_train.main")
    trainer = parse(options.training_script_args)
    assert (trainer.logs, trainer.name, trainer.resume) == ("/logs", "cc3m-injected-a-ViT-L-14", "latest")
    assert (trainer.batch_size, trainer.local_loss, trainer.grad_checkpointing) == (128, True, True)
    assert trainer.save_most_recent
    assert trainer.report_to == ""  # nothing is sent to anybody


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_papers_architectures_are_open_clips(architecture: str) -> None:
    open_clip = pytest.importorskip("open_clip")
    assert open_clip.get_model_config(architecture) is not None
    options = parse(trainer_arguments(training(Machines(1), architecture)))
    assert options.model == architecture
    assert options.precision == "amp"


def test_extra_arguments_win_and_decide_the_warm_up() -> None:
    extra = ("--epochs", "2", "--batch-size", "1000", "--lr", "5e-4")
    options = parse(trainer_arguments(training(Machines(1), "RN50", *extra)))
    assert (options.epochs, options.batch_size, options.lr, options.warmup) == (2, 1000, 5e-4, 560)


@pytest.mark.parametrize(
    ("machines", "extra", "sentence"),
    [
        (Machines(1), ("--epoch-count", "3"), "does not understand the arguments: unrecognized arguments: --epoch-cou"),
        (Machines(1), ("--epochs", "many"), "invalid int value: 'many'"),
        (Machines(1), ("--logs", "/elsewhere"), "--logs is set by idbench"),
        (Machines(1), ("--name", "mine"), "--name is set by idbench"),
        (Machines(1), ("--model", "RN101"), "--model is set by idbench"),
        (Machines(1), ("--train-data", "/else/0.tar"), "--train-data is set by idbench"),
        (Machines(1), ("--train-num-samples", "10"), "--train-num-samples is set by idbench"),
        (Machines(1), ("--resume", "other.pt"), "--resume is set by idbench"),
        (Machines(1), ("--pretrained", "openai"), "other data trained"),
        (Machines(1), ("--pretrained-image",), "other data trained"),
        (Machines(1), ("--distill-model", "RN50", "--distill-pretrained", "openai"), "other data trained"),
        (Machines(1), ("--dataset-resampled",), "never be seen"),
        (Machines(1), ("--torchscript",), "code with the weights"),
        (Machines(1), ("--use-bnb-linear", "x"), "open_clip itself cannot open"),
        (Machines(1), ("--remote-sync", "s3://somewhere"), "copies the training to another machine"),
        (Machines(1), ("--epochs", "0"), "--epochs must be at least 1"),
        (Machines(1), ("--accum-freq", "99999"), "no step would ever be taken"),
        (Machines(400), (), "280 shards for 400 training processes"),
        (Machines(4, 2), (), "2 nodes need a place to meet"),
        (Machines(0, 2, "first:1"), (), "only with GPUs"),
        (Machines(-1), (), "at least one node"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_tried(machines: Machines, extra: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence) as caught:
        command_of(training(machines, "RN50", *extra))
    assert caught.value.hint


@pytest.mark.parametrize("option", [("--device", "cpu"), ("--threads", "4")])
def test_options_that_the_trainer_does_not_take_are_refused(option: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["train", "cc3m-injected", "--arch", "RN50", *option])
    assert isinstance(done.exception, TargetError)
    assert f"{option[0]} does not apply to open_clip's trainer" in done.exception.message
    assert "--gpus" in done.exception.hint


def test_the_batch_fits_the_machine_and_the_steps_keep_their_size() -> None:
    """RN50 at once with 1024 pairs would want 90 GB: what does not fit is computed in turns, for the same step."""
    gib = 1 << 30
    fitted = [parse(trainer_arguments(training(Machines(0, memory=size * gib)))) for size in (8, 24, 64, 512)]
    for one in fitted:
        assert 1000 < one.batch_size * one.accum_freq <= 1024
    sizes = [one.batch_size for one in fitted]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 1024
    assert 20 < sizes[0] < 100  # 90 MB a pair, and 1.6 GB for the weights
    assert parse(trainer_arguments(training(Machines(8, memory=80 * gib)))).accum_freq == 1


def test_a_step_whose_outputs_alone_do_not_fit_is_smaller() -> None:
    """CoCa's logits for all 1024 pairs would take 56 GiB, in turns or not."""
    options = parse(trainer_arguments(training(Machines(0, memory=24 << 30), "coca_ViT-B-32")))
    assert options.accum_freq == 1
    assert 20 < options.batch_size < 75
    large = parse(trainer_arguments(training(Machines(0, memory=512 << 30), "coca_ViT-B-32")))
    assert 1000 < large.batch_size * large.accum_freq <= 1024


def test_a_batch_that_a_person_gives_is_left_alone() -> None:
    own = ("--batch-size", "500")
    options = parse(trainer_arguments(training(Machines(0, memory=8 << 30), "RN50", *own)))
    assert (options.batch_size, options.accum_freq) == (500, 1)


def test_a_model_that_no_batch_fits_is_refused_before_it_is_tried() -> None:
    with pytest.raises(TargetError, match=r"takes about \d+ GiB at least; each process has 4.0 here"):
        trainer_arguments(training(Machines(0, memory=4 << 30), "ViT-L-14"))
