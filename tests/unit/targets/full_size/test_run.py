"""Before and after the trainer: what is refused at once, and what its failures are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny_coca import COCA

from idbench.api import Silent
from idbench.errors import IdbenchError, StorageError, TargetError, UnknownNameError
from idbench.targets.full_size import run, sizing
from idbench.targets.full_size.command import FullSizeTraining, Machines, ShardSet, parse, trainer_arguments
from idbench.targets.full_size.run import Finished, checkpoint_of, run_training
from idbench.targets.full_size.sizing import check_first_step

CONFIG = {"embed_dim": 8, "vision_cfg": {"image_size": 32, "layers": 1, "width": 8}, "text_cfg": {"width": 8}}


def training(
    folder: Path, architecture: str = "RN50", *extra: str, gpus: int = 0, digest: str = "0" * 64
) -> FullSizeTraining:
    data = ShardSet("c-a", folder / "shards", 100, 2, digest)
    return FullSizeTraining(data, architecture, Machines(gpus), folder / "logs", ("--epochs", "3", *extra))


def trainer(monkeypatch: pytest.MonkeyPatch, status: int, output: bytes, checkpoint: Path | None = None) -> None:
    """Stand in for the trainer's process: what it wrote and how it ended; the real one runs in the integration test."""

    def started(command: object, log: Path, *rest: object) -> int:
        with log.open("ab") as file:
            file.write(output)
        if checkpoint is not None:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.write_bytes(b"weights")
        return status

    monkeypatch.setattr(run, "run_program", started)


def test_an_unknown_architecture_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="ViT-B-33") as caught:
        run_training(training(tmp_path, "ViT-B-33"), Silent())
    assert "ViT-B-32" in caught.value.hint


def test_a_configuration_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text("{")
    with pytest.raises(TargetError, match="not valid JSON"):
        run_training(training(tmp_path, str(tmp_path / "tiny.json")), Silent())


def test_a_coca_by_any_name_is_one_for_the_trainer(tmp_path: Path) -> None:
    """The trainer chooses the loss by the letters "coca" in the path of the configuration."""
    (tmp_path / "mine.json").write_text(json.dumps(COCA))
    assert "coca" in parse(trainer_arguments(training(tmp_path, str(tmp_path / "mine.json")))).model


def test_no_other_model_is_taken_for_a_coca(tmp_path: Path) -> None:
    for place in (tmp_path / "Coca" / "tiny.json", tmp_path / "cocatoo.json"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(CONFIG))
        with pytest.raises(TargetError, match=r"takes every model for a CoCa whose path has 'coca' in it") as caught:
            run_training(training(place.parent, str(place)), Silent())
        assert "--out" in caught.value.hint


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("vision_cfg", {"output_tokens": False}),
        ("text_cfg", {"output_tokens": False}),
        ("multimodal_cfg", {"width": 32}),
        ("multimodal_cfg", {"context_length": 6}),
    ],
)
def test_a_model_that_could_not_take_its_first_step_is_refused_before(part: str, change: dict[str, object]) -> None:
    options = parse(("--batch-size", "8"))
    check_first_step(COCA, options)
    with pytest.raises(TargetError, match=r"cannot take a step with this model: .*[a-z]") as caught:
        check_first_step({**COCA, part: {**COCA[part], **change}}, options)
    assert "output_tokens" in caught.value.hint


