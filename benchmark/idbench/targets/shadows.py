"""Shadow models: look-alikes of a target, trained on demand, kept on disk by what decides them, shared by processes."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api.cases import Pair, Photo
from idbench.errors import MethodError, TargetError
from idbench.programs import processors
from idbench.progress import Progress
from idbench.storage import make_dir, sha256_bytes, storage_errors
from idbench.targets.checkpoints import read_state_dict
from idbench.targets.images import Preprocessor
from idbench.targets.load import LoadedTarget, build_model
from idbench.targets.shadow_process import train_here, train_side_by_side
from idbench.targets.shadow_store import Shadow, ShadowData, ShadowNote, ShadowStore
from idbench.targets.spec import LocalFile, TrainingRecipe
from idbench.targets.stacked import train_stacked
from idbench.targets.train import trainable

HERE_UP_TO = 20_000
"""Pictures that all trainings together look at, up to which starting processes costs more than it saves."""

_AT_ONCE = 256

_TRAINER = 1
"""Raised whenever the code of `train` or `stacked` changes what comes out of the same recipe and data."""

_PACKAGES = ("torch", "open_clip_torch", "numpy", "ftfy")
"""What the weights depend on besides: arithmetic, model and tokenizer, order of the pairs, repair of texts."""


@dataclass(frozen=True, slots=True)
class ShadowTally:
    """What shadow models cost; one that is asked for several times costs no more than once.

    Args:
        models: what is known of each model used, by its key.
        fresh: keys of models that were missing and that this process, not another at the same time, trained now.
        waited: wall-clock seconds until all were there.
    """

    models: Mapping[str, ShadowNote]
    fresh: frozenset[str]
    waited: float

    @property
    def count(self) -> int:
        """Models used."""
        return len(self.models)

    @property
    def steps(self) -> int:
        """Optimizer steps behind them, whenever they were taken."""
        return sum(one.steps for one in self.models.values())

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training behind them, summed over the models."""
        return sum((one.seconds for one in self.models.values()), 0.0)

    @property
    def trained(self) -> int:
        """Models that were trained now."""
        return len(self.fresh)

    @property
    def trained_steps(self) -> int:
        """Optimizer steps of those."""
        return sum(self.models[key].steps for key in self.fresh)

    def __add__(self, other: ShadowTally) -> ShadowTally:
        return ShadowTally({**self.models, **other.models}, self.fresh | other.fresh, waited=self.waited + other.waited)


@dataclass(frozen=True, slots=True)
class ShadowPictures:
    """All pictures that the shadows of one call are trained on, as the model sees them, each once.

    Args:
        images: uint8 (n, h, w, 3).
        digests: of each picture.
    """

    images: NDArray[np.uint8]
    digests: list[str]


def train_shadows(
    target: LoadedTarget,
    sets: Sequence[Sequence[Pair]],
    seed: int,
    epochs: float,
    folder: Path,
    progress: Progress,
    kept_in: Path | None = None,
) -> tuple[list[LoadedTarget], ShadowTally]:
    """Shadows of a target, trained or found; see `idbench.api.TargetView.train_shadows`.

    Args:
        target: whose architecture, tokenizer, preprocessing and recipe are used.
        sets: training pairs of each shadow.
        seed: of all of them.
        epochs: multiple of the recipe's epochs.
        folder: where shadows are kept.
        progress: receives progress reports.
        kept_in: another folder of shadows, from which is only read; None: no other.

    Raises:
        TargetError: the target has no recipe, or a training failed.
        MethodError: a set has fewer than two pairs.
    """
    begin = time.perf_counter()
    store = ShadowStore(folder)
    shadows = plan_shadows(target, sets, seed, epochs)
    if kept_in is not None and kept_in != folder:
        for shadow in shadows:
            store.take(shadow.key, ShadowStore(kept_in))
    missing = [shadow for shadow in shadows if store.find(shadow.key) is None]
    fresh = train_missing(target, missing, store, progress) if missing else set()
    kept = [_found(store, shadow) for shadow in shadows]
    loaded = [_load(target, store, shadow, one) for shadow, one in zip(shadows, kept, strict=True)]
    found = {shadow.key: one for shadow, one in zip(shadows, kept, strict=True)}
    costs = ShadowTally(found, frozenset(fresh), time.perf_counter() - begin)
    return loaded, costs


