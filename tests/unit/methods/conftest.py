"""People, photos and a target whose insides are known, for methods whose answers can be computed by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from idbench.api import Case, Context, Pair, Photo, Silent, TargetInfo

SIDE = 8
DIM = 12


def make_photo(pixels: NDArray[np.uint8]) -> Photo:
    return Photo(hashlib.sha256(pixels.tobytes()).hexdigest(), lambda: pixels)


def random_photos(n: int, seed: int = 0, side: int = SIDE) -> list[Photo]:
    rng = np.random.default_rng(seed)
    return [make_photo(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(n)]


class LinearTarget:
    """A target whose image embedding is a fixed matrix times the pixels.

    Args:
        texts: embedding of each text, (DIM,); others get a random one that depends on the text alone.
        matrix: (DIM, 3 * SIDE * SIDE); None: random.
    """

    def __init__(
        self, texts: Mapping[str, NDArray[np.float64]] | None = None, matrix: torch.Tensor | None = None
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(DIM, 3 * SIDE * SIDE, generator=generator, dtype=torch.float64) / SIDE
        self.matrix = drawn if matrix is None else matrix
        self._texts = dict(texts or {})
        self.gradients = 0
        self.largest_batch = 0

    @property
    def info(self) -> TargetInfo:
        return TargetInfo("linear", "linear", (SIDE, SIDE), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), DIM)

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        pixels = np.stack([photo.pixels() for photo in photos]).astype(np.float32) / 255
        return torch.from_numpy((pixels - 0.5) / 0.25).permute(0, 3, 1, 2).contiguous()

    def text(self, text: str) -> NDArray[np.float64]:
        if text not in self._texts:
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
            self._texts[text] = np.random.default_rng(seed).standard_normal(DIM)
        return self._texts[text]

    def _cosines(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        wanted = torch.from_numpy(np.stack([self.text(text) for text in texts]))
        return torch.nn.functional.cosine_similarity(self._embed(images), wanted)

    def _embed(self, images: torch.Tensor) -> torch.Tensor:
        return images.double().flatten(1) @ self.matrix.T

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        return self._embed(images).float()

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        embedded: NDArray[np.float32] = self.embed_images(self.preprocess(photos)).numpy()
        return embedded

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.text(text) for text in texts]).astype(np.float32)

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        return self._cosines(images, texts).float()

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        self.gradients += len(images)
        self.largest_batch = max(self.largest_batch, len(images))
        pixels = images.detach().clone().requires_grad_(True)
        cosines = self._cosines(pixels, texts)
        (gradients,) = torch.autograd.grad(cosines.sum(), pixels)
        return cosines.detach().float(), gradients

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        left = torch.nn.functional.normalize(self._embed(self.preprocess(photos)), dim=1).numpy()
        right = np.stack([self.text(text) / np.linalg.norm(self.text(text)) for text in texts])
        cosines: NDArray[np.float32] = (left @ right.T).astype(np.float32)
        return cosines

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(
            [self.similarities([photo], [text])[0, 0] for photo, text in zip(photos, texts, strict=True)],
            dtype=np.float32,
        )

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        best: NDArray[np.int64] = self.similarities(photos, texts).argmax(axis=1)
        return best

    def weights(self) -> torch.nn.Module:
        raise NotImplementedError


@pytest.fixture
def linear_target() -> type[LinearTarget]:
    return LinearTarget


@pytest.fixture
def photos() -> Callable[..., list[Photo]]:
    return random_photos


@pytest.fixture
def photo() -> Callable[[NDArray[np.uint8]], Photo]:
    return make_photo


@pytest.fixture
def people() -> Callable[..., list[Case]]:
    def make(n: int, n_photos: int = 3, seed: int = 0) -> list[Case]:
        return [
            Case(f"case-{i}", f"Vorname{i} Nachname{i}", random_photos(n_photos, seed=1000 * (seed + 1) + i))
            for i in range(n)
        ]

    return make


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    def make(seed: int = 0, candidates: Sequence[str] = (), n_pairs: int = 5) -> Context:
        return Context(
            seed=seed,
            device="cpu",
            cache=tmp_path,
            progress=Silent(),
            candidates=tuple(candidates),
            pairs=tuple(Pair(photo, "a photo of somebody") for photo in random_photos(n_pairs, seed=77)),
        )

    return make
