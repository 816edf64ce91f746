"""TUNI's features of a text: how similar its optimized images become, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api import Context, TargetView
from idbench_methods.attacks.tuni.ascent import AdamAscent, Ascended, GradientAscent, Plan, Rule, ascend
from idbench_methods.attacks.tuni.starts import beginnings

if TYPE_CHECKING:
    from idbench_methods.attacks.tuni import TuniParams


@dataclass(frozen=True, slots=True)
class Features:
    """What the optimizations of one text came to.

    Args:
        text: the text.
        similarity: S, mean cosine of the final images with the text, -1 to 1.
        spread: D, sum of the distances of the final images' raw embeddings from their mean.
        steps: mean gradient steps per run.
        embeddings: raw embeddings of the final images, (runs, dim).
        images: the final images in the normalized space, (runs, 3, height, width).
    """

    text: str
    similarity: float
    spread: float
    steps: float
    embeddings: NDArray[np.float32]
    images: torch.Tensor


def features_of(
    target: TargetView, texts: Sequence[str], params: TuniParams, context: Context, *, what: str
) -> Iterator[Features]:
    """Optimize images for each text and measure them; texts in the order in which they finish.

    Args:
        target: the target.
        texts: distinct.
        params: runs, steps and starts.
        context: seed, device and progress.
        what: for the progress bar.
    """
    plan = plan_of(params)
    begin = beginnings(target, params, context)
    for group in _groups(ascend(target, texts, begin, plan, context=context, what=what), plan.slots):
        yield from _measured(target, group)


def plan_of(params: TuniParams) -> Plan:
    """The optimization that the parameters ask for."""
    rule: Rule = GradientAscent(params.learning_rate) if params.optimizer == "sgd" else AdamAscent(params.learning_rate)
    return Plan(
        runs=params.runs,
        steps=params.steps,
        rule=rule,
        tolerance=params.tolerance,
        patience=params.patience,
        slots=max(params.slots, params.runs),
    )


def spread(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of Euclidean distances to the mean, (..., runs, dim) -> (...)."""
    wide = embeddings.astype(np.float64)
    away = np.linalg.norm(wide - wide.mean(axis=-2, keepdims=True), axis=-1)
    total: NDArray[np.float64] = away.sum(axis=-1)
    return total


def _groups(finished: Iterable[Ascended], size: int) -> Iterator[list[Ascended]]:
    """Texts whose images together fill about `size` slots, to be measured in one go."""
    group: list[Ascended] = []
    for text in finished:
        group.append(text)
        if sum(len(member.images) for member in group) >= size:
            yield group
            group = []
    if group:
        yield group


def _measured(target: TargetView, group: Sequence[Ascended]) -> Iterator[Features]:
    images = torch.cat([text.images for text in group])
    runs = [len(text.images) for text in group]
    own = [text.text for text in group for _ in range(len(text.images))]
    cosines = np.split(target.image_similarities(images, own).cpu().numpy(), np.cumsum(runs)[:-1])
    embeddings = np.split(target.embed_images(images).cpu().numpy(), np.cumsum(runs)[:-1])
    for text, cosine, rows in zip(group, cosines, embeddings, strict=True):
        yield Features(
            text=text.text,
            similarity=float(cosine.mean(dtype=np.float64)),
            spread=float(spread(rows)),
            steps=float(text.steps.double().mean()),
            embeddings=rows,
            images=text.images,
        )
