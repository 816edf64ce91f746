"""What a registered split is: how to build its folder and the training sets that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from idbench.api import Progress


@dataclass(frozen=True, slots=True)
class CorpusRecipe:
    """How to make one training set.

    Args:
        name: e.g. `avatars-a`.
        title: one line for people.
        build: writes the corpus folder (`corpora.write_corpus`).
        digest: what `Corpus.digest` must be; None while a version is still being made.
    """

    name: str
    title: str
    build: Callable[[Path, Progress], None]
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What the user gives to a recipe that needs data of their own.

    Args:
        faces: a folder with one folder per person, `NAME/*.jpg`.
        pairs: the background, a list of captions and URLs.
        seed: the secret that seeds all random draws; None: the published seed of the recipe.
        source: a folder with somebody else's lists of members and non-members.
    """

    faces: Path | None = None
    pairs: Path | None = None
    seed: str | None = None
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class SourcedRecipe:
    """What an entry point of the group `idbench.splits` refers to where the data come from the user.

    Building it once (`bench data build NAME ...`) puts the split and its training sets into the cache, where
    `load_split` and `load_corpus` find them; before that, their errors name the command.

    Args:
        name: e.g. `lfw-injected`.
        version: counts from 1; a change of the recipe is a new version.
        title: one line for people.
        needs: which of `Sources` it cannot do without, e.g. `("faces",)`.
        corpora: names of the training sets that belong to it.
        build: writes the split's folder (laid out as the Hub wants it) into the first path, and one folder per
            training set, named like it, into the second; both are empty folders. Returns remarks for the user,
            a sentence each: what was left out, for example.
        fetch: gets the faces from the network and returns their folder; None where they may not be redistributed.
        shards: whether its training sets are WebDataset shards, for open_clip's own trainer.
        plan: says what `build` would do, a sentence for each step, and does nothing; None where there is one step.
        takes: which of `Sources` it can also make use of.
    """

    name: str
    version: int
    title: str
    needs: tuple[str, ...]
    corpora: tuple[str, ...]
    build: Callable[[Sources, Path, Path, Progress], Sequence[str]]
    fetch: Callable[[Progress], Path] | None = None
    shards: bool = False
    plan: Callable[[Sources], Sequence[str]] | None = None
    takes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitRecipe:
    """What an entry point of the group `idbench.splits` refers to.

    Args:
        name: e.g. `avatars`.
        version: counts from 1; a change of the data is a new version.
        title: one line for people.
        build: writes the complete folder, laid out as the Hugging Face Hub wants it, into an empty folder.
        digest: what `Manifest.digest` must be; None where the build cannot be known beforehand.
        corpora: training sets that can be made from the recipe, by name.
        fictional: whether nobody in it exists, so that it may be published without a gate.
    """

    name: str
    version: int
    title: str
    build: Callable[[Path, Progress], None]
    digest: str | None = None
    corpora: Mapping[str, CorpusRecipe] = field(default_factory=dict)
    fictional: bool = False


Recipe = SplitRecipe | SourcedRecipe
"""Whatever makes a split."""
