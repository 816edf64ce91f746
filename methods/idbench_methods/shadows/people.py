"""Who is asked about and who is trained on: people in an order of their own, their photos in two halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import AuxiliaryPerson, Case, Pair, Photo
from idbench_methods.prompts import fill


@dataclass(frozen=True, slots=True)
class Person:
    """One person as the shadows see it.

    Args:
        name: full name.
        training: pairs that train the shadows which contain the person; may be empty.
        measuring: photos that the models are asked with; none of them is among `training` unless there is but one.
    """

    name: str
    training: tuple[Pair, ...]
    measuring: tuple[Photo, ...]


@dataclass(frozen=True, slots=True)
class Met:
    """The people behind the cases.

    Args:
        people: distinct, in an order that does not depend on that of the cases.
        place: of each case among the people, -1 for a case without photos, (n_cases,).
    """

    people: tuple[Person, ...]
    place: NDArray[np.int64]


def meet(cases: Sequence[Case], templates: Sequence[str], *, train: bool) -> Met:
    """The people under test; cases with the same name and photos are the same person.

    Args:
        cases: in any order.
        templates: captions of training pairs.
        train: whether half of the photos are kept for training; otherwise all measure.
    """
    keys = [(case.name, *sorted({photo.digest for photo in case.photos})) for case in cases]
    order = {key: i for i, key in enumerate(sorted({key for key in keys if len(key) > 1}))}
    photos = {photo.digest: photo for case in cases for photo in case.photos}
    people = [_person(key[0], [photos[digest] for digest in key[1:]], templates, train) for key in order]
    return Met(tuple(people), np.array([order.get(key, -1) for key in keys], dtype=np.int64))


def population(auxiliary: Sequence[AuxiliaryPerson]) -> list[Person]:
    """The auxiliary people: all pairs train, as the target's background does; half of the photos measure.

    Where an auxiliary person measures, it is on models that the person is not in.
    """
    people = []
    for one in auxiliary:
        own = sorted({pair.photo.digest: pair.photo for pair in one.pairs}.values(), key=lambda photo: photo.digest)
        people.append(Person(one.name, one.pairs, tuple(own[len(own) // 2 :])))
    return people


def balanced_halves(n: int, shadows: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which shadow contains whom, (shadows, n): everybody is in exactly half of them, and each has half of the people.

    Args:
        n: people.
        shadows: even.
        rng: draws partners, and which half of the shadows each pair of partners divides.
    """
    inside = np.zeros((shadows, n), dtype=np.bool_)
    order = rng.permutation(n)
    for first, second in zip(order[0::2], [*order[1::2], None], strict=False):
        mine = rng.permutation(shadows) < shadows // 2
        inside[mine, first] = True
        if second is not None:
            inside[~mine, second] = True
    return inside


def _person(name: str, photos: Sequence[Photo], templates: Sequence[str], train: bool) -> Person:
    kept = len(photos) // 2 if train else 0
    pairs = tuple(Pair(photo, fill(templates[i % len(templates)], name)) for i, photo in enumerate(photos[:kept]))
    return Person(name, pairs, tuple(photos[kept:]))
