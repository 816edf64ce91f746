"""What a source of neighbours is asked and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Query:
    """A photo whose neighbours are wanted.

    Args:
        photo: the encoded file.
        embedding: of the photo, (d,), by the model that made the index; None where the source embeds photos itself.
    """

    photo: bytes
    embedding: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A picture of the corpus that is near a photo.

    Args:
        id: its place in the index.
        similarity: cosine, -1 to 1.
        caption: where the index knows it.
        url: where the picture came from.
        path: of the picture, relative to the folder of pictures.
        picture: the encoded file, where the source sends it along.
    """

    id: int
    similarity: float
    caption: str | None = None
    url: str | None = None
    path: str | None = None
    picture: bytes | None = None


class NeighbourSource(Protocol):
    """Something that knows the pictures of a corpus."""

    @property
    def embeds(self) -> bool:
        """Whether it embeds photos itself; otherwise every query needs an embedding."""
        ...

    def nearest(self, queries: Sequence[Query], k: int) -> list[list[Neighbour]]:
        """Up to k neighbours of each query, the nearest first.

        Raises:
            IdbenchError: it cannot answer.
        """
        ...
