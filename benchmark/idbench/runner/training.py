"""Trains targets on this machine: those that a reference stands for, where weights go, and what is finished."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from idbench.api import Progress
from idbench.errors import TargetError
from idbench.locking import locked
from idbench.outputs import check_file
from idbench.splits import load_corpus
from idbench.storage import check_space, recover, sha256_file, storage_errors
from idbench.targets import Defended, TargetSpec, TrainedHere, list_targets, split_words, targets_meant
from idbench.targets.trained import TrainingNote, read_note, spec_sha256, weights_place, write_note


@dataclass(frozen=True, slots=True)
class HowToTrain:
    """Options of a training besides its recipe.

    Args:
        threads: of the processor; more than one is faster, but rounds differently.
        device: where to compute, e.g. `cpu`, `cuda`.
        force: train again what is trained already.
    """

    threads: int = 1
    device: str = "cpu"
    force: bool = False


@dataclass(frozen=True, slots=True)
class TrainedTarget:
    """A target whose weights are complete.

    Args:
        spec: of the target.
        path: of the weights.
        note: hashes, steps, loss and cost.
        resumed: epochs that an earlier call had finished.
        reused: whether nothing was left to do.
    """

    spec: TargetSpec
    path: Path
    note: TrainingNote
    resumed: int
    reused: bool


def targets_to_train(words: str) -> list[TargetSpec]:
    """What words mean here: targets as `idbench.targets.reference` reads them, or the group of a split's targets.

    Raises:
        UnknownNameError: nothing is registered under a name.
        TargetError: what a reference names cannot be trained here.
    """
    trainable = [spec for spec in list_targets() if spec.recipe is not None and spec.corpus is not None]
    chosen: list[TargetSpec] = []
    for word in split_words(words):
        group = [t for t in trainable if isinstance(t.weights, TrainedHere) and t.weights.group == word]
        named = [t for t in trainable if t.name == word]
        chosen += [spec for spec in group or named or targets_meant(word, lambda: trainable) if spec not in chosen]
    for spec in chosen:
        if isinstance(spec.weights, Defended):
            raise TargetError(
                f"{spec.name} is defended, not trained: training would undo {spec.weights.defense.name}.",
                hint=f"Train {spec.undefended.name} and apply the defense again.",
            )
        if spec.recipe is None or spec.corpus is None:
            raise TargetError(
                f"{spec.name} has no recipe: it cannot be trained here.", hint="`bench list targets` shows others."
            )
    # The two targets before their control: the first result is there early.
    return sorted(chosen, key=lambda t: (bool(t.control_for), t.name))


def _bytes_of(spec: TargetSpec) -> int:
    """What a training writes at most: the weights, and its checkpoint with them and AdamW's two moments."""
    import torch

    from idbench.targets.load import build_model
    from idbench.targets.train import trainable

    with torch.device("meta"):  # sizes alone
        model = build_model(trainable(spec)[1], spec.name)
    return 4 * sum(int(tensor.numel() * tensor.element_size()) for tensor in model.state_dict().values())


def checked_place(out: Path, spec: TargetSpec, how: HowToTrain) -> Path:
    """Where weights may be written; the file of the same target may be replaced, anything else only by force.

    Raises:
        TargetError: no file of weights can be called so.
        StorageError: `out` is a file of something else.
    """
    if out.suffix != ".safetensors" or out.is_dir():
        raise TargetError(
            f"{out} cannot hold weights, which are written as safetensors.", hint="Its name must end in .safetensors."
        )
    checkpoint = out.with_name(f"{out.name}.resume")
    check_file(checkpoint, "checkpoint", zipfile.is_zipfile, force=how.force)
    return check_file(out, f"file of {spec.name}", lambda path: sha256_file(path) == spec.sha256, force=how.force)


def train_one(spec: TargetSpec, how: HowToTrain, progress: Progress, out: Path | None = None) -> TrainedTarget:
    """Train a target, or find that it is trained; an interrupted training continues where it stopped.

    Args:
        spec: with recipe and corpus.
        how: threads, device, force.
        progress: receives a report after every step.
        out: file for the weights; None: the cache, where `bench run` finds those of targets that are trained here.

    Raises:
        TargetError: the target cannot be trained, or training diverged.
        DataError: the corpus is not built yet, or does not fit the model.
        StorageError: no space or no permission, or `out` is a file of something else.
    """
    path = weights_place(spec) if out is None else checked_place(out, spec, how)
    check_space(path.parent, _bytes_of(spec), "--out" if out is not None else "BENCH_CACHE")
    lock = path.with_name(f".{path.name}.lock")
    with storage_errors(path), locked(lock, progress, spec.name):
        recover(path)
        assert spec.corpus is not None
        corpus = load_corpus(spec.corpus, progress)
        note = None if out is not None or how.force else read_note(spec)
        if note is not None and note.corpus_digest == corpus.digest and note.sha256 == sha256_file(path):
            return TrainedTarget(spec, path, note, 0, reused=True)
        import torch

        from idbench.runner.opening import choose_device
        from idbench.targets.train import train_target

        device = choose_device(how.device)
        torch.set_num_threads(how.threads)
        done = train_target(spec, corpus, path, progress, device)
        note = TrainingNote(
            spec=spec_sha256(spec),
            sha256=done.sha256,
            corpus_digest=done.corpus_digest,
            steps=done.steps,
            loss=done.loss,
            seconds=done.seconds,
            cpu_seconds=done.cpu_seconds,
            device=device,
        )
        if out is None:
            write_note(spec, note)
        return TrainedTarget(spec, path, note, done.resumed, reused=False)
