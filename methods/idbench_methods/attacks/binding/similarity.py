"""Binding without embeddings: the interaction of first and last name in the cosines with public photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import Access, Attack, Case, Choice, Context, Knowledge, MethodCard, MethodError, Scores, TargetView
from idbench_methods.attacks.binding import CHOICES, SOURCES, BindingParams, bound
from idbench_methods.attacks.binding.interaction import Answers
from idbench_methods.prompts import fill


class BindingSimilarityParams(BindingParams):
    """Parameters of binding by similarities."""

    photos: int = Field(default=32, ge=1, description="public photos that stand for the directions of the embedding")


class BindingSimilarity(Attack[BindingSimilarityParams]):
    """Root mean square, over public photos, of the interaction of first and last name in the cosine."""

    card = MethodCard(
        name="binding-similarity",
        version="1",
        title="Binding, from similarities with public photos alone",
        summary=(
            "As `binding`, with each text's cosines with some public photos, which show nobody under test, in place of "
            "its embedding. Of the person only the name is known, and the target returns similarities and nothing else."
        ),
        paper=SOURCES,
        url="https://arxiv.org/abs/2302.14383",
        access=Access.SIMILARITY,
        knowledge=Knowledge.NAME | Knowledge.CANDIDATE_NAMES | Knowledge.PUBLIC_PAIRS,
        choices=(
            *CHOICES,
            Choice(
                what="how many public photos",
                chosen="32, drawn at random",
                why="the knee on the calibration people of seven targets: mean AUC 0.614 with 10, 0.625 with 30, 0.627 "
                "with 100 and with 256 (whole table, 8 prompts)",
            ),
        ),
        presets={"whole-table": {"partners": None}},
    )

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Length of the interaction over the square root of the photos; abstains as `binding` does.

        Raises:
            MethodError: the split has no public photos.
        """
        public = sorted({pair.photo for pair in context.public_pairs}, key=lambda photo: photo.digest)
        if not public:
            raise MethodError(
                "binding-similarity compares names with public photos, and the split has none.",
                hint="Use binding, which asks for text embeddings.",
            )
        chosen = context.rng("photos").permutation(len(public))[: self.params.photos]
        photos = [public[i] for i in np.sort(chosen)]

        def answers(template: str) -> Answers:
            def ask(names: Sequence[str]) -> NDArray[np.float64]:
                cosines = target.similarities(photos, [fill(template, name) for name in names])
                scaled: NDArray[np.float64] = cosines.T.astype(np.float64) / np.sqrt(len(photos))
                return scaled

            return ask

        return bound(cases, self.params, context, answers)
