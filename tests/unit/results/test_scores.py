"""Scores are read only if every column is exactly what it should be, and before they can fill the memory."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.app.fictional import World
from tests.irregular import IRREGULAR_FILES

from idbench.errors import IdbenchError
from idbench.results import Run, ScoreTable, read_columns, write_run
from idbench.results.scores import LONGEST_ID, MOST_CELLS, MOST_COLUMNS, MOST_ROWS, LastIdentities
from idbench.storage import sha256_file

IDS = ("a", "b", "c")
GOOD: dict[str, pa.Array] = {
    "identity": pa.array(IDS),
    "score": pa.array([0.5, 1.0, 2.0]),
    "abstained": pa.array([False, False, False]),
    "photos_used": pa.array([5, 5, 5], pa.int64()),
}


def put(folder: Path, table: pa.Table, **options: Any) -> Run:
    """A run whose record vouches for these bytes."""
    drawn = ScoreTable(IDS, np.zeros(3), np.zeros(3, dtype=np.bool_), np.full(3, 5))
    run = write_run(folder, World().record("keen", n_cases=3), drawn)
    pq.write_table(table, run.path / "scores.parquet", **options)
    digest = sha256_file(run.path / "scores.parquet")
    return replace(run, record=run.record.model_copy(update={"scores_sha256": digest}))


def changed(**columns: pa.Array) -> pa.Table:
    return pa.table({**GOOD, **columns})


def test_good_scores_come_back_and_an_abstention_may_have_none(tmp_path: Path) -> None:
    table = put(tmp_path, changed(score=pa.array([0.5, None, 2.0]), abstained=pa.array([False, True, False]))).scores()
    assert table.identities == IDS
    assert table.scores[[0, 2]].tolist() == [0.5, 2.0]
    assert np.isnan(table.scores[1])
    large = put(tmp_path, changed(identity=pa.array(IDS, pa.large_string()))).scores()
    assert large.identities == IDS


FILES: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    "first": (pa.table(GOOD), {}),
    "other scores": (changed(score=pa.array([7.0, 8.0, 9.0])), {}),
    "other people": (changed(identity=pa.array(["a", "b", "d"])), {}),
    "another order": (changed(identity=pa.array(["c", "b", "a"])), {}),
    "the same people compressed otherwise": (pa.table(GOOD), {"compression": "zstd"}),
    "the same people without a dictionary": (pa.table(GOOD), {"use_dictionary": False}),
    "the same people of another type": (changed(identity=pa.array(IDS, pa.large_string())), {}),
    "the same people, none of whom may be missing": (
        pa.table(GOOD).cast(pa.schema([pa.field(name, GOOD[name].type, name != "identity") for name in GOOD])),
        {},
    ),
    "in two pieces": (pa.table(GOOD), {"row_group_size": 2}),
    "ids last": (pa.table({name: GOOD[name] for name in ("score", "abstained", "photos_used", "identity")}), {}),
}


def test_ids_that_are_stored_as_those_before_are_decoded_once(tmp_path: Path) -> None:
    """With or without the memory of the file before, each gives what it holds."""
    runs = [put(tmp_path / f"{i}", *FILES[kind][:1], **FILES[kind][1]) for i, kind in enumerate(FILES)]
    wanted = ("identity", "score", "abstained", "photos_used")
    for first in runs:
        for second in runs:
            known = LastIdentities()
            for run in (first, second, first):
                found = read_columns(run.path, run.record, wanted, known)
                assert found.column_names == list(wanted)
                assert found.equals(read_columns(run.path, run.record, wanted))
    known = LastIdentities()
    one, other = (read_columns(run.path, run.record, wanted, known)["identity"] for run in runs[:2])
    assert one.chunk(0).buffers()[2].address == other.chunk(0).buffers()[2].address


def test_what_was_read_is_let_go_without_a_search_for_cycles(tmp_path: Path) -> None:
    """A board reads ten thousand files; what each leaves behind would be 12 kB."""
    run, wanted = put(tmp_path, pa.table(GOOD)), ("identity", "score", "abstained", "photos_used")
    known = LastIdentities()
    read_columns(run.path, run.record, wanted, known)
    gc.collect()
    read_columns(run.path, run.record, wanted, known)
    assert gc.collect() == 0


def test_reasons_for_abstaining_are_kept_and_counted(tmp_path: Path) -> None:
    none = np.array([True, False, True])
    table = ScoreTable(IDS, np.array([np.nan, 1.0, np.nan]), none, np.full(3, 5), reasons=("no photos", "", ""))
    read = write_run(tmp_path, World().record("keen", n_cases=3), table).scores()
    assert read.reasons == ("no photos", "", "")
    assert read.abstentions() == {"no photos": 1, "no reason given": 1}
    run = write_run(tmp_path / "without", World().record("keen", n_cases=3), replace(table, reasons=()))
    assert "reason" not in pq.read_schema(run.path / "scores.parquet").names
    assert run.scores().abstentions() == {"no reason given": 2}


def doubled() -> pa.Table:
    return pa.Table.from_arrays([*GOOD.values(), GOOD["score"]], names=[*GOOD, "score"])


def nobody(count: int) -> pa.Table:
    """So many rows of one value each: a few bytes in a file."""
    return pa.table(
        {
            "identity": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["a"])).cast(
                pa.string()
            ),
            "score": pa.array(np.zeros(count)),
            "abstained": pa.array(np.zeros(count, np.bool_)),
            "photos_used": pa.array(np.zeros(count, np.int64)),
        }
    )


def long_id(count: int) -> pa.Table:
    """A million times an id of many kilobytes: decoded, ten gigabytes."""
    rows = nobody(count)
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["x" * 20_000]))
    return rows.set_column(0, "identity", ids)


HOSTILE: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "scores as text": (lambda: changed(score=pa.array(["0.5", "1", "2"])), "'score' has the type string, not double"),
    "scores as booleans": (lambda: changed(score=pa.array([True, False, True])), "'score' has the type bool"),
    "scores as decimals": (
        lambda: changed(score=pa.array([1, 2, 3]).cast(pa.decimal128(21, 2))),
        r"'score' has the type decimal128\(21, 2\)",
    ),
    "scores as whole numbers": (lambda: changed(score=pa.array([1, 2, 3])), "'score' has the type int64"),
    "scores of single precision": (lambda: changed(score=pa.array([1, 2, 3], pa.float32())), "the type float"),
    "scores as lists": (lambda: changed(score=pa.array([[1.0], [2.0], [3.0]])), "the type list"),
    "abstained as text": (lambda: changed(abstained=pa.array(["False"] * 3)), "'abstained' has the type string"),
    "abstained as numbers": (lambda: changed(abstained=pa.array([0, 0, 0])), "'abstained' has the type int64"),
    "ids as numbers": (lambda: changed(identity=pa.array([1, 2, 3])), "'identity' has the type int64, not string"),
    "ids as lists": (lambda: changed(identity=pa.array([["a"], ["b"], ["c"]])), "'identity' has the type list"),
    "ids as bytes": (lambda: changed(identity=pa.array([b"a", b"\xff", b"c"])), "'identity' has the type binary"),
    "photos as floats": (lambda: changed(photos_used=pa.array([5.0, 5.0, 5.0])), "'photos_used' has the type double"),
    "a missing id": (lambda: changed(identity=pa.array(["a", None, "c"])), "1 values of its column 'identity'"),
    "a missing score": (lambda: changed(score=pa.array([0.5, None, 2.0])), "1 values of its column 'score'"),
    "a missing abstention": (lambda: changed(abstained=pa.array([False, None, False])), "1 values of its column"),
    "a missing number of photos": (lambda: changed(photos_used=pa.array([5, None, 5], pa.int64())), "1 values of"),
    "nothing but missing": (lambda: changed(score=pa.nulls(3)), "'score' has the type null"),
    "an unknown column": (lambda: changed(label=pa.array([1.0, 0.0, 1.0])), "a column 'label', which scores do not"),
    "a column without a name": (lambda: pa.table({**GOOD, "": GOOD["score"]}), "a column ''"),
    "a detail as text": (lambda: changed(detail_x=pa.array(IDS)), "'detail_x' has the type string"),
    "a column twice": (doubled, "the column 'score' twice"),
    "a column left out": (lambda: pa.table({n: c for n, c in GOOD.items() if n != "abstained"}), "no column 'abst"),
    "no columns": (lambda: pa.table({}), "no column 'identity'"),
    "many columns": (
        lambda: changed(**{f"detail_{i}": GOOD["score"] for i in range(MOST_COLUMNS)}),
        "columns; the limit is 1024",
    ),
    "an id twice": (lambda: changed(identity=pa.array(["a", "a", "c"])), "an identity occurs twice"),
    "a long id": (lambda: changed(identity=pa.array(["x" * (LONGEST_ID + 1), "b", "c"])), "an id has more than"),
    "a bomb of rows": (lambda: nobody(MOST_ROWS + 1), "rows; the limit is 1,000,000"),
    "a bomb of cells": (
        lambda: pa.table(
            {
                **{name: nobody(MOST_CELLS // 20)[name] for name in GOOD},
                **{f"detail_{i}": nobody(MOST_CELLS // 20)["score"] for i in range(20)},
            }
        ),
        "values; the limit is 8,000,000",
    ),
    "a bomb of one long id": (lambda: long_id(500_000), "an id has more than"),
    "a reason for a score": (lambda: changed(reason=pa.array(["", "why not", ""])), "on somebody who has a score"),
    "a reason as a number": (lambda: changed(reason=pa.array([0, 1, 0])), "'reason' has the type int64"),
    "a missing reason": (lambda: changed(reason=pa.array(["", None, ""])), "1 values of its column 'reason'"),
    "a reason that writes to the terminal": (
        lambda: changed(abstained=pa.array([True] * 3), reason=pa.array(["", "\x1b[2J", ""])),
        "holds what cannot be printed",
    ),
    "a long reason": (lambda: changed(reason=pa.array(["", "x" * (LONGEST_ID + 1), ""])), "a reason has more than"),
    "a reason of their own for everybody": (
        lambda: pa.table(
            {
                "identity": pa.array([f"{i}" for i in range(100)]),
                "score": pa.nulls(100, pa.float64()),
                "abstained": pa.array([True] * 100),
                "photos_used": pa.array([5] * 100),
                "reason": pa.array([f"{i}" for i in range(100)]),
            }
        ),
        "100 reasons; the limit is 50",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.timeout(60)
def test_hostile_scores_are_refused_with_one_sentence(kind: str, tmp_path: Path) -> None:
    make, words = HOSTILE[kind]
    run = put(tmp_path, make())
    with pytest.raises(IdbenchError, match=words) as caught:
        run.scores()
    assert len(caught.value.message) < 400 + len(str(tmp_path))
    assert caught.value.hint


def test_what_a_file_says_of_its_size_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of many bytes that are all different; as if the file had stated few: they are refused after some rows."""
    monkeypatch.setattr("idbench.results.scores.LARGEST_DECODED", 1 << 50)
    ids = pa.array([f"{index:05000d}" for index in range(10_000)])
    run = put(tmp_path, nobody(len(ids)).set_column(0, "identity", ids), compression="zstd", use_dictionary=False)
    assert (run.path / "scores.parquet").stat().st_size < 1 << 20
    with pytest.raises(IdbenchError, match="an id has more than"):
        run.scores()
    monkeypatch.undo()
    monkeypatch.setattr("idbench.results.scores.LARGEST_DECODED", 1 << 20)
    with pytest.raises(IdbenchError, match="its pages hold more than"):
        run.scores()


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" * 100, b"\x00" * 5000], ids=repr)
def test_bytes_that_are_no_parquet_are_refused(data: bytes, tmp_path: Path) -> None:
    run = put(tmp_path, pa.table(GOOD))
    (run.path / "scores.parquet").write_bytes(data)
    digest = sha256_file(run.path / "scores.parquet")
    with pytest.raises(IdbenchError, match="cannot be used"):
        read_columns(run.path, run.record.model_copy(update={"scores_sha256": digest}))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    run = put(tmp_path, pa.table(GOOD))
    data = (run.path / "scores.parquet").read_bytes()
    for end in range(0, len(data), 97):
        (run.path / "scores.parquet").write_bytes(data[:end])
        digest = sha256_file(run.path / "scores.parquet")
        with pytest.raises(IdbenchError):
            read_columns(run.path, run.record.model_copy(update={"scores_sha256": digest}))


@pytest.mark.parametrize("make", IRREGULAR_FILES, ids=lambda make: make.__name__)
@pytest.mark.timeout(20)
def test_scores_that_are_no_regular_file_are_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    run = put(tmp_path, pa.table(GOOD))
    (run.path / "scores.parquet").unlink()
    make(run.path / "scores.parquet")
    with pytest.raises(IdbenchError, match=r"scores\.parquet"):
        run.scores()
