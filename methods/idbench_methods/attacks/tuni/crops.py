"""Random resized crops as pairs of small matrices, so that two products crop a whole batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class CropRange:
    """What random resized crops are drawn from.

    Args:
        low: smallest area, as a share of the image, 0 to 1.
        high: largest area, 0 to 1.
        ratio: largest ratio of width to height; the smallest is its inverse.
    """

    low: float
    high: float
    ratio: float


def random_boxes(rng: np.random.Generator, n: int, height: int, width: int, crop: CropRange) -> NDArray[np.float64]:
    """Boxes (top, left, height, width) in pixels, (n, 4).

    Area uniform, ratio log-uniform, place uniform; a box that does not fit is drawn anew, and the whole image is taken
    when ten have failed. Boxes need not begin or end at whole pixels.
    """
    area = rng.uniform(crop.low, crop.high, size=(n, _ATTEMPTS)) * height * width
    ratio = np.exp(rng.uniform(-1, 1, size=(n, _ATTEMPTS)) * math.log(crop.ratio))
    heights = np.sqrt(area / ratio)
    widths = np.sqrt(area * ratio)
    place = rng.uniform(size=(n, 2))
    fits = (heights <= height) & (widths <= width)
    first = (np.arange(n), fits.argmax(axis=1))
    found = fits.any(axis=1)
    h = np.where(found, heights[first], height)
    w = np.where(found, widths[first], width)
    return np.stack([place[:, 0] * (height - h), place[:, 1] * (width - w), h, w], axis=1)


def interpolation(start: torch.Tensor, length: torch.Tensor, size: int) -> torch.Tensor:
    """Matrices that cut a stretch out of a line of `size` pixels and stretch it to `size` again, bilinearly.

    Args:
        start: where the stretch begins, in pixels, (n,).
        length: its length, in pixels, (n,), at least one.
        size: pixels of the line.

    Returns:
        (n, size, size), float32; each row sums to one. Pixel centres are at half-integers, and the stretch's edge
        pixels are repeated outwards, as in an image that was really cut.
    """
    centre = torch.arange(size, dtype=torch.float64) + 0.5
    at = start[:, None] + centre * (length[:, None] / size) - 0.5
    at = torch.maximum(torch.minimum(at, (start + length - 1)[:, None]), start[:, None])
    distance = (at[:, :, None] - torch.arange(size, dtype=torch.float64)).abs()
    return (1 - distance).clamp(min=0).float()


@dataclass(frozen=True, slots=True)
class Crops:
    """One resized crop per image, as the two matrices of a bilinear map: rows @ image @ columns transposed.

    Args:
        rows: (n, height, height).
        columns: (n, width, width).
    """

    rows: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def of(cls, boxes: NDArray[np.float64], height: int, width: int, device: torch.device) -> Crops:
        """The crops of `boxes` (top, left, height, width), (n, 4), in images of height x width pixels."""
        top, left, h, w = torch.from_numpy(boxes).unbind(dim=1)
        return cls(rows=interpolation(top, h, height).to(device), columns=interpolation(left, w, width).to(device))

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """The cropped images, (n, c, height, width) -> same shape."""
        return self.rows[:, None] @ images @ self.columns[:, None].mT

    def pull_back(self, gradients: torch.Tensor) -> torch.Tensor:
        """From gradients with respect to the cropped images to those with respect to the images themselves.

        The crop is linear, so that this is its transpose: what autograd would compute, without keeping a graph.
        """
        return self.rows[:, None].mT @ gradients @ self.columns[:, None]

    def take(self, mask: torch.Tensor) -> Crops:
        """Those where `mask` (n,) is set."""
        return Crops(self.rows[mask], self.columns[mask])

    def join(self, other: Crops) -> Crops:
        """These and then those."""
        return Crops(torch.cat([self.rows, other.rows]), torch.cat([self.columns, other.columns]))
