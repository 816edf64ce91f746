"""Shuffle captions: the words of captions that name a protected person come in random order, some left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from idbench.api import Case, Choice, Context, CorpusCard, CorpusDefense, Knowledge, MethodParams, Training

CARD = CorpusCard(
    name="shuffle-captions",
    version="1",
    title="Random words in the captions of the protected",
    summary="Captions that hold a protected name keep a share of their words, in random order, so that a picture and "
    "the exact caption are not learned together.",
    paper="Jayaraman et al., Deja Vu Memorization in Vision-Language Models, 2024, arXiv 2402.02103",
    authors="Jayaraman et al.",
    year=2024,
    url="https://arxiv.org/abs/2402.02103",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="when words are drawn",
            chosen="once for each pair, before the training",
            why="a defense hands over a training set; the source draws anew whenever a pair comes up",
        ),
        Choice(
            what="whose captions",
            chosen="those that hold a protected name",
            why="the source changes all of them; here people who asked for nothing are the comparison",
        ),
    ),
)


class ShuffleCaptionsParams(MethodParams):
    """Parameters of the change of captions."""

    left_out: float = Field(
        default=0.3, ge=0, lt=1, description="share of a caption's words that are left out; one always stays"
    )


class ShuffleCaptions(CorpusDefense[ShuffleCaptionsParams]):
    """Changes captions alone."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The same pictures; captions with a protected name have other words."""
        from idbench_methods.naming import names_of, pairs_of_anybody

        rng, captions = context.rng("words"), list(training.captions)
        for place in np.flatnonzero(pairs_of_anybody(training, names_of(protected))).tolist():
            words = captions[place].split()
            kept = max(1, round(len(words) * (1 - self.params.left_out)))
            captions[place] = " ".join(words[i] for i in rng.permutation(len(words))[:kept])
        return replace(training, captions=tuple(captions))
