"""RMIA, the robust attack: does the target prefer the person to most of a population, by a likelihood ratio?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from idbench.api import Attack, Case, Choice, Context, MethodCard, Scores, TargetView
from idbench_methods.attacks.rmia.ratio import dominated, log_ratio
from idbench_methods.shadows import ACCESS, KNOWLEDGE, LOG_PROBABILITY, SHARED_CHOICES, ShadowParams, gather, meet

CARD = MethodCard(
    name="rmia",
    version="1",
    title="RMIA: share of a population that the person outdoes",
    summary=(
        "The target's probability of a person's true name is divided by what shadow models give it on average. The "
        "score is the share of the population of auxiliary people whose own ratio is smaller by a factor gamma."
    ),
    paper="Zarifzadeh, Liu, Shokri, Low-Cost High-Power Membership Inference Attacks, ICML 2024",
    authors="Zarifzadeh, Liu, Shokri",
    year=2024,
    url="https://arxiv.org/abs/2312.03262",
    access=ACCESS,
    knowledge=KNOWLEDGE,
    choices=(
        *(choice for choice in SHARED_CHOICES if not choice.what.startswith("models trained on more")),
        Choice(
            what="probability of a person",
            chosen="geometric mean over photos and templates of the true name's probability among the candidates",
            why="the source has the probability of a class; the mean of logarithms treats all photos alike",
        ),
        Choice(
            what="population",
            chosen="the auxiliary people, each compared with the shadows that the person is not in",
            why="they are not members, as the source requires, and resemble the target's training data",
        ),
        Choice(
            what="offline correction a",
            chosen="1: the shadows without the person stand for all",
            why="the source's line to probability 1 suits classifiers that know their training data by heart; among "
            "hundreds of names a member's probability stays far from 1",
        ),
        Choice(
            what="gamma",
            chosen="1",
            why="the order of people is set by the population; a larger gamma only leaves more people without a share",
        ),
    ),
    presets={"online": {"mode": "online"}},
)


class RmiaParams(ShadowParams):
    """Parameters of RMIA."""

    shadows: int = Field(default=4, ge=4, le=512, description="shadow models; even; the attack is made for few")
    mode: Literal["offline", "online"] = Field(
        default="offline", description="offline: no shadow contains people under test; online: half of them do"
    )
    gamma: float = Field(
        default=1.0, gt=0, description="factor by which a person's ratio must be larger than that of the population"
    )
    a: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="offline: probability with membership is taken as a * (that without) + 1 - a; 1: no correction",
    )


class Rmia(Attack[RmiaParams]):
    """Share of the population that the person outdoes, 0 to 1; abstains from people without photos."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Share of the population with a ratio smaller by gamma; in details the logarithm of the person's own ratio."""
        online = self.params.mode == "online"
        met = meet(cases, self.params.templates, train=online)
        values = np.full(len(cases), np.nan)
        used = np.zeros(len(cases), dtype=np.int64)
        ratios = np.zeros(len(cases))
        if met.people:
            e = gather(target, met.people, context, self.params, online=online)
            at = LOG_PROBABILITY
            own = log_ratio(e.target[:, at], e.shadows[:, :, at], e.inside, self.params.a)
            rest = log_ratio(
                e.population_target[:, at],
                np.where(e.population_inside, np.nan, e.population_shadows[:, :, at]),
                np.zeros_like(e.population_inside),
                self.params.a,
            )
            known = np.flatnonzero(met.place >= 0)
            place = met.place[known]
            values[known] = dominated(own, rest, self.params.gamma)[place]
            ratios[known] = own[place]
            used[known] = [len(met.people[i].measuring) + len(met.people[i].training) for i in place]
        return Scores(values=values, abstained=np.isnan(values), photos_used=used, details={"log_ratio": ratios})
