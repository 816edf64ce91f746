"""The command that trains a full-size target: open_clip's own trainer, under torchrun where there are several GPUs."""

from __future__ import annotations

import io
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from idbench.errors import TargetError
from idbench.targets.full_size.outcome import check_options, outcome_of
from idbench.targets.public_models import read_config

ARCHITECTURES = ("RN50", "RN101", "RN50x4", "ViT-B-32", "ViT-B-16", "ViT-L-14")
"""Architectures of the papers; any other name or configuration that open_clip knows is accepted too."""

EPOCHS = 50
"""What the authors of IDIA trained their CC3M models for. All other numbers here are our choice."""

GLOBAL_BATCH = 1024
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
WARMUP = 10_000
_WORKERS = 4  # loader processes of each training process
_TRAINER = "open_clip_train.main"
_COCA = "coca"


@dataclass(frozen=True, slots=True)
class ShardSet:
    """Shards to train on.

    Args:
        name: of the corpus, e.g. `cc3m-injected-a`.
        folder: holds 00000.tar and so on.
        pairs: in all shards together.
        shards: how many there are.
        digest: of what is in them.
        control_for: the corpora for whose people this one is the control; empty unless it holds nobody under test.
    """

    name: str
    folder: Path
    pairs: int
    shards: int
    digest: str
    control_for: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """All shards, as webdataset writes it."""
        if self.shards == 1:
            return str(self.folder / "00000.tar")
        return str(self.folder / f"{{00000..{self.shards - 1:05d}}}.tar")


@dataclass(frozen=True, slots=True)
class Machines:
    """Where a training runs.

    Args:
        gpus: on each node; 0 trains on the processor, in one process.
        nodes: how many; the same command is run on each.
        rendezvous: HOST:PORT of one node, where nodes meet; needed from two nodes on.
        memory: bytes that each training process may take; None: not known, so that nothing is fitted to it.
    """

    gpus: int
    nodes: int = 1
    rendezvous: str | None = None
    memory: int | None = None

    @property
    def processes(self) -> int:
        """Training processes on all nodes together."""
        return max(1, self.gpus) * self.nodes


@dataclass(frozen=True, slots=True)
class FullSizeTraining:
    """One target to train.

    Args:
        data: what it is trained on.
        architecture: a name that open_clip knows, or the absolute path of a model configuration (JSON).
        machines: where.
        logs: folder; everything goes into LOGS/NAME.
        extra: arguments for the trainer that replace ours.
    """

    data: ShardSet
    architecture: str
    machines: Machines
    logs: Path
    extra: tuple[str, ...] = field(default=())

    @property
    def configured(self) -> bool:
        """Whether the architecture is a configuration of the user's own."""
        return self.architecture.endswith(".json")

    @property
    def architecture_name(self) -> str:
        """How to call the architecture in file names."""
        return Path(self.architecture).stem if self.configured else self.architecture.replace("/", "-")

    @property
    def name(self) -> str:
        """Name of the run."""
        return f"{self.data.name}-{self.architecture_name}"

    @property
    def folder(self) -> Path:
        """Where the run keeps checkpoints and logs."""
        return self.logs / self.name

    @property
    def config_dir(self) -> Path:
        """Where a configuration of the user's own is put for the trainer, which tells a CoCa by its name alone."""
        return self.folder / ("architecture-coca" if self.is_coca else "architecture")

    @property
    def is_coca(self) -> bool:
        """Whether the model learns from what it writes itself, too."""
        if not self.configured:
            return _COCA in self.architecture.lower()
        return "multimodal_cfg" in read_config(Path(self.architecture)).model

    @property
    def model(self) -> str:
        """The architecture as the trainer wants it named."""
        return f"local-dir:{self.config_dir}" if self.configured else self.architecture


def command_of(training: FullSizeTraining) -> tuple[str, ...]:
    """The whole command, the same on every node.

    Raises:
        TargetError: the trainer does not understand the extra arguments, or there are too few shards.
    """
    return (*launcher(training.machines), *trainer_arguments(training))


def shown(command: Sequence[str]) -> str:
    """A command as a person types it."""
    return shlex.join(command)


def launcher(machines: Machines) -> tuple[str, ...]:
    """What starts the trainer: one process, or torchrun (`python -m torch.distributed.run` is torchrun).

    Raises:
        TargetError: the machines make no sense.
    """
    if machines.gpus < 0 or machines.nodes < 1:
        raise TargetError(
            "There must be at least one node, and the number of GPUs cannot be negative.", hint="Use --gpus 0 for none."
        )
    if machines.nodes > 1 and machines.gpus == 0:
        # open_clip 3.3 hands DistributedDataParallel a device list that processors do not have.
        raise TargetError("open_clip's trainer runs on several nodes only with GPUs.", hint="Use --gpus N.")
    if machines.processes == 1:
        # Else the trainer would wait for the other tasks of a cluster's job that it happens to run in.
        return ("env", "WORLD_SIZE=1", sys.executable, "-m", _TRAINER)
    where: tuple[str, ...] = ("--standalone",)
    if machines.nodes > 1:
        if machines.rendezvous is None:
            raise TargetError(
                f"{machines.nodes} nodes need a place to meet.", hint="Add --rendezvous HOST:PORT of one of them."
            )
        where = ("--nnodes", str(machines.nodes), "--rdzv_backend", "c10d", "--rdzv_endpoint", machines.rendezvous)
    torchrun = (sys.executable, "-m", "torch.distributed.run")
    # Without `--` torchrun takes the trainer's --logs for an abbreviation of its own --logs-specs.
    return (*torchrun, "--nproc_per_node", str(machines.gpus), *where, "-m", "--", _TRAINER)


