"""IDIA for many numbers of photos at once: the same counts as IDIA itself, from answers that were asked for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from idbench.api import Case, Context, Photo
from idbench_methods.attacks.idia import Idia, IdiaParams
from idbench_methods.attacks.idia_draws import IdiaDraws, IdiaDrawsParams, detail_name

People = Callable[..., list[Case]]
Contexts = Callable[..., Context]
DRAWS = 6


@pytest.fixture
def cases(people: People, photos: Callable[..., list[Photo]]) -> list[Case]:
    """Six people with seven photos, three with two, and one without any."""
    few = [Case(f"few-{i}", f"Few{i} Photos", photos(2, seed=500 + i)) for i in range(3)]
    return [*people(6, n_photos=7), *few, Case("none", "No Photos", [])]


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_every_size_counts_what_idia_counts(
    size: int, cases: list[Case], linear_target: Any, context: Contexts
) -> None:
    names = [case.name for case in cases]
    found = IdiaDraws(IdiaDrawsParams(sizes=(1, 2, 5, 7), draws=DRAWS)).score(linear_target(), cases, context(3, names))
    alone = Idia(IdiaParams(photos_per_person=size, draws=DRAWS)).score(linear_target(), cases, context(3, names))
    counted = np.stack([found.details[detail_name(size, draw)] for draw in range(DRAWS)])
    np.testing.assert_array_equal(np.isnan(counted[0]), alone.abstained)
    np.testing.assert_allclose(counted.mean(axis=0), alone.values)
    np.testing.assert_allclose(
        (counted >= 1).mean(axis=0)[~np.asarray(alone.abstained)],
        alone.details["member_share"][~np.asarray(alone.abstained)],
    )
    assert np.nanmax(counted) > 0, "somebody is recognized, or equality says nothing"


def test_the_score_is_idias_with_all_photos(cases: list[Case], linear_target: Any, context: Contexts) -> None:
    names = [case.name for case in cases]
    found = IdiaDraws(IdiaDrawsParams(sizes=(1,), draws=2)).score(linear_target(), cases, context(0, names))
    alone = Idia().score(linear_target(), cases, context(0, names))
    np.testing.assert_array_equal(found.values, alone.values)
    assert found.abstained is not None
    assert found.abstained.tolist() == [False] * 9 + [True]


def test_the_target_is_asked_once_for_each_prompt(cases: list[Case], linear_target: Any, context: Contexts) -> None:
    asked = []

    class Counting(linear_target):  # type: ignore[misc]
        def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
            asked.append(len(photos))
            best: NDArray[np.int64] = super().labels(photos, texts)
            return best

    params = IdiaDrawsParams(sizes=(1, 2, 3, 4, 5, 6, 7), draws=20)
    IdiaDraws(params).score(Counting(), cases, context(0, [case.name for case in cases]))
    assert asked == [6 * 7 + 3 * 2] * 21


@pytest.mark.parametrize("given", [{"sizes": []}, {"sizes": [0]}, {"sizes": [2, 2]}, {"draws": 0}, {"pool_size": 1}])
def test_impossible_parameters_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IdiaDrawsParams.model_validate(given)
