"""Prompt templates around a name, and how a name goes into them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

SLOT = "{}"

IDIA_TEMPLATES = (
    "{}",
    "an image of {}",
    "a photo of {}",
    "{} on a photo",
    "a photo of a person named {}",
    "a person named {}",
    "a man named {}",
    "a woman named {}",
    "the name of the person is {}",
    "a photo of a person with the name {}",
    "{} at a gala",
    "a photo of the celebrity {}",
    "actor {}",
    "actress {}",
    "a colored photo of {}",
    "a black and white photo of {}",
    "a cool photo of {}",
    "a cropped photo of {}",
    "a cropped image of {}",
    "{} in a suit",
    "{} in a dress",
)
"""The 21 templates of the Identity Inference Attack (Hintersdorf et al., JAIR 80, 2024), used for everybody."""


def fill(template: str, name: str) -> str:
    """The template with the name in its slot. The name is taken as it is: braces in it mean nothing."""
    return template.replace(SLOT, name)


def _check(templates: tuple[str, ...]) -> tuple[str, ...]:
    if not templates:
        raise ValueError("at least one template is needed")
    for template in templates:
        if template.count(SLOT) != 1:
            raise ValueError(f"{template!r} must hold {SLOT} exactly once, where the name goes")
    if len(set(templates)) != len(templates):
        raise ValueError("a template occurs twice")
    return templates


Templates = Annotated[tuple[str, ...], AfterValidator(_check)]
