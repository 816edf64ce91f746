"""Trains the shadows, asks the target and every shadow about everybody, and puts the answers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import Context, MethodError, Pair, TargetView
from idbench_methods.shadows.choices import ShadowParams
from idbench_methods.shadows.measuring import measure
from idbench_methods.shadows.people import Person, balanced_halves, population

_LEAST_POPULATION = 4
"""Auxiliary people; fewer leave a half without a mean and a deviation."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Answers about people under test (n) and about the population of auxiliary people (m), by K shadows.

    Args:
        inside: whether the shadow contains the person under test, (K, n).
        target: features from the target, (n, F).
        shadows: features from the shadows, (K, n, F).
        population_inside: whether the shadow contains the auxiliary person, (K, m).
        population_target: (m, F); the target contains none of them.
        population_shadows: (K, m, F).
    """

    inside: NDArray[np.bool_]
    target: NDArray[np.float64]
    shadows: NDArray[np.float64]
    population_inside: NDArray[np.bool_]
    population_target: NDArray[np.float64]
    population_shadows: NDArray[np.float64]

    def standardized(self) -> Evidence:
        """The same with each model's features in standard deviations of the auxiliary people that it never saw."""
        k = len(self.inside)
        moments = [_moments(self.population_shadows[i][~self.population_inside[i]]) for i in range(k)]
        centre, scale = _moments(self.population_target)

        def each(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack([(own - mean) / deviation for own, (mean, deviation) in zip(values, moments, strict=True)])

        return Evidence(
            self.inside,
            (self.target - centre) / scale,
            each(self.shadows),
            self.population_inside,
            (self.population_target - centre) / scale,
            each(self.population_shadows),
        )


def gather(
    target: TargetView, people: Sequence[Person], context: Context, params: ShadowParams, *, online: bool
) -> Evidence:
    """Train or find the shadows and ask everybody.

    Attacks with the same parameters and seed get the same shadows, whatever their name.

    Args:
        target: the model under audit.
        people: under test, at least one.
        context: seed, candidate names, auxiliary people.
        params: of the shadows.
        online: whether the shadows contain people under test.

    Raises:
        MethodError: too few auxiliary people.
        TargetError: the target's training recipe is not known.
    """
    others = population(context.auxiliary_people)
    if len(others) < _LEAST_POPULATION:
        raise MethodError(
            f"Shadow models need at least {_LEAST_POPULATION} auxiliary people; the split has {len(others)}.",
            hint="Use a split with more of them.",
        )
    outside = balanced_halves(len(others), params.shadows, context.rng("shadows", "auxiliary people"))
    inside = np.zeros((params.shadows, len(people)), dtype=np.bool_)
    if online:
        able = np.array([bool(person.training) for person in people], dtype=np.bool_)
        halves = balanced_halves(int(able.sum()), params.shadows, context.rng("shadows", "people under test"))
        inside[:, able] = halves
    sets = [_pairs(others, mine) + _pairs(people, theirs) for mine, theirs in zip(outside, inside, strict=True)]
    shadows = target.train_shadows(sets, seed=context.seed, epochs=params.epochs)
    everybody = [*people, *others]
    names = sorted(set(context.candidate_names))
    answers = [
        measure(model, everybody, names, params.templates, params.temperature)
        for model in context.progress.track([target, *shadows], "asking target and shadows", 1 + len(shadows))
    ]
    n = len(people)
    return Evidence(
        inside=inside,
        target=answers[0][:n],
        shadows=np.stack([answer[:n] for answer in answers[1:]]),
        population_inside=outside,
        population_target=answers[0][n:],
        population_shadows=np.stack([answer[n:] for answer in answers[1:]]),
    )


def _pairs(people: Sequence[Person], chosen: NDArray[np.bool_]) -> list[Pair]:
    return [pair for person, one in zip(people, chosen, strict=True) if one for pair in person.training]


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, (F,) each; what does not vary is left at its scale."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)
