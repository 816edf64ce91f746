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

_IMAGES, _CAPTION_IDS, _CAPTIONS = "images.npy", "caption_ids.npy", "captions.json"
_OWNERS, _NAMES = "owners.npy", "names.json"
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Owners:
    """Who is on the pictures of a corpus.

    Args:
        numbers: int64 (n,): the person on each picture, counted from 0.
        names: of these people, by number; stands in every caption of the person's pictures.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Pairs of pictures and captions.

    Args:
        name: e.g. `avatars-a`.
        images: uint8 (n, h, w, 3); mapped from disk, read-only.
        caption_ids: int64 (n,): index into `captions`.
        captions: the distinct captions.
        digest: SHA-256 over pictures, caption ids, captions and the owners' numbers. Their names need no place in it:
            they stand in the captions.
        owners: who is on each picture; None where that is not recorded.
    """

    name: str
    images: NDArray[np.uint8]
    caption_ids: NDArray[np.int64]
    captions: list[str]
    digest: str
    owners: Owners | None = None


def write_corpus(
    path: Path,
    shape: tuple[int, ...],
    batches: Iterable[NDArray[np.uint8]],
    captions: Sequence[str],
    owners: Owners | None = None,
) -> None:
    """Write a corpus folder that appears only when it is complete.

    Args:
        path: the folder; replaced if it exists.
        shape: (n, h, w, 3) of all pictures together.
        batches: uint8 pictures, (any, h, w, 3), n in all.
        captions: one per picture.
        owners: who is on each picture, for sets from which people are drawn (`NAME-aux`).

    Raises:
        DataError: a caption does not hold its owner's name.
    """
    distinct = list(dict.fromkeys(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    caption_ids = np.array([index[caption] for caption in captions], dtype=np.int64)
    if owners is not None and not _names_stand_in_captions(owners, caption_ids, distinct):
        raise DataError(f"A caption of {path.name} lacks its owner's name.", hint="Name everybody in every caption.")
    with atomic_dir(path) as folder, storage_errors(path):
        write_pictures(folder / _IMAGES, shape, batches)
        np.save(folder / _CAPTION_IDS, caption_ids)
        (folder / _CAPTIONS).write_text(json.dumps(distinct), encoding="utf-8")
        if owners is not None:
            np.save(folder / _OWNERS, owners.numbers)
            (folder / _NAMES).write_text(json.dumps(owners.names), encoding="utf-8")


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
        owners = _read_owners(path) if (path / _OWNERS).exists() else None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"The corpus in {path} is missing or damaged.", hint="Remove the folder and repeat.") from error
    fits = images.ndim == 4 and images.dtype == np.uint8 and caption_ids.shape == (len(images),)
    if fits and owners is not None:
        fits = owners.numbers.shape == (len(images),) and _names_stand_in_captions(owners, caption_ids, captions)
    if not fits:
        raise DataError(f"The corpus in {path} does not fit together.", hint="Remove the folder and repeat.")
    return Corpus(name, images, caption_ids, captions, _digest(images, caption_ids, captions, owners), owners)


def _read_owners(path: Path) -> Owners:
    """Owners with their names; a folder of an earlier version has no names and counts as damaged, to be made again."""
    names = json.loads((path / _NAMES).read_text(encoding="utf-8"))
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("the names of the owners are not texts")
    return Owners(np.load(path / _OWNERS, allow_pickle=False), tuple(names))


def _names_stand_in_captions(owners: Owners, caption_ids: NDArray[np.int64], captions: Sequence[str]) -> bool:
    """Whether every caption holds its owner's name: so the digest, which covers captions, covers names."""
    if len(owners.numbers) and not 0 <= owners.numbers.min() <= owners.numbers.max() < len(owners.names):
        return False
    pairs = np.unique(np.stack([owners.numbers, caption_ids], axis=1), axis=0)
    return all(owners.names[number] in captions[caption] for number, caption in pairs.tolist())


def _digest(
    images: NDArray[np.uint8], caption_ids: NDArray[np.int64], captions: Sequence[str], owners: Owners | None
) -> str:
    digest = hashlib.sha256()
    for block in _blocks(images):
        digest.update(np.ascontiguousarray(block).data)
    digest.update(caption_ids.astype("<i8").tobytes())
    digest.update(json.dumps(list(captions), ensure_ascii=True, separators=(",", ":")).encode())
    if owners is not None:
        digest.update(owners.numbers.astype("<i8").tobytes())
    return digest.hexdigest()


def _blocks(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), _CHUNK):
        yield images[start : start + _CHUNK]
