"""Runs the trainer: one training at a time in a folder, resumed after whatever ended it, its checkpoint a target."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote, urlencode

from idbench.errors import IdbenchError, TargetError
from idbench.programs import disk_full, failure, log_size, run_program
from idbench.progress import Progress
from idbench.storage import explain, make_dir, storage_errors, write_text
from idbench.targets.full_size.command import FullSizeTraining, command_of, options_of
from idbench.targets.full_size.outcome import DECIDES, ResultingTarget, outcome_of
from idbench.targets.public_models import read_config
from idbench.targets.spec import Preprocessing

_STEP = re.compile(rb"Train Epoch: (\d+) \[\s*\d+/\d+ \((\d+)%\)\]")
_RATE = re.compile(rb"Batch \(t\): [\d.]+, ([\d.]+)/s,")
_RESUMED = re.compile(rb"resuming checkpoint .*\(epoch (\d+)\)")
_LOOK_BACK = 64 << 10
_DISK_FULL = (b"No space left", b"PytorchStreamWriter failed", b"file write failed", b". unexpected pos ")
"""What torch reports when it can write no further; the last is all that is left of the reason in its newer versions."""
_WRAPPED = "module."
"""What names of tensors begin with in checkpoints of several processes."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A training that has come to its end.

    Args:
        checkpoint: open_clip's `epoch_N.pt`: weights and optimizer.
        reference: what to give to `bench run --target`.
        epochs: trained in all.
        resumed: epochs that an earlier call had finished.
        seconds: wall time of this call.
        pairs_per_second: median of what the trainer logged in this call, all GPUs together; 0: it logged nothing.
    """

    checkpoint: Path
    reference: str
    epochs: int
    resumed: int
    seconds: float
    pairs_per_second: float


def checkpoint_of(training: FullSizeTraining) -> Path:
    """Where the last checkpoint of a complete training lies."""
    return training.folder / "checkpoints" / f"epoch_{options_of(training).epochs}.pt"


def reference_of(training: FullSizeTraining) -> str:
    """The finished training as a target: `file:PATH?arch=...&corpus=...`, for `resolve_target`.

    It says everything that the checkpoint does not: activation and preprocessing, and the configuration where options
    of the trainer have changed the one that the architecture's name stands for.
    """
    outcome = outcome_of(training.architecture, options_of(training))
    configured = training.configured or outcome.renamed
    options = {"arch": str(_target_config(training)) if configured else training.architecture}
    if not configured:
        options |= _said_of_weights(outcome)
    options |= {"name": training.name, "corpus": training.data.name, "digest": training.data.digest}
    if training.data.control_for:
        options["control_for"] = ",".join(training.data.control_for)
    return f"file:{quote(str(checkpoint_of(training)), safe='/ +')}?{urlencode(options, safe='/', quote_via=quote)}"


def _said_of_weights(outcome: ResultingTarget) -> dict[str, str]:
    """What a reference must state about weights whose architecture has a name."""
    preprocessing = outcome.preprocessing
    return {
        "quick_gelu": str(outcome.quick_gelu).lower(),
        "mean": ",".join(map(repr, preprocessing.mean)),
        "std": ",".join(map(repr, preprocessing.std)),
        "interpolation": preprocessing.interpolation,
        "resize_mode": preprocessing.resize_mode,
    }


def _target_config(training: FullSizeTraining) -> Path:
    """Where the configuration of the finished target is written."""
    return training.folder / "target" / "open_clip_config.json"


def run_training(training: FullSizeTraining, progress: Progress) -> Finished:
    """Train to the end; a repeated call continues after the last complete epoch.

    Raises:
        UnknownNameError: open_clip knows no such architecture.
        TargetError: the arguments are wrong, the folder holds another training, or there are fewer GPUs than asked for.
        IdbenchError: the trainer failed, or is still at work there.
        StorageError: the disk is full; what was finished is kept.
    """
    start = time.perf_counter()
    _check_machines(training)
    _check_webdataset()
    command, epochs = command_of(training), int(options_of(training).epochs)
    _prepare(training)
    if _is_complete(training):
        return Finished(checkpoint_of(training), reference_of(training), epochs, epochs, 0.0, 0.0)
    share_checkpoint(training)
    # Nodes share the folder: each has a log and a lock of its own.
    node = f"-{platform.node()}" if training.machines.nodes > 1 else ""
    log, lock = training.folder / f"trainer{node}.log", training.folder / f".lock{node}"
    before = log_size(log)
    status = run_program(command, log, lock, _watcher(training, log, before, epochs, progress))
    checkpoint = checkpoint_of(training)
    if status != 0 or not checkpoint.is_file():
        raise _reason(training, status, log, before)
    write_text(_complete_file(training), f"{checkpoint.stat().st_size}\n")
    resumed, rate = _logged(log, before)
    return Finished(checkpoint, reference_of(training), epochs, resumed, time.perf_counter() - start, rate)


def _complete_file(training: FullSizeTraining) -> Path:
    return training.folder / "complete"


def _is_complete(training: FullSizeTraining) -> bool:
    """Whether the last checkpoint is whole: the trainer writes it in place, so its presence proves nothing."""
    try:
        complete = int(_complete_file(training).read_text(encoding="utf-8"))
        return checkpoint_of(training).stat().st_size == complete
    except (OSError, ValueError):
        return False


def _logged(log: Path, before: int) -> tuple[int, float]:
    """What the trainer wrote since byte `before`: the epochs that were done already, and its median speed."""
    with storage_errors(log), log.open("rb") as file:
        file.seek(before)
        output = file.read()
    resumed, rates = _RESUMED.findall(output), [float(rate) for rate in _RATE.findall(output)]
    return int(resumed[-1]) if resumed else 0, median(rates) if rates else 0.0


def _check_machines(training: FullSizeTraining) -> None:
    import torch

    there = torch.cuda.device_count()
    if training.machines.gpus > there:
        raise TargetError(
            f"{training.machines.gpus} GPUs are wanted, {there} are here.",
            hint="Use --dry-run to see the command for another machine, or --gpus for what is here.",
        )


def _check_webdataset() -> None:
    from importlib.metadata import PackageNotFoundError, version

    hint = "Run: pip install 'idbench[full-size]'"
    try:
        found = version("webdataset")
    except PackageNotFoundError as error:
        raise IdbenchError("Training on shards needs webdataset, which is not installed.", hint=hint) from error
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:3])
    if numbers > (0, 2, 86):
        raise IdbenchError(f"open_clip's trainer does not work with webdataset {found}.", hint=hint)


def _prepare(training: FullSizeTraining) -> None:
    """Put the configuration where the trainer looks for it, and reject a folder that holds something else."""
    options = options_of(training)
    outcome = outcome_of(training.architecture, options)
    config = read_config(Path(training.architecture)) if training.configured else None
    make_dir(training.folder)
    _check_same(training, None if config is None else config.model)
    if config is not None:
        preprocessing = config.preprocessing or Preprocessing()
        _write_config(training.config_dir / "open_clip_config.json", config.model, preprocessing)
    _write_config(_target_config(training), outcome.config, outcome.preprocessing)


def _write_config(path: Path, model: dict[str, Any], preprocessing: Preprocessing) -> None:
    make_dir(path.parent)
    content = {"model_cfg": model, "preprocess_cfg": preprocessing.model_dump(mode="json")}
    write_text(path, json.dumps(content, indent=2) + "\n")


def _check_same(training: FullSizeTraining, config: dict[str, Any] | None) -> None:
    """Record what is trained here, and reject a continuation with anything else."""
    options = vars(options_of(training))
    mine = {
        "corpus": training.data.name,
        "digest": training.data.digest,
        "architecture": config or training.architecture,
        **{name: options[name] for name in DECIDES},
    }
    note = training.folder / "training.json"
    try:
        other = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        other = None  # nothing was trained here yet
    mine = json.loads(json.dumps(mine))
    known = other if isinstance(other, dict) else {}  # an older idbench wrote down less
    what = next((name for name in mine if name in known and known[name] != mine[name]), None)
    if what is not None:
        raise TargetError(
            f"{training.folder} holds a training that differs in its {what}.",
            hint="Choose another folder with --out, or remove that one.",
        )
    write_text(note, json.dumps(mine, indent=2) + "\n")


def share_checkpoint(training: FullSizeTraining) -> None:
    """Let several processes continue what one began: the trainer removes the wrapper's prefix, but adds none."""
    latest = training.folder / "checkpoints" / "epoch_latest.pt"
    if training.machines.processes == 1 or not latest.is_file():
        return
    import torch

    from idbench.targets.checkpoints import UNREADABLE, write_checkpoint

    try:
        saved = torch.load(str(latest), map_location="cpu", weights_only=True, mmap=True)
        state = saved["state_dict"]
        bare = not any(name.startswith(_WRAPPED) for name in state)
    except UNREADABLE:
        return  # the trainer says what is wrong with it
    if bare:
        write_checkpoint(latest, saved | {"state_dict": {_WRAPPED + name: tensor for name, tensor in state.items()}})


def _watcher(training: FullSizeTraining, log: Path, before: int, epochs: int, progress: Progress) -> Callable[[], None]:
    def watch() -> None:
        steps = _STEP.findall(_tail(log, before, log_size(log)))
        if steps:
            epoch, percent = int(steps[-1][0]), int(steps[-1][1])
            progress.update(epoch + percent / 100, epochs, f"training {training.name}")

    return watch


def _tail(log: Path, before: int, size: int) -> bytes:
    with log.open("rb") as file:
        file.seek(max(before, size - _LOOK_BACK))
        return file.read()


def _reason(training: FullSizeTraining, status: int, log: Path, before: int) -> IdbenchError:
    output = _tail(log, before, log_size(log))
    if any(sign in output for sign in _DISK_FULL):
        return explain(OSError(28, "No space left on device"), training.folder)
    if b"out of memory" in output:
        return TargetError(
            f"There is not enough memory for the training of {training.name}.",
            hint="Add `-- --batch-size N` with a smaller N, or `-- --grad-checkpointing`, and repeat the command.",
        )
    hint = "Repeat the command: it continues after the last complete epoch."
    return disk_full(log, before) or failure(f"The training of {training.name}", status, log, before, hint)
