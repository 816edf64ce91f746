"""Strangers' splits: recipes that are read, and carried out, in a process of their own (`idbench.strangers`).

`recipe_of` makes the recipe that stands in for a stranger's; `answer` is what the other process does. What is built is
read as any split that comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from idbench.api import Progress
from idbench.errors import PluginError
from idbench.plugins import Plugin
from idbench.splits.recipe import CorpusRecipe, Recipe, SourcedRecipe, Sources, SplitRecipe
from idbench.storage import expanded, make_dir
from idbench.strangers import Answer, ask, let_work

GROUP: Final = "idbench.splits"

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_Text = Annotated[str, Field(max_length=2000)]
_Digest = Annotated[str, Field(max_length=200)] | None


class _Corpus(Answer):
    name: _Name
    title: _Text
    digest: _Digest


class _Described(Answer):
    """A recipe without its functions; `sourced` says which kind, and of its corpora only names are known."""

    name: _Name
    version: Annotated[int, Field(ge=0, lt=2**31)]
    title: _Text
    sourced: bool
    digest: _Digest = None
    fictional: bool = False
    corpora: tuple[_Corpus, ...] = ()
    needs: tuple[_Name, ...] = ()
    takes: tuple[_Name, ...] = ()
    fetches: bool = False
    plans: bool = False
    shards: bool = False


class _Said(Answer):
    """Remarks of a recipe for the user, or the one path that it found."""

    lines: Annotated[tuple[_Text, ...], Field(max_length=1000)] = ()


def recipe_of(plugin: Plugin, patience: float) -> Recipe:
    """What stands in for a stranger's recipe: the same facts, and work that is done in another process.

    Args:
        plugin: of another distribution.
        patience: seconds for its import, on a machine that is not busy.

    Raises:
        PluginError: it cannot be imported or is not a recipe; the message says why.
    """
    found = ask(GROUP, plugin, None, _Described, patience)
    if found.name != plugin.name:
        raise PluginError(f"The recipe of {plugin.name} is another split's.", hint="Report this to its author.")
    if not found.sourced:
        return SplitRecipe(
            name=found.name,
            version=found.version,
            title=found.title,
            build=partial(_build, plugin),
            digest=found.digest,
            corpora={one.name: _corpus(plugin, one) for one in found.corpora},
            fictional=found.fictional,
        )
    return SourcedRecipe(
        name=found.name,
        version=found.version,
        title=found.title,
        needs=found.needs,
        corpora=tuple(one.name for one in found.corpora),
        build=lambda sources, split, corpora, progress: _work(
            plugin,
            {"build": str(split), "corpora": str(corpora), "sources": _plain(sources)},
            [split, corpora],
            progress,
        ),
        fetch=(lambda progress: _only_path(_work(plugin, {"fetch": True}, [], progress))) if found.fetches else None,
        shards=found.shards,
        plan=(lambda sources: ask(GROUP, plugin, {"plan": _plain(sources)}, _Said).lines) if found.plans else None,
        takes=found.takes,
    )


def _build(plugin: Plugin, folder: Path, progress: Progress) -> None:
    _work(plugin, {"build": str(folder)}, [folder], progress)


def _corpus(plugin: Plugin, found: _Corpus) -> CorpusRecipe:
    def build(place: Path, progress: Progress) -> None:
        # The other process may write below the folder that it is given, and the corpus appears there by a rename.
        parent = make_dir(place.parent / f".{place.name}.idbench-elsewhere.tmp")
        _work(plugin, {"corpus": found.name, "build": str(parent / "corpus")}, [parent], progress)
        (parent / "corpus").replace(place)
        parent.rmdir()

    return CorpusRecipe(found.name, found.title, build, found.digest)


def _work(plugin: Plugin, question: object, writable: Sequence[Path], progress: Progress) -> tuple[str, ...]:
    return let_work(GROUP, plugin, question, _Said, writable, progress).lines


def _only_path(lines: Sequence[str]) -> Path:
    return Path(lines[0])


def _plain(sources: Sources) -> dict[str, str | None]:
    """Sources as JSON; paths in full, for the other process works in another folder."""
    return {
        name: str(expanded(value).resolve()) if isinstance(value, Path) else value
        for name, value in asdict(sources).items()
    }


def answer(recipe: Recipe, question: Mapping[str, Any] | None, progress: Progress) -> BaseModel:
    """What a recipe says of itself, or does, in the process that may run it.

    Args:
        recipe: a stranger's.
        question: None for the facts; else what `recipe_of` asks.
        progress: receives its reports.
    """
    if question is None:
        return _describe(recipe)
    if isinstance(recipe, SplitRecipe):
        chosen = recipe.corpora[question["corpus"]] if "corpus" in question else recipe
        chosen.build(Path(question["build"]), progress)
        return _Said()
    if "fetch" in question and recipe.fetch is not None:
        return _Said(lines=(str(Path(recipe.fetch(progress)).resolve()),))
    if "plan" in question and recipe.plan is not None:
        return _Said(lines=tuple(recipe.plan(_sources(question["plan"]))))
    places = Path(question["build"]), Path(question["corpora"])
    return _Said(lines=tuple(recipe.build(_sources(question["sources"]), *places, progress)))


def _sources(plain: Mapping[str, str | None]) -> Sources:
    paths = {name: None if value is None else Path(value) for name, value in plain.items() if name != "seed"}
    return Sources(**paths, seed=plain["seed"])


def _describe(recipe: Recipe) -> _Described:
    facts = {"name": recipe.name, "version": recipe.version, "title": recipe.title}
    if isinstance(recipe, SplitRecipe):
        corpora = tuple(_Corpus(name=name, title=one.title, digest=one.digest) for name, one in recipe.corpora.items())
        return _Described(**facts, sourced=False, digest=recipe.digest, fictional=recipe.fictional, corpora=corpora)
    return _Described(
        **facts,
        sourced=True,
        corpora=tuple(_Corpus(name=name, title="", digest=None) for name in recipe.corpora),
        needs=tuple(recipe.needs),
        takes=tuple(recipe.takes),
        fetches=recipe.fetch is not None,
        plans=recipe.plan is not None,
        shards=recipe.shards,
    )
