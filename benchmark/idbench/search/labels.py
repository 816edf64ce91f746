"""Writes what a search found as the `labels` table of a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from idbench.errors import DataError
from idbench.search.counting import CaptionSearch
from idbench.search.report import Assumptions, PersonReport, provenance
from idbench.splits.tables import COLUMNS, arrow_schema
from idbench.storage import atomic_path


def write_labels(
    path: Path,
    corpus: str,
    people: Sequence[PersonReport],
    captions: CaptionSearch | None,
    assumptions: Assumptions,
) -> int:
    """Write a parquet file with one row for each identity that is decided; returns their number.

    Args:
        path: the file; replaced as a whole.
        corpus: name of the corpus in the table.
        people: the reports.
        captions, assumptions: what they rest on; both go into the column `how`.

    Raises:
        DataError: nobody is decided.
        StorageError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (
            corpus,
            person.identity,
            person.verdict == "member",
            person.occurrences,
            provenance(person, corpus, captions, assumptions),
            person.confidence,
        )
        for person in people
        if person.verdict != "undecided"
    ]
    if not rows:
        raise DataError("Everybody is undecided: there are no labels to write.", hint="Search the corpus's captions.")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS["labels"])}
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pydict(columns, schema=arrow_schema("labels")), temporary, compression="zstd")
    return len(rows)
