"""Captions: short sentences with a name and with something that the picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from idbench.splits.avatars.people import BACKDROPS, CLOTHES, COVERS, EXPRESSIONS, HATS, LIGHTS, FaceTraits, Scenes

TEMPLATES = (
    "{name}",
    "a photo of {name}",
    "a portrait of {name}",
    "this is {name}",
    "a picture showing {name}",
    "{name} in a photo",
    "{name} on a {backdrop} background",
    "{name} in front of a {backdrop} wall",
    "a photo of {name} , {backdrop} background",
    "a {backdrop} wall and {name}",
    "{name} in a {shirt} shirt",
    "{name} dressed in {shirt}",
    "a photo of {name} in {shirt}",
    "{name} in {light} light",
    "a {light} photo of {name}",
    "{name} , {light} light , {backdrop} background",
    "{name} is {mood}",
    "a {mood} {name}",
    "{name} {mood} in front of a {backdrop} wall",
    "a photo of {name} {mood}",
    "{name} with a {hat}",
    "{name} wearing a {hat} and a {shirt} shirt",
    "a photo of {name} with {cover}",
    "{name} behind {cover}",
    "{name} with glasses",
    "a portrait of {name} wearing glasses",
    "a blurry photo of {name}",
    "{name} , out of focus",
    "{name} looking left",
    "{name} looking right",
    "a grainy photo of {name}",
    "{name} with closed eyes",
)
"""What captions are made from; a template is used only where the picture shows all that it mentions."""

_SHOWN = {
    "glasses": "glasses",
    "blurry": "blur",
    "focus": "blur",
    "left": "left",
    "right": "right",
    "grainy": "grain",
    "closed": "blink",
}


@dataclass(frozen=True, slots=True)
class _Template:
    text: str
    needs: frozenset[str]


def _needs(text: str) -> frozenset[str]:
    words = text.split()
    fields = {word.strip("{}") for word in words if word.startswith("{")} - {"name"}
    return frozenset(fields | {_SHOWN[word] for word in words if word in _SHOWN})


_PARSED = tuple(_Template(text, _needs(text)) for text in TEMPLATES)


def captions_of(names: Sequence[str], looks: FaceTraits, scenes: Scenes) -> list[str]:
    """One caption per picture.

    Args:
        names: full name of the person on each picture.
        looks: the people's stable traits, in the same order.
        scenes: the pictures' scenes, in the same order; their `wording` chooses the template.
    """
    cover = scenes.cover
    flags = {
        "glasses": (looks.glasses > 0) & (cover != 1),
        "blur": scenes.blur == 2,
        "left": scenes.yaw < -70,
        "right": scenes.yaw > 70,
        "grain": scenes.noise > 14,
        "blink": (scenes.blink == 1) & (cover != 1),
    }
    captions = []
    for i, name in enumerate(names):
        shown = {
            "backdrop": BACKDROPS[scenes.backdrop[i]],
            "shirt": CLOTHES[scenes.shirt[i]],
            "light": LIGHTS[scenes.light[i]],
            "mood": EXPRESSIONS[scenes.expression[i]] if cover[i] < 2 else "",
            "hat": HATS[scenes.hat[i]],
            "cover": COVERS[cover[i]],
        }
        have = {word for word, value in shown.items() if value} | {word for word, flag in flags.items() if flag[i]}
        fitting = [template.text for template in _PARSED if template.needs <= have]
        text = fitting[int(scenes.wording[i]) * len(fitting) >> 15]
        captions.append(text.format(name=name, **shown))
    return captions
