"""Text statistic, a baseline: how long is the name's text embedding, and how alike is it under all prompts?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import Access, Attack, Case, Choice, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from idbench_methods.photographed import unit_rows
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

CARD = MethodCard(
    name="text-statistic",
    version="1",
    title="Baseline: length of the name's embedding, agreement over prompts",
    summary=(
        "Text embeddings of the name under several prompts. `agreement` is their mean cosine with each other: a name "
        "that means something to the target may outweigh the words around it. `norm` is their mean length."
    ),
    access=Access.TEXT_EMBEDDING,
    knowledge=Knowledge.NAME,
    choices=(
        Choice(
            what="which statistic is the score",
            chosen="agreement; the other is a detail, and `statistic` changes it",
            why="lengths say nothing about CLIP, whose training normalizes them away",
        ),
        Choice(
            what="direction",
            chosen="higher = member, for both",
            why="what the target knows should weigh more, not less",
        ),
    ),
    presets={"norm": {"statistic": "norm"}},
)


class TextStatisticParams(MethodParams):
    """Parameters of the text statistic."""

    statistic: Literal["agreement", "norm"] = Field(default="agreement", description="what the score is")
    templates: Templates = Field(
        default=IDIA_TEMPLATES, description="prompts; each holds {} where the name goes; default: IDIA's 21"
    )


def agreement(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean cosine of different prompts, (n_prompts, n, d) -> (n,); 1 with a single prompt."""
    k = len(rows)
    if k == 1:
        return np.ones(rows.shape[1])
    total = unit_rows(rows).sum(axis=0)
    mean: NDArray[np.float64] = ((total**2).sum(axis=1) - k) / (k * (k - 1))
    return mean


class TextStatistic(Attack[TextStatisticParams]):
    """Agreement of prompts, -1 to 1, or mean length, of a name's text embeddings."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """The statistic of each name; both are details."""
        texts = [[fill(template, case.name) for case in cases] for template in self.params.templates]
        rows = np.stack([target.embed_texts(own) for own in texts]).astype(np.float64)
        found = {"agreement": agreement(rows), "norm": np.linalg.norm(rows, axis=2).mean(axis=0)}
        none = np.zeros(len(cases), dtype=np.int64)
        return Scores(values=found[self.params.statistic], photos_used=none, details=found)
