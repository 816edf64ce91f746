"""Label smoothing: the contrastive loss wants a little of the other captions too, or less than nothing of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from idbench.api import Case, Choice, Context, CorpusCard, CorpusDefense, Knowledge, MethodParams, Training

CARD = CorpusCard(
    name="label-smoothing",
    version="1",
    title="Soft contrastive targets",
    summary="In the symmetric cross-entropy, a picture's own caption is wanted with 1 - s + s / b and each other "
    "caption of the batch of b with s / b. It protects everybody alike: nobody is told apart.",
    paper="Struppek et al., Be Careful What You Smooth For, ICLR 2024, arXiv 2310.06549",
    authors="Struppek et al.",
    year=2024,
    url="https://arxiv.org/abs/2310.06549",
    knowledge=Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="labels of a model that has no classes",
            chosen="the captions of a batch for each picture, and its pictures for each caption",
            why="the source smooths the labels of classifiers",
        ),
        Choice(
            what="the source's schedule",
            chosen="the same smoothing from the first step on",
            why="with negative smoothing the source trains a few epochs without it first; the recipe here has a "
            "warm-up of its own",
        ),
    ),
    presets={"positive": {"smoothing": 0.1}, "negative": {"smoothing": -0.05}},
)


class LabelSmoothingParams(MethodParams):
    """Parameters of the smoothing; the default is the source's that shields against inversion."""

    smoothing: float = Field(
        default=-0.05, gt=-1, lt=1, description="s; above 0 targets are soft, below 0 others are pushed away harder"
    )


class LabelSmoothing(CorpusDefense[LabelSmoothingParams]):
    """Changes the loss alone."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The same pairs, learned with smoothed targets."""
        return replace(training, smoothing=self.params.smoothing)
