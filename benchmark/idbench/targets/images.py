"""Encodes photos: decoded in batches, each distinct one once, and once per target ever (kept on disk by content)."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from idbench.api.cases import Photo
from idbench.errors import DataError, StorageError
from idbench.progress import Progress
from idbench.storage import sha256_bytes, write_bytes
from idbench.targets.load import LoadedTarget
from idbench.targets.memory import Batches, Table, batch_for
from idbench.targets.spec import Precision

_PHOTOS_AT_ONCE = {"cpu": 256, "cuda": 1024}
SAVE_AT_ONCE = 1024
"""New embeddings that make a file of their own, for methods that ask for a few photos at a time."""

SAMPLES = 48
"""Embeddings from disk that are computed again. If one in ten is wrong, 99 of 100 readers notice."""

_ROUNDING: Final[Mapping[Precision, float]] = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 5e-3}
"""Largest distance between two computations of an embedding, as a share of its length: batches of another size, another
processor. In float32 a cosine moves by a thousandth at most."""

_ACTIVATIONS = 20
"""Working memory of one image without gradients, in sizes of the image itself (ResNets at their widest layer)."""


class Preprocessor:
    """Photos as a target takes them. The numbers are those of open_clip's own evaluation transform."""

    def __init__(self, target: LoadedTarget) -> None:
        from open_clip.transform import image_transform

        given = target.preprocessing
        self._size = target.info.image_size
        self._device = target.device
        self._mean = torch.tensor(given.mean).view(1, 3, 1, 1)
        self._std = torch.tensor(given.std).view(1, 3, 1, 1)
        self._transform: Callable[[Any], torch.Tensor] = image_transform(
            self._size,
            is_train=False,
            mean=given.mean,
            std=given.std,
            interpolation=given.interpolation,
            resize_mode=given.resize_mode,
            fill_color=given.fill_color,
        )

    def __call__(self, photos: Sequence[Photo]) -> torch.Tensor:
        """float (n, 3, height, width) in the normalized space, on the target's device."""
        if not photos:
            return torch.empty((0, 3, *self._size), device=self._device)
        pixels = [_checked(photo) for photo in photos]
        if all(image.shape[:2] == self._size for image in pixels):
            # Nothing to resize: the same arithmetic for all photos at once.
            stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
            return ((stacked.float() / 255 - self._mean) / self._std).to(self._device)
        from PIL import Image

        return torch.stack([self._transform(Image.fromarray(image)) for image in pixels]).to(self._device)


def _checked(photo: Photo) -> NDArray[np.uint8]:
    pixels = photo.pixels()
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(
            f"{photo!r} has pixels {pixels.dtype} {pixels.shape} instead of uint8 (height, width, 3).",
            hint="Check the photo.",
        )
    return pixels


