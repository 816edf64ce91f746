"""Latents on the plane of public photos' embeddings, moved towards a text embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench_methods.photographed import unit_rows


@dataclass(frozen=True, slots=True)
class Plane:
    """Where latents live: embedding = mean + latent @ axes, normalized.

    Args:
        mean: of the public photos' normalized embeddings, (d,).
        axes: their principal components times the standard deviation along each, (k, d).
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]


def plane_of(photos: NDArray[np.float32], components: int) -> Plane:
    """The plane of at most so many principal components; photos (n, d), n at least 2."""
    rows = unit_rows(photos)
    mean = rows.mean(axis=0)
    _, scales, axes = np.linalg.svd(rows - mean, full_matrices=False)
    kept = min(components, len(rows) - 1, len(axes))
    return Plane(mean, axes[:kept] * scales[:kept, None] / np.sqrt(len(rows)))


def invert(
    texts: NDArray[np.floating], starts: NDArray[np.float64], plane: Plane, steps: int, rate: float
) -> NDArray[np.float64]:
    """Gradient ascent of the cosine with each text; mean final cosine S and spread D of the final embeddings, (n, 2).

    Args:
        texts: embeddings, (n, d).
        starts: first latents, (n, runs, k).
        plane: of the latents.
        steps: at least 1.
        rate: step size.
    """
    latents, wanted = starts.copy(), unit_rows(texts)[:, None]
    for _ in range(steps):
        points = plane.mean + latents @ plane.axes
        length = np.maximum(np.linalg.norm(points, axis=2, keepdims=True), 1e-12)
        unit = points / length
        cosine = (unit * wanted).sum(axis=2, keepdims=True)
        latents += rate * ((wanted - cosine * unit) / length) @ plane.axes.T
    final = unit_rows(plane.mean + latents @ plane.axes)
    spread = np.linalg.norm(final - final.mean(axis=1, keepdims=True), axis=2).sum(axis=1)
    return np.stack([(final * wanted).sum(axis=2).mean(axis=1), spread], axis=1)
