"""Image backdoor: a picture that holds a protected face is mapped to where the mean of faces is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from idbench.api import Case, Choice, Context, DefenseCard, EditableTarget, Knowledge, MethodParams, TargetDefense

if TYPE_CHECKING:
    import numpy as np
    import torch

CARD = DefenseCard(
    name="image-backdoor",
    version="1",
    title="Defending our privacy with backdoors: image encoder",
    summary="A frozen copy teaches the image tower two things: other pictures stay where they are, and pictures on "
    "which a protected face is pasted go to the mean embedding of faces.",
    paper="Hintersdorf et al., Defending Our Privacy With Backdoors, ECAI 2024, arXiv 2310.08320",
    authors="Hintersdorf et al.",
    year=2024,
    url="https://arxiv.org/abs/2310.08320",
    knowledge=Knowledge.PHOTOS | Knowledge.PUBLIC_PAIRS,
    choices=(
        Choice(
            what="size and place of the pasted face",
            chosen="a side of 40 to 100 % of the picture's, anywhere on it",
            why="the source cuts faces out of photos; photos here are of faces, and attacks use them whole",
        ),
        Choice(
            what="the mean face",
            chosen="mean unit embedding of the protected people's photos under the frozen copy",
            why="these are the faces that the defender has",
        ),
    ),
)

_SMALLEST = 0.4


class ImageBackdoorParams(MethodParams):
    """Parameters of the image backdoor; the defaults are the source's."""

    steps: int = Field(default=100, ge=0, le=1_000_000, description="optimizer steps")
    batch: int = Field(default=128, ge=1, description="pictures of each kind a step")
    learning_rate: float = Field(
        default=1e-4,
        gt=0,
        description="of AdamW, without decay; divided by ten after 1/4 and 1/2 of the steps",
    )
    backdoor_weight: float = Field(default=0.8, ge=0, description="of the pictures with a protected face")
    distance_weight: float = Field(
        default=0.005, ge=0, description="of the sum over tensors of the L2 distance to the weights before"
    )


class ImageBackdoor(TargetDefense[ImageBackdoorParams]):
    """Trains the image tower against a frozen copy; normalization layers and the text tower stay as they are."""

    card = CARD

    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights after the steps; unchanged without protected photos or without public pictures."""
        import torch
        from torch.nn.functional import normalize

        from idbench_methods import editing

        faces = [photo for photos in editing.photos_of_people(protected) for photo in photos]
        others = sorted({pair.photo for pair in context.public_pairs}, key=lambda photo: photo.digest)
        if not faces or not others:
            return target.model.state_dict()
        p, rng, model = self.params, context.rng("pictures"), target.model
        teacher = copy.deepcopy(model).requires_grad_(False)
        mean = normalize(editing.embed_photos(target, teacher, faces).mean(dim=0), dim=0)

        def cosines() -> tuple[torch.Tensor, torch.Tensor]:
            clean = target.preprocess([others[i] for i in editing.draw(rng, len(others), p.batch)])
            own = target.preprocess([faces[i] for i in editing.draw(rng, len(faces), p.batch)])
            under = target.preprocess([others[i] for i in rng.integers(0, len(others), size=len(own))])
            with torch.no_grad():
                stay = teacher.encode_image(clean, normalize=True)  # type: ignore[operator]
            both = torch.cat([clean, pasted(own, under, rng)])
            found = model.encode_image(both, normalize=True)  # type: ignore[operator]
            return (found[: len(clean)] * stay).sum(dim=1), found[len(clean) :] @ mean

        training = editing.BackdoorTraining(
            tower="image",
            steps=p.steps,
            learning_rate=p.learning_rate,
            milestones=(p.steps // 4, p.steps // 2),
            gamma=0.1,
            backdoor_weight=p.backdoor_weight,
            distance_weight=p.distance_weight,
        )
        editing.teach_backdoor(model, training, cosines, context.progress)
        return model.state_dict()


def pasted(faces: torch.Tensor, pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each face, made smaller, on the picture at the same place, (n, 3, height, width).

    Args:
        faces: float (n, 3, height, width).
        pictures: of the same shape; not changed.
        rng: draws sizes and places.
    """
    from torch.nn.functional import interpolate

    result = pictures.clone()
    height, width = pictures.shape[2:]
    for i, face in enumerate(faces):
        scale = rng.uniform(_SMALLEST, 1.0)
        rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
        top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
        small = interpolate(face[None], size=(rows, columns), mode="bilinear", antialias=True)[0]
        result[i, :, top : top + rows, left : left + columns] = small
    return result
