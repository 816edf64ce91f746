"""IDIA, the Identity Inference Attack: does the target pick the true name among many for photos of the person?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from idbench.api import (
    Access,
    Attack,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodError,
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.attacks.idia.draws import Draws, draw_photos
from idbench_methods.attacks.idia.pool import NamePool, name_pools
from idbench_methods.attacks.idia.votes import right_prompts
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

CARD = MethodCard(
    name="idia",
    version="1",
    title="IDIA: the target picks the true name among many",
    summary=(
        "For each prompt template, each photo is labelled with the best-fitting of many candidate names. A prompt is "
        "right when the true name is strictly the most frequent one over the person's photos. The score is the number "
        "of right prompts; the person is called a member when at least tau prompts are right."
    ),
    paper="Hintersdorf et al., Does CLIP Know My Face?, JAIR 80 (2024) 1033-1062",
    authors="Hintersdorf et al.",
    year=2024,
    url="https://arxiv.org/abs/2209.07341",
    access=Access.LABEL,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS | Knowledge.CANDIDATE_NAMES,
    choices=(
        Choice(
            what="graded score",
            chosen="number of right prompts, averaged over the draws of photos",
            why="the paper decides only (tau); a ROC curve needs an order, and this one thresholds to the paper's rule",
        ),
        Choice(
            what="decision over several draws of photos",
            chosen="member when at least half of the draws say member",
            why="the paper reports rates per draw; a record holds one decision per person",
        ),
        Choice(
            what="where the other names of the pool come from",
            chosen="the split's candidate names, drawn evenly, whatever the gender",
            why="names of a split carry no gender; the paper draws US names equally per gender",
        ),
        Choice(
            what="more names under test than the pool may hold",
            chosen="the people are dealt at random into groups of equal size, each with a pool of its own",
            why="the paper's pool of 1000 holds every name under test, which larger splits would overflow",
        ),
        Choice(
            what="default size: all photos, one draw, all candidate names",
            chosen="nothing is left out",
            why="the strongest reading of the attack; the paper's sizes are the preset `paper`",
        ),
    ),
    presets={"paper": {"photos_per_person": 30, "draws": 20, "pool_size": 1000, "tau": 1}},
)


class IdiaParams(MethodParams):
    """Parameters of IDIA."""

    templates: Templates = Field(
        default=IDIA_TEMPLATES, description="prompts; each holds {} where the name goes; default: the paper's 21"
    )
    tau: int = Field(default=1, ge=1, description="right prompts (of all templates) from which a person is a member")
    photos_per_person: int | None = Field(
        default=None,
        ge=1,
        description="photos in each draw; people with fewer photos are abstained on; none: all photos of each person",
    )
    draws: int = Field(
        default=20, ge=1, description="random draws of photos per person; without photos_per_person there is but one"
    )
    pool_size: int | None = Field(
        default=None, ge=2, description="names to choose from, those under test included; none: all candidate names"
    )

    @model_validator(mode="after")
    def _tau_within_templates(self) -> Self:
        if self.tau > len(self.templates):
            raise ValueError(f"tau is {self.tau}, but there are only {len(self.templates)} templates")
        return self


class Idia(Attack[IdiaParams]):
    """Label-only attack on photos with names; section 3 of the paper."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Number of right prompts, 0 to the number of templates, averaged over draws; people without enough photos
        are abstained from.

        Raises:
            MethodError: no case has `photos_per_person` photos.
        """
        able = self._able(cases)
        right = np.full(len(cases), np.nan)
        share = np.zeros(len(cases))
        used = np.zeros(len(cases), dtype=np.int64)
        pools = name_pools(
            [cases[i].name for i in able], context.candidate_names, self.params.pool_size, context.rng("pool")
        )
        for number, pool in enumerate(pools):
            indices = able[pool.members]
            group = [cases[i] for i in indices]
            draws = draw_photos(group, self.params.photos_per_person, self.params.draws, context)
            labels = self._ask(target, draws, pool, context, f"pool {number + 1} of {len(pools)}")
            for batch in draws.batches:
                counts = right_prompts(labels, batch.picks, pool.truth[batch.cases])
                places = indices[batch.cases]
                right[places] = counts.mean(axis=1)
                share[places] = (counts >= self.params.tau).mean(axis=1)
                used[places] = batch.picks.shape[2]
        abstained = np.isnan(right)
        need = self.params.photos_per_person
        return Scores(
            values=right,
            abstained=abstained,
            decisions=(share >= 0.5) & ~abstained,
            photos_used=used,
            details={"member_share": share},
            reasons={} if need is None else {f"fewer than {need} photos": abstained},
        )

    def _able(self, cases: Sequence[Case]) -> NDArray[np.int64]:
        """Indices of the cases with enough photos, (n_able,)."""
        have = np.array([len(case.photos) for case in cases], dtype=np.int64)
        need = self.params.photos_per_person or 1
        able = np.flatnonzero(have >= need)
        if not able.size and have.max(initial=0) > 0:
            raise MethodError(
                f"IDIA was asked to use {need} photos of each person, but no one has more than {have.max()}.",
                hint=f"Set photos_per_person to {have.max()} or less.",
            )
        return able

    def _ask(self, target: TargetView, draws: Draws, pool: NamePool, context: Context, what: str) -> NDArray[np.int32]:
        """Which name of the pool the target gives to each photo under each template, (n_templates, n_photos)."""
        labels = np.empty((len(self.params.templates), len(draws.photos)), dtype=np.int32)
        for row, template in enumerate(context.progress.track(self.params.templates, f"asking prompts, {what}")):
            labels[row] = target.labels(draws.photos, [fill(template, name) for name in pool.names])
        return labels
