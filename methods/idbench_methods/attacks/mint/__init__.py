"""MINT: what do the activations of the image tower look like for people whom it was trained on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    Attack,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.photographed import photographed

if TYPE_CHECKING:
    from idbench_methods.learning import CrossFitted

CARD = MethodCard(
    name="mint",
    version="1",
    title="MINT: a network on activations",
    summary=(
        "Activations of the image tower's layers, averaged over places, for each person's photos. A small perceptron "
        "learns on the calibration people how those of members look."
    ),
    paper="DeAlcala et al., Is my Data in your AI Model? Membership Inference Test with Application to Face Images",
    url="https://arxiv.org/abs/2402.09225",
    access=Access.WEIGHTS,
    knowledge=Knowledge.PHOTOS | Knowledge.CALIBRATION_LABELS,
    choices=(
        Choice(
            what="layers",
            chosen="the output of every stage of a ResNet, or of every block of a transformer",
            why="open in the source; none is singled out",
        ),
        Choice(
            what="network",
            chosen="layers of 128 and 64 units, L2 penalty 1, standardized input",
            why="three layers as in the source; sizes are open, and some hundred people need a penalty",
        ),
        Choice(
            what="from photos to people",
            chosen="the mean activation over a person's photos is one row",
            why="photos of a person share the label; as rows of their own they would be the same evidence many times",
        ),
        Choice(
            what="scores of the calibration people themselves",
            chosen="from a network fitted without them (5 folds)",
            why="they choose the operating threshold; a network scores what it has learned by heart too well",
        ),
    ),
)


class MintParams(MethodParams):
    """Parameters of MINT."""

    hidden: tuple[int, ...] = Field(default=(128, 64), min_length=1, description="units of the hidden layers")
    penalty: float = Field(default=1.0, ge=0, description="L2 penalty of the weights")


class Mint(Attack[MintParams]):
    """Log-odds of membership from activations; abstains without photos and where nothing can be learned."""

    card = CARD

    def __init__(self, params: MintParams | None = None) -> None:
        super().__init__(params)
        self._model: CrossFitted | None = None

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Learn from the calibration people's activations and labels; people without photos are left out."""
        from idbench_methods.attacks.mint.model import activation_model
        from idbench_methods.learning import CrossFitted, learnable

        seen = np.array([bool(case.photos) for case in calibration.cases], dtype=np.bool_)
        people = [case for case in calibration.cases if case.photos]
        labels = calibration.members[seen]
        if learnable(labels):
            order = sorted(range(len(people)), key=lambda i: _key(people[i]))
            people = [people[i] for i in order]
            rows, seed = _rows(target, people, context), int(context.rng("network").integers(2**31))
            model = activation_model(self.params, seed)
            self._model = CrossFitted(model, rows, [_key(case) for case in people], labels[np.array(order)], seed)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Log-odds of being a member."""
        from idbench_methods.learning import UNTAUGHT

        count = np.array([len(case.photos) for case in cases], dtype=np.int64)
        able = np.flatnonzero(count > 0)
        values = np.full(len(cases), np.nan)
        if self._model is not None and able.size:
            people = [cases[i] for i in able.tolist()]
            values[able] = self._model.scores(_rows(target, people, context), [_key(case) for case in people])
        reasons = {UNTAUGHT: np.full(len(cases), self._model is None)}
        return Scores(values=values, abstained=np.isnan(values), photos_used=count, reasons=reasons)


def _rows(target: TargetView, people: Sequence[Case], context: Context) -> NDArray[np.float64]:
    from idbench_methods.attacks.mint.model import activations

    seen = photographed(people)
    return seen.mean(activations(target, seen.photos, context.progress))


def _key(case: Case) -> tuple[str, ...]:
    """What a person is recognized by: the photos, in whatever order."""
    return tuple(sorted(photo.digest for photo in case.photos))
