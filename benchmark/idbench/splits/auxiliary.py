"""Auxiliary people of a split: training pictures of people who are under no test, for whoever trains shadow models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.errors import DataError, UnknownNameError
from idbench.splits.corpora import Corpus
from idbench.splits.registry import load_corpus


@dataclass(frozen=True, slots=True)
class Owned:
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
            hint="Build it again: `write_corpus(..., owners=...)`.",
        )
    return corpus


def people_of(corpus: Corpus) -> list[Owned]:
    """The people of a corpus with owners, in order of their numbers; each is named by what all captions share."""
    assert corpus.owners is not None
    order = np.argsort(corpus.owners, kind="stable")
    _, starts = np.unique(corpus.owners[order], return_index=True)
    return [
        Owned(shared_words([corpus.captions[corpus.caption_ids[i]] for i in places]), places)
        for places in np.split(order, starts[1:])
    ]


def shared_words(captions: Sequence[str]) -> str:
    """The longest run of words that every caption holds, the first of equals; empty if there is none.

    Captions of one person name the person and differ in the rest, so this is the name wherever they differ enough.
    """
    shortest, *others = sorted((caption.split() for caption in captions), key=len)
    padded = [f" {' '.join(words)} " for words in others]
    for length in range(len(shortest), 0, -1):
        for start in range(len(shortest) - length + 1):
            run = " ".join(shortest[start : start + length])
            if all(f" {run} " in text for text in padded):
                return run
    return ""
