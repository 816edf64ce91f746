"""Finds registered splits (entry points of the group `idbench.splits`) and their training sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from idbench.api import Progress, Silent
from idbench.errors import DataError, UnknownNameError
from idbench.plugins import ObjectRegistry, Plugin
from idbench.splits.building import corpus_place, get_or_build, how_to_build, open_sourced
from idbench.splits.corpora import Corpus, read_corpus
from idbench.splits.elsewhere import GROUP, recipe_of
from idbench.splits.recipe import CorpusRecipe, Recipe, SourcedRecipe, SplitRecipe
from idbench.storage import cache_dir


class SplitRegistry(ObjectRegistry[Recipe]):
    """All splits; strangers' recipes are read and carried out in a process of their own."""

    def stand_in(self, plugin: Plugin, patience: float) -> Recipe:
        """See `idbench.splits.elsewhere`."""
        return recipe_of(plugin, patience)


SPLITS: Final = SplitRegistry(GROUP, "split", SplitRecipe, SourcedRecipe)


def split_names() -> list[str]:
    """Names of all registered splits, sorted; nothing is imported."""
    return SPLITS.names()


def find_recipe(name: str) -> Recipe:
    """The recipe registered under a name.

    Raises:
        UnknownNameError: nothing is registered under the name.
        PluginError: what is registered cannot be imported, or is not a recipe of that name.
    """
    return SPLITS.load(name)


def readable_recipes() -> dict[str, Recipe]:
    """The recipes of all registered splits, by name; sorted.

    Left out is what does not load or takes long to be imported, so that one plug-in takes nothing else away;
    `find_recipe` says what is wrong with it, or waits for it.
    """
    return {entry.name: entry.value for entry in SPLITS.entries() if entry.value is not None}


def corpus_names() -> list[str]:
    """Names of all training sets that registered splits can make, sorted; of those that can be read at once."""
    return sorted(corpus for recipe in readable_recipes().values() for corpus in recipe.corpora)


def load_corpus(name: str, progress: Progress | None = None) -> Corpus:
    """A training set; made on first use, then mapped from the cache and verified.

    Args:
        name: one of `corpus_names()`.
        progress: shows how far the rendering is.

    Raises:
        UnknownNameError: no such training set.
        DataError: what was made differs from what the recipe promises; it is made from a person's own data and was
            not built yet.
        StorageError: no space or no permission in the cache.
    """
    split = _recipe_of(name)
    if isinstance(split, SourcedRecipe):
        return _read_sourced(split, name)
    recipe = split.corpora[name]
    path = corpus_folder(name)
    reporter = progress or Silent()
    return get_or_build(
        path,
        lambda place: _read_good(recipe, place),
        lambda place: recipe.build(place, reporter),
        f"corpus {name!r}",
        reporter,
    )


def corpus_folder(name: str) -> Path:
    """Where a training set lies, or will lie, in the cache: `idbench.splits.corpora.read_corpus` opens it.

    Raises:
        UnknownNameError: no such training set.
    """
    split = _recipe_of(name)
    if isinstance(split, SourcedRecipe):
        return corpus_place(split, name)
    return cache_dir("corpora", name, f"v{split.version}")


def recipes_making(corpus: str) -> Iterator[Recipe]:
    """The recipes of the splits that make a training set of this name, idbench's own first.

    Strangers' are looked at only when those are used up, and left out where `readable_recipes` leaves them out.
    """
    own = SPLITS.own()
    yield from (recipe for recipe in own if corpus in recipe.corpora)
    names = {recipe.name for recipe in own}
    strange = (recipe for name, recipe in readable_recipes().items() if name not in names)
    yield from (recipe for recipe in strange if corpus in recipe.corpora)


def _recipe_of(corpus: str) -> Recipe:
    """The recipe of the split that makes a training set."""
    for recipe in SPLITS.own():
        if corpus in recipe.corpora:
            return recipe
    readable = readable_recipes()  # asked once: it may wait for a stranger's that hangs
    for recipe in readable.values():
        if corpus in recipe.corpora:
            return recipe
    unread = ", ".join(name for name in split_names() if name not in readable)
    hint = f"Not all splits could be read: {unread}. `bench show SPLIT` says why." if unread else ""
    known = [each for recipe in readable.values() for each in recipe.corpora]
    raise UnknownNameError("corpus", corpus, known, hint=hint)


def _read_sourced(recipe: SourcedRecipe, name: str) -> Corpus:
    """A training set that was built along with its split, and is the one that the split's manifest names."""
    if recipe.shards:
        raise DataError(
            f"The training set {name} consists of shards, which are too large to be opened at once.",
            hint=f"Train on it: bench target train {name} --arch RN50",
        )
    expected = open_sourced(recipe).manifest.training.get(name)
    hint = f"Build it again: {how_to_build(recipe)}"
    try:
        corpus = read_corpus(name, corpus_place(recipe, name))
    except DataError as error:
        raise DataError(error.message, hint=hint) from error
    if expected not in (None, corpus.digest):
        raise DataError(f"The corpus {name} does not belong to the split {recipe.name} in the cache.", hint=hint)
    return corpus


def _read_good(recipe: CorpusRecipe, path: Path) -> Corpus | None:
    try:
        corpus = read_corpus(recipe.name, path)
    except DataError:
        return None
    return corpus if recipe.digest in (None, corpus.digest) else None