class Deciding(torch.nn.Module):
    """A tower that looks at numbers, in one of the ways that torch cannot do without them, or one that is not made."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.how == "unfinished":
            raise NotImplementedError("this pooling is not made yet")
        value = {"item": lambda: images.sum().item(), "where": images.nonzero, "copy": images.cpu}[self.how]()
        return {"image_features": images, "text_features": texts, "logit_scale": torch.as_tensor(value)}


def test_a_model_that_cannot_be_tried_without_numbers_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for how in ("item", "where", "copy"):
        monkeypatch.setattr(sizing, "model_without_numbers", lambda _, how=how: Deciding(how))
        check_first_step(CONFIG, parse(()))
    monkeypatch.setattr(sizing, "model_without_numbers", lambda _: Deciding("unfinished"))
    with pytest.raises(TargetError, match="cannot take a step with this model: this pooling is not made yet"):
        check_first_step(CONFIG, parse(()))


def test_a_coca_has_no_loss_of_siglip() -> None:
    with pytest.raises(TargetError, match="--siglip does not apply to a CoCa model"):
        check_first_step(COCA, parse(("--siglip",)))
    check_first_step(
        {**CONFIG, "text_cfg": {"width": 8, "heads": 2}, "vision_cfg": {"width": 64}}, parse(("--siglip",))
    )


def test_more_gpus_than_there_are_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="4096 GPUs are wanted") as caught:
        run_training(training(tmp_path, gpus=4096), Silent())
    assert "--dry-run" in caught.value.hint


def test_a_folder_with_another_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = training(tmp_path)
    trainer(monkeypatch, 0, b"", checkpoint_of(mine))
    run_training(mine, Silent())
    for other, what in (
        (training(tmp_path, digest="1" * 64), "digest"),
        (training(tmp_path, "RN50", "--lr", "1"), "lr"),
    ):
        with pytest.raises(TargetError, match=f"differs in its {what}"):
            run_training(other, Silent())


def test_what_is_complete_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    mine = training(tmp_path, str(tmp_path / "tiny.json"))
    log = (
        b"INFO | => resuming checkpoint '/x/epoch_latest.pt' (epoch 1)\n"
        b"INFO | Train Epoch: 1 [ 32/128 (25%)] Data (t): 0.3 Batch (t): 1.1, 28.5/s, 28.5/s/gpu LR: 0.1\n"
        b"INFO | Train Epoch: 2 [128/128 (100%)] Data (t): 0.3 Batch (t): 0.2, 150.0/s, 150.0/s/gpu LR: 0.1\n"
        b"INFO | Train Epoch: 2 [128/128 (100%)] Data (t): 0.3 Batch (t): 0.2, 160.5/s, 160.5/s/gpu LR: 0.1\n"
    )
    trainer(monkeypatch, 0, log, checkpoint_of(mine))
    done = run_training(mine, Silent())
    assert (done.epochs, done.resumed, done.pairs_per_second) == (3, 1, 150.0)
    assert (mine.config_dir / "open_clip_config.json").is_file()

    def started(*rest: object) -> int:
        raise InterruptedError

    monkeypatch.setattr(run, "run_program", started)
    again: Finished = run_training(mine, Silent())
    assert (again.checkpoint, again.resumed) == (done.checkpoint, 3)
    done.checkpoint.write_bytes(b"half")  # as a kill would leave it
    with pytest.raises(InterruptedError):
        run_training(mine, Silent())


@pytest.mark.parametrize(
    ("status", "output", "kind", "sentence", "hint"),
    [
        (1, b"RuntimeError: PytorchStreamWriter failed writing file data/1: file write failed\n", StorageError,
         "No space left", "finished work is kept"),
        (1, b"OSError: [Errno 28] No space left on device\n", StorageError, "No space left", "finished work is kept"),
        (1, b"torch.OutOfMemoryError: CUDA out of memory. Tried\n", TargetError, "not enough memory", "--batch-size"),
        (-9, b"Train Epoch: 1\n", IdbenchError, "was ended by signal 9", "continues after the last complete epoch"),
        (1, b"ValueError: odd\nnoise\n", IdbenchError, "failed with status 1: ValueError: odd", "All output is in"),
        (0, b"Error. Experiment already exists.\n", IdbenchError, "failed with status 0", "All output is in"),
    ],
)  # fmt: skip
def test_failures_have_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    output: bytes,
    kind: type[IdbenchError],
    sentence: str,
    hint: str,
) -> None:
    trainer(monkeypatch, status, output)
    with pytest.raises(kind, match=sentence) as caught:
        run_training(training(tmp_path), Silent())
    assert hint in caught.value.hint


@pytest.mark.parametrize(("found", "works"), [("0.2.86", True), ("0.1.103", True), ("0.2.87", False), ("1.0.2", False)])
def test_a_webdataset_that_the_trainer_fails_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str, works: bool
) -> None:
    mine = training(tmp_path)
    trainer(monkeypatch, 0, b"", checkpoint_of(mine))
    monkeypatch.setattr("importlib.metadata.version", lambda name: found)
    if works:
        run_training(mine, Silent())
    else:
        with pytest.raises(IdbenchError, match=f"does not work with webdataset {found}") as caught:
            run_training(mine, Silent())
        assert "idbench[full-size]" in caught.value.hint


def test_a_smaller_batch_goes_on_with_the_same_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hint about memory advises must not be refused: the warm-up that follows from the batch may change."""
    trainer(monkeypatch, 1, b"torch.OutOfMemoryError: CUDA out of memory. Tried\n")
    with pytest.raises(TargetError, match="not enough memory"):
        run_training(training(tmp_path), Silent())
    smaller = training(tmp_path, "RN50", "--batch-size", "5")
    assert parse(trainer_arguments(smaller)).warmup != parse(trainer_arguments(training(tmp_path))).warmup
    trainer(monkeypatch, 0, b"", checkpoint_of(smaller))
    assert run_training(smaller, Silent()).epochs == 3


def test_a_note_of_an_older_idbench_that_says_more_is_no_other_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = training(tmp_path)
    trainer(monkeypatch, 0, b"", checkpoint_of(mine))
    run_training(mine, Silent())
    note = mine.folder / "training.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"warmup": 7}))
    assert run_training(mine, Silent()).resumed == 3


def test_several_processes_go_on_with_what_one_began(tmp_path: Path) -> None:
    """open_clip's trainer loads a checkpoint of one process into a wrapped model as it is, and fails."""
    alone = training(tmp_path)
    several = FullSizeTraining(alone.data, alone.architecture, Machines(2), alone.logs, alone.extra)
    latest = alone.folder / "checkpoints" / "epoch_latest.pt"
    latest.parent.mkdir(parents=True)
    state = {"logit_scale": torch.ones(()), "visual.conv1.weight": torch.arange(4.0)}
    torch.save({"epoch": 1, "name": "n", "state_dict": state, "optimizer": {"state": {0: {"step": 3}}}}, latest)
    before = latest.read_bytes()
    run.share_checkpoint(alone)
    assert latest.read_bytes() == before
    run.share_checkpoint(several)
    saved = torch.load(latest, weights_only=True)
    assert saved["state_dict"].keys() == {f"module.{name}" for name in state}
    assert torch.equal(saved["state_dict"]["module.visual.conv1.weight"], state["visual.conv1.weight"])
    assert (saved["epoch"], saved["optimizer"]) == (1, {"state": {0: {"step": 3}}})
    after = latest.read_bytes()
    run.share_checkpoint(several)
    assert latest.read_bytes() == after
    latest.write_bytes(b"half")
    run.share_checkpoint(several)  # the trainer says what is wrong with it
