"""The reference results that come with idbench: the board in the package is the one that the committed records make."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd
from tests.conftest import ROOT

from idbench.api import Silent
from idbench.results import collect
from idbench.results.worst_case import UNDEFENDED
from idbench.splits.retractions import retracted_here
from idbench_leaderboard.board import Board
from idbench_leaderboard.building import build
from idbench_leaderboard.label_file import NAME, labels_in, read_label_file
from idbench_leaderboard.manifest import REFERENCE

RECORDS = ROOT.parent / "leaderboard" / "reference"
LABELS = sorted(RECORDS.glob(f"*/{NAME}"))
COMMAND = "bench leaderboard build leaderboard/reference --out leaderboard/idbench_leaderboard/reference" + (
    " --labels leaderboard/reference" if LABELS else ""
)


def test_the_reference_board_is_made_from_the_reference_records() -> None:
    board, found = Board(REFERENCE), collect([RECORDS])
    assert not found.rejected, found.rejected
    rejected = {each["run_id"] for each in board.manifest["rejected"]}
    # Adapted attacks count against defenses alone: the next test.
    given = {run.record.run_id: run.record.scores_sha256 for run in found.runs if run.record.adaptation is None}
    shown = dict(zip(board.runs["run_id"], board.runs["scores_sha256"], strict=True))
    expected = {run_id: digest for run_id, digest in given.items() if run_id not in rejected}
    assert shown == expected, f"out of date; run: {COMMAND}"
    assert shown


def test_every_attack_on_a_defense_is_in_its_worst_case() -> None:
    (table,) = Board(REFERENCE).defense_tables()
    given = Counter(
        (record.defense.name if record.defense else UNDEFENDED, record.attack_label)
        for record in (run.record for run in collect([RECORDS]).runs)
        if record.target.name == table.target
        and record.seed in {seed for each in table.attacked for seed in each.seeds}
        if record.split.name == table.split
    )
    shown = Counter((each.defense, each.attack) for each in table.attacked for _ in each.seeds)
    assert shown == given
    assert {each.defense for each in table.worst} == {defense for defense, _ in given}


def test_the_reference_shows_no_machine_and_no_name() -> None:
    for path in (*RECORDS.rglob("*.json"), *REFERENCE.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in (str(Path.home()), "/tmp/", "/home/")), path


def test_the_reference_opens_on_results() -> None:
    board = Board(REFERENCE)
    selection = board.default_selection()
    assert selection is not None
    rows = board.rows(selection)
    assert {"random"} < set(rows["method"])
    assert (rows["auc_low"] <= rows["auc"]).all()
    assert (rows["auc"] <= rows["auc_high"]).all()


def test_every_split_with_records_is_on_the_board() -> None:
    board, found = Board(REFERENCE), collect([RECORDS])
    rejected = {each["run_id"] for each in board.manifest["rejected"]}
    given = {(r.record.split.name, r.record.split.version) for r in found.runs if r.record.run_id not in rejected}
    shown = {(split, version) for split in board.splits() for version in board.versions(split)}
    assert shown == given, f"out of date; run: {COMMAND}"
    assert {folder.name for folder in RECORDS.iterdir() if folder.is_dir()} == {f"{n}-v{v}" for n, v in given}


def test_boards_of_label_files_can_be_built_from_what_is_committed(tmp_path: Path) -> None:
    """Split by split, so that nothing but the records and the file decides; splits that draw themselves need none."""
    shown = Board(REFERENCE)
    for path in LABELS:
        file = read_label_file(path)
        assert path.parent.name == f"{file.name}-v{file.version}"
        ids = {*file.test, *file.calibration}
        labels = labels_in(file, frozenset(retracted_here(file.name) & ids), frozenset())
        found = collect([path.parent])
        built = build(found, [labels], tmp_path / path.parent.name, Silent())
        assert not built.rejected, built.rejected[:3]
        again = Board(built.path).entries.set_index("entry")
        before = shown.entries[shown.entries["split"] == file.name].set_index("entry")
        columns = ["auc", "auc_low", "auc_high", "p_chance", "n_members", "n_nonmembers"]
        pd.testing.assert_frame_equal(before[columns].sort_index(), again[columns].sort_index(), rtol=1e-9)


def test_label_files_hold_ids_alone() -> None:
    for path in LABELS:
        file = read_label_file(path)
        ids = [*file.test, *file.calibration, *file.retracted]
        assert all(re.fullmatch(r"[0-9a-f]{8,}", identity) for identity in ids), path
