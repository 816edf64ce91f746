"""Blur faces: the middle of every picture that shows a protected person is blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from idbench.api import Case, Choice, Context, CorpusCard, CorpusDefense, Knowledge, MethodParams, Training

CARD = CorpusCard(
    name="blur-faces",
    version="1",
    title="Blurred faces of the protected",
    summary="A Gaussian blur covers an ellipse in the middle of each picture whose caption holds a protected name.",
    paper="Yang et al., A Study of Face Obfuscation in ImageNet, ICML 2022, arXiv 2103.06191",
    authors="Yang et al.",
    year=2022,
    url="https://arxiv.org/abs/2103.06191",
    knowledge=Knowledge.NAME | Knowledge.TRAINING_SET,
    choices=(
        Choice(
            what="where the face is",
            chosen="an ellipse in the middle of the picture",
            why="training pictures of people are portraits here, and drawn ones, in which a detector of real faces "
            "finds none; the source's boxes come from a detector and from people who looked",
        ),
        Choice(
            what="whose faces",
            chosen="those of the protected",
            why="the source blurs everybody's; here people who asked for nothing are the comparison",
        ),
    ),
)


class BlurFacesParams(MethodParams):
    """Parameters of the blur."""

    width: float = Field(default=0.7, gt=0, le=1, description="of the ellipse, as a share of the picture's width")
    height: float = Field(default=0.9, gt=0, le=1, description="of the ellipse, as a share of the picture's height")
    radius: float = Field(
        default=0.1, gt=0, le=1, description="of the blur, as a share of the ellipse's diagonal; the source's is 0.1"
    )


class BlurFaces(CorpusDefense[BlurFacesParams]):
    """Changes pictures alone."""

    card = CARD

    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """The same captions; pictures of the protected are blurred in the middle."""
        from idbench_methods.naming import names_of, pairs_of_anybody

        p = self.params
        shown = np.flatnonzero(pairs_of_anybody(training, names_of(protected))).tolist()
        images = np.array(training.images)
        for place in context.progress.track(shown, "blurring"):
            images[place] = blurred(images[place], p.width, p.height, p.radius)
        return replace(training, images=images)


def blurred(picture: NDArray[np.uint8], width: float, height: float, radius: float) -> NDArray[np.uint8]:
    """A picture with a blurred ellipse in its middle, whose rim fades over a tenth of it.

    Args:
        picture: uint8 (h, w, 3).
        width, height: of the ellipse, as shares of the picture's.
        radius: standard deviation of the blur, as a share of the ellipse's diagonal.
    """
    from PIL import Image, ImageFilter

    rows, columns = picture.shape[:2]
    diagonal = float(np.hypot(width * columns, height * rows))
    soft = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius * diagonal)), dtype=np.float64)
    y = (np.arange(rows) + 0.5 - rows / 2) / (height * rows / 2)
    x = (np.arange(columns) + 0.5 - columns / 2) / (width * columns / 2)
    inside = np.clip((1 - np.hypot(y[:, None], x[None, :])) / 0.1, 0, 1)[:, :, None]
    mixed: NDArray[np.uint8] = np.rint(inside * soft + (1 - inside) * picture).astype(np.uint8)
    return mixed
