"""The embedded split: fictional people drawn by a deterministic renderer, in two sizes."""

from __future__ import annotations

from functools import partial

from idbench.splits.avatars import golden
from idbench.splits.avatars.world import (
    WorldSpec,
    build_auxiliary,
    build_corpus,
    build_held_out,
    build_world,
    world_of,
)
from idbench.splits.recipe import CorpusRecipe, SplitRecipe

LEVELS = (1, 5, 10, 25, 50, 75)
"""Training pictures of a member: the levels of the papers on identity inference."""

SPEC = WorldSpec(
    name="avatars",
    seed="idbench/avatars/1",
    title="Fictional people, drawn; membership assigned at random",
    n_test=1008,
    n_calibration=204,
    levels=LEVELS,
    n_photos=10,
    n_background=1000,
    background_pictures=6,
    n_candidates=1500,
    n_first=60,
    n_last=90,
    n_public=256,
    n_auxiliary=1000,
)

TINY_SPEC = WorldSpec(
    name="avatars-tiny",
    seed="idbench/avatars-tiny/1",
    title="A few fictional people, for checks that take seconds",
    n_test=48,
    n_calibration=24,
    levels=(1, 2, 4, 8, 12, 16),
    n_photos=3,
    n_background=60,
    background_pictures=3,
    n_candidates=100,
    n_first=12,
    n_last=15,
    n_public=24,
    n_auxiliary=20,
    note="**The tiny version for checks that take seconds: 48 + 24 identities, 3 photos each.** "
    "Its results mean nothing. The sizes below are those of `avatars`.",
)


def recipe_of(spec: WorldSpec, digest: str | None = None) -> SplitRecipe:
    """The recipe of a world, of its three corpora, its auxiliary people (`NAME-aux`) and held-out pictures.

    Args:
        spec: sizes and seed.
        digest: the manifest's digest, where it is known; those of corpora come from `golden`.
    """
    corpora = {
        info.name: CorpusRecipe(
            info.name, info.title, partial(build_corpus, spec, info.name), golden.CORPORA.get(info.name)
        )
        for info in world_of(spec).corpora
    }
    auxiliary = f"{spec.name}-aux"
    corpora[auxiliary] = CorpusRecipe(
        auxiliary,
        "people like those of the background, in no other corpus",
        partial(build_auxiliary, spec),
        golden.CORPORA.get(auxiliary),
    )
    held_out = f"{spec.name}-held-out"
    corpora[held_out] = CorpusRecipe(
        held_out,
        "pictures of background people that are in no training set, to see what a defense costs them",
        partial(build_held_out, spec),
        golden.CORPORA.get(held_out),
    )
    return SplitRecipe(spec.name, 1, spec.title, partial(build_world, spec), digest, corpora, fictional=True)


AVATARS = recipe_of(SPEC, golden.SPLITS.get("avatars"))
TINY = recipe_of(TINY_SPEC, golden.SPLITS.get("avatars-tiny"))

__all__ = ["AVATARS", "LEVELS", "SPEC", "TINY", "TINY_SPEC", "WorldSpec", "build_world", "recipe_of"]
