"""Writes tensors to disk: complete or not at all, and a full disk is told as what it is.

The writers of torch and safetensors hide a disk's refusal behind errors of their own; bytes from memory do not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from idbench.storage import write_bytes


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically.

    Raises:
        StorageError: no space or no permission.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(ready, None if metadata is None else dict(metadata)))


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training for `torch.load(..., weights_only=True)`, atomically.

    Raises:
        StorageError: no space or no permission.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(path, buffer.getvalue())
