"""Random: what chance looks like on every board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView

CARD = MethodCard(
    name="random",
    version="2",
    title="Random scores",
    summary="A uniform random number per name. A method that cannot be told apart from it carries no information.",
    access=Access.NONE,
    knowledge=Knowledge.NAME,
)


class RandomParams(MethodParams):
    """Random has no parameters."""


class Random(Attack[RandomParams]):
    """Uniform scores, 0 to 1; a person's score depends on the seed and a hash of the name alone."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Uniform numbers, 0 to 1."""
        return Scores(values=np.array([context.rng("score", case.name).random() for case in cases], dtype=np.float64))
