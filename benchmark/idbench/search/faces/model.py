"""The face classifier: a torchvision ResNet with the people's names inside its safetensors file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from idbench.errors import DataError
from idbench.search.faces import Architecture, Crop
from idbench.splits import decode_photo
from idbench.splits.faces import check_detector, largest_face
from idbench.storage import require_regular, sha256_file, storage_errors
from idbench.targets.checkpoints import write_weights

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which torchvision's weights expect."""

_KEY = "idbench-face-classifier"
_BATCH = 64


class FaceSpec(BaseModel):
    """What is needed to use the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    arch: Architecture
    image_size: int = Field(ge=16, le=1024, description="Pixels of a side.")
    crop: Crop
    people: tuple[str, ...] = Field(min_length=2, description="Name of each class, in the order of the outputs.")
    accuracy: float = Field(ge=0, le=1, description="Share of held-out photos whose person was named right.")
    held_out: int = Field(ge=0, description="Photos that accuracy was measured on.")
    seed: int


class FaceClassifier:
    """A trained classifier, ready to name faces.

    Args:
        spec: what it was trained as.
        model: its network.
        sha256: of its file.
    """

    def __init__(self, spec: FaceSpec, model: torch.nn.Module, sha256: str) -> None:
        self.spec = spec
        self.sha256 = sha256
        self._model = model.eval()

    @property
    def people(self) -> frozenset[str]:
        """Everybody whom it was trained on."""
        return frozenset(self.spec.people)

    def name(self, pictures: Sequence[bytes]) -> list[str | None]:
        """The most likely person on each picture; None where no face is found or the picture is damaged."""
        squares: list[NDArray[np.uint8] | None] = []
        for number, data in enumerate(pictures):
            try:
                squares.append(face_square(data, str(number), self.spec.image_size, self.spec.crop))
            except DataError:
                squares.append(None)
        seen = [square for square in squares if square is not None]
        named = iter([self.spec.people[i] for i in self._classes(seen)])
        return [None if square is None else next(named) for square in squares]

    @torch.inference_mode()
    def _classes(self, squares: Sequence[NDArray[np.uint8]]) -> list[int]:
        found: list[int] = []
        for low in range(0, len(squares), _BATCH):
            found += self._model(normalized(np.stack(squares[low : low + _BATCH]))).argmax(dim=1).tolist()
        return found


def normalized(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) as the network takes it."""
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255
    return (images - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)


def build_network(arch: Architecture, classes: int) -> torch.nn.Module:
    """A network with random weights."""
    import torchvision

    network: torch.nn.Module = torchvision.models.get_model(arch, weights=None, num_classes=classes)
    return network


def save_classifier(path: Path, spec: FaceSpec, model: torch.nn.Module) -> None:
    """Write weights and spec into one file, atomically."""
    write_weights(path, model.state_dict(), {_KEY: spec.model_dump_json()})


def load_classifier(path: Path) -> FaceClassifier:
    """Read a classifier; nothing in the file can run code.

    Raises:
        DataError: missing, damaged, or something else.
    """
    hint = "Give a file that `bench data face-classifier train` wrote."
    with storage_errors(path):
        require_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            stored = (file.metadata() or {}).get(_KEY)
            if stored is None:
                raise DataError(f"{path} holds no face classifier.", hint=hint)
            spec = FaceSpec.model_validate(json.loads(stored))
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
        model = build_network(spec.arch, len(spec.people))
        model.load_state_dict(tensors)
    except (SafetensorError, ValidationError, ValueError, RuntimeError, OSError) as error:
        raise DataError(f"{path} is damaged or of another version.", hint=hint) from error
    return FaceClassifier(spec, model, sha256_file(path))


def face_square(data: bytes, what: str, size: int, crop: Crop) -> NDArray[np.uint8] | None:
    """The face on a picture, uint8 (size, size, 3) RGB; None if a face is wanted and none is found.

    Args:
        data: the encoded picture.
        what: its name, for the error's text.
        size: pixels of a side.
        crop: `haar`: the largest face that the cascade finds. `none`: the whole picture is the face.

    Raises:
        DataError: not a picture.
        IdbenchError: OpenCV is wanted and not installed.
    """
    from PIL import Image

    pixels = decode_photo(data, what)
    if crop == "haar":
        box = largest_face(pixels)
        if box is None:
            return None
        left, top, right, bottom = box
        pixels = pixels[top:bottom, left:right]
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def check_crop(crop: Crop) -> None:
    """Fail at once, not after the first thousand pictures.

    Raises:
        IdbenchError: OpenCV is wanted and not installed.
    """
    if crop == "haar":
        check_detector("pass --crop none for pictures that show the face alone")
