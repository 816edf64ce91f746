"""Anomaly detectors fitted on gibberish: how unlike it is a name, and how many detectors say so. Imports PyOD."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

DetectorName = Literal["lof", "isolation-forest", "one-class-svm", "auto-encoder"]
Direction = Literal["two-sided", "more-similar"]


class Detector(Protocol):
    """What is needed of a PyOD detector."""

    threshold_: float

    def fit(self, X: NDArray[np.float64]) -> object:
        """Learn what is normal."""
        ...

    def decision_function(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """How abnormal each row is, (n,); above `threshold_` it is an outlier."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the detectors say of each name.

    Args:
        anomaly: mean over detectors of the rank among all names and gibberish, -1 to 1 (0 to 1 if two-sided).
        votes: detectors that call the name an outlier in the direction asked for, (n,).
    """

    anomaly: NDArray[np.float64]
    votes: NDArray[np.int64]


def judge(
    reference: NDArray[np.float64],
    names: NDArray[np.float64],
    detectors: Sequence[DetectorName],
    *,
    contamination: float,
    direction: Direction,
    seed: int,
) -> Verdict:
    """Fit detectors on gibberish and ask them about names.

    Args:
        reference: similarity and spread of each gibberish string, (n_reference, 2).
        names: the same of each name, (n, 2).
        detectors: which.
        contamination: share of gibberish that each detector's threshold calls outliers, 0 to 0.5.
        direction: `two-sided`: any way of differing from gibberish counts for membership, as the detectors see it.
            `more-similar`: differing by more similarity and less spread counts for, the opposite against membership.
        seed: of the detectors' chance.

    Returns:
        Scores and votes. A name's rank depends on which other names are asked about, not on their order.
    """
    centre, scale = reference.mean(axis=0), reference.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    normal, asked = (reference - centre) / scale, (names - centre) / scale
    ranks, votes = np.zeros(len(names)), np.zeros(len(names), dtype=np.int64)
    for name in detectors:
        with _chance_left_alone():
            detector = _MAKE[name](len(reference), contamination, seed)
            detector.fit(normal)
            # In one call for both: LOF's neighbours of a training row would otherwise hold the row itself or not.
            scores = np.asarray(detector.decision_function(np.concatenate([asked, normal])), dtype=np.float64)
        ranks += rankdata(scores)[: len(names)] / len(scores)
        votes += scores[: len(names)] > detector.threshold_
    sign = _signs(asked, direction)
    return Verdict(anomaly=sign * ranks / len(detectors), votes=np.where(sign > 0, votes, 0))


def _signs(asked: NDArray[np.float64], direction: Direction) -> NDArray[np.float64]:
    if direction == "two-sided":
        return np.ones(len(asked))
    return np.where(asked[:, 0] - asked[:, 1] >= 0, 1.0, -1.0)


@contextmanager
def _chance_left_alone() -> Iterator[None]:
    """PyOD's auto-encoder seeds every generator of the process; put them back afterwards."""
    import torch

    python, legacy, hashing = random.getstate(), np.random.get_state(), os.environ.get("PYTHONHASHSEED")  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(legacy)  # noqa: NPY002
    if hashing is None:
        os.environ.pop("PYTHONHASHSEED", None)
    else:
        os.environ["PYTHONHASHSEED"] = hashing


def _lof(n: int, contamination: float, seed: int) -> Detector:
    from pyod.models.lof import LOF

    detector: Detector = LOF(n_neighbors=min(20, n - 1), contamination=contamination, novelty=True)
    return detector


def _isolation_forest(n: int, contamination: float, seed: int) -> Detector:
    from pyod.models.iforest import IForest

    detector: Detector = IForest(contamination=contamination, random_state=seed)
    return detector


def _one_class_svm(n: int, contamination: float, seed: int) -> Detector:
    from pyod.models.ocsvm import OCSVM

    detector: Detector = OCSVM(contamination=contamination)
    return detector


def _auto_encoder(n: int, contamination: float, seed: int) -> Detector:
    from pyod.models.auto_encoder import AutoEncoder

    # Two features through one: what cannot be told from the reference's main line is lost. Without batch
    # normalization and dropout, which make so small a network's reconstructions jump about.
    detector: Detector = AutoEncoder(
        contamination=contamination,
        preprocessing=False,
        hidden_neuron_list=[16, 1],
        hidden_activation_name="tanh",
        batch_norm=False,
        dropout_rate=0.0,
        lr=1e-2,
        epoch_num=50,
        batch_size=min(32, n),
        random_state=seed,
        device="cpu",
        verbose=0,
    )
    return detector


_MAKE: Mapping[DetectorName, Callable[[int, float, int], Detector]] = {
    "lof": _lof,
    "isolation-forest": _isolation_forest,
    "one-class-svm": _one_class_svm,
    "auto-encoder": _auto_encoder,
}