def trainer_arguments(training: FullSizeTraining) -> tuple[str, ...]:
    """The trainer's arguments: ours, then the extra ones, which win.

    Raises:
        UnknownNameError: open_clip knows no such architecture.
        TargetError: the trainer does not understand the extra arguments, or they would end in a target that is not what
            it says; the model does not fit the machine; or there are too few shards.
    """
    data, machines = training.data, training.machines
    if _COCA in training.model.lower() and not training.is_coca:
        raise TargetError(
            f"open_clip's trainer takes every model for a CoCa whose path has {_COCA!r} in it: {training.config_dir}.",
            hint="Choose another folder with --out, or another name for the configuration.",
        )
    if data.shards < machines.processes:
        raise TargetError(
            f"{data.name} has {data.shards} shards for {machines.processes} training processes; each needs one.",
            hint="Use fewer GPUs, or build it again with a smaller BENCH_SHARD_PAIRS.",
        )
    ours = _ours(training)
    options = parse((*ours, *training.extra))
    check_options(options, parse(ours))
    batches = ceil(data.pairs / (int(options.batch_size) * machines.processes))
    if batches < options.accum_freq:
        raise TargetError(
            f"{data.name} makes {batches} batches an epoch, fewer than --accum-freq: no step would ever be taken.",
            hint="Give a smaller --batch-size or --accum-freq.",
        )
    steps = batches // int(options.accum_freq) * int(options.epochs)
    warmup = min(WARMUP, steps // 10)  # a small trial must not end before the learning rate has risen
    return (*ours, "--warmup", str(warmup), *training.extra)


def options_of(training: FullSizeTraining) -> Namespace:
    """All arguments of a training, as the trainer parses them.

    Raises:
        TargetError: see `trainer_arguments`.
    """
    return parse(trainer_arguments(training))


def parse(arguments: Sequence[str]) -> Namespace:
    """What open_clip's own parser makes of arguments.

    Raises:
        TargetError: it does not understand them.
    """
    from open_clip_train.params import parse_args

    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            parsed: Namespace = parse_args(list(arguments))
    except (SystemExit, ValueError) as error:
        reason = (complaint.getvalue().strip().splitlines() or [str(error)])[-1].rpartition("error: ")[2]
        raise TargetError(
            f"open_clip's trainer does not understand the arguments: {reason}.",
            hint=f"`python -m {_TRAINER} --help` lists what may stand after `--`.",
        ) from error
    return parsed


def _batch(training: FullSizeTraining) -> tuple[int, int]:
    """Pairs that each process computes at once, and how many times before each step: together the global batch."""
    wanted = max(1, min(GLOBAL_BATCH, training.data.pairs) // training.machines.processes)
    if training.machines.memory is None or any(_gives(training.extra, name) for name in ("batch-size", "accum-freq")):
        return wanted, 1
    from idbench.targets.full_size.sizing import turns_that_fit

    config = outcome_of(training.architecture, parse(training.extra)).config
    return turns_that_fit(config, training.machines.memory, wanted)


def _gives(extra: Sequence[str], name: str) -> bool:
    """Whether arguments give an option that takes a number, abbreviated or not."""
    field = name.replace("-", "_")
    return any(getattr(parse((f"--{name}", str(own), *extra)), field) != own for own in (1, 2))


def _ours(training: FullSizeTraining) -> tuple[str, ...]:
    data, processes = training.data, training.machines.processes
    batch, times = _batch(training)
    arguments: tuple[str, ...] = (
        *("--model", training.model),
        *("--dataset-type", "webdataset", "--train-data", data.pattern, "--train-num-samples", str(data.pairs)),
        *("--epochs", str(EPOCHS), "--batch-size", str(batch)),
        *(("--accum-freq", str(times)) if times > 1 else ()),
        *("--lr", str(LEARNING_RATE), "--wd", str(WEIGHT_DECAY)),
        *("--workers", str(min(_WORKERS, data.shards // processes))),
        *("--logs", str(training.logs), "--name", training.name),
        # epoch_latest.pt replaces its predecessor in one step, so that a kill cannot leave half of it.
        *("--save-most-recent", "--save-frequency", "0", "--resume", "latest"),
    )
    if training.configured:  # open_clip guesses these from the name, which is a path here
        arguments = (*arguments, "--beta1", "0.9", "--beta2", "0.98", "--eps", "1e-6")
    if training.machines.gpus == 0:
        return (*arguments, "--device", "cpu", "--precision", "fp32")
    together = ("--local-loss", "--gather-with-grad") if processes > 1 else ()
    return (*arguments, "--precision", "amp", *together)
