"""The photos of many people in one list, and what is measured of photos put together by person."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import Case, Photo


@dataclass(frozen=True, slots=True)
class Photographed:
    """Photos of people, one after the other.

    Args:
        photos: of each person in order of their digests, so that sums do not depend on the order that was given.
        owner: index of the case that each photo belongs to, (n_photos,).
        count: photos of each case, (n_cases,).
    """

    photos: tuple[Photo, ...]
    owner: NDArray[np.int64]
    count: NDArray[np.int64]

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean over each person's photos, (n_photos, ...) -> (n_cases, ...); NaN for people without photos."""
        sums = np.zeros((len(self.count), *values.shape[1:]))
        np.add.at(sums, self.owner, values)
        shape = (-1, *[1] * (values.ndim - 1))
        means: NDArray[np.float64] = np.where(
            self.count.reshape(shape) > 0, sums / np.maximum(self.count, 1).reshape(shape), np.nan
        )
        return means


def photographed(cases: Sequence[Case]) -> Photographed:
    """The photos of all cases, and whose they are."""
    photos = [photo for case in cases for photo in sorted(case.photos, key=lambda photo: photo.digest)]
    count = np.array([len(case.photos) for case in cases], dtype=np.int64)
    return Photographed(tuple(photos), np.repeat(np.arange(len(cases)), count).astype(np.int64), count)


def person_key(case: Case) -> tuple[Hashable, ...]:
    """What a person is recognized by: the name, and the photos in whatever order."""
    return (case.name, *sorted(photo.digest for photo in case.photos))


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows scaled to length one, (n, d); rows of zeros stay."""
    wide = rows.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)
    return scaled
