"""What a registered split is: how to build its folder and the training sets that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
class SplitRecipe:
    """What an entry point of the group `idbench.splits` refers to.

    Args:
        name: e.g. `avatars`.
        version: counts from 1; a change of the data is a new version.
        title: one line for people.
        build: writes the complete folder, laid out as the Hugging Face Hub wants it, into an empty folder.
        digest: what `Manifest.digest` must be; None where the build cannot be known beforehand.
        corpora: training sets that can be made from the recipe, by name.
    """

    name: str
    version: int
    title: str
    build: Callable[[Path, Progress], None]
    digest: str | None = None
    corpora: Mapping[str, CorpusRecipe] = field(default_factory=dict)
