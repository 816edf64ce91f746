"""The network of WSA. Imports scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idbench_methods.perceptron import Perceptron

if TYPE_CHECKING:
    from idbench_methods.attacks.wsa import WsaParams
    from idbench_methods.learning import Classifier


def pair_model(params: WsaParams, seed: int, n: int) -> Classifier:
    """ReLU, Adam at 1e-3, batches of 32, stopping early where there are pairs enough to hold a tenth out; unfitted."""
    model: Classifier = Perceptron(
        params.hidden,
        batch_size=min(32, n),
        learning_rate_init=1e-3,
        max_iter=params.epochs,
        early_stopping=n >= 200,
        n_iter_no_change=params.patience,
        random_state=seed,
    )
    return model
