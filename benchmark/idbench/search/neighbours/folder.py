"""Neighbours from a folder that clip-retrieval wrote: its faiss index, or its plain embeddings, searched exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.errors import DataError, IdbenchError
from idbench.search.neighbours.metadata import Metadata
from idbench.search.neighbours.source import Neighbour, Query
from idbench.storage import require_regular

BLOCK = 65_536
"""Embeddings that are compared at once."""

Nearest = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Rows and cosines, (n_queries, k) each, the nearest first; -1 stands for no row."""


class EmbeddingFolder:
    """Embeddings as `clip-retrieval inference` writes them: `img_emb/*.npy` and `metadata/*.parquet`.

    Every embedding is compared; memory holds one block of them.

    Args:
        folder: of both.

    Raises:
        DataError: missing, damaged, or the numbers of embeddings and of rows of metadata differ.
    """

    embeds = False

    def __init__(self, folder: Path) -> None:
        # Mapped one at a time: the largest indexes have more parts than a process may keep open.
        self._parts = sorted((folder / "img_emb").glob("*.npy"))
        if not self._parts:
            raise DataError(f"{folder / 'img_emb'} holds no .npy files.", hint="Give the folder of the embeddings.")
        self._metadata = Metadata(folder / "metadata")
        shapes = [_open(path).shape for path in self._parts]
        self._dim = int(shapes[0][1])
        for path, (_, dim) in zip(self._parts, shapes, strict=True):
            if dim != self._dim:
                raise DataError(
                    f"{path} has embeddings of {dim} numbers, {self._parts[0].name} of {self._dim}.",
                    hint="Make the embeddings again.",
                )
        _same_length(folder, sum(n for n, _ in shapes), self._metadata)

    def nearest(self, queries: Sequence[Query], k: int) -> list[list[Neighbour]]:
        """Up to k neighbours of each query."""
        wanted = _stacked(queries, self._dim)
        rows = np.full((len(wanted), 0), -1, dtype=np.int64)
        cosines = np.empty((len(wanted), 0), dtype=np.float32)
        start = 0
        for part in map(_open, self._parts):
            for low in range(0, len(part), BLOCK):
                block = _normalized(np.asarray(part[low : low + BLOCK], dtype=np.float32))
                here = np.arange(start + low, start + low + len(block))
                rows = np.concatenate([rows, np.broadcast_to(here, (len(wanted), len(here)))], axis=1)
                cosines = np.concatenate([cosines, wanted @ block.T], axis=1)
                # Stable: among equals the earlier row stays first, however the blocks are cut.
                best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
                rows, cosines = np.take_along_axis(rows, best, 1), np.take_along_axis(cosines, best, 1)
            start += len(part)
        return _described((rows, cosines), self._metadata)


class FaissIndex:
    """An index as `clip-retrieval index` writes it: `image.index` and `metadata/*.parquet`.

    Args:
        folder: of both. An inner-product index of normalized embeddings.

    Raises:
        IdbenchError: faiss is not installed.
        DataError: missing or damaged.
    """

    embeds = False

    def __init__(self, folder: Path) -> None:
        try:
            import faiss
        except ImportError as error:
            raise IdbenchError(
                "This index needs faiss, which is not installed.",
                hint="pip install 'idbench[search]', or give a folder with img_emb/*.npy.",
            ) from error
        path = folder / "image.index"
        try:
            self._index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            raise DataError(f"{path} is not an index that faiss can read.", hint="Build the index again.") from error
        self._metadata = Metadata(folder / "metadata")
        _same_length(folder, int(self._index.ntotal), self._metadata)

    def nearest(self, queries: Sequence[Query], k: int) -> list[list[Neighbour]]:
        """Up to k neighbours of each query."""
        cosines, rows = self._index.search(_stacked(queries, int(self._index.d)), k)
        return _described((rows, cosines), self._metadata)


def open_index(folder: Path) -> EmbeddingFolder | FaissIndex:
    """The source in a folder: its faiss index if there is one, else its embeddings.

    Raises:
        DataError: neither is there.
    """
    if (folder / "image.index").exists():
        return FaissIndex(folder)
    if (folder / "img_emb").is_dir():
        return EmbeddingFolder(folder)
    raise DataError(
        f"{folder} holds neither image.index nor img_emb/.", hint="Give a folder that clip-retrieval wrote."
    )


def _open(path: Path) -> NDArray[np.floating[Any]]:
    try:
        require_regular(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged: it is not an array of numbers.", hint="Make it again.") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path} holds {array.dtype} {array.shape}, not embeddings (n, d).", hint="Check the folder.")
    return np.asanyarray(array)


def _same_length(folder: Path, embeddings: int, metadata: Metadata) -> None:
    if embeddings != len(metadata):
        raise DataError(
            f"{folder} has {embeddings} embeddings but {len(metadata)} rows of metadata.", hint="Build it again."
        )


def _stacked(queries: Sequence[Query], dim: int) -> NDArray[np.float32]:
    """Normalized embeddings of the queries, (n, dim)."""
    given = [query.embedding for query in queries]
    for embedding in given:
        if embedding is None or embedding.shape != (dim,):
            has = "none" if embedding is None else f"{embedding.shape}"
            raise DataError(
                f"The index has embeddings of {dim} numbers, the photos' embeddings have {has}.",
                hint="Pass --model the model that made the index.",
            )
    stacked = np.array(given, dtype=np.float32).reshape(len(given), dim)
    if not np.isfinite(stacked).all():
        raise DataError("An embedding of a photo is not finite.", hint="Check the model.")
    return _normalized(stacked)


def _normalized(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _described(nearest: Nearest, metadata: Metadata) -> list[list[Neighbour]]:
    rows, cosines = nearest
    known = metadata.rows(int(row) for row in np.unique(rows) if row >= 0)
    return [
        [
            _neighbour(int(row), float(np.clip(cosine, -1, 1)), known[int(row)])
            for row, cosine in zip(line, values, strict=True)
            if row >= 0
        ]
        for line, values in zip(rows, cosines, strict=True)
    ]


def _neighbour(row: int, cosine: float, known: Mapping[str, str | None]) -> Neighbour:
    return Neighbour(row, cosine, caption=known["caption"], url=known["url"], path=known["path"])
