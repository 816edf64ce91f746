"""What is asked of a model about people: how the true name stands among the candidate names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from idbench.api import MethodError, TargetView
from idbench_methods.prompts import fill
from idbench_methods.shadows.people import Person

FEATURES: Final = ("log_odds", "log_probability", "cosine", "log_rank", "spread", "best")
"""Of each person: mean log-odds and log-probability of the true name, its mean cosine and logarithm of its rank (1 is
first), standard deviation and largest of the photos' log-odds."""

LOG_ODDS, LOG_PROBABILITY = FEATURES.index("log_odds"), FEATURES.index("log_probability")

_PHOTOS_AT_ONCE = 1024


def measure(
    view: TargetView, people: Sequence[Person], names: Sequence[str], templates: Sequence[str], temperature: float
) -> NDArray[np.float64]:
    """Features of each person, (n, len(FEATURES)).

    Args:
        view: a target or a shadow.
        people: each with photos that measure.
        names: candidate names; a person's own may be among them or not.
        templates: prompts, averaged over.
        temperature: divides the cosines.

    Raises:
        MethodError: somebody has no other name to be compared with.
    """
    photos = [photo for person in people for photo in person.measuring]
    owner = np.repeat(np.arange(len(people)), [len(person.measuring) for person in people])
    own = [person.name for person in people for _ in person.measuring]
    place = {name: i for i, name in enumerate(names)}
    true = np.array([place.get(name, -1) for name in own], dtype=np.int64)
    if len(names) == 0 or (len(names) == 1 and (true >= 0).any()):
        raise MethodError(
            "There is no other candidate name to compare a true name with.", hint="Use a split with candidate names."
        )
    columns = np.zeros((len(photos), 4))
    for template in templates:
        texts = [fill(template, name) for name in names]
        mine = np.array(view.paired_similarities(photos, [fill(template, name) for name in own]), dtype=np.float64)
        for low in range(0, len(photos), _PHOTOS_AT_ONCE):
            block = slice(low, low + _PHOTOS_AT_ONCE)
            others = np.array(view.similarities(photos[block], texts))
            columns[block] += standing(mine[block], others, true[block], temperature)
    return _per_person(columns / len(templates), owner, len(people))


def standing(
    mine: NDArray[np.float64], others: NDArray[np.floating], true: NDArray[np.int64], temperature: float
) -> NDArray[np.float64]:
    """Log-odds, log-probability, cosine and log-rank of the true name for each photo, (n, 4).

    Args:
        mine: cosine with the true name, (n,).
        others: cosines with the candidate names, (n, n_names).
        true: place of the true name among the candidates, which is left out there; -1: it is not among them.
        temperature: divides the cosines.
    """
    rest = np.array(others, dtype=np.float32)
    known = np.flatnonzero(true >= 0)
    rest[known, true[known]] = -np.inf
    above = (rest > mine[:, None].astype(np.float32)).sum(axis=1)
    rest /= np.float32(temperature)
    top = rest.max(axis=1, keepdims=True)
    log_others = top[:, 0].astype(np.float64) + np.log(np.exp(rest - top).sum(axis=1, dtype=np.float64))
    log_odds = mine / temperature - log_others
    return np.stack([log_odds, -np.logaddexp(0.0, -log_odds), mine, np.log1p(above)], axis=1)


def _per_person(columns: NDArray[np.float64], owner: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    counts = np.bincount(owner, minlength=n).astype(np.float64)
    means = np.stack([np.bincount(owner, column, minlength=n) for column in columns.T], axis=1) / counts[:, None]
    deviation = columns[:, 0] - means[owner, 0]
    spread = np.sqrt(np.bincount(owner, deviation**2, minlength=n) / counts)
    best = np.full(n, -np.inf)
    np.maximum.at(best, owner, columns[:, 0])
    return np.column_stack([means, spread, best])
