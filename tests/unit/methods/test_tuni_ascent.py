"""TUNI's optimization: gradients, rules, slots, stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from idbench.api import Context, Silent
from idbench_methods.attacks.tuni.ascent import (
    AdamAscent,
    Ascended,
    Begin,
    GradientAscent,
    Plan,
    Rule,
    ascend,
    fresh,
)
from idbench_methods.attacks.tuni.crops import CropRange, Crops, random_boxes
from idbench_methods.attacks.tuni.features import spread

if TYPE_CHECKING:
    from tests.unit.methods.conftest import LinearTarget

Contexts = Callable[..., Context]
SIDE = 8


def begin(text: str, runs: int = 3) -> Begin:
    rng = np.random.default_rng([ord(letter) for letter in text])
    images = torch.from_numpy(rng.standard_normal((1, 3, SIDE, SIDE), dtype=np.float32)).expand(runs, -1, -1, -1)
    boxes = random_boxes(rng, runs, SIDE, SIDE, CropRange(0.6, 1.0, 4 / 3))
    return Begin(images, Crops.of(boxes, SIDE, SIDE, torch.device("cpu")))


def plan(**given: Any) -> Plan:
    usual: dict[str, Any] = {
        "runs": 3,
        "steps": 6,
        "rule": AdamAscent(0.05),
        "tolerance": 0.0,
        "patience": 3,
        "slots": 6,
    }
    return Plan(**{**usual, **given})


def run(target: LinearTarget, texts: list[str], how: Plan, context: Context) -> dict[str, Ascended]:
    return {done.text: done for done in ascend(target, texts, begin, how, context=context, what="test")}


def test_one_step_follows_the_slope_seen_by_finite_differences(
    linear_target: type[LinearTarget], context: Contexts
) -> None:
    target = linear_target()
    start = begin("one", runs=1)
    (done,) = ascend(
        target,
        ["one"],
        lambda text: begin(text, runs=1),
        plan(runs=1, steps=1, rule=GradientAscent(1.0)),
        context=context(),
        what="test",
    )
    crops = Crops(start.crops.rows.double(), start.crops.columns.double())

    def similarity(images: torch.Tensor) -> float:
        return float(target._cosines(crops.apply(images), ["one"])[0])

    pixels = start.images.double()
    slope = torch.zeros_like(pixels)
    for place in np.ndindex(*pixels.shape):
        nudge = torch.zeros_like(pixels)
        nudge[place] = 1e-5
        slope[place] = (similarity(pixels + nudge) - similarity(pixels - nudge)) / 2e-5
    assert slope.abs().max() > 1e-3
    # The finished image is shown through its crop, which is linear.
    torch.testing.assert_close(done.images.double(), crops.apply(pixels + slope), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "reference"),
    [
        (GradientAscent(0.3), lambda p: torch.optim.SGD([p], lr=0.3, maximize=True)),
        (AdamAscent(0.3), lambda p: torch.optim.Adam([p], lr=0.3, maximize=True)),
    ],
)
def test_rules_are_those_of_torch(rule: Rule, reference: Callable[[torch.Tensor], torch.optim.Optimizer]) -> None:
    start = begin("rule")
    state = fresh(0, start)
    pixels = start.images.clone().requires_grad_(True)
    optimizer = reference(pixels)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        gradients = torch.randn(pixels.shape, generator=generator)
        pixels.grad = gradients
        optimizer.step()
        rule(state, gradients)
        state.steps += 1
    torch.testing.assert_close(state.images, pixels.detach())


def test_similarity_rises(linear_target: type[LinearTarget], context: Contexts) -> None:
    target = linear_target()
    done = run(target, ["a", "b"], plan(steps=60), context())
    for text in ("a", "b"):
        before = target.image_similarities(begin(text).crops.apply(begin(text).images), [text] * 3)
        after = target.image_similarities(done[text].images, [text] * 3)
        assert (after > before).all()
        assert after.min() > 0.9


def test_a_text_does_not_depend_on_its_company(linear_target: type[LinearTarget], context: Contexts) -> None:
    texts = [f"text {i}" for i in range(7)]
    together = run(linear_target(), texts, plan(slots=21), context())
    few = run(linear_target(), texts[::-1], plan(slots=6), context())
    alone = run(linear_target(), texts[3:4], plan(slots=3), context())
    assert sorted(together) == sorted(few) == texts
    for text in texts:
        torch.testing.assert_close(together[text].images, few[text].images)
    torch.testing.assert_close(together["text 3"].images, alone["text 3"].images)


def test_slots_bound_the_batch_and_no_query_is_wasted(linear_target: type[LinearTarget], context: Contexts) -> None:
    target = linear_target()
    done = run(target, [f"text {i}" for i in range(10)], plan(slots=7), context())
    assert target.largest_batch == 6
    assert target.gradients == 10 * 3 * 6
    assert all((text.steps == 6).all() for text in done.values())


def test_converged_runs_stop(linear_target: type[LinearTarget], context: Contexts) -> None:
    target = linear_target()
    done = run(target, ["a", "b", "c"], plan(steps=500, tolerance=1e-3, patience=4, slots=6), context())
    steps = torch.stack([text.steps for text in done.values()])
    assert (steps < 500).all()
    assert (steps > 4).all()
    assert target.gradients == int(steps.sum())
    slow = run(linear_target(), ["a"], plan(steps=500, tolerance=0.0), context())
    assert (slow["a"].steps == 500).all()


def test_progress_ends_complete(linear_target: type[LinearTarget], context: Contexts) -> None:
    class Heard(Silent):
        def __init__(self) -> None:
            self.said: list[tuple[float, float]] = []

        def update(self, done: float, total: float, description: str) -> None:
            self.said.append((done, total))

    heard = Heard()
    run(linear_target(), ["a", "b", "c"], plan(), replace(context(), progress=heard))
    assert heard.said[-1] == (9, 9)


def test_spread_is_the_sum_of_distances_to_the_mean() -> None:
    rows = np.array([[[0.0, 0.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]], dtype=np.float32)
    assert spread(rows).tolist() == [2.0, 0.0]
