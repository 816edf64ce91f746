"""The target as one method sees it: what its card declares, counted."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api.cases import Pair, Photo
from idbench.api.target import TargetInfo
from idbench.api.words import Access
from idbench.errors import AccessViolation, MethodError
from idbench.progress import Progress, Silent
from idbench.storage import cache_dir
from idbench.targets.images import PhotoEncoder, encode_images
from idbench.targets.load import LoadedTarget
from idbench.targets.memory import LARGEST_MATRIX, Batches, batch_for, gradient_bytes
from idbench.targets.shadows import ShadowTally, train_shadows
from idbench.targets.texts import TextEncoder

_GRADIENT_BATCH = 128
"""Images per forward and backward pass; measured best for the shipped targets (benchmark/perf/text_engine.py)."""

_FLOAT16_SCALE = 2.0**10
"""Gradients of a cosine by pixels are small; float16 has nothing below 6e-8."""

_ACTIVATIONS = 60
"""Working memory of one image without gradients, in sizes of the image itself; ample."""


@dataclass(frozen=True, slots=True)
class QueryCounts:
    """What a method asked of a target.

    Args:
        texts: distinct texts that were encoded.
        images: distinct photos, and images in the normalized space, that were encoded. A photo whose embedding was
            kept from an earlier run counts too: the count is the method's, not the machine's.
        pairs: similarities, those behind labels among them.
        gradients: gradients with respect to one image.
        training_steps: optimizer steps of shadow models; those of models kept from an earlier run count too.
    """

    texts: int = 0
    images: int = 0
    pairs: int = 0
    gradients: int = 0
    training_steps: int = 0


class View:
    """A target as one method may use it; see `idbench.api.TargetView` for what each query means.

    Declared access is enforced so that no method gets undeclared results by accident, and so that a reader of the
    code of one that gets them on purpose can see it. Python hides nothing from code in the same process that digs:
    this is a fence, not a wall, and reviews of submitted methods stay necessary.

    Args:
        target: what is asked.
        access: what the method's card declares.
        progress: receives reports on encoding many texts or photos.
        cache: folder for embeddings of photos that outlive the run; None: `embeddings` in the cache.
        kept: another folder of embeddings, from which is only read; None: no other.
        shadows: folder for shadow models that outlive the run; None: `shadows` in the cache.
        kept_shadows: another folder of shadow models, from which is only read; None: no other.
    """

    def __init__(
        self,
        target: LoadedTarget,
        access: Access,
        *,
        progress: Progress | None = None,
        cache: Path | None = None,
        kept: Path | None = None,
        shadows: Path | None = None,
        kept_shadows: Path | None = None,
    ) -> None:
        reporter = self.__progress = Silent() if progress is None else progress
        self.__target = target
        self.__access = access
        self.__texts = TextEncoder(target, reporter)
        self.__cache = cache_dir("embeddings") if cache is None else cache
        self.__kept = kept
        self.__photos = PhotoEncoder(target, self.__cache, reporter, kept)
        self.__shadow_folder = cache_dir("shadows") if shadows is None else shadows
        self.__kept_shadows = kept_shadows
        self.__shadows: dict[str, View] = {}
        self.__shadow_costs: ShadowTally | None = None
        self.__images = 0
        self.__pairs = 0
        self.__gradients = 0
        height, width = target.info.image_size
        self.__batches = Batches(batch_for(target.device, _ACTIVATIONS * 12 * height * width, _GRADIENT_BATCH))
        self.__gradient_batches: Batches | None = None

    @property
    def info(self) -> TargetInfo:
        """What is known without asking."""
        return self.__target.info

    @property
    def queries(self) -> QueryCounts:
        """What was asked so far."""
        return QueryCounts(
            texts=len(self.__texts),
            images=len(self.__photos) + self.__images,
            pairs=self.__pairs,
            gradients=self.__gradients,
            training_steps=0 if self.__shadow_costs is None else self.__shadow_costs.steps,
        )

    @property
    def shadow_costs(self) -> ShadowTally | None:
        """What the shadow models cost so far; None: there are none."""
        return self.__shadow_costs

    def close(self) -> None:
        """Keep embeddings of photos for later runs; call it when the method has finished."""
        for view in (self, *self.__shadows.values()):
            view.__photos.save()

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """Index of the text that fits each photo best, (n_photos,); the first of equals. Needs LABEL or SIMILARITY."""
        self.__need("labels", Access.LABEL, Access.SIMILARITY)
        names = _texts(texts)
        if not names:
            raise MethodError("The method asked for labels without giving texts.", hint="Give at least one text.")
        # Equal texts become one column, for equal columns of a product may differ in the last bit.
        places: dict[str, int] = {}
        for place, text in enumerate(names):
            places.setdefault(text, place)
        distinct, first = list(places), np.array(list(places.values()), dtype=np.int64)
        result = np.empty(len(photos), dtype=np.int64)
        right = self.__normalized_texts(distinct)
        for low, high, left in self.__blocks_of(photos, len(distinct)):
            result[low:high] = first[(left @ right.T).argmax(dim=1).cpu().numpy()]
        self.__pairs += len(photos) * len(names)
        return result

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines in -1..1, (n_photos, n_texts). Needs SIMILARITY."""
        self.__need("similarities", Access.SIMILARITY)
        names = _texts(texts)
        result = np.empty((len(photos), len(names)), dtype=np.float32)
        right = self.__normalized_texts(names)
        for low, high, left in self.__blocks_of(photos, len(names)):
            result[low:high] = _cosines(left @ right.T).cpu().numpy()
        self.__pairs += len(photos) * len(names)
        return result

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of each photo with the text at the same place, (n,). Needs SIMILARITY."""
        self.__need("paired_similarities", Access.SIMILARITY)
        names = _texts(texts, len(photos))
        left, right = self.__normalized_photos(photos), self.__normalized_texts(names)
        self.__pairs += len(names)
        result: NDArray[np.float32] = _cosines((left * right).sum(dim=1)).cpu().numpy()
        return result

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Text embeddings as the model returns them, not normalized, (n_texts, dim). Needs TEXT_EMBEDDING."""
        self.__need("embed_texts", Access.TEXT_EMBEDDING)
        result: NDArray[np.float32] = self.__texts.embed(_texts(texts)).cpu().numpy()
        return result

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Image embeddings, not normalized, (n_photos, dim). Needs IMAGE_EMBEDDING."""
        self.__need("embed_photos", Access.IMAGE_EMBEDDING)
        return self.__photos.embed(photos)

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Photos as the model takes them: float (n, 3, height, width) in the normalized space, on the run's device."""
        return self.__photos.preprocess(photos)

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings of images in the normalized space, (n, 3, height, width) -> (n, dim), no gradient.

        Needs IMAGE_EMBEDDING.
        """
        self.__need("embed_images", Access.IMAGE_EMBEDDING)
        return self.__encode(self.__checked(images))

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Cosine of each image (normalized space) with the text at the same place, (n,), no gradient.

        Needs SIMILARITY.
        """
        self.__need("image_similarities", Access.SIMILARITY)
        pixels = self.__checked(images)
        right = self.__normalized_texts(_texts(texts, len(pixels)))
        left = torch.nn.functional.normalize(self.__encode(pixels), dim=-1)
        self.__pairs += len(pixels)
        return _cosines((left * right).sum(dim=1))

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine of each image with the text at the same place, (n,), and its gradient, (n, 3, height, width).

        One gradient query per image; texts are encoded once however often they come back. Needs GRADIENT.
        """
        self.__need("similarity_gradients", Access.GRADIENT)
        pixels = self.__checked(images)
        right = self.__normalized_texts(_texts(texts, len(pixels)))
        cosines = torch.empty(len(pixels), device=pixels.device)
        gradients = torch.empty_like(pixels)
        target = self.__target

        def work(low: int, high: int) -> tuple[torch.Tensor, torch.Tensor]:
            return cosine_gradient(target.model, pixels[low:high], right[low:high], target.half)

        for low, high, (cosine, gradient) in self.__gradients_at_once(pixels, right).run(len(pixels), work):
            cosines[low:high] = cosine
            gradients[low:high] = gradient
        self.__gradients += len(pixels)
        return cosines, gradients

    def weights(self) -> torch.nn.Module:
        """A copy of the model itself, in evaluation mode, its weights ready for gradients. Needs WEIGHTS."""
        self.__need("weights", Access.WEIGHTS)
        return copy.deepcopy(self.__target.model).requires_grad_(True).eval()

    def train_shadows(self, sets: Sequence[Sequence[Pair]], seed: int, epochs: float = 1.0) -> tuple[View, ...]:
        """Look-alikes of the target, trained by its recipe on other data, in order of `sets`. Needs TRAIN_SHADOWS.

        Raises:
            TargetError: the target's recipe is unknown, or a training failed.
            MethodError: a set has fewer than two pairs.
        """
        self.__need("shadow models", Access.TRAIN_SHADOWS)
        loaded, costs = train_shadows(
            self.__target, sets, seed, epochs, self.__shadow_folder, self.__progress, self.__kept_shadows
        )
        self.__shadow_costs = costs if self.__shadow_costs is None else self.__shadow_costs + costs
        return tuple(self.__shadow(one) for one in loaded)

    def __shadow(self, model: LoadedTarget) -> View:
        """The attacker's own model, of which everything may be asked but shadows of its own.

        The same one where it was asked for before: it need not encode again what it has encoded.
        """
        key = str(model.spec.sha256)
        if key not in self.__shadows:
            self.__shadows[key] = View(
                model, ~Access.TRAIN_SHADOWS, progress=self.__progress, cache=self.__cache, kept=self.__kept
            )
        return self.__shadows[key]

    def __need(self, query: str, *enough: Access) -> None:
        if not any(flag in self.__access for flag in enough):
            names = " or ".join(f"Access.{flag.name}" for flag in enough)
            raise AccessViolation(
                f"The method asked the target for {query}, which its card does not declare.",
                hint=f"Add {names} to the card's access.",
            )

    def __normalized_texts(self, texts: list[str]) -> torch.Tensor:
        return torch.nn.functional.normalize(self.__texts.embed(texts), dim=-1)

    def __blocks_of(self, photos: Sequence[Photo], columns: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Normalized embeddings of photos in blocks: first, last, (n, dim). What is new is encoded before the first."""
        self.__photos.prepare(photos)
        for low, high in _row_blocks(len(photos), columns):
            yield low, high, self.__normalized_photos(photos[low:high])

    def __normalized_photos(self, photos: Sequence[Photo]) -> torch.Tensor:
        embeddings = torch.from_numpy(self.__photos.embed(photos)).to(self.__target.device)
        return torch.nn.functional.normalize(embeddings, dim=-1)

    def __checked(self, images: torch.Tensor) -> torch.Tensor:
        height, width = self.info.image_size
        if not isinstance(images, torch.Tensor) or images.ndim != 4 or images.shape[1:] != (3, height, width):
            shape = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
            raise MethodError(
                f"The method gave images of shape {shape}; {self.info.name} takes (n, 3, {height}, {width}).",
                hint="Start from target.preprocess(photos) or target.info.image_size.",
            )
        pixels = images.detach().to(self.__target.device, torch.float32)
        if not bool(torch.isfinite(pixels.sum())):
            raise MethodError(
                "The method gave images with NaN or infinite pixels.", hint="Lower its step size or clamp the pixels."
            )
        return pixels

    def __gradients_at_once(self, pixels: torch.Tensor, texts: torch.Tensor) -> Batches:
        """Batches of gradients that fit the device's budget, by what the first image really takes."""
        if self.__gradient_batches is None and len(pixels):
            model = self.__target.model
            weights = (*model.parameters(), *model.buffers())
            each = gradient_bytes(lambda: cosine_gradient(model, pixels[:1], texts[:1]), weights)
            self.__gradient_batches = Batches(batch_for(self.__target.device, each, _GRADIENT_BATCH))
        return self.__gradient_batches or self.__batches

    def __encode(self, pixels: torch.Tensor) -> torch.Tensor:
        result = torch.empty((len(pixels), self.info.embedding_dim), device=pixels.device)
        target = self.__target
        for low, high, part in self.__batches.run(len(pixels), lambda a, b: encode_images(target, pixels[a:b])):
            result[low:high] = part
        self.__images += len(pixels)
        return result


