"""RaMIA, range membership: was any sample of a range trained on? The range is a person's photos and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from idbench.api import Access, Attack, Case, Choice, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from idbench_methods.attacks.ramia.trimming import by_person
from idbench_methods.photographed import photographed
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

SHARED_CHOICES = (
    Choice(
        what="what a range is",
        chosen="all photos of a person under all prompts",
        why="the source transforms one sample; an auditor of people has several, and none that was trained on",
    ),
    Choice(
        what="quantiles of the trimmed mean",
        chosen="0.4 to 1.0, the released default",
        why="the source chooses them for each data set; nothing is tuned here",
    ),
)


class RangeParams(MethodParams):
    """Parameters of every range attack."""

    lowest: float = Field(default=0.4, ge=0, le=1, description="quantile of the range below which samples are cut off")
    highest: float = Field(default=1.0, ge=0, le=1, description="quantile of the range above which samples are cut off")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(f"lowest ({self.lowest}) is above highest ({self.highest})")
        return self


class RamiaParams(RangeParams):
    """Parameters of RaMIA on cosines."""

    templates: Templates = Field(
        default=IDIA_TEMPLATES, description="prompts; each holds {} where the name goes; default: IDIA's 21"
    )


class Ramia(Attack[RamiaParams]):
    """Trimmed mean of the cosine over photos and prompts, -1 to 1; abstains from people without photos."""

    card = MethodCard(
        name="ramia",
        version="1",
        title="RaMIA: trimmed mean of the cosine over photos and prompts",
        summary=(
            "The cosine of each photo and prompt; the score is the mean of the upper 60 % of them, so that samples "
            "that say nothing do not drown those that do."
        ),
        paper="Tao, Shokri, Range Membership Inference Attacks, 2024",
        url="https://arxiv.org/abs/2408.05131",
        access=Access.SIMILARITY,
        knowledge=Knowledge.NAME | Knowledge.PHOTOS,
        choices=SHARED_CHOICES,
        presets={"paper": {"lowest": 0.4, "highest": 1.0}},
    )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Trimmed mean of the cosine."""
        p = self.params
        seen = photographed(cases)
        columns = [
            target.paired_similarities(seen.photos, [fill(template, cases[i].name) for i in seen.owner])
            for template in context.progress.track(p.templates, "comparing photos and names")
        ]
        values = by_person(np.stack(columns, axis=1).astype(np.float64), seen.owner, len(cases), p.lowest, p.highest)
        return Scores(values=values, abstained=seen.count == 0, photos_used=seen.count)