def plan_shadows(target: LoadedTarget, sets: Sequence[Sequence[Pair]], seed: int, epochs: float) -> list[Shadow]:
    """What each shadow is trained on and by which recipe, with its key.

    Raises:
        TargetError: the target has no recipe.
        MethodError: a set has fewer than two pairs.
    """
    recipe = target.spec.recipe
    if recipe is None:
        raise TargetError(
            f"{target.spec.name} comes without the recipe that it was trained by, so no shadow models can be trained.",
            hint="Use a target that has one: see `bench show TARGET`; the shipped ones do.",
        )
    if min((len(own) for own in sets), default=2) < 2:
        raise MethodError("A shadow model needs at least two pairs to train on.", hint="Give it more people.")
    pictures, place = _pictures(target, sets)
    return [
        _plan(target, _data(pictures, place, own), _scaled(recipe, epochs, _seed(seed, number), len(own)))
        for number, own in enumerate(sets)
    ]


def _pictures(target: LoadedTarget, sets: Sequence[Sequence[Pair]]) -> tuple[ShadowPictures, dict[str, int]]:
    """All pictures of all sets, each once, and where each photo is."""
    distinct = {pair.photo.digest: pair.photo for own in sets for pair in own}
    order = sorted(distinct)
    height, width = target.info.image_size
    images = np.empty((len(order), height, width, 3), dtype=np.uint8)
    preprocess = Preprocessor(target)
    for start in range(0, len(order), _AT_ONCE):
        block = [distinct[digest] for digest in order[start : start + _AT_ONCE]]
        images[start : start + len(block)] = _pixels(target, preprocess, block)
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    return ShadowPictures(images, digests), {digest: i for i, digest in enumerate(order)}


def _pixels(target: LoadedTarget, preprocess: Preprocessor, photos: Sequence[Photo]) -> NDArray[np.uint8]:
    """Photos at the model's size, uint8 (n, h, w, 3): what the target itself was trained on."""
    mean, std = (
        torch.tensor(moment).view(1, 3, 1, 1) for moment in (target.preprocessing.mean, target.preprocessing.std)
    )
    pixels = (preprocess(photos).cpu() * std + mean) * 255
    rounded: NDArray[np.uint8] = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return rounded


def _data(pictures: ShadowPictures, place: dict[str, int], pairs: Sequence[Pair]) -> ShadowData:
    """The pairs in an order of their own, so that a shadow depends on what is in its set alone."""
    rows = sorted((pictures.digests[at], pair.caption, at) for pair in pairs for at in (place[pair.photo.digest],))
    captions = sorted({caption for _, caption, _ in rows})
    number = {caption: i for i, caption in enumerate(captions)}
    description = json.dumps([(digest, caption) for digest, caption, _ in rows])
    return ShadowData(
        pictures=pictures.images,
        places=np.array([at for _, _, at in rows], dtype=np.int64),
        caption_ids=np.array([number[caption] for _, caption, _ in rows], dtype=np.int64),
        captions=captions,
        digest=sha256_bytes(description.encode()),
    )


def _scaled(recipe: TrainingRecipe, epochs: float, seed: int, n_pairs: int) -> TrainingRecipe:
    """The target's recipe with another number of epochs and a batch that the pairs fill."""
    total = max(1, round(recipe.epochs * epochs))
    restarts = sorted({round(epoch * epochs) for epoch in recipe.restarts} - {0})
    return recipe.model_copy(
        update={
            "epochs": total,
            "restarts": tuple(epoch for epoch in restarts if epoch < total),
            "batch_size": min(recipe.batch_size, n_pairs),
            "seed": seed,
        }
    )


