"""Trains the face classifier on a folder of people: seeded, resumable, measured on photos held out."""

from __future__ import annotations

import math
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api import Progress, Silent
from idbench.errors import DataError, IdbenchError, StorageError
from idbench.search.faces import Architecture, Crop
from idbench.search.faces.model import FaceSpec, build_network, check_crop, face_square, normalized, save_classifier
from idbench.splits.injected.people import PhotographedPerson
from idbench.storage import make_dir, require_regular, sha256_bytes, sha256_file, storage_errors
from idbench.targets.checkpoints import check_finite, read_checkpoint, write_checkpoint

_WEIGHT_DECAY = 0.05
_SHIFT = 16  # a photo is shifted by up to one sixteenth of its side


@dataclass(frozen=True, slots=True)
class FaceRecipe:
    """How a classifier is trained.

    Args:
        arch: torchvision's name of the network; the IDIA authors used resnet50.
        image_size: pixels of a side.
        crop: how the face is found, see `face_square`.
        epochs: passes over the photos.
        batch_size: photos for one step.
        learning_rate: of AdamW at its highest; it falls to zero along half a cosine.
        held_out: share of each person's photos that is kept for measuring, at least one of them.
        seed: decides weights, order, and which photos are held out.
        weights: a file to begin from (safetensors, or PyTorch's own format read without running code) whose last
            layer may have other classes; None: random weights.
        device: as PyTorch names it.
    """

    arch: Architecture = "resnet50"
    image_size: int = 224
    crop: Crop = "haar"
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    held_out: float = 0.2
    seed: int = 0
    weights: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class TrainedFaces:
    """What came out.

    Args:
        spec: as it is in the file.
        photos: that were trained on.
        left_out: pictures that are damaged or show no face.
        seconds: wall time of this call.
    """

    spec: FaceSpec
    photos: int
    left_out: tuple[Path, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Faces:
    squares: NDArray[np.uint8]
    people: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    names: tuple[str, ...]
    digest: str


def train_classifier(
    people: Sequence[PhotographedPerson],
    out: Path,
    recipe: FaceRecipe,
    progress: Progress | None = None,
    keep_every: float = 60.0,
) -> TrainedFaces:
    """Train a classifier and write it to `out`; an interrupted training continues after the last epoch that was kept.

    Args:
        people: the classes, from `list_people`, at least two with at least two usable photos each.
        out: a `.safetensors` file, replaced only when training has finished.
        recipe: how.
        progress: receives a report after every photo and every step.
        keep_every: seconds of training after which the end of an epoch is kept, next to `out`.

    Raises:
        DataError: too few people or photos, or starting weights that do not fit.
        IdbenchError: training diverged, or OpenCV is wanted and missing.
        StorageError: `out` cannot be written; raised before the training where that can be known.
    """
    start, reporter = time.perf_counter(), progress or Silent()
    check_crop(recipe.crop)
    if len(people) < 2:
        raise DataError("A classifier needs at least two people.", hint="Add folders.")
    make_dir(out.parent)
    if out.is_dir():
        raise StorageError(f"{out} is a folder.", hint="Name a file, e.g. faces.safetensors.")
    with storage_errors(out), tempfile.TemporaryFile(dir=out.parent) as store:
        faces, left_out = _prepare(people, recipe, store, reporter)
        trainer = _FaceTrainer(faces, recipe, reporter)
        _run(trainer, out, recipe.epochs, keep_every)
        check_finite(trainer.model.state_dict(), "the face classifier")
        spec = FaceSpec(
            arch=recipe.arch,
            image_size=recipe.image_size,
            crop=recipe.crop,
            people=faces.names,
            accuracy=trainer.accuracy(),
            held_out=int(faces.held_out.sum()),
            seed=recipe.seed,
        )
        save_classifier(out, spec, trainer.model)
        _checkpoint(out).unlink(missing_ok=True)
        return TrainedFaces(spec, int((~faces.held_out).sum()), left_out, time.perf_counter() - start)


def _run(trainer: _FaceTrainer, out: Path, epochs: int, keep_every: float) -> None:
    """All epochs that an earlier call has not done. A checkpoint is three times the network: not after each epoch."""
    kept = time.monotonic()
    for epoch in range(trainer.resume(_checkpoint(out)), epochs):
        trainer.run_epoch(epoch)
        if time.monotonic() - kept >= keep_every and epoch + 1 < epochs:
            trainer.save_checkpoint(_checkpoint(out), epoch + 1)
            kept = time.monotonic()


def _checkpoint(out: Path) -> Path:
    return out.with_name(f"{out.name}.resume")


def _prepare(
    people: Sequence[PhotographedPerson], recipe: FaceRecipe, store: IO[bytes], progress: Progress
) -> tuple[_Faces, tuple[Path, ...]]:
    """Decode and crop every photo once, into a file: memory does not grow with their number."""
    owners, digests, left_out = list[int](), list[str](), list[Path]()
    total, seen = sum(len(person.photos) for person in people), 0
    for index, person in enumerate(people):
        for path in person.photos:
            with storage_errors(path):
                require_regular(path)
                data = path.read_bytes()
            try:
                square = face_square(data, str(path), recipe.image_size, recipe.crop)
            except DataError:
                square = None
            if square is None:
                left_out.append(path)
            else:
                store.write(square.tobytes())
                owners.append(index)
                digests.append(sha256_bytes(data))
            seen += 1
            progress.update(seen, total, "looking for faces")
        if owners.count(index) < 2:
            raise DataError(
                f"{person.name} has {owners.count(index)} usable photos of {len(person.photos)}; two are needed.",
                hint="Add photos, remove the folder, or pass --crop none if the pictures show the face alone.",
            )
    store.flush()
    squares = np.memmap(store, np.uint8, mode="r", shape=(len(owners), recipe.image_size, recipe.image_size, 3))
    owned = np.array(owners, dtype=np.int64)
    names = tuple(person.name for person in people)
    digest = sha256_bytes("\n".join([*names, *digests, str(owners)]).encode())
    return _Faces(squares, owned, _held_out(owned, recipe), names, digest), tuple(left_out)


def _held_out(owners: NDArray[np.int64], recipe: FaceRecipe) -> NDArray[np.bool_]:
    """Which photos are for measuring: of each person the same share, at least one, and at least one is left."""
    rng, chosen = np.random.default_rng([recipe.seed, 0]), np.zeros(len(owners), dtype=np.bool_)
    for person in np.unique(owners):
        places = rng.permutation(np.flatnonzero(owners == person))
        chosen[places[: min(len(places) - 1, max(1, round(recipe.held_out * len(places))))]] = True
    return chosen


class _FaceTrainer:
    def __init__(self, faces: _Faces, recipe: FaceRecipe, progress: Progress) -> None:
        self._faces, self._recipe, self._progress = faces, recipe, progress
        self._train = np.flatnonzero(~faces.held_out)
        self._steps = math.ceil(len(self._train) / recipe.batch_size)
        self._device = torch.device(recipe.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = build_network(recipe.arch, len(faces.names))
        start = "random" if recipe.weights is None else _begin_from(self.model, recipe.weights)
        self.model.to(self._device)
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        description = f"{asdict(recipe)} {faces.digest} {start} {torch.__version__}"
        self._id = sha256_bytes(description.encode())

    def run_epoch(self, epoch: int) -> None:
        """One pass over the photos, in an order and with shifts that the seed and the epoch decide."""
        self.model.train()
        rng = np.random.default_rng([self._recipe.seed, 1, epoch])
        order, total = rng.permutation(self._train), self._recipe.epochs * self._steps
        for number, places in enumerate(_batches(order, self._recipe.batch_size)):
            step = epoch * self._steps + number
            for group in self._optimizer.param_groups:
                group["lr"] = self._recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
            images = normalized(_varied(self._faces.squares[places], rng)).to(self._device)
            wanted = torch.from_numpy(self._faces.people[places]).to(self._device)
            loss = torch.nn.functional.cross_entropy(self.model(images), wanted)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            if not math.isfinite(float(loss.detach())):
                raise IdbenchError(f"The training diverged at step {step + 1}.", hint="Lower the learning rate.")
            self._progress.update(step + 1, total, f"training on faces, loss {float(loss.detach()):.2f}")

    @torch.inference_mode()
    def accuracy(self) -> float:
        """Share of the held-out photos whose person is named right."""
        self.model.eval()
        right, places = 0, np.flatnonzero(self._faces.held_out)
        for batch in _batches(places, self._recipe.batch_size):
            found = self.model(normalized(self._faces.squares[batch]).to(self._device)).argmax(dim=1).cpu().numpy()
            right += int((found == self._faces.people[batch]).sum())
        return right / len(places)

    def save_checkpoint(self, path: Path, epochs_done: int) -> None:
        """Everything that the next epoch needs, written atomically."""
        write_checkpoint(
            path,
            {
                "id": self._id,
                "epochs_done": epochs_done,
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
        )

    def resume(self, path: Path) -> int:
        """Epochs that a checkpoint of the same training holds; 0 without one, or if it is damaged or another's."""
        saved = read_checkpoint(path, self._id)
        if saved is None:
            return 0
        self.model.load_state_dict(saved["model"])
        self._optimizer.load_state_dict(saved["optimizer"])
        return int(saved["epochs_done"])


def _batches(places: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Batches of at most `size`; a last one of a single photo joins the one before: normalization needs two."""
    bounds = list(range(0, len(places), size))
    if len(bounds) > 1 and len(places) - bounds[-1] == 1:
        bounds.pop()
    for low, high in zip(bounds, [*bounds[1:], len(places)], strict=True):
        yield places[low:high]


def _varied(squares: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Copies that are mirrored half of the time and shifted a little."""
    size = squares.shape[1]
    most = size // _SHIFT
    padded = np.pad(squares, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    varied = np.empty_like(squares)
    for i, (down, right, mirrored) in enumerate(
        zip(*rng.integers(0, 2 * most + 1, (2, len(squares))), rng.random(len(squares)) < 0.5, strict=True)
    ):
        square = padded[i, down : down + size, right : right + size]
        varied[i] = square[:, ::-1] if mirrored else square
    return varied


def _begin_from(model: torch.nn.Module, path: Path) -> str:
    """Load what fits of a file of weights, the last layer aside; returns what they are, for the checkpoint's id."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    hint = "Give weights of the same --arch, as safetensors or as torchvision publishes them."
    digest = sha256_file(path)
    try:
        given = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        kept = {name: tensor for name, tensor in given.items() if not name.startswith("fc.")}
        found = model.load_state_dict(kept, strict=False)
    except (RuntimeError, EOFError, TypeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        raise DataError(f"{path} holds no weights that fit.", hint=hint) from error
    except SafetensorError as error:
        raise DataError(f"{path} is damaged.", hint=hint) from error
    if set(found.missing_keys) - {"fc.weight", "fc.bias"} or found.unexpected_keys:
        raise DataError(f"{path} holds weights of another network.", hint=hint)
    return digest
