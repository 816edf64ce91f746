"""TUNI's early decision: names of which all detectors are sure are not drawn further, the others are TUNI's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.planted_names import PlantedTarget

from idbench.api import Calibration, Case, Context, Knowledge, MethodError, Scores
from idbench_methods.attacks.tuni import Tuni, TuniParams
from idbench_methods.attacks.tuni_early import TuniEarly, TuniEarlyParams
from idbench_methods.attacks.tuni_early.deciding import Panel

if TYPE_CHECKING:
    from tests.unit.methods.conftest import LinearTarget

Contexts = Callable[..., Context]
People = Callable[..., list[Case]]
DIM = 12
QUICK: dict[str, Any] = {"runs": 5, "steps": 6, "gibberish_count": 40, "learning_rate": 0.1}


def scored(target: Any, cases: list[Case], context: Context, **params: Any) -> Scores:
    attack = TuniEarly(TuniEarlyParams(**{**QUICK, **params}))
    attack.fit(target, Calibration([], None), context)
    return attack.score(target, cases, context).checked(len(cases))


def whole(target: Any, cases: list[Case], context: Context, **params: Any) -> Scores:
    attack = Tuni(TuniParams(**{**QUICK, **params}))
    attack.fit(target, Calibration([], None), context)
    return attack.score(target, cases, context).checked(len(cases))


def test_what_is_drawn_to_the_end_is_what_tuni_draws(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases = people(30, 0)
    early, full = scored(linear_target(), cases, context()), whole(linear_target(), cases, context())
    to_the_end = early.details["runs"] == 5
    assert 5 < to_the_end.sum() < 30, "the example decides nothing"
    np.testing.assert_array_equal(to_the_end, early.details["sure"] == 0)
    for name in ("S", "D", "votes"):
        np.testing.assert_allclose(early.details[name][to_the_end], full.details[name][to_the_end], rtol=1e-4)
    assert (early.details["runs"][~to_the_end] == 2).all()


def test_gradients_are_saved_where_detectors_are_sure(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases, target = people(30, 0), linear_target()
    runs = scored(target, cases, context(), tolerance=0.0).details["runs"]
    assert target.gradients == 6 * (40 * 5 + int(runs.sum()))


def test_sure_names_stand_beyond_all_others(people: People, context: Contexts) -> None:
    cases = people(30, 0)
    reachable = np.where(np.arange(30) < 5, 0.99, 0.6)  # five names are in reach of an image as no gibberish is
    found = scored(PlantedTarget(cases, reachable), cases, context(), steps=12, gibberish_count=128)
    sure, value = found.details["sure"], found.values
    assert {*sure} == {-1, 0, 1}, "the example lacks a kind"
    assert value[sure == -1].max() < value[sure == 0].min()
    assert value[sure == 0].max() < value[sure == 1].min()
    assert ((value >= -1.5) & (value <= 1.5)).all()
    assert found.decisions is not None
    assert np.flatnonzero(sure == 1).tolist() == [0, 1, 2, 3, 4]
    assert found.decisions[sure == 1].all()
    assert not found.decisions[sure == -1].any()


REFERENCE = np.random.default_rng(0).standard_normal((128, 2))


@pytest.mark.parametrize(
    ("direction", "name", "sure"),
    [
        ("two-sided", (0.0, 0.0), -1),
        ("two-sided", (9.0, -9.0), 1),
        ("two-sided", (-9.0, 9.0), 1),
        ("two-sided", (1.6, 0.0), 0),
        ("more-similar", (9.0, -9.0), 1),
        ("more-similar", (-9.0, 9.0), -1),
        ("more-similar", (0.0, 0.0), -1),
    ],
)
def test_detectors_are_sure_of_what_is_far_out_and_of_what_is_in_the_middle(
    direction: Any, name: tuple[float, float], sure: int
) -> None:
    panel = Panel(("lof", "isolation-forest", "one-class-svm"), 0.1, 0.01, direction, 0)
    judged = panel.judge(REFERENCE, np.array([name, (0.3, 0.2)]))
    assert judged.sure[0] == sure
    assert (judged.votes[0] == 3) == (sure == 1)
    assert -0.5 <= judged.anomaly[0] <= 0.5


def test_nobody_is_asked_about(linear_target: type[LinearTarget], context: Contexts) -> None:
    assert len(scored(linear_target(), [], context()).values) == 0


def test_what_went_to_infinity_is_abstained_from(
    linear_target: type[LinearTarget], people: People, context: Contexts
) -> None:
    cases = people(5, 0)
    found = scored(linear_target({cases[2].name: np.full(DIM, np.nan)}), cases, context())
    assert found.abstained is not None
    assert found.abstained.tolist() == [False, False, True, False, False]
    with pytest.raises(MethodError, match="went to infinity for 40 of 40"):
        scored(linear_target(matrix=torch.full((DIM, 192), torch.nan, dtype=torch.float64)), cases, context())
    few = {"gibberish_alphabet": "ab", "gibberish_shortest": 2, "gibberish_longest": 2}
    with pytest.raises(MethodError, match="Only 4 of 40"):
        scored(linear_target(), cases, context(), **few)


def test_knowledge_follows_the_start() -> None:
    assert TuniEarly().knowledge == Knowledge.NAME | Knowledge.PUBLIC_PAIRS
    assert TuniEarly(TuniEarlyParams(start="noise")).knowledge == Knowledge.NAME


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"early_runs": 4}, "early_runs is 4, and there are 4 runs"),
        ({"early_runs": 1}, "greater than or equal to 2"),
        ({"unusual": 0.2}, "unusual is above contamination"),
        ({"use_photos": True}, "use_photos is not possible"),
    ],
)
def test_impossible_parameters_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TuniEarlyParams.model_validate(given)
