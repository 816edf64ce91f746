"""The reference of déjà vu: captions near to a name by their letters. Imports scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer


def caption_similarities(names: Sequence[str], captions: Sequence[str]) -> NDArray[np.float64]:
    """Cosine of character n-grams (2 to 4, within words) of each name and each caption, (n_names, n_captions)."""
    if not names:
        return np.zeros((0, len(captions)))
    # Marks around each text, so that even an empty one has something to count.
    counted = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), preprocessor=lambda text: f"^{text.lower()}$")
    rows = counted.fit_transform([*names, *captions])
    cosines: NDArray[np.float64] = (rows[: len(names)] @ rows[len(names) :].T).toarray()
    return cosines
