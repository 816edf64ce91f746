"""The metadata of a clip-retrieval index: captions and URLs by row, read only where they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from idbench.errors import DataError

_CAPTIONS = ("caption", "TEXT", "text")
_URLS = ("url", "URL")
_PATHS = ("image_path",)


class Metadata:
    """The parquet files of a `metadata` folder; their rows in the files' order are those of the index.

    Raises:
        DataError: no or damaged files.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._files: list[Any] = []
        self._starts = [0]
        paths = sorted(folder.glob("*.parquet"))
        if not paths:
            raise DataError(f"{folder} holds no parquet files.", hint="Give the folder that clip-retrieval wrote.")
        for path in paths:
            try:
                self._files.append(pq.ParquetFile(path))
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{path} is damaged: it is no parquet file.", hint="Build the index again.") from error
            self._starts.append(self._starts[-1] + self._files[-1].metadata.num_rows)
        names = self._files[0].schema_arrow.names
        self._columns = [name for name in (*_CAPTIONS, *_URLS, *_PATHS) if name in names]

    def __len__(self) -> int:
        return self._starts[-1]

    def rows(self, ids: Iterable[int]) -> dict[int, Mapping[str, str | None]]:
        """`caption`, `url` and `path` of some rows; each row group is read once, one at a time.

        Args:
            ids: rows, counted from 0 over all files.
        """
        found: dict[int, Mapping[str, str | None]] = {}
        for number, wanted in self._by_file(ids).items():
            file, first = self._files[number], self._starts[number]
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                here = [row for row in wanted if first <= row < last]
                if here:
                    data = file.read_row_group(group, columns=self._columns)
                    taken = data.take([row - first for row in here]).to_pylist()
                    found.update({row: _plain(values) for row, values in zip(here, taken, strict=True)})
                first = last
        return found

    def _by_file(self, ids: Iterable[int]) -> dict[int, list[int]]:
        files: dict[int, list[int]] = {}
        for row in sorted(set(ids)):
            files.setdefault(bisect_right(self._starts, row) - 1, []).append(row)
        return files


def _plain(values: Mapping[str, object]) -> Mapping[str, str | None]:
    def first(names: tuple[str, ...]) -> str | None:
        return next((str(values[name]) for name in names if values.get(name) is not None), None)

    return {"caption": first(_CAPTIONS), "url": first(_URLS), "path": first(_PATHS)}
