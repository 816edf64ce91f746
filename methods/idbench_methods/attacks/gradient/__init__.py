"""Gradient attack: how small are the contrastive loss of a person's pairs and its gradient?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    Attack,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodParams,
    Photo,
    Scores,
    TargetView,
)
from idbench_methods.attacks.gradient.loss import losses_and_norms
from idbench_methods.photographed import person_key, photographed, unit_rows
from idbench_methods.prompts import fill

CARD = MethodCard(
    name="gradient",
    version="1",
    title="Gradient attack: loss and gradient norm of a person's pairs",
    summary=(
        "The contrastive loss of each pair of photo and name in a batch, and the norm of its gradient with respect to "
        "the pair's two embeddings. Both fall where the target was trained. The score is the mean of both, negative, "
        "in standard deviations of known non-members. The gradient has a closed form in the embeddings, so that no "
        "weights are needed."
    ),
    paper="Gomez, Rethinking Membership Inference Attacks for CLIP, AAAI 2026",
    access=Access.IMAGE_EMBEDDING | Access.TEXT_EMBEDDING,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS | Knowledge.CALIBRATION_LABELS,
    choices=(
        Choice(
            what="what a batch holds",
            chosen="pairs of all people under test and for calibration, mixed at random; several mixtures are averaged",
            why="batches of members alone or of non-members alone tell the label through their negatives",
        ),
        Choice(
            what="temperature",
            chosen="0.07, where CLIP's own begins",
            why="embeddings do not show the target's own",
        ),
        Choice(
            what="known non-members",
            chosen="those of the calibration part; their mean and standard deviation alone are used",
            why="two numbers for everybody: the order of people depends on their ratio only",
        ),
        Choice(what="from pairs to people", chosen="mean over photos", why="it treats all pairs of a person alike"),
    ),
    presets={"paper": {"batch": 64, "mixtures": 1}},
)


class GradientParams(MethodParams):
    """Parameters of the gradient attack."""

    batch: int = Field(default=64, ge=2, description="pairs in a batch, as in the source")
    mixtures: int = Field(default=4, ge=1, description="random divisions into batches that are averaged over")
    temperature: float = Field(default=0.07, gt=0, le=1, description="divides the cosines")
    template: str = Field(default="a photo of {}", pattern=r"\{\}", description="caption of every pair; {} is the name")


class Gradient(Attack[GradientParams]):
    """Minus loss and gradient norm, standardized by known non-members; abstains from people without photos."""

    card = CARD

    def __init__(self, params: GradientParams | None = None) -> None:
        super().__init__(params)
        self._known: frozenset[object] = frozenset()

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Remember which people are known non-members; they are measured among the others."""
        pairs = zip(calibration.cases, calibration.members, strict=True)
        self._known = frozenset(person_key(case) for case, member in pairs if not member)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Mean of both statistics' negative z-scores; the details hold mean loss and mean norm."""
        seen = photographed(cases)
        able = seen.count > 0
        loss, norm = self._measure(target, [cases[i].name for i in seen.owner], seen.photos, context)
        means = np.stack([seen.mean(loss), seen.mean(norm)])
        known = np.array([person_key(case) in self._known for case in cases], dtype=np.bool_) & able
        values = -np.mean([_standardized(row, known if known.any() else able) for row in means], axis=0)
        details = {"loss": np.where(able, means[0], 0.0), "gradient_norm": np.where(able, means[1], 0.0)}
        return Scores(values=values, abstained=~able, photos_used=seen.count, details=details)

    def _measure(
        self, target: TargetView, names: Sequence[str], photos: Sequence[Photo], context: Context
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss and gradient norm of each photo with its name, (n_photos,) each, means over mixtures."""
        # Each pair once, in an order that depends on who the people are and not on the order of the cases.
        pairs = sorted(
            {(name, photo.digest): photo for name, photo in zip(names, photos, strict=True)}.items(),
            key=lambda pair: pair[0],
        )
        place = {key: i for i, (key, _) in enumerate(pairs)}
        loss, norm = np.zeros(len(pairs)), np.zeros(len(pairs))
        if len(pairs) > 1:
            images = unit_rows(target.embed_photos([photo for _, photo in pairs]))
            texts = unit_rows(target.embed_texts([fill(self.params.template, name) for (name, _), _ in pairs]))
            for mixture in range(self.params.mixtures):
                order = context.rng("mixture", mixture).permutation(len(pairs))
                for batch in np.array_split(order, max(1, round(len(pairs) / self.params.batch))):
                    one, other = losses_and_norms(images[batch], texts[batch], self.params.temperature)
                    loss[batch] += one / self.params.mixtures
                    norm[batch] += other / self.params.mixtures
        own = np.array([place[name, photo.digest] for name, photo in zip(names, photos, strict=True)], dtype=np.int64)
        return loss[own], norm[own]


def _standardized(values: NDArray[np.float64], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not reference.any():
        return values
    scaled: NDArray[np.float64] = (values - values[reference].mean()) / (float(values[reference].std()) or 1.0)
    return scaled
