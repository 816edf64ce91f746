"""Checks that a target is what its spec says: hashes, strict loading, and golden embeddings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.errors import TargetError
from idbench.progress import Silent
from idbench.storage import sha256_file, storage_errors, write_text
from idbench.targets.fetch import packaged_file
from idbench.targets.images import encode_images
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.public_models import described, model_config
from idbench.targets.spec import LocalFile, Packaged, TargetSpec
from idbench.targets.texts import TextEncoder

GOLDEN_TOLERANCE = 1e-4
"""Largest difference of an embedding's coordinate, relative to the embedding's largest: room for other processors."""

GOLDEN_TEXTS = ("", "a photo of a person", "actor in a suit", "a cropped image of a woman", "q7#zk!0 vx")
_GOLDEN_IMAGES = 4


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked of a target.

    Args:
        name: of the target.
        sha256: of its weights.
        pinned: whether that hash was published; a file of the user's own is only hashed.
        preprocessing: how photos become its inputs, in a few words.
        quick_gelu: whether it computes QuickGELU.
        largest_difference: to the golden embeddings, relative; None: it has none.
    """

    name: str
    sha256: str
    pinned: bool
    preprocessing: str
    quick_gelu: bool
    largest_difference: float | None


def verify_target(spec: TargetSpec, device: str = "cpu") -> Verified:
    """Check a target's hashes, load it strictly, and compare it with its golden embeddings.

    Args:
        spec: see `idbench.targets.resolve_target`.
        device: where to compute.

    Raises:
        TargetError: one of the checks failed.
    """
    target = load_target(spec, device)
    difference = None
    if spec.golden_sha256 is not None and isinstance(spec.weights, Packaged):
        difference = _golden_difference(target, _golden_file(spec, spec.weights))
        if difference > GOLDEN_TOLERANCE:
            raise TargetError(
                f"{spec.name} loads, but its embeddings differ from the published ones by {difference:.1e}.",
                hint="torch or open_clip computes something else here: `bench doctor` lists the versions.",
            )
    return Verified(
        name=spec.name,
        sha256=target.sha256,
        pinned=spec.sha256 is not None and not isinstance(spec.weights, LocalFile),
        preprocessing=described(target.preprocessing),
        quick_gelu=bool(model_config(target.spec).get("quick_gelu", False)),
        largest_difference=difference,
    )


def write_golden(target: LoadedTarget, path: Path) -> str:
    """Write the golden embeddings of a target; done once, when its weights are published.

    Returns:
        SHA-256 of the file.
    """
    embeddings = _golden_embeddings(target)
    lists = {name: [[float(f"{x:.7g}") for x in row] for row in rows] for name, rows in embeddings.items()}
    write_text(path, json.dumps(lists, indent=0) + "\n")
    return sha256_file(path)


def golden_images(target: LoadedTarget) -> torch.Tensor:
    """Inputs that need no data: smooth waves of several lengths, in the normalized space."""
    height, width = target.info.image_size
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    waves = [torch.stack([torch.sin((k + 1) * (x + c * y) + c) for c in range(3)]) for k in range(_GOLDEN_IMAGES)]
    return torch.stack(waves).to(target.device)


def _golden_embeddings(target: LoadedTarget) -> dict[str, NDArray[np.float32]]:
    return {
        "images": encode_images(target, golden_images(target)).cpu().numpy(),
        "texts": TextEncoder(target, Silent()).embed(GOLDEN_TEXTS).cpu().numpy(),
    }


def _golden_file(spec: TargetSpec, weights: Packaged) -> Path:
    path = packaged_file(f"{Path(weights.file).stem}.golden.json")
    if sha256_file(path) != spec.golden_sha256:
        raise TargetError(f"The golden embeddings of {spec.name} ({path}) are damaged.", hint="Reinstall idbench.")
    return path


def _golden_difference(target: LoadedTarget, path: Path) -> float:
    with storage_errors(path):
        golden: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    worst = 0.0
    for name, computed in _golden_embeddings(target).items():
        expected = np.asarray(golden[name], dtype=np.float64)
        worst = max(worst, float(np.abs(computed - expected).max() / np.abs(expected).max()))
    return worst
