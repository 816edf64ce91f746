"""The embedded split: fictional people drawn by a deterministic renderer, in two sizes."""

from __future__ import annotations

from functools import partial

from idbench.splits.avatars.world import (
    WorldSpec,
    build_auxiliary,
    build_corpus,
    build_held_out,
    build_world,
    world_of,
)
from idbench.splits.recipe import CorpusRecipe, SplitRecipe

SPLITS: dict[str, str] = {
    "avatars": "1c20d4b711374df69a990c73e3194264c950266888d6fd3310ab3f089593ab57",
    "avatars-tiny": "01596091a9f99a2b2f83e94f401b023c7365af8b8eb561310bf98eac7c1d944d",
}
CORPORA: dict[str, str] = {
    "avatars-0": "f2ea6081f9555539cfa81fe71b849b469b82bb6fa65ec3ee35feb00a15d9ba45",
    "avatars-a": "55a0800979f3a4225c0e729f0bc045dacb61d747c6ab4354339e6446a9ccafb3",
    "avatars-aux": "a6e60000a0a5a67a9e27255b671e7ba1e738a150d6c61ff17b76b60248f44e0d",
    "avatars-b": "5cbf991720e8c1a95a6e3e44925ad6bc8bce65bb43facdf40ea5171bb5a87095",
    "avatars-held-out": "e7d667898264ebd58b1b1339cc98d5e9ee1d4b8cbf7aa261e0dbf7be23ff3a6e",
    "avatars-tiny-0": "cd7d85061cb7185ae5fde20ba79ac88d6fa45c070381adb6a90a8c56468e2ebe",
    "avatars-tiny-a": "b3cba4c77e0960f507bf8c79acf4a4c1e3b63864a186c49af2395ed0ffc21060",
    "avatars-tiny-aux": "e9f59b58e302810cbe71c4cfd4f88c1c64d96a18787ba8ddcfafb7e6c4f87986",
    "avatars-tiny-b": "0379fa080d6e3b3558bbe5e6bc5352694e49c99be61a651694a1e5f721d72445",
    "avatars-tiny-held-out": "bc9190d9d3eeac113a2ce2c77b323fe930c94c7788f4082658d1e0dc7b726905",
}
"""What every machine must get: digests of the built splits and corpora (`Manifest.digest`, `Corpus.digest`)."""

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
        digest: the manifest's digest, where it is known; those of corpora come from `CORPORA`.
    """
    corpora = {
        info.name: CorpusRecipe(info.name, info.title, partial(build_corpus, spec, info.name), CORPORA.get(info.name))
        for info in world_of(spec).corpora
    }
    auxiliary = f"{spec.name}-aux"
    corpora[auxiliary] = CorpusRecipe(
        auxiliary,
        "people like those of the background, in no other corpus",
        partial(build_auxiliary, spec),
        CORPORA.get(auxiliary),
    )
    held_out = f"{spec.name}-held-out"
    corpora[held_out] = CorpusRecipe(
        held_out,
        "pictures of background people that are in no training set, to see what a defense costs them",
        partial(build_held_out, spec),
        CORPORA.get(held_out),
    )
    return SplitRecipe(spec.name, 1, spec.title, partial(build_world, spec), digest, corpora, fictional=True)


AVATARS = recipe_of(SPEC, SPLITS.get("avatars"))
TINY = recipe_of(TINY_SPEC, SPLITS.get("avatars-tiny"))

__all__ = ["AVATARS", "LEVELS", "SPEC", "TINY", "TINY_SPEC", "WorldSpec", "build_world", "recipe_of"]
