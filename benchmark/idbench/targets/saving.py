"""Writes tensors to disk: complete or not at all, and a full disk is told as what it is.

The writers of torch and safetensors hide a disk's refusal behind errors of their own; bytes from memory do not.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from idbench.errors import TargetError
from idbench.storage import write_bytes

UNREADABLE: Final = (
    *(RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError, OSError),
    pickle.UnpicklingError,
)
"""What torch raises for files that are no checkpoints, or not whole."""


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically.

    Raises:
        StorageError: no space or no permission.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(ready, None if metadata is None else dict(metadata)))


def check_finite(tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse weights that nothing can be computed with; the loss looks well until the step after.

    Raises:
        TargetError: one of them is NaN or infinite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TargetError(
                f"The training of {what} diverged: its weights are NaN or infinite (first in {name}).",
                hint="Lower the learning rate.",
            )


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training for `torch.load(..., weights_only=True)`, atomically.

    Raises:
        StorageError: no space or no permission.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(path, buffer.getvalue())


def read_checkpoint(path: Path, training: str) -> dict[str, Any] | None:
    """What `write_checkpoint` wrote; None without a file, or if it is damaged or of another training.

    Args:
        path: the checkpoint.
        training: what its `id` must be.
    """
    if not path.is_file():
        return None
    try:
        # To the CPU first: the optimizer counts its steps there, and would wait for a GPU at each of them.
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return saved if saved["id"] == training else None
    except UNREADABLE:
        return None
