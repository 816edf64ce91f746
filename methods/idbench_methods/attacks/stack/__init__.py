"""Stack: everything that black-box attacks say, combined on the calibration labels. What is there to be had?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

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
from idbench_methods.attacks.aea import Aea
from idbench_methods.attacks.binding import Binding
from idbench_methods.attacks.cosine import Cosine
from idbench_methods.attacks.deja_vu import DejaVu
from idbench_methods.attacks.gradient import Gradient
from idbench_methods.attacks.idia import Idia
from idbench_methods.attacks.prmid import Prmid
from idbench_methods.attacks.ramia import Ramia
from idbench_methods.attacks.text_statistic import TextStatistic
from idbench_methods.attacks.umid import Umid
from idbench_methods.photographed import person_key

if TYPE_CHECKING:
    from idbench_methods.learning import CrossFitted

BASES: tuple[type[Attack[Any]], ...] = (
    *(Cosine, Idia, Prmid, Ramia, Aea, Gradient, DejaVu),
    *(Binding, TextStatistic, Umid),
)
"""The black-box and the text-only attacks, the latter in the second row; the card says which are left out."""

CARD = MethodCard(
    name="stack",
    version="1",
    title="Stack: all black-box scores combined on calibration labels",
    summary=(
        "The scores of " + ", ".join(base.card.name for base in BASES) + " are combined by a logistic regression on "
        "the calibration people: an honest upper bound of what these scores hold together."
    ),
    access=reduce(or_, (base.card.access for base in BASES), Access.NONE),
    knowledge=reduce(or_, (base.card.knowledge for base in BASES), Knowledge.CALIBRATION_LABELS),
    choices=(
        Choice(
            what="which scores",
            chosen="of all black-box and text-only attacks but `wsa`, `tuni` and `binding-similarity`",
            why="`wsa` treats the calibration people by their labels, which the regression would learn; `tuni` follows "
            "gradients for a minute; `binding-similarity` is `binding` from less",
        ),
        Choice(
            what="how scores are combined",
            chosen="standardized, logistic regression; an abstention counts as the lowest score given",
            why="few calibration people allow little more",
        ),
        Choice(
            what="scores of the calibration people themselves",
            chosen="from a model fitted without them (5 folds)",
            why="they choose the operating threshold; a model scores the people that it has learned by heart too well",
        ),
    ),
)


class StackParams(MethodParams):
    """Parameters of the stack."""

    strength: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty of the logistic regression (C)")


class Stack(Attack[StackParams]):
    """Log-odds of membership from other attacks' scores; abstains without photos or where nothing can be learned."""

    card = CARD

    def __init__(self, params: StackParams | None = None) -> None:
        super().__init__(params)
        self._bases: list[Attack[Any]] = [base() for base in BASES]
        self._model: CrossFitted | None = None

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Let every attack score the calibration people, and learn from that; people without photos are left out."""
        from idbench_methods.attacks.shadow_classifier.model import inside_model
        from idbench_methods.learning import CrossFitted, learnable

        for base in self._bases:
            base.fit(target, calibration, context)
        seen = [i for i, case in enumerate(calibration.cases) if case.photos]
        seen.sort(key=lambda i: str(person_key(calibration.cases[i])))
        people, labels = [calibration.cases[i] for i in seen], calibration.members[seen]
        if learnable(labels):
            rows, seed = self._rows(target, people, context), int(context.rng("folds").integers(2**31))
            keys = [person_key(case) for case in people]
            self._model = CrossFitted(inside_model(self.params.strength), rows, keys, labels, seed)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Log-odds of being a member; the details hold each attack's score, 0 for people without photos."""
        from idbench_methods.learning import UNTAUGHT

        count = np.array([len(case.photos) for case in cases], dtype=np.int64)
        able = np.flatnonzero(count > 0)
        values, columns = np.full(len(cases), np.nan), np.zeros((len(cases), len(self._bases)))
        if self._model is not None and able.size:
            people = [cases[i] for i in able.tolist()]
            columns[able] = self._rows(target, people, context)
            values[able] = self._model.scores(columns[able], [person_key(case) for case in people])
        details = {base.card.name: column for base, column in zip(self._bases, columns.T, strict=True)}
        reasons = {UNTAUGHT: np.full(len(cases), self._model is None)}
        return Scores(values, np.isnan(values), photos_used=count, details=details, reasons=reasons)

    def _rows(self, target: TargetView, people: Sequence[Case], context: Context) -> NDArray[np.float64]:
        """Every attack's score of each person, (n, number of attacks)."""
        tracked = context.progress.track(self._bases, "asking attack after attack")
        return np.stack([_lowest_if_abstained(base.score(target, people, context)) for base in tracked], axis=1)


def _lowest_if_abstained(scores: Scores) -> NDArray[np.float64]:
    """Scores with the lowest in place of every abstention, (n,); zeros if all abstain."""
    given = np.isfinite(scores.values) if scores.abstained is None else ~scores.abstained
    lowest = float(scores.values[given].min()) if given.any() else 0.0
    return np.where(given, scores.values, lowest)
