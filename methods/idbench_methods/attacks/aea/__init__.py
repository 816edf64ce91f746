"""AEA, the augmentation-enhanced attack: how much similarity do a person's photos lose when they are transformed?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
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
    MethodParams,
    Photo,
    Scores,
    TargetView,
)
from idbench_methods.photographed import photographed
from idbench_methods.prompts import IDIA_TEMPLATES, Templates, fill

CARD = MethodCard(
    name="aea",
    version="1",
    title="AEA: cosine, and how much transformed photos lose of it",
    summary=(
        "The cosine of photos and name, plus how far it falls when the photos are cropped, flipped and turned: what "
        "was trained on is said to fall further."
    ),
    paper="Ko et al., Practical Membership Inference Attacks Against Large-Scale Multi-Modal Models, ICCV 2023",
    url="https://arxiv.org/abs/2310.00108",
    access=Access.SIMILARITY,
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    choices=(
        Choice(
            what="transformations",
            chosen="the middle 80 % of either side, a horizontal flip, a turn by 15 degrees",
            why="the source names crop, flip and rotation; it is not in the released code",
        ),
        Choice(
            what="how the falls enter",
            chosen="cosine plus `weight` times the mean fall, weight 1",
            why="both are cosines; nothing is tuned",
        ),
        Choice(
            what="from pairs to people",
            chosen="mean over photos and prompts",
            why="as `cosine`; an auditor has photos that were not trained on, which the source's attack is made for",
        ),
    ),
)


class AeaParams(MethodParams):
    """Parameters of AEA."""

    transformations: tuple[Literal["crop", "flip", "turn"], ...] = Field(
        default=("crop", "flip", "turn"), min_length=1, description="what is done to the photos, one at a time"
    )
    weight: float = Field(default=1.0, ge=0, description="of the mean fall of the cosine against the cosine itself")
    templates: Templates = Field(
        default=IDIA_TEMPLATES[:4], description="prompts; each holds {} where the name goes; default: IDIA's first four"
    )


def crop(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle 80 % of either side, at least one pixel."""
    height, width = pixels.shape[:2]
    top, left = height // 10, width // 10
    return pixels[top : height - top, left : width - left]


def flip(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged."""
    return pixels[:, ::-1]


def turn(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turned by 15 degrees about the middle, bilinear; corners that come from outside take the mean colour."""
    from PIL import Image

    mean = tuple(int(value) for value in pixels.mean(axis=(0, 1)))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.rotate(15, Image.Resampling.BILINEAR, fillcolor=mean), dtype=np.uint8)


_DO: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {"crop": crop, "flip": flip, "turn": turn}


def transformed(photo: Photo, name: str) -> Photo:
    """The photo after the transformation of that name; a digest of its own, pixels only when asked for."""
    digest = hashlib.sha256(f"{photo.digest}/{name}".encode()).hexdigest()
    return Photo(digest, lambda: np.ascontiguousarray(_DO[name](photo.pixels())))


class Aea(Attack[AeaParams]):
    """Cosine plus its mean fall under transformations; abstains from people without photos."""

    card = CARD

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Mean over photos and prompts; the details hold both parts."""
        p = self.params
        seen = photographed(cases)
        versions = {name: [transformed(photo, name) for photo in seen.photos] for name in p.transformations}
        plain, changed = np.zeros(len(seen.photos)), np.zeros(len(seen.photos))
        for template in context.progress.track(p.templates, "comparing photos and names"):
            texts = [fill(template, cases[i].name) for i in seen.owner]
            plain += target.paired_similarities(seen.photos, texts)
            for photos in versions.values():
                changed += target.paired_similarities(photos, texts) / len(versions)
        cosine = seen.mean(plain / len(p.templates))
        fall = cosine - seen.mean(changed / len(p.templates))
        able = seen.count > 0
        details = {"cosine": np.where(able, cosine, 0.0), "fall": np.where(able, fall, 0.0)}
        return Scores(values=cosine + p.weight * fall, abstained=~able, photos_used=seen.count, details=details)
