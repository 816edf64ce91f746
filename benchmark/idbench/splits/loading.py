"""Opens splits: a folder as it is, a registered split built into the cache on first use."""

from __future__ import annotations

from pathlib import Path

from idbench.api import Progress, Silent
from idbench.errors import DataError, UnknownNameError
from idbench.splits.building import get_or_build, open_sourced
from idbench.splits.manifest import MANIFEST_FILE
from idbench.splits.recipe import SourcedRecipe, SplitRecipe
from idbench.splits.registry import find_recipe, split_names
from idbench.splits.split import Split
from idbench.storage import atomic_dir, cache_dir, expanded, is_there


def load_split(ref: str | Path, progress: Progress | None = None) -> Split:
    """Open a split.

    Args:
        ref: a registered name, or a folder.
        progress: shows how far the building is, the first time.

    Raises:
        UnknownNameError: neither a registered name nor a folder.
        DataError: the folder is damaged, what was built differs from what the recipe promises, or it is made from a
            person's own data and was not built yet.
        StorageError: no space or no permission in the cache.
    """
    text = str(ref)
    if isinstance(ref, str) and text in split_names():
        recipe = find_recipe(text)
        if isinstance(recipe, SourcedRecipe):
            return open_sourced(recipe)
        return _load_registered(recipe, progress or Silent())
    folder = expanded(Path(ref))
    if text and is_there(folder) and folder.is_dir():
        return Split(folder)
    raise UnknownNameError("split", text, split_names(), hint="A folder is given by its path.")


def _load_registered(recipe: SplitRecipe, progress: Progress) -> Split:
    def build(path: Path) -> None:
        with atomic_dir(path) as folder:
            recipe.build(folder, progress)

    path = cache_dir("splits", recipe.name, f"v{recipe.version}")
    return get_or_build(path, lambda place: _open_good(recipe, place), build, f"split {recipe.name!r}", progress)


def _open_good(recipe: SplitRecipe, path: Path) -> Split | None:
    # Without its manifest the folder is not a split: the next load builds it again.
    try:
        split = Split(path, on_damage=lambda: (path / MANIFEST_FILE).unlink(missing_ok=True))
    except DataError:
        return None
    return split if recipe.digest in (None, split.manifest.digest) else None
