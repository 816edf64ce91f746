"""Features and classifier of blind-photos. Imports scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from idbench.api import Case, Progress, Silent
from idbench_methods.descriptor import LENGTH, describe_photos

if TYPE_CHECKING:
    from idbench_methods.attacks.blind_photos import BlindPhotosParams
    from idbench_methods.learning import Classifier


_PEOPLE = 64
"""People whose photos are described together."""


def describe_people(cases: Sequence[Case], progress: Progress | None = None) -> NDArray[np.float64]:
    """Mean descriptor of each person's photos, (n_cases, length); every case has photos."""
    rows = np.empty((len(cases), LENGTH))
    starts = range(0, len(cases), _PEOPLE)
    for start in (progress or Silent()).track(starts, "describing photos", len(starts)):
        group = cases[start : start + _PEOPLE]
        # Photos in order of their digests: a sum of floats depends on its order.
        photos = [photo for case in group for photo in sorted(case.photos, key=lambda photo: photo.digest)]
        counts = [len(case.photos) for case in group]
        sums = np.add.reduceat(describe_photos(photos), np.cumsum([0, *counts[:-1]]), axis=0, dtype=np.float64)
        rows[start : start + len(group)] = sums / np.array(counts)[:, None]
    return rows


def look_model(params: BlindPhotosParams) -> Classifier:
    """Standardized features, logistic regression; unfitted."""
    model: Classifier = make_pipeline(StandardScaler(), LogisticRegression(C=params.strength, max_iter=1000))
    return model