class PhotoEncoder:
    """The image tower of a target for photos, with what it was asked before kept in memory and on disk.

    Args:
        folder: where embeddings are kept between runs; anything unreadable in there is discarded and computed again.
        progress: receives progress reports.
        kept: another folder of embeddings, from which is only read; None: no other.

    Embeddings from disk are used once an unpredictable sample of them was computed again and agreed: files
    can be changed by others with write access; an intact file with wrong numbers would give another method's scores.
    """

    def __init__(self, target: LoadedTarget, folder: Path, progress: Progress, kept: Path | None = None) -> None:
        self.preprocess = Preprocessor(target)
        self._target = target
        self._progress = progress
        self.shards = EmbeddingShards(folder / _key(target), target.info.embedding_dim)
        other = None if kept is None or kept == folder else kept
        self._kept = None if other is None else EmbeddingShards(other / _key(target), target.info.embedding_dim)
        self._doubted: set[str] = set()
        self._samples = SAMPLES
        self._rows: dict[str, int] | None = None
        self._table = Table(target.info.embedding_dim, torch.device("cpu"))
        self._asked: set[str] = set()
        self._unsaved: list[str] = []
        height, width = target.info.image_size
        most = _PHOTOS_AT_ONCE.get(target.device.type, 256)
        self._batches = Batches(batch_for(target.device, _ACTIVATIONS * 12 * height * width, most))

    @property
    def batch_size(self) -> int:
        """Photos that are encoded at once, unless memory runs out."""
        return self._batches.size

    def __len__(self) -> int:
        """How many distinct photos were asked for, whether or not their embeddings were stored."""
        return len(self._asked)

    def embed(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Embeddings, not normalized, (n_photos, dim)."""
        self.prepare(photos)
        rows = self._places()
        return self._table[[rows[photo.digest] for photo in photos]].numpy()

    def prepare(self, photos: Sequence[Photo]) -> None:
        """Encode what is new among some photos."""
        rows = self._places()
        self._asked.update(photo.digest for photo in photos)
        if self._samples and self._doubted:
            distinct = {photo.digest: photo for photo in photos if photo.digest in self._doubted}
            self._sample([distinct[digest] for digest in sorted(distinct)])
        new = {photo.digest: photo for photo in photos if photo.digest not in rows}
        if new:
            # In an order of their own: batches, and so the last bits, do not depend on the order of the cases.
            self._add([new[digest] for digest in sorted(new)])

    def _places(self) -> dict[str, int]:
        if self._rows is None:
            self._rows = {}
            for shards in (self._kept, self.shards):
                for digests, embeddings in () if shards is None else shards.read(remove=shards is self.shards):
                    first = len(self._table)
                    self._table.append(torch.from_numpy(embeddings))
                    self._rows.update({digest: first + i for i, digest in enumerate(digests)})
            self._doubted = set(self._rows)
        return self._rows

    def _sample(self, photos: list[Photo]) -> None:
        """Compute some of the embeddings from disk again; discard all of them if one differs by more than rounding."""
        if not self._samples or not photos:
            return
        rows = self._places()
        chosen = secrets.SystemRandom().sample(photos, min(self._samples, len(photos)))
        self._samples -= len(chosen)
        kept = self._table[[rows[photo.digest] for photo in chosen]]
        again = self._encode(chosen)
        off = (kept - again).norm(dim=1)
        if bool((off <= _ROUNDING[self._target.spec.precision] * again.norm(dim=1)).all()):
            return
        for digest in self._doubted:
            del rows[digest]
        self._doubted = set()
        self.shards.clear()
        self._progress.update(1, 1, "stored embeddings are not this target's and are computed again")

    def _add(self, photos: list[Photo]) -> None:
        rows = self._places()
        for start in range(0, len(photos), SAVE_AT_ONCE):
            part = photos[start : start + SAVE_AT_ONCE]
            first = len(self._table)
            self._table.append(self._encode(part, partial(self._report, start, len(photos))))
            rows.update({photo.digest: first + i for i, photo in enumerate(part)})
            self._unsaved += [photo.digest for photo in part]
            if len(self._unsaved) >= SAVE_AT_ONCE:
                self.save()

    def _report(self, before: int, total: int, done: int) -> None:
        self._progress.update(before + done, total, "encoding photos")

    def _encode(self, photos: list[Photo], report: Callable[[int], None] | None = None) -> torch.Tensor:
        """Embeddings of photos on the CPU, (n, dim); `report` hears how many are finished."""
        result = torch.empty((len(photos), self._target.info.embedding_dim))

        def encode(low: int, high: int) -> torch.Tensor:
            return encode_images(self._target, self.preprocess(photos[low:high]))

        for low, high, part in self._batches.run(len(photos), encode):
            result[low:high] = part.cpu()
            if report is not None:
                report(high)
        return result

    def save(self) -> None:
        """Keep on disk what was encoded since the last time."""
        if self._unsaved:
            rows = self._places()
            self.shards.write(self._unsaved, self._table[[rows[digest] for digest in self._unsaved]].numpy())
            self._unsaved = []


@torch.no_grad()
def encode_images(target: LoadedTarget, images: torch.Tensor) -> torch.Tensor:
    """Embeddings of images in the normalized space, in the target's precision, as float32, not normalized, (n, dim)."""
    model: Any = target.model
    with target.computing():
        embedding: torch.Tensor = model.encode_image(images)
    return embedding.float()


def _key(target: LoadedTarget) -> str:
    """Whatever decides an embedding, besides the photo: weights, architecture and preprocessing."""
    description = {
        "weights": target.sha256,
        "architecture": target.spec.architecture,
        "quick_gelu": target.spec.quick_gelu,
        "preprocessing": target.preprocessing.model_dump(),
        "size": target.info.image_size,
        "device": target.device.type,
    }
    if target.half is not None:
        description["precision"] = target.spec.precision
    return sha256_bytes(json.dumps(description, sort_keys=True).encode())[:32]


class EmbeddingShards:
    """Embeddings on disk: one safetensors file for each time that something new was encoded.

    Files are never changed, so that several runs may write at once; each is named by its content, so that a damaged
    one is recognized, removed and made again.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim

    def clear(self) -> None:
        """Remove everything that is stored."""
        for path in self._folder.glob("*.safetensors"):
            _remove(path)

    def read(self, *, remove: bool) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Intact embeddings with the digests of their photos, file by file; damaged files are removed if wanted."""
        for path in sorted(self._folder.glob("*.safetensors")):
            try:
                content = load_file(path)
                names = [row.tobytes().hex() for row in content["digests"]]
                embeddings = content["embeddings"]
                intact = path.stem == _name(content["digests"], embeddings)
            except (OSError, SafetensorError, KeyError, ValueError, TypeError):
                intact = False
            if intact and embeddings.shape == (len(names), self._dim):
                yield names, embeddings
            elif remove:
                _remove(path)

    def write(self, digests: list[str], embeddings: NDArray[np.float32]) -> None:
        """Keep embeddings for later runs; a full or read-only disk costs time later, never the run."""
        try:
            raw = np.array([list(bytes.fromhex(digest)) for digest in digests], dtype=np.uint8)
        except ValueError:  # digests that are not hexadecimal, or of several lengths, come from no split of ours
            return
        try:
            data = save({"digests": raw, "embeddings": np.ascontiguousarray(embeddings)})
            write_bytes(self._folder / f"{_name(raw, embeddings)}.safetensors", data)
        except StorageError:
            return


def _name(digests: NDArray[np.uint8], embeddings: NDArray[np.float32]) -> str:
    content = hashlib.sha256(np.ascontiguousarray(digests).tobytes())
    content.update(np.ascontiguousarray(embeddings).tobytes())
    return content.hexdigest()[:32]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
