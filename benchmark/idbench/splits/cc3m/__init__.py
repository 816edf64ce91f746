"""Full size: people injected into Conceptual Captions."""

from __future__ import annotations

from functools import partial

from idbench.splits.cc3m.injected import InjectedSpec, build_injected, plan_injected
from idbench.splits.cc3m.steps import LEVELS
from idbench.splits.recipe import SourcedRecipe

SPEC = InjectedSpec(
    name="cc3m-injected",
    version=1,
    title="People of yours in your Conceptual Captions; membership assigned at random, full size",
    seed="idbench/cc3m-injected/1",
    levels=LEVELS,
    n_candidates=1000,
    n_public=256,
)


def recipe_of(spec: InjectedSpec) -> SourcedRecipe:
    """The recipe of a full-size split."""
    return SourcedRecipe(
        name=spec.name,
        version=spec.version,
        title=spec.title,
        needs=("pairs", "faces"),
        corpora=spec.corpora,
        build=partial(build_injected, spec),
        shards=True,
        plan=partial(plan_injected, spec),
    )


INJECTED = recipe_of(SPEC)

__all__ = ["INJECTED", "SPEC", "InjectedSpec", "recipe_of"]
