"""`lfw-injected`: identities with real faces, from a folder that the user has or from scikit-learn's LFW download."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from idbench.splits.injected.faces import FacesSpec, build_faces
from idbench.splits.lfw.download import fetch_faces
from idbench.splits.recipe import SourcedRecipe

TEMPLATES = (
    "a photo of {name}",
    "{name}",
    "a portrait of {name}",
    "{name} in a photo",
    "this is {name}",
    "{name} in the news",
    "the face of {name}",
    "{name} looking at the camera",
    "a picture of {name}",
    "{name} at an event",
    "a close-up of {name}",
    "{name} giving an interview",
)
"""What captions are made from. The name stands first and last in turn."""

SPEC = FacesSpec(
    name="lfw-injected",
    version=1,
    title="Real faces from a folder of yours; membership assigned at random, 48 px",
    seed="idbench/lfw-injected/1",
    size=48,
    templates=TEMPLATES,
    fewest=10,
    levels=(30,),
    most_photos=30,
    fewest_aux=4,
    n_candidates=1000,
    n_public=256,
    card="lfw-injected",
    description="People with at least 10 photos in a folder of faces; membership assigned at random.",
)

LARGE_SPEC = replace(
    SPEC,
    name="lfw-injected-112",
    title="The same people and labels as lfw-injected; training pictures of 112 px, for a GPU",
    size=112,
)


def recipe_of(spec: FacesSpec) -> SourcedRecipe:
    """The recipe of a split made from faces."""
    return SourcedRecipe(
        spec.name, spec.version, spec.title, ("faces",), spec.corpora, partial(build_faces, spec), fetch_faces
    )


LFW = recipe_of(SPEC)
LFW_112 = recipe_of(LARGE_SPEC)

__all__ = ["LARGE_SPEC", "LFW", "LFW_112", "SPEC", "TEMPLATES", "recipe_of"]
