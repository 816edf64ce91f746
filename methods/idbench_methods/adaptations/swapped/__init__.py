"""Photos in place of names, and names in place of photos: what a defense of one tower leaves in the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.api import (
    Access,
    AnswerAdaptation,
    AskingCard,
    Calibration,
    Case,
    Choice,
    Context,
    Knowledge,
    MethodParams,
    Photo,
    TargetFront,
    TargetView,
)
from idbench_methods.naming import Names
from idbench_methods.photographed import unit_rows

_SENTENCE = "a picture showing {}"
_BLOCK = 1024

PHOTOS_CARD = AskingCard(
    name="photos-for-names",
    version="1",
    title="Photos in place of names",
    summary="A text that names a person under test is replaced by the mean embedding of the person's photos, without "
    "the photo that it is compared with. Texts that name nobody with photos stay.",
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    access=Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING,
    answers=Access.LABEL | Access.SIMILARITY,
    choices=(
        Choice(
            what="a person with a single photo",
            chosen="the text stays",
            why="a photo that is compared with itself says nothing",
        ),
    ),
)
NAMES_CARD = AskingCard(
    name="names-for-photos",
    version="1",
    title="Names in place of photos",
    summary="A photo of a person under test is replaced by the embedding of a sentence with the person's name.",
    knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    access=Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING,
    answers=Access.LABEL | Access.SIMILARITY,
)


class _ByEmbeddings(TargetFront):
    """Answers labels and cosines from embeddings; a child says which."""

    def _left(self, photos: Sequence[Photo]) -> NDArray[np.float64]:
        return unit_rows(self._target.embed_photos(photos))

    def _right(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return unit_rows(self._target.embed_texts(texts))

    def _cosines(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float64]:
        return self._left(photos) @ self._right(texts).T

    def _blocks(self, photos: Sequence[Photo], texts: Sequence[str]) -> list[NDArray[np.float64]]:
        return [self._cosines(photos[i : i + _BLOCK], texts) for i in range(0, len(photos), _BLOCK)]

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines of what stands in their places."""
        empty = np.empty((0, len(texts)))
        return _cosines(np.concatenate([empty, *self._blocks(photos, texts)]))

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """The text that fits best of what stands in their places."""
        best = [block.argmax(axis=1) for block in self._blocks(photos, texts)]
        return np.concatenate([np.empty(0, dtype=np.int64), *best]).astype(np.int64)

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosines of what stands in their places, pair by pair."""
        return _cosines(np.einsum("nd,nd->n", self._left(photos), self._right(texts)))


class _Photos(_ByEmbeddings):
    def __init__(self, target: TargetView, people: Mapping[str, tuple[Photo, ...]]) -> None:
        super().__init__(target, PHOTOS_CARD.name)
        self._people = {name: photos for name, photos in people.items() if len(photos) > 1}
        self._names = Names(self._people)
        self._sums: dict[str, NDArray[np.float64]] = {}

    def _person(self, text: str) -> str | None:
        found = self._names.found(text)
        return found[0] if found else None

    def _sum(self, name: str) -> NDArray[np.float64]:
        if name not in self._sums:
            self._sums[name] = self._left(self._people[name]).sum(axis=0)
        return self._sums[name]

    def _right(self, texts: Sequence[str]) -> NDArray[np.float64]:
        rows = super()._right(texts)
        for place, text in enumerate(texts):
            name = self._person(text)
            if name is not None:
                rows[place] = unit_rows(self._sum(name)[None])[0]
        return rows

    def _cosines(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float64]:
        left = self._left(photos)
        found = left @ self._right(texts).T
        place = {photo: i for i, photo in enumerate(photos)}
        for column, text in enumerate(texts):
            name = self._person(text)
            own = [] if name is None else [place[photo] for photo in self._people[name] if photo in place]
            if name is not None and own:
                found[own, column] = _without_itself(left[own], self._sum(name))
        return found

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Cosine of each photo with the person's other photos, or with a text that names nobody."""
        left, right = self._left(photos), self._right(texts)
        found = np.einsum("nd,nd->n", left, right)
        for row, (photo, text) in enumerate(zip(photos, texts, strict=True)):
            name = self._person(text)
            if name is not None and photo in self._people[name]:
                found[row] = _without_itself(left[row : row + 1], self._sum(name))[0]
        return _cosines(found)


def _without_itself(photos: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine of each photo, (n, dim), with the sum over all photos less itself, (n,)."""
    found: NDArray[np.float64] = np.einsum("nd,nd->n", photos, unit_rows(total - photos))
    return found


def _cosines(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rounding may carry a cosine past one."""
    within: NDArray[np.float32] = np.clip(values, -1.0, 1.0).astype(np.float32)
    return within


class _Named(_ByEmbeddings):
    def __init__(self, target: TargetView, people: Mapping[str, tuple[Photo, ...]]) -> None:
        super().__init__(target, NAMES_CARD.name)
        self._owner = {photo: name for name, photos in people.items() for photo in photos}

    def _left(self, photos: Sequence[Photo]) -> NDArray[np.float64]:
        named = [i for i, photo in enumerate(photos) if photo in self._owner]
        others = [i for i, photo in enumerate(photos) if photo not in self._owner]
        rows = np.zeros((len(photos), self.info.embedding_dim))
        if others:
            rows[others] = super()._left([photos[i] for i in others])
        if named:
            sentences = [_SENTENCE.replace("{}", self._owner[photos[i]]) for i in named]
            rows[named] = super()._right(sentences)
        return rows


class PhotosForNames(AnswerAdaptation[MethodParams]):
    """Asks the image tower alone about people with photos."""

    card = PHOTOS_CARD

    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """The target, with photos where names were."""
        return _Photos(target, {case.name: case.photos for case in people})


class NamesForPhotos(AnswerAdaptation[MethodParams]):
    """Asks the text tower alone about people under test."""

    card = NAMES_CARD

    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """The target, with names where photos were."""
        return _Named(target, {case.name: case.photos for case in people})
