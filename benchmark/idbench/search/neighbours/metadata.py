"""The metadata of a clip-retrieval index: captions and URLs by row, read only where they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idbench.errors import DataError
from idbench.storage import require_regular

_CAPTIONS = ("caption", "TEXT", "text")
_URLS = ("url", "URL")
_PATHS = ("image_path",)
_COLUMNS = (*_CAPTIONS, *_URLS, *_PATHS)


class Metadata:
    """The parquet files of a `metadata` folder; their rows in the files' order are those of the index.

    Files are opened one at a time: the largest indexes have more of them than a process may keep open.

    Raises:
        DataError: no or damaged files.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.parquet"))
        self._starts = [0]
        if not self._paths:
            raise DataError(f"{folder} holds no parquet files.", hint="Give the folder that clip-retrieval wrote.")
        for path in self._paths:
            with _opened(path) as file:
                self._starts.append(self._starts[-1] + file.metadata.num_rows)
                names = file.schema_arrow.names
            if not any(name in names for name in _COLUMNS):
                raise DataError(
                    f"{path} has none of the columns {', '.join(_COLUMNS)}.",
                    hint="Give the folder that clip-retrieval wrote.",
                )

    def __len__(self) -> int:
        return self._starts[-1]

    def rows(self, ids: Iterable[int]) -> dict[int, Mapping[str, str | None]]:
        """`caption`, `url` and `path` of some rows; each row group is read once, one at a time.

        Args:
            ids: rows, counted from 0 over all files.
        """
        found: dict[int, Mapping[str, str | None]] = {}
        for number, wanted in self._by_file(ids).items():
            first = self._starts[number]
            with _opened(self._paths[number]) as file:
                columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
                for group in range(file.num_row_groups):
                    last = first + file.metadata.row_group(group).num_rows
                    here = [row for row in wanted if first <= row < last]
                    if here:
                        data = file.read_row_group(group, columns=columns)
                        taken = data.take([row - first for row in here]).to_pylist()
                        found.update({row: _plain(values) for row, values in zip(here, taken, strict=True)})
                    first = last
        return found

    def _by_file(self, ids: Iterable[int]) -> dict[int, list[int]]:
        files: dict[int, list[int]] = {}
        for row in sorted(set(ids)):
            files.setdefault(bisect_right(self._starts, row) - 1, []).append(row)
        return files


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        require_regular(path)
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged or not a parquet file.", hint="Build the index again.") from error


def _plain(values: Mapping[str, object]) -> Mapping[str, str | None]:
    def first(names: tuple[str, ...]) -> str | None:
        return next((str(values[name]) for name in names if values.get(name) is not None), None)

    return {"caption": first(_CAPTIONS), "url": first(_URLS), "path": first(_PATHS)}
