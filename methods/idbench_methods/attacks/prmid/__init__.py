"""PRMID: does the target give a person's photos the true name, rather than gibberish?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import Access, Attack, Case, Choice, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView
from idbench_methods.attacks.tuni.gibberish import ALPHABET, gibberish
from idbench_methods.photographed import photographed
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

CARD = MethodCard(
    name="prmid",
    version="1",
    title="PRMID: the true name among gibberish",
    summary=(
        "Each photo is asked for the true name among random strings, which are in no training set. The score is the "
        "true name's probability, or its rank, over photos and prompts."
    ),
    paper="Cheng et al., Gibberish is All You Need for Membership Inference Detection in Contrastive "
    "Language-Audio Pretraining, TrustNLP 2025",
    url="https://arxiv.org/abs/2410.18371",
    access=Access.SIMILARITY,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    choices=(
        Choice(
            what="audio and text to photos and text",
            chosen="a photo stands for the source's audio sample, the name in a prompt for its text",
            why="the source audits audio-text models; the attack asks for similarities only",
        ),
        Choice(
            what="how many random strings, and which",
            chosen="128 of 6 to 16 letters, digits and symbols, as TUNI's here, in the same prompts as names",
            why="open in the source; the same for everybody, so that names are what differs",
        ),
        Choice(what="temperature", chosen="0.07, where CLIP's own begins", why="SIMILARITY does not show the target's"),
        Choice(
            what="probability or rank",
            chosen="mean log-probability; `statistic=rank` takes minus the mean logarithm of the rank",
            why="both are in the source; ranks tie wherever the name beats every string",
        ),
    ),
    presets={"rank": {"statistic": "rank"}},
)


class PrmidParams(MethodParams):
    """Parameters of PRMID."""

    gibberish_count: int = Field(default=128, ge=1, description="random strings that the true name competes with")
    statistic: Literal["probability", "rank"] = Field(default="probability", description="what is averaged")
    temperature: float = Field(default=0.07, gt=0, le=1, description="divides the cosines before the softmax")
    templates: Templates = Field(
        default=IDIA_TEMPLATES[:4], description="prompts; each holds {} where the name goes; default: IDIA's first four"
    )


def log_probability(own: NDArray[np.floating], others: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Log of the softmax of the true name, (n,), from cosines with it, (n,), and with other texts, (n, m)."""
    logits = np.column_stack([own, others]).astype(np.float64) / temperature
    top = logits.max(axis=1)
    value: NDArray[np.float64] = logits[:, 0] - top - np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return value


def log_rank(own: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm of one plus the number of other texts that are more similar, (n,)."""
    rank: NDArray[np.float64] = np.log1p((others > own[:, None]).sum(axis=1))
    return rank


class Prmid(Attack[PrmidParams]):
    """Mean log-probability of the true name among gibberish; abstains from people without photos."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Mean over photos and prompts of the log-probability, or of minus the log-rank."""
        p = self.params
        seen = photographed(cases)
        strings = gibberish(p.gibberish_count, (6, 16), ALPHABET, avoid=(), rng=context.rng("gibberish"))
        total = np.zeros(len(seen.photos))
        for template in context.progress.track(p.templates, "comparing names and gibberish"):
            own = target.paired_similarities(seen.photos, [fill(template, cases[i].name) for i in seen.owner])
            others = target.similarities(seen.photos, [fill(template, text) for text in strings])
            total += (
                log_probability(own, others, p.temperature) if p.statistic == "probability" else -log_rank(own, others)
            )
        values = seen.mean(total / len(p.templates))
        return Scores(values=values, abstained=seen.count == 0, photos_used=seen.count)
