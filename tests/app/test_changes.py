"""What changed since the last build: rows that a reader sees differently, on a page of the app and of the site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.app.fictional import World, build_board
from tests.app.reading import opened, text

from idbench.api import Silent
from idbench.errors import DataError
from idbench_leaderboard.board import Board
from idbench_leaderboard.changes import BuildRef, Changes, RowChange, ShownRow, shared, table
from idbench_leaderboard.site import export


@pytest.fixture
def twice(world: World, tmp_path: Path) -> Path:
    """A board built over another: `mild` is new, `keen` got a second seed, `random` is as it was, `deep` is gone."""
    before, after, board = tmp_path / "before", tmp_path / "after", tmp_path / "board"
    for method in ("keen", "random", "deep"):
        world.write(before, method)
    for method in ("keen", "random", "mild"):
        world.write(after, method)
    world.write(after, "keen", seed=1)
    build_board(world, before, board)
    assert Board(board).changes() is None
    build_board(world, after, board)
    return board


def test_rows_that_look_different_are_listed(twice: Path) -> None:
    found = Board(twice).changes()
    assert found is not None
    assert found.before.records == 3
    kinds = {row.method: row.kind for row in found.rows}
    assert kinds == {"deep": "removed", "keen": "changed", "mild": "new"}
    keen = next(row for row in found.rows if row.method == "keen")
    assert keen.before is not None
    assert keen.after is not None
    assert (keen.before.seeds, keen.after.seeds) == (1, 2)
    assert keen.before.auc != keen.after.auc


def test_the_same_build_again_forgets_nothing(twice: Path, world: World, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in twice.iterdir()}
    build_board(world, tmp_path / "after", twice)
    assert {path.name: path.read_bytes() for path in twice.iterdir()} == before


def test_the_page_says_what_changed(twice: Path) -> None:
    test = opened("changes", twice)
    assert "1 new row, 1 changed, 1 removed. 3 records counted then, 4 count now." in text(test)
    table = test.dataframe[0].value.set_index("Method")
    assert list(table.columns) == ["Change", "AUC now", "AUC before", "Target", "Seeds", "Checked"]
    assert "All of these: split fiction v1, corpus fiction-a." in text(test)
    assert table.loc["keen", "Seeds"] == "1 → 2"
    assert table.loc["mild", "AUC before"] == "–"
    assert table.loc["deep", "AUC now"] == "–"


def test_what_differs_in_every_way_is_said_in_few_columns() -> None:
    row = RowChange(
        kind="new",
        split="fiction",
        split_version=1,
        target="fiction-0",
        corpus="fiction-a",
        defense="blur",
        method="keen + blur",
        before=None,
        after=ShownRow(auc="0.6 [0.5, 0.7]", seeds=1, checked="self-reported"),
    )
    others = (
        row.model_copy(update={"target": "all of fiction-b", "corpus": "fiction-b"}),
        row.model_copy(update={"target": "elsewhere", "split_version": 2}),
        row.model_copy(
            update={"target": "elsewhere", "split": "real", "corpus": "real-a", "after": None, "before": row.after}
        ),
    )
    longer = row.model_copy(update={"target": "fiction-ab"})  # whose name says another corpus
    checked = row.model_copy(update={"after": ShownRow(auc="0.6 [0.5, 0.7]", seeds=3, checked="verified")})
    before = BuildRef(idbench="1", commit=None, inputs_sha256="0" * 64, records=5)
    found = table(Changes(before=before, rows=(row, *others, checked, longer)))
    assert list(found.columns) == ["Method", "Change", "AUC now", "AUC before", "Target", "Seeds", "Checked"]
    assert list(found["Target"]) == [
        "fiction-0, fiction-a",
        "all of fiction-b",
        "elsewhere, fiction-a, fiction v2",
        "elsewhere, real-a, real v1",
        "fiction-0, fiction-a",
        "fiction-ab, fiction-a",
    ]
    alike = Changes(before=before, rows=(row, checked))
    assert list(table(alike)["Target"]) == ["fiction-0", "fiction-0"], "what all have in common is said below"
    assert "corpus fiction-a" in str(shared(alike))


def test_the_site_has_the_page(twice: Path, tmp_path: Path) -> None:
    export(Board(twice), tmp_path / "site", Silent())
    page = (tmp_path / "site" / "changes.html").read_text(encoding="utf-8")
    assert "1 new row, 1 changed, 1 removed" in page
    assert "1 → 2" in page
    assert 'href="changes.html"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_a_first_build_says_that_there_is_nothing_to_compare(filled: Path, tmp_path: Path) -> None:
    assert "did not replace an older one" in text(opened("changes", filled))
    export(Board(filled), tmp_path / "site", Silent())
    assert "did not replace an older one" in (tmp_path / "site" / "changes.html").read_text(encoding="utf-8")


def test_a_damaged_older_board_stops_no_build(twice: Path, world: World, tmp_path: Path) -> None:
    (twice / "entries.parquet").write_bytes(b"PAR1 no")
    build_board(world, tmp_path / "before", twice)
    assert Board(twice).changes() is None


def test_a_damaged_list_is_refused(twice: Path) -> None:
    (twice / "changes.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(DataError, match=r"changes\.json of the board .* is not what the build wrote"):
        Board(twice).changes()
