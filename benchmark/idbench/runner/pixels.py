"""Decoded photos, once for each set: a file of pixels below the cache, read by all runs and written by none of them.

A set is the photos of a split's people, its public pairs, or its auxiliary people. The file holds each distinct picture
once, in the order of the pictures' digests, so that neither names, nor the order of the split, nor who belongs together
can be read from it. What only the parent knows (which photo is where) lies in another folder than the file that
workers are given.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.locking import locked
from idbench.splits import Split, decode_photo
from idbench.splits.corpora import Corpus
from idbench.storage import atomic_path, cache_dir, make_dir, recover, sha256_bytes, sha256_file, storage_errors

_DECODERS = 16
"""Threads that decode, at most."""

_AHEAD = 4
"""Photos for each of them that wait decoded or are being so: memory does not grow with their number."""

Pictures = Iterator[tuple[str, NDArray[np.uint8]]]


@dataclass(frozen=True, slots=True)
class PixelStore:
    """Pictures that lie in a file, one after the other: uint8, height x width x 3 each.

    Args:
        path: the file.
        sizes: offset in bytes, height, width of each picture, int64 (n, 3).
        digests: of each picture, (n,), in ascending order.
        places: which picture each photo id stands for.
    """

    path: Path
    sizes: NDArray[np.int64]
    digests: NDArray[np.str_]
    places: dict[str, int]


def photo_store(split: Split, progress: Progress) -> PixelStore:
    """The photos of a split's people.

    Raises:
        DataError: a photo is empty or damaged.
        StorageError: no space or no permission.
    """
    photos = [photo for identity in split.identities for photo in identity.photos]
    return _store("photos", split.manifest.digest, split.digest, lambda: _decoded(split, photos), progress)


def photos_apart(split: Split, photos: list[str], folder: Path) -> PixelStore:
    """Some photos in a file of their own, for a process that may not hold the others.

    Args:
        split: has the photos.
        photos: ids of those that it may hold.
        folder: where the file goes; what only the parent knows does not stay there.

    Raises:
        DataError: a photo is empty or damaged.
        StorageError: no space or no permission.
    """
    path, index = folder / "photos.bin", folder / "places.npz"
    _write(path, index, _decoded(split, photos))
    found = _read(path, index)
    index.unlink()
    assert found is not None
    return found


def pair_store(split: Split, progress: Progress) -> PixelStore:
    """The photos of a split's public pairs; errors as of `photo_store`."""
    photos = [photo for photo, _ in split.public_pairs]
    return _store("public pairs", split.manifest.digest, split.digest, lambda: _decoded(split, photos), progress)


def corpus_store(corpus: Corpus, progress: Progress) -> PixelStore:
    """The pictures of a corpus; their ids are their numbers. Errors as of `photo_store`."""
    return _store("corpus", corpus.digest, corpus.digest, lambda: _numbered(corpus), progress)


def digest_of(pixels: NDArray[np.uint8]) -> str:
    """What a picture is known by: SHA-256 of its size and its pixels."""
    height, width, _ = pixels.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _decoded(split: Split, photos: list[str]) -> Pictures:
    """Photos decoded side by side (Pillow lets other threads run meanwhile), in their order, a few ahead at most."""
    unique = list(dict.fromkeys(photos))
    threads = min(_DECODERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[tuple[str, Future[NDArray[np.uint8]]]] = deque()
        try:
            for photo, data in zip(unique, split.read_photos(unique), strict=True):
                ahead.append((photo, pool.submit(decode_photo, data, photo)))
                if len(ahead) > _AHEAD * threads:
                    name, pixels = ahead.popleft()
                    yield name, pixels.result()
            for name, pixels in ahead:
                yield name, pixels.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _numbered(corpus: Corpus) -> Pictures:
    for number, image in enumerate(corpus.images):
        yield str(number), np.asarray(image)


def _store(kind: str, data: str, digest: str, pictures: Callable[[], Pictures], progress: Progress) -> PixelStore:
    """The store of a set, made if it is missing or damaged.

    Args:
        kind: of the set.
        data: digest of the whole data.
        digest: of what is left of it after retractions; stores of the same data with other retractions are removed, so
            that no retracted identity stays in one.
        pictures: decodes them, with their ids.
        progress: receives a notice when another process makes the store.
    """
    folder, name = sha256_bytes(f"{kind}:{data}".encode())[:32], sha256_bytes(f"{kind}:{digest}".encode())[:32]
    path = cache_dir("pixels", folder, f"{name}.bin")
    index = cache_dir("pixel-places", folder, f"{name}.npz")
    make_dir(path.parent)
    make_dir(index.parent)
    lock = index.parent / "lock"
    with storage_errors(lock), locked(lock, progress, f"decoded {kind}"):
        found = _read(path, index)
        if found is None:
            for stale in (path, index):
                recover(stale)
            for other in (*path.parent.glob("*.bin"), *index.parent.glob("*.npz")):
                other.unlink(missing_ok=True)
            _write(path, index, pictures())
            found = _read(path, index)
            assert found is not None
        return found


def _write(path: Path, index: Path, pictures: Pictures) -> None:
    """Decode pictures in any order, then copy them in that of their digests; the index is written last."""
    names: list[tuple[str, str]] = []
    where: dict[str, tuple[int, int, int]] = {}
    with storage_errors(path), tempfile.TemporaryFile(dir=path.parent) as raw:
        for name, pixels in pictures:
            digest = digest_of(pixels)
            names.append((name, digest))
            if digest not in where:
                where[digest] = (raw.tell(), pixels.shape[0], pixels.shape[1])
                raw.write(np.ascontiguousarray(pixels).data)
        order = sorted(where)
        sizes = np.zeros((len(order), 3), dtype=np.int64)
        with atomic_path(path) as final:
            with final.open("wb") as file:
                for i, digest in enumerate(order):
                    begin, height, width = where[digest]
                    raw.seek(begin)
                    sizes[i] = (file.tell(), height, width)
                    file.write(raw.read(height * width * 3))
            content = sha256_file(final)
        path.chmod(0o444)
    rank = {digest: i for i, digest in enumerate(order)}
    with atomic_path(index) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            sizes=sizes,
            digests=np.array(order, dtype="U64"),
            names=np.array([name for name, _ in names], dtype=np.str_),
            ranks=np.array([rank[digest] for _, digest in names], dtype=np.int64),
            content=np.array(content),
        )


def _read(path: Path, index: Path) -> PixelStore | None:
    """The store in these files; None if one is missing, or damaged in a single byte."""
    try:
        with np.load(index, allow_pickle=False) as found:
            sizes, digests, content = found["sizes"], found["digests"], str(found["content"])
            places = dict(zip(map(str, found["names"]), map(int, found["ranks"]), strict=True))
        state = path.lstat()
        seen = _content(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if not stat.S_ISREG(state.st_mode) or seen != content:
            return None
    except Exception:  # noqa: BLE001  numpy raises a dozen kinds of error for damaged files
        return None
    if sizes.shape != (len(digests), 3) or not all(0 <= place < len(digests) for place in places.values()):
        return None
    return PixelStore(path, sizes, digests, places)


@lru_cache(maxsize=16)
def _content(path: Path, *state: int) -> str:
    """SHA-256 of a file that is read once for as long as nothing touches it. Workers check each picture besides."""
    return sha256_file(path)
