"""Opens splits: a folder as it is, a registered one built on first use, a published one at the commit that is named."""

from __future__ import annotations

from pathlib import Path

from idbench.api import Progress, Silent
from idbench.errors import DataError, UnknownNameError
from idbench.hub import HubRef, is_hub_ref, latest_file, parse_ref, pinned, snapshot
from idbench.splits.building import get_or_build, open_sourced
from idbench.splits.manifest import MANIFEST_FILE, read_manifest
from idbench.splits.recipe import SourcedRecipe, SplitRecipe
from idbench.splits.registry import find_recipe, split_names
from idbench.splits.split import Split
from idbench.storage import atomic_dir, cache_dir, expanded, is_there, restored


def load_split(ref: str | Path, progress: Progress | None = None) -> Split:
    """Open a split.

    Args:
        ref: a registered name, a folder, or `hub:ORG/NAME@COMMIT`.
        progress: shows how far the building is, the first time.

    Raises:
        UnknownNameError: neither a registered name nor a folder.
        DataError: the folder is damaged, what was built differs from what the recipe promises, or it is made from a
            person's own data and was not built yet.
        HubError: a published split is neither in the cache nor to be had.
        StorageError: no space or no permission in the cache.
    """
    text = str(ref)
    if isinstance(ref, str) and is_hub_ref(text):
        return load_published(parse_ref(text))
    if isinstance(ref, str) and text in split_names():
        recipe = find_recipe(text)
        if isinstance(recipe, SourcedRecipe):
            return open_sourced(recipe)
        return _load_registered(recipe, progress or Silent())
    folder = restored(expanded(Path(ref)))
    if text and is_there(folder) and folder.is_dir():
        return Split(folder)
    raise UnknownNameError(
        "split", text, split_names(), hint="A folder is given by its path, a published split as hub:ORG/NAME@COMMIT."
    )


def load_published(ref: HubRef) -> Split:
    """A split as it was published, at one commit; from the cache where it is there, without the network.

    People who were taken out of it since, as far as this machine knows or can find out, are left out.

    Raises:
        HubError: it is neither in the cache nor to be had.
        DataError: what was published is damaged, or is not a split.
    """
    exact = pinned(ref)
    folder = snapshot(exact)
    return Split(folder, origin=exact, also_retracted=_retracted_since(exact.repo, read_manifest(folder).name))


def _retracted_since(repo: str, name: str) -> tuple[str, ...]:
    """Identities that the newest version of a published split lists as taken out."""
    file = latest_file(repo, MANIFEST_FILE)
    if file is None:
        return ()
    try:
        newest = read_manifest(file.parent)
    except DataError:
        return ()  # a newer schema, or another kind of repository by now: what is pinned stays usable
    return newest.retracted if newest.name == name else ()


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
