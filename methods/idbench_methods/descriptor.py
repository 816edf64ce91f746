"""A fixed image descriptor of colours and edges: nothing is learned, and no target is asked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from idbench.api import Photo

SIDE = 32
"""Photos are averaged down (or repeated up) to SIDE x SIDE pixels first."""
_SCALES = (1, 2, 4)
_CELLS = 4
_ORIENTATIONS = 8
_BLOCK = 512
LENGTH = 6 * sum(scale**2 for scale in _SCALES) + _CELLS**2 * _ORIENTATIONS
"""Numbers per photo."""


def describe_photos(photos: Sequence[Photo]) -> NDArray[np.float32]:
    """Descriptor of each photo, (n, LENGTH); decodes a block at a time, so that memory stays small."""
    rows = np.empty((len(photos), LENGTH), dtype=np.float32)
    stream = iter(photos)
    start = 0
    while block := list(islice(stream, _BLOCK)):
        rows[start : start + len(block)] = describe(np.stack([_small(photo.pixels()) for photo in block]))
        start += len(block)
    return rows


def describe(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Descriptors of images of SIDE x SIDE pixels.

    Args:
        images: (n, SIDE, SIDE, 3), RGB, 0 to 1.

    Returns:
        (n, LENGTH): mean and standard deviation of each colour on grids of 1, 2 and 4 cells a side, then the
        gradient's strength by direction (8 unsigned bins, the first around 0) in each of 4 x 4 cells,
        normalized per image.
    """
    rows: NDArray[np.float32] = np.concatenate([_colours(images), _edges(images)], axis=1)
    return rows


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    from PIL import Image

    resized = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    small: NDArray[np.float32] = np.asarray(resized, dtype=np.float32)
    return small / np.float32(255)


def _block_means(values: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """(n, side, side, c) -> (n, scale, scale, c), means over blocks."""
    n, side, _, channels = values.shape
    size = side // scale
    rows = values.reshape(n, scale, size, side * channels).mean(axis=2)
    blocks: NDArray[np.float64] = rows.reshape(n, scale, scale, size, channels).mean(axis=3)
    return blocks


def _colours(images: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = images.astype(np.float64)
    mean, square = _block_means(wide, _SCALES[-1]), _block_means(wide**2, _SCALES[-1])
    parts = []
    for scale in _SCALES:
        centre = _block_means(mean, scale)
        # Rounding may carry the variance of a flat cell below zero.
        deviation = np.sqrt(np.maximum(_block_means(square, scale) - centre**2, 0))
        parts += [centre.reshape(len(images), -1), deviation.reshape(len(images), -1)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _edges(images: NDArray[np.float32]) -> NDArray[np.float32]:
    down, right = np.gradient(images.mean(axis=3, dtype=np.float64), axis=(1, 2))
    # Level and upright edges, the most frequent ones, lie in the middle of a bin: on a border, rounding that differs
    # between processors would decide where they are counted.
    angle = np.mod(np.arctan2(down, right) + np.pi / (2 * _ORIENTATIONS), np.pi)
    direction = np.minimum((angle * (_ORIENTATIONS / np.pi)).astype(np.int64), _ORIENTATIONS - 1)
    place = np.arange(SIDE) * _CELLS // SIDE
    cell = place[:, None] * _CELLS + place
    photo = np.arange(len(images))[:, None, None]
    slot = (photo * _CELLS**2 + cell) * _ORIENTATIONS + direction
    length = _CELLS**2 * _ORIENTATIONS
    counted = np.bincount(slot.ravel(), np.hypot(down, right).ravel(), minlength=len(images) * length)
    histogram = counted.reshape(len(images), length)
    # A flat photo has no edges: its histogram stays zero.
    strength = np.maximum(np.linalg.norm(histogram, axis=1, keepdims=True), 1e-6)
    scaled: NDArray[np.float32] = (histogram / strength).astype(np.float32)
    return scaled
