"""Batch-norm distance: how far do a person's photos lie from the running statistics of the image tower?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idbench.api import Access, Attack, Case, Choice, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from idbench_methods.photographed import photographed

CARD = MethodCard(
    name="batchnorm",
    version="1",
    title="Distance of features to batch-norm statistics",
    summary=(
        "Batch norms keep running means and variances of what they saw in training. The score is minus the distance of "
        "the features of a person's photos from them. Towers without batch norms cannot be asked."
    ),
    paper="Huang et al., Inference Attacks Against Face Recognition Model without Classification Layers, 2024",
    url="https://arxiv.org/abs/2401.13719",
    access=Access.WEIGHTS,
    knowledge=Knowledge.PHOTOS,
    choices=(
        Choice(
            what="distance",
            chosen="mean over channels of the squared difference of the photo's mean and the running mean, over the "
            "running variance; mean over all batch norms of the image tower",
            why="the variance makes channels and layers comparable, so that none is chosen",
        ),
        Choice(
            what="from distances to a score",
            chosen="minus the plain mean over layers",
            why="the source learns a weight for each layer from known members; labels are left to `mint`",
        ),
        Choice(what="from photos to people", chosen="mean over photos", why="it treats all photos of a person alike"),
    ),
)


class BatchNorm(Attack[MethodParams]):
    """Minus the mean distance, at most 0; abstains from people without photos."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Minus the mean distance over layers and photos.

        Raises:
            MethodError: the target's image tower has no batch norms.
        """
        from idbench_methods.attacks.batchnorm.statistics import distances

        seen = photographed(cases)
        values = seen.mean(-distances(target, seen.photos, context.progress)) if seen.photos else np.zeros(len(cases))
        return Scores(values=values, abstained=seen.count == 0, photos_used=seen.count)
