"""The classifier of blind-names. Imports scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

if TYPE_CHECKING:
    from idbench_methods.attacks.blind_names import BlindNamesParams
    from idbench_methods.learning import Classifier


def name_model(params: BlindNamesParams) -> Classifier:
    """Character n-grams within words, TF-IDF weights, logistic regression; unfitted."""
    model: Classifier = make_pipeline(
        TfidfVectorizer(
            analyzer="char_wb",
            ngram_range=(params.shortest, params.longest),
            sublinear_tf=True,
            preprocessor=_marked,
        ),
        LogisticRegression(C=params.strength, max_iter=1000),
    )
    return model


def _marked(name: str) -> str:
    """The name in small letters between two marks, so that even an empty one has something to count."""
    return f"^{name.lower()}$"
