"""The parquet tables of a split: schemas, writing, reading in pieces, and digests over logical content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idbench.errors import DataError
from idbench.storage import require_regular, storage_errors

if TYPE_CHECKING:
    import pyarrow as pa

Row = tuple[Any, ...]

ROWS_PER_GROUP = 100
"""Photos that are read at once: the unit of memory when photos stream."""

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "identities": {"identity": "string", "part": "string", "name": "string", "photos": "list"},
    "labels": {
        "corpus": "string",
        "identity": "string",
        "member": "bool",
        "occurrences": "int64",
        "how": "string",
        "confidence": "float64",
    },
    "photos": {"photo": "string", "identity": "string", "sha256": "string", "image": "image"},
    "names": {"name": "string"},
    "prompts": {"template": "string"},
    "public_pairs": {"photo": "string", "caption": "string", "sha256": "string", "image": "image"},
    "urls": {"identity": "string", "url": "string", "sha256": "string", "phash": "string", "outcome": "string"},
    "label_sources": {
        "identity": "string",
        "corpus": "string",
        "source": "string",
        "member": "bool",
        "occurrences": "int64",
        "how": "string",
        "confidence": "float64",
    },
    "bins": {"corpus": "string", "identity": "string", "bin": "string"},
    "selection": {"identity": "string", "column": "string", "value": "float64"},
    "subsets": {"subset": "string", "identity": "string"},
    "spellings": {"identity": "string", "spelling": "string", "source": "string"},
}
"""Tables of a split, their columns in order, and each column's type. Those not in `REQUIRED` are optional.

`urls`: where photos were published; hashes and outcome are empty until somebody fetched them. `label_sources`: what
every source said about membership, also those that were corrected since; a person whom a later source dropped has no
row in `labels`. `bins`: of the occurrences, as published. `selection`: numbers that the makers chose people by.
`spellings`: how else a source writes a name.
"""

OF_IDENTITIES = ("urls", "label_sources", "bins", "selection", "subsets", "spellings")
"""Optional tables whose rows speak of one identity each."""

REQUIRED = ("identities", "labels", "photos", "names", "prompts")


def table_path(folder: Path, table: str) -> Path:
    """Where a table lies in a split's folder."""
    return folder / "data" / f"{table}.parquet"


def plain_columns(table: str) -> list[str]:
    """The columns that hold no pictures; the digest is over these (a picture counts through its `sha256`)."""
    return [column for column, kind in COLUMNS[table].items() if kind != "image"]


def arrow_schema(table: str) -> pa.Schema:
    """The parquet schema; pictures are stored as the `datasets` Image feature stores them."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "list": pa.list_(pa.string()),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    }
    return pa.schema([(column, kinds[kind]) for column, kind in COLUMNS[table].items()])


class Digest:
    """SHA-256 over rows: one line of JSON per row, so that neither parquet's nor any library's version matters."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0

    def update(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of plain values, in the columns' order."""
        for row in rows:
            self._hash.update(json.dumps(list(row), ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
            self.rows += 1

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()


def write_table(folder: Path, table: str, batches: Iterable[Sequence[Row]]) -> tuple[int, str]:
    """Write a table, one row group per batch; returns its number of rows and its digest.

    Args:
        folder: the split's folder.
        table: a key of `COLUMNS`.
        batches: rows, values in the columns' order; a picture is its encoded bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, columns, plain = arrow_schema(table), list(COLUMNS[table]), plain_columns(table)
    path = table_path(folder, table)
    digest = Digest()
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches:
                digest.update(row[: len(plain)] for row in batch)
                data = {column: [row[i] for row in batch] for i, column in enumerate(columns)}
                if "image" in data:
                    data["image"] = [
                        {"bytes": image, "path": f"{row[0]}.png"}
                        for image, row in zip(data["image"], batch, strict=True)
                    ]
                writer.write_table(pa.Table.from_pydict(data, schema=schema))
    return digest.rows, digest.hexdigest()


def open_table(folder: Path, table: str) -> Any:
    """The table as a `pyarrow.parquet.ParquetFile` with the right columns.

    Raises:
        DataError: missing, damaged, or of another schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = table_path(folder, table)
    hint = "Fetch or build the split again."
    try:
        require_regular(path)
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError(f"The split in {folder} lacks its table {table!r}.", hint=hint) from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged: {_first_line(error)}.", hint=hint) from error
    expected, found = arrow_schema(table), file.schema_arrow
    for field in expected:
        index = found.get_field_index(field.name)
        if index < 0:
            raise DataError(f"{path} lacks the column {field.name!r}.", hint=hint)
        if not found.field(index).type.equals(field.type):
            raise DataError(f"{path}: column {field.name!r} is {found.field(index).type}, not {field.type}.", hint=hint)
    return file


def read_groups(file: Any, columns: Sequence[str], path: Path) -> Iterator[list[Row]]:
    """Rows of each row group, values in the order of `columns`."""
    import pyarrow as pa

    for group in range(file.num_row_groups):
        try:
            data = file.read_row_group(group, columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path} is damaged: {_first_line(error)}.", hint="Fetch or build the split again."
            ) from error
        yield list(zip(*(data.column(column).to_pylist() for column in columns), strict=True))


def read_rows(folder: Path, table: str) -> list[Row]:
    """All rows of a table without its pictures."""
    file, columns = open_table(folder, table), plain_columns(table)
    return [row for group in read_groups(file, columns, table_path(folder, table)) for row in group]


def digest_rows(rows: Iterable[Sequence[Any]]) -> str:
    """SHA-256 over rows of plain values."""
    digest = Digest()
    digest.update(rows)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