def cosine_gradient(
    model: Any, images: torch.Tensor, texts: torch.Tensor, half: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines with normalized text embeddings, and their gradients with respect to the images alone, both float32.

    Args:
        model: one of open_clip's.
        images: in the normalized space, (n, 3, height, width).
        texts: (n, dim).
        half: the shorter type that the towers compute in by autocast; None: float32 throughout.
    """
    # Channels last: a third less time for convolutional towers on processors, the same for transformers.
    pixels = images.clone(memory_format=torch.channels_last).requires_grad_(True)
    with torch.autocast(images.device.type, half, enabled=half is not None):
        embeddings: torch.Tensor = model.encode_image(pixels)
    cosines = (torch.nn.functional.normalize(embeddings.float(), dim=-1) * texts).sum(dim=1)
    # Each cosine depends on its own image only, so the gradient of the sum holds all of them.
    scale = _FLOAT16_SCALE if half is torch.float16 else 1.0
    (gradients,) = torch.autograd.grad(scale * cosines.sum(), pixels)
    return _cosines(cosines.detach()), gradients if scale == 1.0 else gradients / scale


def _cosines(values: torch.Tensor) -> torch.Tensor:
    """Rounding may carry a cosine past one."""
    return values.clamp(-1.0, 1.0)


def _row_blocks(rows: int, columns: int) -> list[tuple[int, int]]:
    """Blocks of rows whose float32 products stay below LARGEST_MATRIX bytes."""
    step = max(1, LARGEST_MATRIX // (4 * max(1, columns)))
    return [(low, min(rows, low + step)) for low in range(0, rows, step)]


def _texts(texts: Sequence[str], length: int | None = None) -> list[str]:
    names = list(texts)
    if isinstance(texts, str) or not all(isinstance(text, str) for text in names):
        raise MethodError("The method gave texts that are not a list of strings.", hint="Give a list of strings.")
    if length is not None and len(names) != length:
        raise MethodError(
            f"The method gave {len(names)} texts for {length} images.", hint="Give one text for each image."
        )
    return names
