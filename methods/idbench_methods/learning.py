"""Classifiers that learn from the calibration people's labels. Imports scikit-learn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

_FOLDS = 5

UNTAUGHT = "too few labelled people to learn from"
"""Why a method that learns abstains from everybody; see `learnable`."""


class Classifier(Protocol):
    """What is needed of a scikit-learn classifier or pipeline."""

    def fit(self, X: object, y: object) -> object:
        """Learn from rows `X` and labels `y`."""
        ...

    def decision_function(self, X: object) -> NDArray[np.float64]:
        """Signed distance from the boundary, (n,)."""
        ...


class CrossFitted:
    """A classifier that scores strangers with all it has learned, and its own training people without their labels.

    The calibration people are scored among the others to choose the operating threshold. A model scores the people
    that it was fitted on too well, so each of them gets the score of a model that was fitted without them.

    Args:
        model: unfitted; a fresh copy is made for every fit.
        rows: features of the training people, one entry each.
        keys: what a training person is recognized by; who shares a key shares the mean score.
        labels: bool array (n,), both values at least twice.
        seed: of the division into folds.
    """

    def __init__(
        self,
        model: Classifier,
        rows: Sequence[str] | NDArray[np.float64],
        keys: Sequence[Hashable],
        labels: NDArray[np.bool_],
        seed: int,
    ) -> None:
        folds = StratifiedKFold(
            n_splits=int(min(_FOLDS, labels.sum(), (~labels).sum())), shuffle=True, random_state=seed
        )
        held_out = cross_val_predict(model, rows, labels, cv=folds, method="decision_function")
        self._model: Classifier = clone(model)
        self._model.fit(rows, labels)
        scores: dict[Hashable, list[float]] = {}
        for key, score in zip(keys, held_out, strict=True):
            scores.setdefault(key, []).append(float(score))
        self._held_out = {key: float(np.mean(values)) for key, values in scores.items()}

    def scores(self, rows: Sequence[str] | NDArray[np.float64], keys: Sequence[Hashable]) -> NDArray[np.float64]:
        """Log-odds of being a member, (n,); `keys` as at training."""
        if not len(rows):
            return np.zeros(0)
        values = np.asarray(self._model.decision_function(rows), dtype=np.float64)
        return np.array([self._held_out.get(key, value) for key, value in zip(keys, values, strict=True)])


def learnable(labels: NDArray[np.bool_]) -> bool:
    """Whether there are at least two members and two non-members to learn from."""
    return bool(labels.sum() >= 2 and (~labels).sum() >= 2)
