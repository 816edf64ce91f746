"""What TUNI draws for a text, some of its runs at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api import Context, TargetView
from idbench_methods.attacks.tuni.ascent import Ascended, Begin, ascend
from idbench_methods.attacks.tuni.crops import Crops
from idbench_methods.attacks.tuni.features import plan_of, spread
from idbench_methods.attacks.tuni.starts import beginnings

if TYPE_CHECKING:
    from idbench_methods.attacks.tuni import TuniParams


@dataclass(frozen=True, slots=True)
class Drawn:
    """The optimized images of some runs of one text.

    Args:
        cosines: of the images with the text, (runs,).
        embeddings: of the images, raw, (runs, dim).
        steps: gradient steps, (runs,).
    """

    cosines: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    steps: NDArray[np.int64]

    @property
    def features(self) -> tuple[float, float]:
        """TUNI's S and D."""
        return float(self.cosines.mean(dtype=np.float64)), float(spread(self.embeddings))

    def first(self, runs: int) -> Drawn:
        """The first runs."""
        return Drawn(self.cosines[:runs], self.embeddings[:runs], self.steps[:runs])

    def and_then(self, more: Drawn) -> Drawn:
        """These runs and later ones."""
        return Drawn(
            np.concatenate([self.cosines, more.cosines]),
            np.concatenate([self.embeddings, more.embeddings]),
            np.concatenate([self.steps, more.steps]),
        )


def draw(
    target: TargetView, texts: Sequence[str], params: TuniParams, context: Context, runs: slice, what: str
) -> dict[str, Drawn]:
    """Images of some runs of each text, the same as TUNI with the same parameters draws in them.

    Args:
        target: asked for gradients, cosines and embeddings of images.
        texts: distinct.
        params: TUNI's.
        context: seed, device and progress.
        runs: which of `params.runs`.
        what: for the progress bar.
    """
    whole = beginnings(target, params, context)
    count = len(range(*runs.indices(params.runs)))
    plan = replace(plan_of(params), runs=count, slots=max(params.slots, count))

    def begin(text: str) -> Begin:
        all_runs = whole(text)
        return Begin(all_runs.images[runs], Crops(all_runs.crops.rows[runs], all_runs.crops.columns[runs]))

    found: dict[str, Drawn] = {}
    group: list[Ascended] = []
    for done in ascend(target, texts, begin, plan, context=context, what=what):
        group.append(done)
        if len(group) * count >= plan.slots:
            found |= _measured(target, group)
            group = []  # images of a thousand texts would fill the memory
    return found | _measured(target, group)


def _measured(target: TargetView, group: Sequence[Ascended]) -> dict[str, Drawn]:
    if not group:
        return {}
    images = torch.cat([done.images for done in group])
    own = [done.text for done in group for _ in range(len(done.images))]
    cosines = np.split(target.image_similarities(images, own).cpu().numpy(), len(group))
    embeddings = np.split(target.embed_images(images).cpu().numpy(), len(group))
    return {
        done.text: Drawn(cosine, rows, done.steps.cpu().numpy())
        for done, cosine, rows in zip(group, cosines, embeddings, strict=True)
    }
