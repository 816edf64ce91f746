"""The reference results that come with idbench: the board in the package is the one that the committed records make."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT

from idbench_leaderboard.board import Board
from idbench_leaderboard.collect import collect
from idbench_leaderboard.manifest import REFERENCE

RECORDS = ROOT.parent / "leaderboard" / "reference"
COMMAND = "bench leaderboard build leaderboard/reference --out leaderboard/idbench_leaderboard/reference"


def test_the_reference_board_is_made_from_the_reference_records() -> None:
    board, found = Board(REFERENCE), collect([RECORDS])
    assert not found.rejected, found.rejected
    rejected = {each["run_id"] for each in board.manifest["rejected"]}
    given = {run.record.run_id: run.record.scores_sha256 for run in found.runs}
    shown = dict(zip(board.runs["run_id"], board.runs["scores_sha256"], strict=True))
    expected = {run_id: digest for run_id, digest in given.items() if run_id not in rejected}
    assert shown == expected, f"out of date; run: {COMMAND}"
    assert shown


def test_the_reference_shows_no_machine_and_no_name() -> None:
    for path in (*RECORDS.rglob("*.json"), *REFERENCE.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in (str(Path.home()), "/tmp/", "/home/")), path


def test_the_reference_opens_on_results() -> None:
    board = Board(REFERENCE)
    view = board.default_view()
    assert view is not None
    rows = board.rows(view)
    assert {"random"} < set(rows["method"])
    assert (rows["auc_low"] <= rows["auc"]).all()
    assert (rows["auc"] <= rows["auc_high"]).all()
