"""Near-duplicate photos: the same picture stored, cropped by a hair, or compressed again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_GRID = 8
_BLOCK = 2048
NEAR = 6.0
"""Photos whose signatures differ by less than this (root mean square, of 255) count as the same picture.

Measured on `avatars`: JPEG of quality 85 moves a signature by at most 4.6, and no attack photo comes nearer than 9 to a
training picture.
"""


def signature(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean colours on an 8 x 8 grid, float32 (192,), of uint8 (h, w, 3) pixels of any size."""
    from PIL import Image

    small = Image.fromarray(pixels).resize((_GRID, _GRID), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).reshape(-1)


def signatures(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Signatures of many pictures of one size, float32 (n, 192), of uint8 (n, h, w, 3)."""
    n, height, width, _ = images.shape
    if height % _GRID or width % _GRID:
        return np.array([signature(image) for image in images], dtype=np.float32).reshape(n, 3 * _GRID * _GRID)
    out = np.empty((n, 3 * _GRID * _GRID), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        block = np.asarray(images[start : start + _BLOCK])
        cells = block.reshape(len(block), _GRID, height // _GRID, _GRID, width // _GRID, 3)
        out[start : start + _BLOCK] = cells.mean(axis=(2, 4), dtype=np.float32).reshape(len(block), -1)
    return out


def near_pairs(left: NDArray[np.float32], right: NDArray[np.float32]) -> Iterable[tuple[int, int, float]]:
    """Pairs (index in left, index in right, distance) of signatures closer than `NEAR`.

    Args:
        left: float32 (n, d).
        right: float32 (m, d). The same array as `left` compares each pair of rows once and no row with itself.
    """
    limit = NEAR**2 * left.shape[1]
    right_norm = np.einsum("ij,ij->i", right, right)
    for i in range(0, len(left), _BLOCK):
        block = left[i : i + _BLOCK]
        norm = np.einsum("ij,ij->i", block, block)
        for j in range(i if left is right else 0, len(right), _BLOCK):
            rough = norm[:, None] + right_norm[None, j : j + _BLOCK] - 2 * (block @ right[j : j + _BLOCK].T)
            # The expanded square loses digits in float32, so that candidates are taken widely and measured again.
            for a, b in np.argwhere(rough < limit + 1e-4 * norm[:, None]):
                row, column = i + int(a), j + int(b)
                distance = float(np.sqrt(np.mean((left[row] - right[column]) ** 2)))
                if distance < NEAR and (left is not right or row < column):
                    yield row, column, distance
