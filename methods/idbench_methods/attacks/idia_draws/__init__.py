"""IDIA for many numbers of photos at once: the target is asked once, and all draws are counted from its answers.

An instrument for curves, not an attack of its own: it is not registered, and its rule is that of `idia`.
"""

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
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.attacks.idia.draws import Draws, draw_photos
from idbench_methods.attacks.idia.pool import NamePool, name_pools
from idbench_methods.attacks.idia_draws.counting import places_in_draws, right_by_size
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

CARD = MethodCard(
    name="idia-draws",
    version="1",
    title="IDIA, counted for many numbers of photos and many draws of them",
    summary=(
        "Asks for every photo as `idia` does, once, and counts the right prompts for each number of photos and each "
        "draw. The score is that of `idia` with all photos; the counts are details `right_SIZE_DRAW`."
    ),
    paper="Hintersdorf et al., Does CLIP Know My Face?, JAIR 80 (2024) 1033-1062",
    authors="Hintersdorf et al.",
    year=2024,
    url="https://arxiv.org/abs/2209.07341",
    access=Access.LABEL,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS | Knowledge.CANDIDATE_NAMES,
    choices=(
        Choice(
            what="draws of different size",
            chosen="the first photos of one random order per person and draw",
            why="the same photos as `idia` draws, and neighbouring points of a curve differ by the added photos alone",
        ),
    ),
)


class IdiaDrawsParams(MethodParams):
    """Parameters of IDIA for many numbers of photos."""

    sizes: tuple[int, ...] = Field(
        default=(1,),
        min_length=1,
        description="numbers of photos, each at least 1; fewer photos give no count (NaN)",
    )
    draws: int = Field(default=20, ge=1, description="random draws per person and size; all photos are one draw")
    pool_size: int | None = Field(
        default=None, ge=2, description="names to choose from, those under test included; none: all candidate names"
    )
    templates: Templates = Field(default=IDIA_TEMPLATES, description="prompts; each holds {} where the name goes")

    @model_validator(mode="after")
    def _sizes_are_counts(self) -> Self:
        if min(self.sizes) < 1 or len(set(self.sizes)) < len(self.sizes):
            raise ValueError("sizes must be different numbers of at least 1")
        return self


def detail_name(size: int, draw: int) -> str:
    """What the right prompts of one draw are called among the details, e.g. `right_10_03`; draws count from 0."""
    return f"right_{size}_{draw:02d}"


class IdiaDraws(Attack[IdiaDrawsParams]):
    """Label-only attack on photos with names, with all its draws; section 3 and figure 4 of the paper."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Right prompts with all photos, 0 to the number of templates; abstains from people without photos.

        Details `right_SIZE_DRAW`: right prompts of that draw, NaN for people with fewer photos. Where a draw holds
        all photos of a person, every draw of that size has the same count.
        """
        p = self.params
        have = np.array([len(case.photos) for case in cases], dtype=np.int64)
        able = np.flatnonzero(have > 0)
        whole = np.full(len(cases), np.nan)
        drawn = np.full((len(p.sizes), p.draws, len(cases)), np.nan)
        names = [cases[i].name for i in able.tolist()]
        pools = name_pools(names, context.candidate_names, p.pool_size, context.rng("pool"))
        for number, pool in enumerate(pools):
            indices = able[pool.members]
            people = [cases[i] for i in indices.tolist()]
            draws = draw_photos(people, None, 1, context)
            labels = self._ask(target, draws, pool, context, f"pool {number + 1} of {len(pools)}")
            first = np.concatenate([[0], np.cumsum(have[indices])])
            for h in context.progress.track(np.unique(have[indices]).tolist(), "counting votes"):
                group = np.flatnonzero(have[indices] == h)
                own = labels[:, first[group][:, None] + np.arange(h)]
                places = places_in_draws([people[i] for i in group.tolist()], p.draws, context)
                sizes = [size for size in p.sizes if size <= h]
                counts = right_by_size(own, pool.truth[group], places, [*sizes, h])
                whole[indices[group]] = counts[:, -1, 0]
                for row, size in enumerate(sizes):
                    drawn[p.sizes.index(size)][:, indices[group]] = counts[:, row].T
        details = {
            detail_name(size, draw): drawn[row, draw] for row, size in enumerate(p.sizes) for draw in range(p.draws)
        }
        return Scores(values=whole, abstained=np.isnan(whole), photos_used=have, details=details)

    def _ask(self, target: TargetView, draws: Draws, pool: NamePool, context: Context, what: str) -> NDArray[np.int32]:
        """Which name of the pool the target gives to each photo under each template, (n_templates, n_photos)."""
        labels = np.empty((len(self.params.templates), len(draws.photos)), dtype=np.int32)
        for row, template in enumerate(context.progress.track(self.params.templates, f"asking prompts, {what}")):
            labels[row] = target.labels(draws.photos, [fill(template, name) for name in pool.names])
        return labels
