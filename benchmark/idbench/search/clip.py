"""A CLIP model as the searcher uses it: embeds photos for an index, and names the people on neighbours' pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.api import Access, Photo, Progress
from idbench.errors import DataError
from idbench.splits import decode_photo
from idbench.storage import sha256_bytes
from idbench.targets import target_meant
from idbench.targets.load import load_target
from idbench.targets.view import View

PROMPT = "a photo of {}"


class Clip:
    """A loaded target.

    Args:
        ref: as on the command line, e.g. `open_clip:ViT-L-14/openai`.
        device: auto, cpu, cuda:0, ...
        progress: receives reports on encoding.

    Raises:
        TargetError, UnknownNameError: it cannot be found or loaded.
    """

    def __init__(self, ref: str, device: str = "cpu", progress: Progress | None = None) -> None:
        self.ref = ref
        self._view = View(
            load_target(target_meant(ref), device), Access.LABEL | Access.IMAGE_EMBEDDING, progress=progress
        )

    def embed(self, photos: Sequence[bytes]) -> NDArray[np.float32]:
        """Normalized embeddings of encoded photos, (n, d); `close` keeps them on disk for the next search.

        Raises:
            DataError: one is not a picture.
        """
        rows = self._view.embed_photos([_photo(data, f"number {i + 1}") for i, data in enumerate(photos)])
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)

    def close(self) -> None:
        """Keep embeddings for the next search."""
        self._view.close()

    def label(self, pictures: Sequence[bytes], names: Sequence[str]) -> list[str | None]:
        """The name that fits each picture best among all; None for damaged pictures."""
        photos: list[Photo | None] = []
        for data in pictures:
            try:
                photos.append(_photo(data, "of a neighbour"))
            except DataError:
                photos.append(None)
        seen = [photo for photo in photos if photo is not None]
        found = iter(self._view.labels(seen, [PROMPT.format(name) for name in names]).tolist() if seen else [])
        return [None if photo is None else names[next(found)] for photo in photos]


class ClipNamer:
    """Names people on pictures by zero-shot classification among given names.

    Args:
        clip: the model.
        names: names to choose among, at least two: all the people searched for, preferably many more.

    Raises:
        DataError: fewer than two names: every picture would show the only one.
    """

    def __init__(self, clip: Clip, names: Sequence[str]) -> None:
        self._clip, self._names = clip, list(dict.fromkeys(names))
        if len(self._names) < 2:
            raise DataError(
                "CLIP can only choose among at least two names.",
                hint="Search for more people, or leave --clip-hits out.",
            )

    @property
    def people(self) -> frozenset[str]:
        """The names among which it chooses."""
        return frozenset(self._names)

    def name(self, pictures: Sequence[bytes]) -> list[str | None]:
        """One name for each picture."""
        return self._clip.label(pictures, self._names)


def _photo(data: bytes, what: str) -> Photo:
    pixels = decode_photo(data, what)  # at once, so that a damaged picture is known before it is in a batch
    height, width, _ = pixels.shape
    return Photo(sha256_bytes(f"{height}x{width}:".encode() + pixels.tobytes()), lambda: pixels)
