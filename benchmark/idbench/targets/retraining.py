"""Trains a target again on what a `CorpusDefense` left of its training set, by the target's own recipe."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.api import Case, Context, CorpusDefense, Training
from idbench.errors import MethodError
from idbench.storage import sha256_bytes
from idbench.targets.defending import Cost
from idbench.targets.spec import TargetSpec
from idbench.targets.train import Manner, TrainingData, train_target


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A training set in memory, as `idbench.targets.train.TrainingData`."""

    images: NDArray[np.uint8]
    caption_ids: NDArray[np.int64]
    captions: list[str]
    digest: str


def training_of(spec: TargetSpec, corpus: TrainingData) -> Training:
    """A target's training as a defense is given it."""
    assert spec.recipe is not None
    captions = tuple(corpus.captions[i] for i in corpus.caption_ids)
    return Training(corpus.images, captions, spec.recipe.epochs, spec.recipe.batch_size)


def retrain(
    path: Path,
    spec: TargetSpec,
    corpus: TrainingData,
    defense: CorpusDefense[Any],
    protected: Sequence[Case],
    context: Context,
) -> Cost:
    """Let a defense change a training set, train the target again, and write the weights.

    Args:
        path: file for the weights, safetensors.
        spec: the target before the defense.
        corpus: what it was trained on.
        defense: its code runs in this process.
        protected: whom it protects.
        context: as its card declares.

    Raises:
        MethodError: it returned something that cannot be trained on.
        TargetError: the target cannot be trained, or the training diverged.
        StorageError: no space or no permission.
    """
    begin = time.perf_counter()
    before = training_of(spec, corpus)
    after = defense.defend(before, protected, context)
    problem = _problem(after, before)
    if problem:
        raise MethodError(
            f"{defense.card.name} returned a training for {spec.name} that cannot be used: {problem}.",
            hint="A CorpusDefense returns a Training, best made with dataclasses.replace.",
        )
    manner = Manner(after.smoothing, after.private)
    done = train_target(spec, _pairs(after), path, context.progress, context.device, manner)
    where = context.device.partition(":")[0]
    return Cost(time.perf_counter() - begin, done.steps, where, after.guarantees)


def _pairs(training: Training) -> _Pairs:
    captions = list(dict.fromkeys(training.captions))
    place = {caption: i for i, caption in enumerate(captions)}
    ids = np.array([place[caption] for caption in training.captions], dtype=np.int64)
    return _Pairs(training.images, ids, captions, _digest(training))


def _digest(training: Training) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(training.images).data)
    digest.update("\0".join(training.captions).encode("utf-8", "surrogatepass"))
    private = training.private
    how = None if private is None else (private.clip_norm, private.noise, private.seed)
    return sha256_bytes(f"{digest.hexdigest()} {training.smoothing} {how}".encode())


def _problem(after: object, before: Training) -> str:
    """What is wrong with a training, or an empty string."""
    if not isinstance(after, Training):
        return f"a {type(after).__name__} is not a Training"
    images, shape = after.images, before.images.shape[1:]
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != shape:
        return f"its pictures are not uint8 (n, {', '.join(map(str, shape))})"
    if len(after.captions) != len(images):
        return f"it has {len(images)} pictures and {len(after.captions)} captions"
    if not all(isinstance(caption, str) for caption in after.captions):
        return "a caption is not a text"
    if len(images) < before.batch_size:
        return f"it has {len(images)} pairs, fewer than one batch of {before.batch_size}"
    return _problem_of_manner(after, shape)


def _problem_of_manner(after: Training, shape: tuple[int, ...]) -> str:
    private = after.private
    if not -1 < after.smoothing < 1:
        return f"a smoothing of {after.smoothing} is not between -1 and 1"
    if private is None:
        return ""
    if not (np.isfinite(private.clip_norm) and private.clip_norm > 0):
        return f"a clipping norm of {private.clip_norm} is not above 0"
    if not (np.isfinite(private.noise) and private.noise >= 0):
        return f"noise of {private.noise} is below 0"
    if private.public_images.dtype != np.uint8 or private.public_images.shape[1:] != shape:
        return "its public pictures are not like those of the training set"
    return "" if len(private.public_images) else "it has no public pictures"
