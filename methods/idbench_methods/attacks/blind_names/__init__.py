"""Blind to the target: do names alone tell members from non-members?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

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
    name="blind-names",
    version="1",
    title="Blind: letters of the name",
    summary=(
        "Character n-grams of the name (TF-IDF) and logistic regression on the calibration people; the target is never "
        "asked. What it finds is a flaw of the split, and what an attack must beat."
    ),
    paper="Das, Zhang, Tramer, Blind Baselines Beat Membership Inference Attacks for Foundation Models, 2024",
    authors="Das, Zhang, Tramer",
    year=2024,
    url="https://arxiv.org/abs/2406.16201",
    access=Access.NONE,
    knowledge=Knowledge.NAME | Knowledge.CALIBRATION_LABELS,
    choices=(
        Choice(
            what="scores of the calibration people themselves",
            chosen="from a model fitted without them (5 folds)",
            why="they choose the operating threshold; a model scores the people that it has learned by heart too well",
        ),
    ),
)


class BlindNamesParams(MethodParams):
    """Parameters of the blind attack on names."""

    shortest: int = Field(default=1, ge=1, le=8, description="characters of the shortest n-gram")
    longest: int = Field(default=4, ge=1, le=8, description="characters of the longest n-gram")
    strength: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty of the logistic regression (C)")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) is above longest ({self.longest})")
        return self


class BlindNames(Attack[BlindNamesParams]):
    """Log-odds of membership from the letters of the name; abstains where nothing can be learned."""

    card = CARD

    def __init__(self, params: BlindNamesParams | None = None) -> None:
        super().__init__(params)
        self._model: CrossFitted | None = None

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Learn from the calibration people's names and labels."""
        from idbench_methods.attacks.blind_names.model import name_model
        from idbench_methods.learning import CrossFitted, learnable

        names = [case.name for case in calibration.cases]
        if learnable(calibration.members):
            order = np.argsort(names, kind="stable")
            names = [names[i] for i in order]
            seed = int(context.rng("folds").integers(2**31))
            self._model = CrossFitted(name_model(self.params), names, names, calibration.members[order], seed)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Log-odds of being a member; abstains from everybody without two members and two non-members to learn from."""
        from idbench_methods.learning import UNTAUGHT

        none = np.zeros(len(cases), dtype=np.int64)
        if self._model is None:
            nobody = np.ones(len(cases), dtype=np.bool_)
            return Scores(np.zeros(len(cases)), nobody, photos_used=none, reasons={UNTAUGHT: nobody})
        names = [case.name for case in cases]
        return Scores(values=self._model.scores(names, names), photos_used=none)
