"""scikit-learn's multi-layer perceptron with log-odds for a decision function. Imports scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier


class Perceptron(MLPClassifier):  # type: ignore[misc]  # scikit-learn is not typed
    """A binary classifier; see `sklearn.neural_network.MLPClassifier` for its parameters."""

    def fit(self, X: object, y: object) -> Perceptron:
        """Learn from rows `X` and labels `y`; that the passes given were too few to converge is as intended."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self

    def decision_function(self, X: object) -> NDArray[np.float64]:
        """Log-odds of the second class, (n,)."""
        logs = self.predict_log_proba(X)
        odds: NDArray[np.float64] = np.clip(logs[:, 1], -50, 0) - np.clip(logs[:, 0], -50, 0)
        return odds