def _seed(seed: int, number: int) -> int:
    """A seed for each shadow."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _plan(target: LoadedTarget, data: ShadowData, recipe: TrainingRecipe) -> Shadow:
    description = {
        "trainer": _TRAINER,
        "recipe": recipe.model_dump(mode="json"),
        "architecture": target.spec.architecture,
        "quick_gelu": target.spec.quick_gelu,
        "tokenizer": None if target.spec.tokenizer is None else target.spec.tokenizer.model_dump(mode="json"),
        "preprocessing": target.preprocessing.model_dump(mode="json"),
        "data": data.digest,
        **{package: version(package) for package in _PACKAGES},
        "device": target.device.type,
    }
    key = sha256_bytes(json.dumps(description, sort_keys=True).encode())[:32]
    spec = target.spec.model_copy(
        update={
            "name": f"shadow-{key[:12]}",
            "title": "shadow model",
            "corpus": None,
            "control_for": (),
            "weights": LocalFile(path="shadow"),
            "sha256": None,
            "recipe": recipe,
            "corpus_digest": data.digest,
            "golden_sha256": None,
        }
    )
    return Shadow(spec, data, key)


def train_missing(target: LoadedTarget, shadows: Sequence[Shadow], store: ShadowStore, progress: Progress) -> set[str]:
    """Train what is missing: together on a GPU, side by side on processors, here where it is little.

    Returns:
        keys of what was trained, and not made by another process meanwhile.
    """
    make_dir(store.folder)
    work = sum(len(shadow.data.places) * shadow.recipe.epochs for shadow in shadows)
    with storage_errors(store.folder):
        if target.device.type != "cpu":
            return train_together(shadows, store, str(target.device), progress)
        if work <= HERE_UP_TO or len(shadows) == 1 or processors() == 1:
            return train_here(shadows, store, progress)
        return train_side_by_side(shadows, store, processors(), progress)


def train_together(shadows: Sequence[Shadow], store: ShadowStore, device: str, progress: Progress) -> set[str]:
    """Stack the shadows that take equally many steps; other processes that want the same ones wait."""
    groups: defaultdict[tuple[int, int], list[Shadow]] = defaultdict(list)
    for shadow in shadows:
        groups[shadow.steps_per_epoch, shadow.recipe.batch_size].append(shadow)
    fresh: set[str] = set()
    for group in groups.values():
        ordered = sorted(group, key=lambda shadow: shadow.key)  # one order for all, or two could wait for each other
        with ExitStack() as held:
            for shadow in ordered:
                held.enter_context(store.lock(shadow.key))
            left = [shadow for shadow in ordered if store.find(shadow.key) is None]
            _train_stacks(left, store, device, progress)
            fresh.update(shadow.key for shadow in left)
    return fresh


def _train_stacks(shadows: Sequence[Shadow], store: ShadowStore, device: str, progress: Progress) -> None:
    """Train shadows in one stack, or in halves where they do not fit the device's memory."""
    waiting = [list(shadows)] if shadows else []
    while waiting:
        stack = waiting.pop()
        try:
            trained = train_stacked(
                [shadow.spec for shadow in stack],
                [shadow.data for shadow in stack],
                [store.weights(shadow.key) for shadow in stack],
                device,
                progress,
            )
        except torch.OutOfMemoryError as error:
            if len(stack) == 1:
                raise TargetError(
                    "The device has not enough memory to train a single shadow model.",
                    hint="Free its memory, or use --device cpu.",
                ) from error
        else:
            for shadow, one in zip(stack, trained, strict=True):
                store.keep(shadow.key, one, one.seconds)
            continue
        # Outside of the handler, where the failed stack's tensors are no longer held by the traceback.
        torch.cuda.empty_cache()
        half = len(stack) // 2
        waiting += [stack[half:], stack[:half]]


def _found(store: ShadowStore, shadow: Shadow) -> ShadowNote:
    kept = store.find(shadow.key)
    if kept is None:
        raise TargetError(
            f"A shadow model vanished from {store.folder} while it was needed.", hint="Repeat the command."
        )
    return kept


def _load(target: LoadedTarget, store: ShadowStore, shadow: Shadow, kept: ShadowNote) -> LoadedTarget:
    """The shadow as a target; tokenizer and preprocessing are the target's own."""
    weights = store.weights(shadow.key)
    spec = shadow.spec.model_copy(update={"weights": LocalFile(path=str(weights)), "sha256": kept.sha256})
    _, config = trainable(spec)
    model = build_model(config, spec.name)
    model.load_state_dict(read_state_dict(weights), strict=True)
    model.requires_grad_(False).eval().to(target.device)
    info = replace(target.info, name=spec.name)
    return LoadedTarget(spec, model, target.tokenize, target.preprocessing, target.device, info)
