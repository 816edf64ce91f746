"""Shadow models on disk: what each is trained on, and the folder where trained ones are found by their key."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from idbench.storage import atomic_path, make_dir, sha256_file, write_text
from idbench.targets.spec import TargetSpec, TrainingRecipe
from idbench.targets.train import Trained


@dataclass(frozen=True, slots=True)
class ShadowData:
    """What one shadow is trained on; a `TrainingData` of `idbench.targets.train`.

    Args:
        pictures: of all shadows, uint8 (any, h, w, 3), possibly mapped from disk.
        places: of this shadow's own among them, (n,).
        caption_ids: (n,).
        captions: the distinct captions.
        digest: over pictures and captions.
    """

    pictures: NDArray[np.uint8]
    places: NDArray[np.int64]
    caption_ids: NDArray[np.int64]
    captions: list[str]
    digest: str

    @property
    def images(self) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 3), copied."""
        return self.pictures[self.places]


@dataclass(frozen=True, slots=True)
class ShadowNote:
    """Kept next to a trained shadow: SHA-256 of its weights, optimizer steps, last loss, seconds of training."""

    sha256: str
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """One shadow to be: how it is trained and on what, and the key that follows from both."""

    spec: TargetSpec
    data: ShadowData
    key: str

    @property
    def recipe(self) -> TrainingRecipe:
        """With the shadow's own seed and batch."""
        assert self.spec.recipe is not None
        return self.spec.recipe

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of a pass over the data."""
        return len(self.data.places) // self.recipe.batch_size


class ShadowStore:
    """A folder of trained shadows: `KEY.safetensors` with `KEY.json`, which is written last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def weights(self, key: str) -> Path:
        """Where the weights are or go."""
        return self.folder / f"{key}.safetensors"

    def lock(self, key: str) -> FileLock:
        """Held by the process that trains this shadow."""
        make_dir(self.folder)
        return FileLock(self.folder / f".{key}.lock")

    def find(self, key: str) -> ShadowNote | None:
        """What is known of a finished shadow; None if there is none, or if its files are damaged."""
        try:
            kept = ShadowNote(**json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8")))
            return kept if self.weights(key).is_file() and sha256_file(self.weights(key)) == kept.sha256 else None
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, key: str, trained: Trained, seconds: float) -> None:
        """Say that the weights are complete."""
        about = {"sha256": trained.sha256, "steps": trained.steps, "loss": trained.loss, "seconds": seconds}
        write_text(self.folder / f"{key}.json", json.dumps(about) + "\n")

    def take(self, key: str, other: ShadowStore) -> None:
        """Copy a finished shadow from another store, from which is only read; nothing if it has none."""
        if self.find(key) is None and (found := other.find(key)) is not None:
            make_dir(self.folder)
            with atomic_path(self.weights(key)) as copy:
                shutil.copyfile(other.weights(key), copy)
            write_text(self.folder / f"{key}.json", json.dumps(asdict(found)) + "\n")
