"""Attack model on shadow models: a classifier learns on shadows how people inside look, and judges the target by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from idbench.api import Attack, Case, Choice, Context, MethodCard, Scores, TargetView
from idbench_methods.shadows import (
    ACCESS,
    FEATURES,
    KNOWLEDGE,
    LOG_ODDS,
    SHARED_CHOICES,
    Evidence,
    ShadowParams,
    gather,
    meet,
)

CARD = MethodCard(
    name="shadow-classifier",
    version="1",
    title="Attack model trained on shadow models",
    summary=(
        "Shadow models are trained by the target's recipe, each with half of the people under test. What each shadow "
        "answers about each person, and whether it contains the person, trains a logistic regression; applied to the "
        "target's answers it gives the score."
    ),
    paper="Shokri et al., Membership Inference Attacks Against Machine Learning Models, IEEE S&P 2017",
    authors="Shokri et al.",
    year=2017,
    url="https://arxiv.org/abs/1610.05820",
    access=ACCESS,
    knowledge=KNOWLEDGE,
    choices=(
        *SHARED_CHOICES,
        Choice(
            what="features",
            chosen=", ".join(FEATURES).replace("_", " ") + " of the true name",
            why="the source gives the attack model the whole vector of class probabilities, which here are names",
        ),
        Choice(
            what="attack model",
            chosen="one logistic regression for everybody",
            why="the source has one network per class; a person is a class of its own here, with one row per shadow",
        ),
    ),
)


class ShadowClassifierParams(ShadowParams):
    """Parameters of the attack model."""

    strength: float = Field(default=1.0, gt=0, description="inverse of the L2 penalty of the logistic regression (C)")


class ShadowClassifier(Attack[ShadowClassifierParams]):
    """Log-odds of membership by a classifier trained on shadows; abstains from people without photos."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Log-odds of being inside, as far as the shadows teach it."""
        met = meet(cases, self.params.templates, train=True)
        values = np.full(len(cases), np.nan)
        used = np.zeros(len(cases), dtype=np.int64)
        if met.people:
            evidence = gather(target, met.people, context, self.params, online=True).standardized()
            scores = self._judge(evidence)
            known = np.flatnonzero(met.place >= 0)
            values[known] = scores[met.place[known]]
            used[known] = [len(met.people[i].measuring) + len(met.people[i].training) for i in met.place[known]]
        return Scores(values=values, abstained=np.isnan(values), photos_used=used)

    def _judge(self, evidence: Evidence) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if not evidence.inside.any():  # no one could train a shadow: there is nothing to learn from
            alone: np.ndarray[tuple[int], np.dtype[np.float64]] = evidence.target[:, LOG_ODDS]
            return alone
        from idbench_methods.attacks.shadow_classifier.model import inside_model

        model = inside_model(self.params.strength)
        model.fit(evidence.shadows.reshape(-1, len(FEATURES)), evidence.inside.reshape(-1))
        return np.asarray(model.decision_function(evidence.target), dtype=np.float64)
