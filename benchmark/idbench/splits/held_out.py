"""Held-out pictures of a split: background people on pictures that nobody was trained on, and what can be asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.splits.corpora import Corpus
from idbench.splits.registry import corpus_names, load_corpus

_COLOURS = ["red", "copper", "yellow", "green", "teal", "blue", "purple", "pink", "grey", "white", "black", "brown"]
_CONCEPTS: Final = (
    ("walls", r"\b({}) (?:wall|background)\b", _COLOURS[:10]),
    ("clothes", r"\b({})(?: shirt)?$", ["black", "white", "red", "blue", "green", "yellow", "brown", "purple"]),
    ("light", r"\b({})(?= light| photo)", ["warm", "cold", "dim", "bright"]),
    ("faces", r"\b({})\b", ["smiling", "laughing", "sad", "surprised"]),
    ("hats", r"\bwith a ({})$", ["cap", "hat"]),
    ("covers", r"\b({})$", ["sunglasses", "a scarf", "a mask"]),
    ("gaze", r"\blooking ({})$", ["left", "right"]),
)
"""What captions name besides people: concept, where its word stands, and the words that could stand there."""

NOBODY: Final = "a person"


@dataclass(frozen=True, slots=True)
class Question:
    """Which of several texts fits a picture?

    Args:
        concept: e.g. `walls`.
        picture: its number.
        texts: alike but for one word; no name in them.
        right: which of them is true.
    """

    concept: str
    picture: int
    texts: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Pictures of people whom no defense should touch.

    Args:
        names: of the people, by number.
        images: uint8 (n, height, width, 3).
        captions: one for each picture.
        owners: who is on each picture, int64 (n,).
        digest: of the corpus.
    """

    names: tuple[str, ...]
    images: NDArray[np.uint8]
    captions: tuple[str, ...]
    owners: NDArray[np.int64]
    digest: str

    @property
    def questions(self) -> list[Question]:
        """What the captions name besides the people, as questions without names."""
        found = []
        for picture, caption in enumerate(self.captions):
            name = self.names[int(self.owners[picture])]
            question = question_of(picture, caption.replace(name, NOBODY) if name else caption)
            if question is not None:
                found.append(question)
        return found


def question_of(picture: int, caption: str) -> Question | None:
    """The question that a caption without a name answers; None if it names no concept."""
    for concept, pattern, words in _CONCEPTS:
        match = re.search(pattern.format("|".join(words)), caption)
        if match:
            begin, end = match.span(1)
            texts = tuple(caption[:begin] + word + caption[end:] for word in words)
            return Question(concept, picture, texts, words.index(match.group(1)))
    return None


def load_held_out(split: str, progress: Progress) -> HeldOut | None:
    """The held-out pictures of a split; None if it has none (no corpus `SPLIT-held-out`)."""
    name = f"{split}-held-out"
    if name not in corpus_names():
        return None
    return _of(load_corpus(name, progress))


def _of(corpus: Corpus) -> HeldOut | None:
    if corpus.owners is None:
        return None
    captions = tuple(corpus.captions[i] for i in corpus.caption_ids)
    return HeldOut(corpus.owners.names, corpus.images, captions, corpus.owners.numbers, corpus.digest)


def alike(names: Sequence[str], others: Sequence[str]) -> NDArray[np.bool_]:
    """Which names share a first or a last name with one of the others, bool (n,)."""
    first = {name.split()[0] for name in others if name.split()}
    last = {name.split()[-1] for name in others if name.split()}
    return np.array(
        [bool(n.split()) and (n.split()[0] in first or n.split()[-1] in last) for n in names], dtype=np.bool_
    )
