"""Blind to the target: do photos alone tell members from non-members?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
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

if TYPE_CHECKING:
    from idbench_methods.learning import CrossFitted

CARD = MethodCard(
    name="blind-photos",
    version="2",
    title="Blind: colours and edges of the photos",
    summary=(
        "A fixed descriptor of colours and edges, averaged over the person's photos, and logistic regression on the "
        "calibration people; the target is never asked. What it finds is a flaw of the split, and what an attack must "
        "beat."
    ),
    paper="Das, Zhang, Tramer, Blind Baselines Beat Membership Inference Attacks for Foundation Models, 2024",
    authors="Das, Zhang, Tramer",
    year=2024,
    url="https://arxiv.org/abs/2406.16201",
    access=Access.NONE,
    knowledge=Knowledge.PHOTOS | Knowledge.CALIBRATION_LABELS,
    choices=(
        Choice(
            what="encoder",
            chosen="colour means and deviations on grids of 1, 2 and 4 cells, gradient directions in 4 x 4 cells",
            why="it needs no weights, is the same everywhere, and cannot have seen the people under test",
        ),
        Choice(
            what="scores of the calibration people themselves",
            chosen="from a model fitted without them (5 folds)",
            why="they choose the operating threshold; a model scores the people that it has learned by heart too well",
        ),
    ),
)


class BlindPhotosParams(MethodParams):
    """Parameters of the blind attack on photos."""

    strength: float = Field(default=0.01, gt=0, description="inverse of the L2 penalty of the logistic regression (C)")


class BlindPhotos(Attack[BlindPhotosParams]):
    """Log-odds of membership from the look of the photos; abstains without photos and where nothing can be learned."""

    card = CARD

    def __init__(self, params: BlindPhotosParams | None = None) -> None:
        super().__init__(params)
        self._model: CrossFitted | None = None

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Learn from the calibration people's photos and labels; people without photos are left out."""
        from idbench_methods.attacks.blind_photos.model import describe_people, look_model
        from idbench_methods.learning import CrossFitted, learnable

        seen = np.array([bool(case.photos) for case in calibration.cases], dtype=np.bool_)
        people = [case for case in calibration.cases if case.photos]
        labels = calibration.members[seen]
        if learnable(labels):
            keys = [_key(case) for case in people]
            order = sorted(range(len(keys)), key=lambda i: keys[i])
            rows = describe_people([people[i] for i in order])
            seed = int(context.rng("folds").integers(2**31))
            self._model = CrossFitted(
                look_model(self.params), rows, [keys[i] for i in order], labels[np.array(order)], seed
            )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Log-odds of being a member; abstains from people without photos, and from everybody without two members and
        two non-members to learn from.
        """
        from idbench_methods.attacks.blind_photos.model import describe_people
        from idbench_methods.learning import UNTAUGHT

        count = np.array([len(case.photos) for case in cases], dtype=np.int64)
        able = np.flatnonzero(count > 0)
        values = np.full(len(cases), np.nan)
        if self._model is not None and able.size:
            people = [cases[i] for i in able.tolist()]
            values[able] = self._model.scores(
                describe_people(people, context.progress), [_key(case) for case in people]
            )
        reasons = {UNTAUGHT: np.full(len(cases), self._model is None)}
        return Scores(values=values, abstained=np.isnan(values), photos_used=count, reasons=reasons)


def _key(case: Case) -> tuple[str, ...]:
    """What a person is recognized by: the photos, in whatever order."""
    return tuple(sorted(photo.digest for photo in case.photos))
