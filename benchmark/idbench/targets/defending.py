"""Applies a `TargetDefense`: loads the target, lets the defense change its weights, and keeps what can be used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from idbench.api import Case, Context, Guarantee, Photo, TargetDefense, TargetInfo
from idbench.errors import MethodError, TargetError
from idbench.locking import locked
from idbench.storage import make_dir, sha256_file, storage_errors
from idbench.targets.checkpoints import write_weights
from idbench.targets.defended import DefenseNote, defended_place, read_defense_note, write_defense_note
from idbench.targets.images import Preprocessor
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.spec import Defended, TargetSpec
from idbench.targets.tokenizing import Tokenizer
from idbench.wording import counted


@dataclass(frozen=True, slots=True)
class Editable:
    """A loaded target as `idbench.api.EditableTarget` describes it."""

    info: TargetInfo
    model: torch.nn.Module
    tokenize: Tokenizer
    _preprocessor: Preprocessor

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Photos as the model takes them: float32 (n, 3, height, width) in the normalized space."""
        return self._preprocessor(photos)


def defend_target(
    spec: TargetSpec, defense: TargetDefense[Any], protected: Sequence[Case], context: Context
) -> TargetSpec:
    """Apply a defense, unless its outcome lies in the cache already. The defense's code runs in this process.

    Two processes that want the same target wait for each other; the second finds the weights.

    Args:
        spec: from `defended_target`.
        defense: the one that the spec names, with the same parameters.
        protected: whom it protects.
        context: its seed is the spec's.

    Returns:
        the target with the SHA-256 of its weights.

    Raises:
        MethodError: the defense is another one than the spec names, or returned weights that cannot be used.
        TargetError: the target is not defended, or its base cannot be loaded.
        StorageError: no space or no permission.
    """
    weights = spec.weights
    if not isinstance(weights, Defended):
        raise TargetError(f"{spec.name} is not a defended target.", hint="Make one with `defended_target`.")
    _check_same(weights, defense, context)
    path = defended_place(weights)
    make_dir(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    with storage_errors(path), locked(lock, context.progress, spec.name):
        note = read_defense_note(weights)
        if note is None or note.sha256 != sha256_file(path):
            note = _apply(weights, defense, protected, context)
        return spec.model_copy(update={"sha256": note.sha256})


def _apply(weights: Defended, defense: TargetDefense[Any], protected: Sequence[Case], context: Context) -> DefenseNote:
    path = defended_place(weights)
    base = load_target(weights.base, context.device)
    done = write_defended(path, base, weights.defense.name, lambda own: defense.defend(own, protected, context))
    note = DefenseNote(
        lineage=weights.lineage, sha256=sha256_file(path), seconds=done.seconds, steps=done.steps, device=done.device
    )
    write_defense_note(weights, note)
    return note


@dataclass(frozen=True, slots=True)
class Cost:
    """What a defense cost: wall time in seconds, optimizer steps, where it was computed; and what it promises."""

    seconds: float
    steps: int
    device: str
    guarantees: tuple[Guarantee, ...] = ()


def write_defended(path: Path, loaded: LoadedTarget, name: str, change: Callable[[Editable], object]) -> Cost:
    """Let a defense or an adaptation change a loaded target, and write what can be used.

    Args:
        path: file for the weights, safetensors.
        loaded: a copy of the target that is nobody else's; changed in place.
        name: of the method, for messages.
        change: its code, which runs in this process; returns a state dict.

    Raises:
        MethodError: it returned weights that cannot be used; nothing is written.
        StorageError: no space or no permission.
    """
    before = {name: (tensor.shape, tensor.dtype) for name, tensor in loaded.model.state_dict().items()}
    with _counted_steps() as steps:
        begin = time.perf_counter()
        state = change(_editable(loaded))
        seconds = time.perf_counter() - begin
    checked = _checked(state, before, name, loaded.info.name)
    # Cloned, for a file cannot hold tensors that share memory.
    write_weights(path, {name: tensor.clone() for name, tensor in checked.items()})
    return Cost(seconds, steps.value, loaded.device.type)


class _Counter:
    value = 0


@contextmanager
def _counted_steps() -> Iterator[_Counter]:
    """Counts the steps of every optimizer of torch while the block lasts."""
    counter = _Counter()

    def count(*_: object) -> None:
        counter.value += 1

    handle = register_optimizer_step_post_hook(count)
    try:
        yield counter
    finally:
        handle.remove()


def _editable(loaded: LoadedTarget) -> Editable:
    # Nobody else holds this copy of the model, so that it is the defense's own.
    model = loaded.model.requires_grad_(True).eval()
    return Editable(loaded.info, model, loaded.tokenize, Preprocessor(loaded))


def _check_same(weights: Defended, defense: TargetDefense[Any], context: Context) -> None:
    """Refuse to file the work of one defense under the lineage of another."""
    card, named = defense.card, weights.defense
    at_hand = (card.name, card.version, defense.params.model_dump(mode="json"), context.seed)
    if at_hand != (named.name, named.version, named.parameters, named.seed):
        raise MethodError(
            f"The target names {named.name} {named.version} with seed {named.seed}, but the installed defense is "
            f"{card.name} {card.version} with seed {context.seed} or has other parameters.",
            hint="Make the target's specification and the defense from the same parameters.",
        )


def _checked(
    state: object, before: Mapping[str, tuple[torch.Size, torch.dtype]], defense: str, target: str
) -> dict[str, torch.Tensor]:
    """What a defense returned, if it is a state dict that fits the model and can be computed with."""
    problem = _problem(state, before)
    if problem or not isinstance(state, Mapping):
        raise MethodError(
            f"{defense} returned weights for {target} that cannot be used: {problem}.",
            hint="A TargetDefense returns the model's state dict: the same names, shapes and types, all values finite.",
        )
    return dict(state)


def _problem(state: object, before: Mapping[str, tuple[torch.Size, torch.dtype]]) -> str:
    """What is wrong with a state dict, or an empty string."""
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        return f"a {type(state).__name__} is not a mapping of names to tensors"
    if missing := [name for name in before if name not in state]:
        return f"{counted(len(missing), 'tensor is', 'tensors are')} missing (first {missing[0]})"
    if unknown := [name for name in state if name not in before]:
        return f"{len(unknown)} tensors are unknown (first {unknown[0]})"
    for name, (shape, dtype) in before.items():
        tensor = state[name]
        if tensor.shape != shape or tensor.dtype != dtype:
            return f"{name} is {tensor.dtype} {tuple(tensor.shape)} instead of {dtype} {tuple(shape)}"
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return f"{name} holds NaN or infinite values"
    return ""
