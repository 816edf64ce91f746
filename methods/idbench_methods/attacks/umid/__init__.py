"""UMID: TUNI's question asked in a latent space: what is found there for a name, unlike for gibberish?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import (
    Access,
    Attack,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodCard,
    MethodError,
    MethodParams,
    Scores,
    TargetView,
)
from idbench_methods.attacks.tuni.gibberish import ALPHABET, gibberish
from idbench_methods.photographed import unit_rows
from idbench_methods.prompts import Templates, fill

CARD = MethodCard(
    name="umid",
    version="1",
    title="UMID: latents inverted from the name, compared with gibberish",
    summary=(
        "For each name, several latents are optimized until the image embeddings that they stand for are similar to "
        "the name's text embedding. Anomaly detectors compare their similarity and spread with those of random "
        "strings. TUNI without pixels: an image embedding is a point on the plane of the public photos' embeddings."
    ),
    paper="Cheng et al., Membership Inference for Contrastive Pre-training Models with Text-only PII Queries, 2026",
    url="https://arxiv.org/abs/2603.14222",
    access=Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING,
    knowledge=Knowledge.NAME | Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="latent space",
            chosen="coefficients of the principal components of public photos' image embeddings, in their standard "
            "deviations; the embedding is the mean photo plus their sum, normalized",
            why="open in the source; linear, so that gradients have a closed form and the target is asked for nothing "
            "more than embeddings of public photos and of names",
        ),
        Choice(
            what="dimensions of the latent, runs, steps and rate",
            chosen="16 components, 8 runs from standard normal starts, 20 steps of gradient ascent at 1.0",
            why="open in the source; far enough to climb and too few to converge, where all runs would be the same; "
            "chosen without looking at any label",
        ),
        Choice(
            what="random strings, detectors and their combination",
            chosen="as TUNI here: 128 strings; local outlier factor, isolation forest, one-class SVM; mean rank; "
            "the same majority decides",
            why="the source takes over the idea, and the two are then comparable",
        ),
        Choice(what="prompt", chosen="the bare name", why="as TUNI's released code"),
    ),
)


class UmidParams(MethodParams):
    """Parameters of UMID."""

    runs: int = Field(default=8, ge=2, description="latents that are optimized for each text")
    steps: int = Field(default=20, ge=1, description="gradient steps for each latent")
    rate: float = Field(default=1.0, gt=0, description="step size, in standard deviations of the public photos")
    components: int = Field(default=16, ge=1, description="dimensions of the latent; at most what public photos span")
    gibberish_count: int = Field(default=128, ge=20, description="random strings in the reference")
    direction: Literal["two-sided", "more-similar"] = Field(
        default="two-sided",
        description="whether any difference from gibberish counts, or only more similarity and less spread",
    )
    templates: Templates = Field(
        default=("{}",),
        description="prompts whose normalized embeddings are averaged; each holds {} where the name goes",
    )


class Umid(Attack[UmidParams]):
    """How unlike gibberish a name's latents are: mean rank over detectors, 0 to 1 (-1 to 1 with a direction)."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Anomaly of each name; details `S` and `D`, the similarity and spread of its latents.

        Raises:
            MethodError: the split has fewer than two public photos.
        """
        from idbench_methods.attacks.tuni.detectors import judge

        p = self.params
        names = sorted({case.name for case in cases})
        none = np.zeros(len(cases), dtype=np.int64)
        if not names:
            return Scores(values=np.zeros(0), photos_used=none)
        strings = gibberish(p.gibberish_count, (6, 16), ALPHABET, avoid=names, rng=context.rng("gibberish"))
        features = self._features(target, [*names, *strings], context)
        verdict = judge(
            features[len(names) :],
            features[: len(names)],
            ("lof", "isolation-forest", "one-class-svm"),
            contamination=0.1,
            direction=p.direction,
            seed=int(context.rng("detectors").integers(2**31)),
        )
        place = {name: i for i, name in enumerate(names)}
        own = np.array([place[case.name] for case in cases], dtype=np.int64)
        details = {"S": features[own, 0], "D": features[own, 1], "votes": verdict.votes[own].astype(np.float64)}
        return Scores(verdict.anomaly[own], decisions=verdict.votes[own] >= 2, photos_used=none, details=details)

    def _features(self, target: TargetView, texts: Sequence[str], context: Context) -> NDArray[np.float64]:
        """Similarity and spread of each text's latents, (n_texts, 2)."""
        from idbench_methods.attacks.umid.inversion import invert, plane_of

        public = sorted({pair.photo for pair in context.public_pairs}, key=lambda photo: photo.digest)
        if len(public) < 2:
            raise MethodError(
                f"UMID spans its latents with public photos; the split has {len(public)}.", hint="Use another split."
            )
        plane = plane_of(target.embed_photos(public), self.params.components)
        asked = [[fill(template, text) for text in texts] for template in self.params.templates]
        embeddings = np.mean([unit_rows(target.embed_texts(own)) for own in asked], axis=0)
        starts = np.stack(
            [context.rng("start", text).standard_normal((self.params.runs, len(plane.axes))) for text in texts]
        )
        return invert(embeddings, starts, plane, self.params.steps, self.params.rate)
