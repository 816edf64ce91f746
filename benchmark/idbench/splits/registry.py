"""Finds registered splits (entry points of the group `idbench.splits`) and their training sets."""

from __future__ import annotations

from pathlib import Path

from idbench import plugins
from idbench.api import Progress, Silent
from idbench.errors import DataError, IdbenchError, UnknownNameError
from idbench.splits.building import get_or_build
from idbench.splits.corpora import Corpus, read_corpus
from idbench.splits.recipe import CorpusRecipe, SplitRecipe
from idbench.storage import cache_dir


def split_names() -> list[str]:
    """Names of all registered splits, sorted; nothing is imported."""
    return list(plugins.find(plugins.SPLITS))


def find_recipe(name: str) -> SplitRecipe:
    """The recipe registered under a name.

    Raises:
        UnknownNameError: nobody registered it.
        MethodError: the plug-in that did cannot be imported.
        DataError: it gives something else than a recipe.
    """
    plugin = plugins.get(plugins.SPLITS, name, "split")
    recipe = plugin.load()
    if not isinstance(recipe, SplitRecipe):
        raise DataError(f"{plugin.value} is not a SplitRecipe.", hint=f"Repair {plugin.distribution}.")
    return recipe


def corpus_names() -> list[str]:
    """Names of all training sets that registered splits can make, sorted. Plug-ins that do not load are left out."""
    return sorted(_corpus_recipes())


def load_corpus(name: str, progress: Progress | None = None) -> Corpus:
    """A training set; made on first use, then mapped from the cache and verified.

    Args:
        name: one of `corpus_names()`.
        progress: shows how far the rendering is.

    Raises:
        UnknownNameError: no such training set.
        DataError: what was made differs from what the recipe promises.
        StorageError: no space or no permission in the cache.
    """
    recipes = _corpus_recipes()
    if name not in recipes:
        raise UnknownNameError("corpus", name, recipes)
    split, recipe = recipes[name]
    path = cache_dir("corpora", name, f"v{split.version}")
    reporter = progress or Silent()
    return get_or_build(
        path, lambda place: _read_good(recipe, place), lambda place: recipe.build(place, reporter), f"corpus {name!r}"
    )


def _corpus_recipes() -> dict[str, tuple[SplitRecipe, CorpusRecipe]]:
    found = {}
    for name in split_names():
        try:
            recipe = find_recipe(name)
        except IdbenchError:
            continue  # one broken plug-in must not take the other splits away; `find_recipe` says what is wrong with it
        found.update({corpus.name: (recipe, corpus) for corpus in recipe.corpora.values()})
    return found


def _read_good(recipe: CorpusRecipe, path: Path) -> Corpus | None:
    try:
        corpus = read_corpus(recipe.name, path)
    except DataError:
        return None
    return corpus if recipe.digest in (None, corpus.digest) else None
