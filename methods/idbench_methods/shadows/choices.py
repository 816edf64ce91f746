"""The threat model of the shadow attacks, their common parameters, and what the sources leave open for people."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from idbench.api import Access, Choice, Knowledge, MethodParams
from idbench_methods.prompts import Templates

ACCESS = Access.SIMILARITY | Access.TRAIN_SHADOWS
KNOWLEDGE = Knowledge.NAME | Knowledge.PHOTOS | Knowledge.CANDIDATE_NAMES | Knowledge.AUXILIARY_PEOPLE

SHARED_CHOICES = (
    Choice(
        what="what the attacker holds",
        chosen="the target's architecture and recipe, auxiliary people (photos with captions, like the target's "
        "training data, none of them under test), and names and photos of the people under test",
        why="shadow models need data of the target's kind; photos of the people under test are those of every attack",
    ),
    Choice(
        what="what a shadow is trained on",
        chosen="a random half of the auxiliary people; with online shadows also a random half of the people under "
        "test, each in exactly half of the shadows, with half of their photos; the other half measures",
        why="the target, too, is asked with photos that it was not trained on, so a shadow must be",
    ),
    Choice(
        what="captions of the people under test in the shadows",
        chosen="the templates of the parameter, in turn",
        why="the attacker knows how captions name people, not which captions the target has seen",
    ),
    Choice(
        what="length of a shadow's training",
        chosen="the target's recipe as it is, passes over the data included",
        why="a shadow should be the target's like; having fewer pairs it takes fewer steps, and learns less: `epochs` "
        "buys more at the price of time",
    ),
    Choice(
        what="statistic of a person",
        chosen="log-odds of the true name among the candidate names, mean over photos and templates; softmax of the "
        "cosines at a stated temperature",
        why="LiRA's logit scaling with names in place of classes; SIMILARITY does not show the model's own temperature",
    ),
    Choice(
        what="temperature",
        chosen="0.07, where CLIP's own temperature begins",
        why="a constant of the architecture, chosen without looking at any target's answers",
    ),
    Choice(
        what="models trained on more or fewer people",
        chosen="each model's statistics are given in standard deviations of auxiliary people that it never saw",
        why="the target's data are larger than a shadow's, which moves and stretches every statistic",
    ),
)


class ShadowParams(MethodParams):
    """Parameters of every attack that trains shadow models."""

    shadows: int = Field(default=8, ge=4, le=512, description="shadow models; even, so that halves are halves")
    epochs: float = Field(
        default=1.0, gt=0, le=100, description="passes of a shadow over its data, as a multiple of the target's recipe"
    )
    temperature: float = Field(default=0.07, gt=0, le=1, description="divides the cosines before the softmax")
    templates: Templates = Field(
        default=("{}", "a photo of {}", "a portrait of {}"),
        description="captions of people under test in the shadows, and prompts; each holds {} where the name goes",
    )

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.shadows % 2:
            raise ValueError(f"{self.shadows} shadows cannot be halved: use an even number")
        return self
