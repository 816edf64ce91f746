"""Auxiliary people of a split: training pictures of people who are not under test, for training shadow models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.errors import DataError, UnknownNameError
from idbench.splits.corpora import Corpus
from idbench.splits.registry import load_corpus


@dataclass(frozen=True, slots=True)
class OwnedPictures:
    """One auxiliary person: the name, and the places of the pictures in the corpus, (n,)."""

    name: str
    places: NDArray[np.int64]


def load_auxiliary(split: str, progress: Progress | None = None) -> Corpus:
    """The corpus `SPLIT-aux`, which says who is on each picture.

    Args:
        split: name of the split.
        progress: shows how far the making is, the first time.

    Raises:
        DataError: the split has no auxiliary people.
    """
    try:
        corpus = load_corpus(f"{split}-aux", progress)
    except UnknownNameError as error:
        raise DataError(
            f"The split {split} has no auxiliary people (no corpus {split}-aux), so no shadow models can be trained.",
            hint="Use a split that has them, e.g. --split avatars.",
        ) from error
    if corpus.owners is None:
        raise DataError(
            f"The corpus {corpus.name} does not say who is on its pictures.",
            hint="Build it again: `write_corpus(..., owners=Owners(...))`.",
        )
    return corpus


def people_of(corpus: Corpus) -> list[OwnedPictures]:
    """The people of a corpus with owners, in order of their numbers."""
    assert corpus.owners is not None
    numbers = corpus.owners.numbers
    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    return [
        OwnedPictures(corpus.owners.names[number], places)
        for number, places in zip(present.tolist(), np.split(order, starts[1:]), strict=True)
    ]
