"""The attack model of shadow-classifier. Imports scikit-learn."""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from idbench_methods.learning import Classifier


def inside_model(strength: float) -> Classifier:
    """Standardized features, logistic regression; unfitted."""
    model: Classifier = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return model
