"""Cosine (CSA): how similar are a person's photos and name to the target?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from idbench.api import Access, Attack, Case, Choice, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

CARD = MethodCard(
    name="cosine",
    version="1",
    title="Cosine of photos and name (CSA, lifted to people)",
    summary="Mean cosine between the person's photos and the person's name, over photos and prompt templates.",
    paper="Ko et al., Practical Membership Inference Attacks Against Large-Scale Multi-Modal Models, ICCV 2023",
    authors="Ko et al.",
    year=2023,
    url="https://arxiv.org/abs/2310.00108",
    access=Access.SIMILARITY,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    choices=(
        Choice(
            what="from pairs to people",
            chosen="mean over all photos and prompts",
            why="the source scores one image-text pair; the mean treats all pairs of a person alike",
        ),
        Choice(
            what="prompts",
            chosen="the 21 templates of IDIA",
            why="the source uses the training caption, which an auditor of people does not have",
        ),
    ),
)


class CosineParams(MethodParams):
    """Parameters of the cosine attack."""

    templates: Templates = Field(
        default=IDIA_TEMPLATES, description="prompts; each holds {} where the name goes; default: IDIA's 21"
    )


class Cosine(Attack[CosineParams]):
    """Mean similarity of a person's photos and name, -1 to 1."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Mean cosine, -1 to 1; people without photos are abstained from."""
        photos = [photo for case in cases for photo in case.photos]
        owner = np.repeat(np.arange(len(cases)), [len(case.photos) for case in cases])
        count = np.bincount(owner, minlength=len(cases))
        total = np.zeros(len(cases))
        for template in context.progress.track(self.params.templates, "comparing photos and names"):
            texts = [fill(template, case.name) for case in cases]
            cosines = target.paired_similarities(photos, [texts[i] for i in owner])
            total += np.bincount(owner, weights=cosines, minlength=len(cases))
        values = total / np.maximum(count, 1) / len(self.params.templates)
        return Scores(values=values, abstained=count == 0, photos_used=count)
