"""RaMIA on shadow models: the trimmed mean of LiRA's or RMIA's score over a person's photos and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import Attack, Case, Choice, Context, MethodCard, Scores, TargetView
from idbench_methods.attacks.lira.ratio import offline_scores
from idbench_methods.attacks.ramia import SHARED_CHOICES, RangeParams
from idbench_methods.attacks.ramia.trimming import by_person
from idbench_methods.attacks.rmia.ratio import dominated, log_ratio
from idbench_methods.shadows import ACCESS, KNOWLEDGE, LOG_ODDS, LOG_PROBABILITY, ShadowParams, gather, meet
from idbench_methods.shadows import SHARED_CHOICES as SHADOW_CHOICES
from idbench_methods.shadows.evidence import Evidence
from idbench_methods.shadows.people import Person


class RamiaShadowParams(RangeParams, ShadowParams):
    """Parameters of RaMIA on shadow models."""

    shadows: int = Field(default=4, ge=4, le=512, description="shadow models; even; none contains people under test")
    base: Literal["rmia", "lira"] = Field(default="rmia", description="score of each sample; both offline")


class RamiaShadow(Attack[RamiaShadowParams]):
    """Trimmed mean of a shadow attack's score over photos and prompts; abstains from people without photos."""

    card = MethodCard(
        name="ramia-shadow",
        version="1",
        title="RaMIA: trimmed mean of RMIA or LiRA over photos and prompts",
        summary=(
            "Each photo under each prompt gets the score of offline RMIA (or LiRA) by shadow models without the people "
            "under test; the score of a person is the mean of the upper 60 % of them."
        ),
        paper="Tao, Shokri, Range Membership Inference Attacks, 2024",
        url="https://arxiv.org/abs/2408.05131",
        access=ACCESS,
        knowledge=KNOWLEDGE,
        choices=(
            *SHARED_CHOICES,
            *SHADOW_CHOICES,
            Choice(
                what="which shadows",
                chosen="those of offline RMIA with the same parameters",
                why="they are trained once for both, and hold back no one's photos",
            ),
        ),
        presets={"lira": {"base": "lira"}},
    )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Trimmed mean of the base score."""
        p = self.params
        met = meet(cases, p.templates, train=False)
        values = np.full(len(cases), np.nan)
        count = np.array([len(case.photos) for case in cases], dtype=np.int64)
        if met.people:
            samples = [Person(one.name, (), (photo,)) for one in met.people for photo in one.measuring]
            owner = np.repeat(np.arange(len(met.people)), [len(one.measuring) for one in met.people]).astype(np.int64)
            columns = []
            for template in p.templates:
                one_prompt = p.model_copy(update={"templates": (template,)})
                columns.append(self._samples(gather(target, samples, context, one_prompt, online=False)))
            scores = by_person(np.stack(columns, axis=1), owner, len(met.people), p.lowest, p.highest)
            known = met.place >= 0
            values[known] = scores[met.place[known]]
        return Scores(values=values, abstained=np.isnan(values), photos_used=count)

    def _samples(self, evidence: Evidence) -> NDArray[np.float64]:
        """The base score of each sample, (n_samples,)."""
        if self.params.base == "lira":
            e = evidence.standardized()
            return offline_scores(e.target[:, LOG_ODDS], e.shadows[:, :, LOG_ODDS], e.inside, pooled=True)
        e, at = evidence, LOG_PROBABILITY
        own = log_ratio(e.target[:, at], e.shadows[:, :, at], e.inside, 1.0)
        others = np.where(e.population_inside, np.nan, e.population_shadows[:, :, at])
        rest = log_ratio(e.population_target[:, at], others, np.zeros_like(e.population_inside), 1.0)
        return dominated(own, rest, 1.0)
