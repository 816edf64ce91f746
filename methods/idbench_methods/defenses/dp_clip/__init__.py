"""DP-CLIP: the gradient of each batch is clipped and carries noise, so that no pair can matter much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Case,
    Choice,
    Context,
    CorpusCard,
    CorpusDefense,
    Guarantee,
    Knowledge,
    MethodError,
    MethodParams,
    Pair,
    PrivateGradients,
    Training,
)

CARD = CorpusCard(
    name="dp-clip",
    version="1",
    title="Differentially private contrastive training",
    summary="The gradient of each batch is scaled down to a norm and carries normal noise. The guarantee is (epsilon, "
    "delta)-differential privacy of the weights when one pair is replaced, and a much weaker one when all pairs of a "
    "person are: the record states both. It protects everybody alike.",
    paper="Huang et al., Safeguarding Data in Multimodal AI: A Differentially Private Approach to CLIP Training, 2023, "
    "arXiv 2306.08173",
    authors="Huang et al.",
    year=2023,
    url="https://arxiv.org/abs/2306.08173",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET | Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="how the loss over several training steps is counted",
            chosen="no amplification by sampling: every pair is in one batch of each epoch at most, and each of its "
            "batches is a Gaussian mechanism of sensitivity 2 x clip_norm",
            why="the recipe shuffles; the usual count assumes that each pair is drawn independently, which no such "
            "training does",
        ),
        Choice(
            what="the guarantee per person",
            chosen="a person of k pairs is in at most min(k, steps of an epoch) batches of each epoch, which are "
            "counted as that many mechanisms",
            why="it is exact for clipped batches, and tighter than k times the guarantee of one pair",
        ),
        Choice(
            what="statistics of batch normalization",
            chosen="taken on public pairs after the training",
            why="those of the training itself carry no noise",
        ),
        Choice(
            what="where the noise comes from",
            chosen="the run's seed, so that the training can be repeated",
            why="the guarantee holds against those who do not know the seed: to release weights, draw a secret one",
        ),
    ),
    presets={"weak": {"epsilon": 100_000.0}},
)

EXTRA = "pip install 'idbench[privacy]'"


class DpClipParams(MethodParams):
    """Parameters of the private training."""

    epsilon: float = Field(default=8.0, gt=0, description="guaranteed for one pair; the noise follows from it")
    delta: float = Field(default=1e-5, gt=0, lt=1, description="of the guarantees")
    clip_norm: float = Field(default=1.0, gt=0, description="most that the gradient of a batch may measure, L2")
    pairs_per_person: int = Field(
        default=75, ge=1, description="most pairs that a person has; more of a protected person are an error"
    )


class DpClip(CorpusDefense[DpClipParams]):
    """Changes how the target learns, not from what."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The same pairs, learned with clipped and noisy gradients.

        Raises:
            MethodError: the accountant is not installed, there are no public pairs, or a person has more pairs than
                the guarantee says.
        """
        from idbench_methods.naming import names_of, pairs_by_name

        p = self.params
        most = max((len(places) for places in pairs_by_name(training, names_of(protected)).values()), default=0)
        if most > p.pairs_per_person:
            raise MethodError(
                f"A protected person has {most} pairs, more than the {p.pairs_per_person} that the guarantee is for.",
                hint=f"Set pairs_per_person to {most} or more.",
            )
        if not context.public_pairs:
            raise MethodError(
                "dp-clip takes the statistics of batch normalization on public pairs, and there are none.",
                hint="Use a split that has public pairs.",
            )
        noise = 2 * math.sqrt(training.epochs) * deviation_for(p.epsilon, p.delta)
        steps = len(training.images) // training.batch_size
        public = _pictures(context.public_pairs, training.images.shape[1:3])
        return replace(
            training,
            private=PrivateGradients(p.clip_norm, noise, int(context.rng("noise").integers(2**62)), public),
            guarantees=(
                guarantee(noise, training.epochs, 1, steps, p.delta),
                guarantee(noise, training.epochs, p.pairs_per_person, steps, p.delta),
            ),
        )


def deviation_for(epsilon: float, delta: float) -> float:
    """Standard deviation, in units of the sensitivity, with which one Gaussian mechanism is (epsilon, delta)-private.

    Raises:
        MethodError: the accountant is not installed.
    """
    try:
        from dp_accounting import get_sigma_gaussian
    except ImportError as error:
        raise MethodError("dp-clip needs dp-accounting, which is not installed.", hint=f"Type: {EXTRA}") from error
    return float(get_sigma_gaussian(epsilon, delta))


def guarantee(noise: float, epochs: int, pairs: int, steps: int, delta: float) -> Guarantee:
    """What follows for a unit of so many pairs.

    Args:
        noise: standard deviation on a gradient, in units of the clipping norm; above 0.
        epochs: passes over the training set.
        pairs: of the unit; 1 for a pair alone.
        steps: batches in an epoch.
        delta: of the guarantee.
    """
    from dp_accounting import get_epsilon_gaussian

    # Gaussian mechanisms that follow each other are one with noise that is smaller by the root of their number.
    mechanisms = epochs * min(pairs, steps)
    epsilon = float(get_epsilon_gaussian(noise / 2 / math.sqrt(mechanisms), delta))
    return Guarantee(
        unit="pair" if pairs == 1 else "person",
        pairs=pairs,
        epsilon=epsilon if math.isfinite(epsilon) else None,
        delta=delta,
        accountant=f"dp-accounting: {mechanisms} Gaussian mechanisms of noise {noise / 2:.4g}; replacement; no "
        "amplification by sampling",
    )


def _pictures(pairs: Sequence[Pair], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Public pictures of the size of the training set's, uint8 (n, *size, 3), in an order of their own."""
    from PIL import Image

    height, width = size
    photos = sorted({pair.photo for pair in pairs}, key=lambda photo: photo.digest)
    return np.stack([np.asarray(Image.fromarray(photo.pixels()).resize((width, height))) for photo in photos])
