"""What defenses of answers share: labels that follow from the similarities they answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.api import Photo, TargetFront


class LabelsFollow(TargetFront):
    """Labels are read off the similarities as the child answers them, so that they tell nothing more."""

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """The first of the texts whose answered cosine is largest, (n_photos,)."""
        if not len(texts):
            return self._target.labels(photos, texts)  # refused as the target refuses it
        best: NDArray[np.int64] = self.similarities(photos, texts).argmax(axis=1)
        return best
