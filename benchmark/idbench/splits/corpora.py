"""Training sets: what a target is trained on, kept on disk and mapped into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.storage import atomic_dir, storage_errors

_IMAGES, _CAPTION_IDS, _CAPTIONS, _OWNERS = "images.npy", "caption_ids.npy", "captions.json", "owners.npy"
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Corpus:
    """Pairs of pictures and captions.

    Args:
        name: e.g. `avatars-a`.
        images: uint8 (n, h, w, 3); mapped from disk, read-only.
        caption_ids: int64 (n,): index into `captions`.
        captions: the distinct captions.
        digest: SHA-256 over pictures, caption ids, captions and owners.
        owners: int64 (n,): which person is on each picture, counted from 0; None where nobody may need to know.
    """

    name: str
    images: NDArray[np.uint8]
    caption_ids: NDArray[np.int64]
    captions: list[str]
    digest: str
    owners: NDArray[np.int64] | None = None


def write_corpus(
    path: Path,
    shape: tuple[int, ...],
    batches: Iterable[NDArray[np.uint8]],
    captions: Sequence[str],
    owners: Sequence[int] | None = None,
) -> None:
    """Write a corpus folder that appears only when it is complete.

    Args:
        path: the folder; replaced if it exists.
        shape: (n, h, w, 3) of all pictures together.
        batches: uint8 pictures, (any, h, w, 3), n in all.
        captions: one per picture.
        owners: person on each picture, counted from 0, for sets from which people are drawn (`NAME-aux`).
    """
    distinct = list(dict.fromkeys(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    with atomic_dir(path) as folder, storage_errors(path):
        write_pictures(folder / _IMAGES, shape, batches)
        np.save(folder / _CAPTION_IDS, np.array([index[caption] for caption in captions], dtype=np.int64))
        (folder / _CAPTIONS).write_text(json.dumps(distinct), encoding="utf-8")
        if owners is not None:
            np.save(folder / _OWNERS, np.array(owners, dtype=np.int64))


def write_pictures(path: Path, shape: tuple[int, ...], batches: Iterable[NDArray[np.uint8]]) -> None:
    """Write pictures to a .npy file, one batch in memory at a time.

    Not through a mapped file: a disk that is full would end the process there, without an error.

    Args:
        path: the file.
        shape: (n, h, w, 3) of all pictures together.
        batches: uint8 pictures, (any, h, w, 3), n in all.

    Raises:
        OSError: no space.
    """
    with path.open("wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        for batch in batches:
            file.write(np.ascontiguousarray(batch, dtype=np.uint8).data)


def read_corpus(name: str, path: Path) -> Corpus:
    """Open a corpus folder and compute its digest.

    Raises:
        DataError: missing or damaged.
    """
    try:
        images = np.load(path / _IMAGES, mmap_mode="r", allow_pickle=False)
        caption_ids = np.load(path / _CAPTION_IDS, allow_pickle=False)
        captions = json.loads((path / _CAPTIONS).read_text(encoding="utf-8"))
        owners = np.load(path / _OWNERS, allow_pickle=False) if (path / _OWNERS).exists() else None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"The corpus in {path} is missing or damaged.", hint="Remove the folder and repeat.") from error
    if (
        images.ndim != 4
        or images.dtype != np.uint8
        or any(array is not None and array.shape != (len(images),) for array in (caption_ids, owners))
    ):
        raise DataError(f"The corpus in {path} does not fit together.", hint="Remove the folder and repeat.")
    return Corpus(name, images, caption_ids, captions, _digest(images, caption_ids, captions, owners), owners)


def _digest(
    images: NDArray[np.uint8],
    caption_ids: NDArray[np.int64],
    captions: Sequence[str],
    owners: NDArray[np.int64] | None,
) -> str:
    digest = hashlib.sha256()
    for block in _blocks(images):
        digest.update(np.ascontiguousarray(block).data)
    digest.update(caption_ids.astype("<i8").tobytes())
    digest.update(json.dumps(list(captions), ensure_ascii=True, separators=(",", ":")).encode())
    if owners is not None:
        digest.update(owners.astype("<i8").tobytes())
    return digest.hexdigest()


def _blocks(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), _CHUNK):
        yield images[start : start + _CHUNK]
