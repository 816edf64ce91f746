"""The background: every usable fetched pair whose caption names nobody under test."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.captions import Matcher, Rules, gather
from idbench.errors import DataError
from idbench.splits.cc3m.fetch import shard_file
from idbench.splits.cc3m.filtering import index_file
from idbench.splits.cc3m.steps import StepReport
from idbench.storage import storage_errors


@dataclass(frozen=True, slots=True)
class Background:
    """Pairs in fetched shards, opened only when they are copied.

    Args:
        fetched: folder of the shards.
        shards: number of each pair's shard, (n,).
        offsets: first byte of each picture there, (n,).
        sizes: bytes of each picture, (n,).
        captions: of each pair; a pyarrow array, for two million Python strings would take a gigabyte.
    """

    fetched: Path
    shards: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    captions: Any

    def __len__(self) -> int:
        return len(self.shards)

    def read(self, places: Sequence[int]) -> list[tuple[bytes, str]]:
        """Encoded pictures and captions of some pairs, read in the order in which they lie on the disk.

        Raises:
            DataError: a shard has become shorter than it was.
        """
        order = np.lexsort((self.offsets[places], self.shards[places])).tolist()
        found: list[tuple[bytes, str]] = [(b"", "")] * len(places)
        opened, descriptor = -1, -1
        try:
            for i in order:
                place = places[i]
                number = int(self.shards[place])
                if number != opened:
                    if descriptor >= 0:
                        os.close(descriptor)
                    path = shard_file(self.fetched, number)
                    with storage_errors(path):
                        descriptor, opened = os.open(path, os.O_RDONLY), number
                data = os.pread(descriptor, int(self.sizes[place]), int(self.offsets[place]))
                if len(data) != int(self.sizes[place]):
                    raise DataError(
                        f"{shard_file(self.fetched, number)} was cut short since it was looked at.",
                        hint="Repeat the command: it is fetched again.",
                    )
                found[i] = (data, self.captions[place].as_py())
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return found


def open_background(
    fetched: Path, index: Path, numbers: Iterable[int], names: Collection[str]
) -> tuple[Background, StepReport]:
    """The usable pairs, without those whose caption holds the full name of somebody under test, however it is written.

    A picture that shows such a person without naming them stays: faces are not looked at here.

    Args:
        fetched: folder of the shards.
        index: folder of what `filter_shards` wrote.
        numbers: the shards.
        names: full names of everybody under test.

    Raises:
        DataError: an index is damaged, or nothing is left.
    """
    import pyarrow as pa

    matcher = Matcher(gather((name, name) for name in names), Rules()) if names else None
    tables, shards, named = [], [], 0
    for number in numbers:
        table = _read_index(index_file(index, number))
        keep = np.ones(len(table), dtype=np.bool_)
        if matcher is not None:
            keep[[hit.place for hit in matcher.find(table.column("caption").combine_chunks())]] = False
        named += int((~keep).sum())
        tables.append(table.filter(pa.array(keep)))
        shards.append(np.full(int(keep.sum()), number, dtype=np.int32))
    together = pa.concat_tables(tables)
    if not len(together):
        raise DataError("No pair of the background can be used.", hint="The reports of the steps say why.")
    background = Background(
        fetched,
        np.concatenate(shards),
        together.column("offset").to_numpy(),
        together.column("size").to_numpy(),
        together.column("caption").combine_chunks(),
    )
    counts = {"pairs": len(background) + named, "kept": len(background)}
    return background, StepReport("background", counts, {"that name somebody under test": named} if named else {})


def _read_index(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is missing or damaged.", hint="Remove the file and repeat the command.") from error
