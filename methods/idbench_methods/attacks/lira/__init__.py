"""LiRA, the likelihood-ratio attack: is the target's answer like that of shadows with the person, or without?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from idbench.api import Attack, Case, Choice, Context, MethodCard, Scores, TargetView
from idbench_methods.attacks.lira.ratio import offline_scores, online_scores
from idbench_methods.shadows import ACCESS, KNOWLEDGE, LOG_ODDS, SHARED_CHOICES, ShadowParams, gather, meet

CARD = MethodCard(
    name="lira",
    version="1",
    title="LiRA: likelihood ratio of shadow models with and without the person",
    summary=(
        "Shadow models are trained by the target's recipe, half of them with the person, half without. For each person "
        "one normal distribution is fitted to the statistic on either half; the score is the logarithm of the "
        "likelihood ratio at the target's statistic. Offline, only shadows without the person are needed, and the "
        "score is how far above them the target stands."
    ),
    paper="Carlini et al., Membership Inference Attacks From First Principles, IEEE S&P 2022",
    authors="Carlini et al.",
    year=2022,
    url="https://arxiv.org/abs/2112.03570",
    access=ACCESS,
    knowledge=KNOWLEDGE,
    choices=(
        *SHARED_CHOICES,
        Choice(
            what="variance with few shadows",
            chosen="one variance for all people and for both halves, pooled within people",
            why="four values do not give a variance; a common one makes the ratio rise with the statistic, which holds "
            "too where the target has seen more of a person's pictures than any shadow",
        ),
        Choice(
            what="means with few shadows",
            chosen="with the fixed variance, the difference of a person's two means is drawn towards everybody's as "
            "far as the spread of these differences is noise; with many shadows it stays as it is",
            why="with four values on either side the sign of a person's own difference is often wrong, and turns the "
            "ratio around",
        ),
        Choice(
            what="people with a single photo",
            chosen="they train no shadow; their mean with membership is the one without, moved by everybody's average",
            why="the photo is needed to measure",
        ),
        Choice(
            what="photos of the offline attack",
            chosen="all photos measure",
            why="no shadow is trained on any of them",
        ),
    ),
    presets={"offline": {"mode": "offline"}, "per-identity": {"variance": "per-identity", "shadows": 64}},
)


class LiraParams(ShadowParams):
    """Parameters of LiRA."""

    mode: Literal["online", "offline"] = Field(
        default="online", description="online: people under test are in half of the shadows; offline: in none"
    )
    variance: Literal["fixed", "per-identity"] = Field(
        default="fixed", description="fixed: pooled over all people; per-identity: each person's own (many shadows)"
    )


class Lira(Attack[LiraParams]):
    """Likelihood ratio per person; abstains from people without photos."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Log-likelihood ratio (online) or standard deviations above the shadows without the person (offline)."""
        online = self.params.mode == "online"
        met = meet(cases, self.params.templates, train=online)
        values = np.full(len(cases), np.nan)
        used = np.zeros(len(cases), dtype=np.int64)
        details = {"target_log_odds": np.zeros(len(cases)), "shadow_log_odds_out": np.zeros(len(cases))}
        if met.people:
            evidence = gather(target, met.people, context, self.params, online=online).standardized()
            observed, shadows = evidence.target[:, LOG_ODDS], evidence.shadows[:, :, LOG_ODDS]
            pooled = self.params.variance == "fixed"
            scores = (
                online_scores(observed, shadows, evidence.inside, pooled=pooled)
                if online and evidence.inside.any()
                else offline_scores(observed, shadows, evidence.inside, pooled=pooled)
            )
            known = np.flatnonzero(met.place >= 0)
            place = met.place[known]
            values[known] = scores[place]
            used[known] = [len(met.people[i].measuring) + len(met.people[i].training) for i in place]
            out = np.where(evidence.inside, 0.0, shadows).sum(axis=0) / (~evidence.inside).sum(axis=0)
            details["target_log_odds"][known], details["shadow_log_odds_out"][known] = observed[place], out[place]
        return Scores(values=values, abstained=np.isnan(values), photos_used=used, details=details)
