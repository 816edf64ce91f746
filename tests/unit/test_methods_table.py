"""The tables of methods in README and docs are those that the committed reference board gives."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.scripts import load

from idbench_leaderboard.board import Board


def test_tables_are_up_to_date() -> None:
    script = load("docs/make_methods_table.py")
    for path, text in script.pages().items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/make_methods_table.py"
    assert script.main(["--check"]) == 0


def test_check_notices_an_old_table_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load("docs/make_methods_table.py")
    shutil.copytree(script.ROOT / "docs" / "studies", tmp_path / "docs" / "studies")
    for name, _ in script.TABLES.values():
        shutil.copy(script.ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "methods.md"
    monkeypatch.setattr(script, "ROOT", tmp_path)
    assert script.main(["--check"]) == 0
    page.write_text(re.sub(r"\d\.\d{3} \[", "0.999 [", page.read_text(encoding="utf-8")), encoding="utf-8")
    assert script.main(["--check"]) == 1
    assert "docs/methods.md is not up to date; run" in capsys.readouterr().err
    assert script.main([]) == 0
    assert script.main(["--check"]) == 0


def test_numbers_are_the_boards() -> None:
    """Each row of the page has the AUC that the board has for the method, and the control's is by A's labels."""
    script = load("docs/make_methods_table.py")
    board = Board(script.BOARD)
    made = script.on_the_page(board)
    entries = board.entries
    for series, labels, column in (
        ("avatars-a", "avatars-a", 2),
        ("avatars-b", "avatars-b", 3),
        ("avatars-0", "avatars-a", 4),
    ):
        shown = {
            cells[0].strip(" `"): cells[column]
            for line in made.splitlines()
            if (cells := line.strip("| ").split(" | "))[1:]
        }
        own = entries[(entries["target"] == series) & (entries["corpus"] == labels) & entries["usual"]]
        for method in ("cosine", "idia", "random"):
            aucs = {f"{auc:.3f}" for auc in own[own["method"] == method]["auc"]}
            assert shown[method][:5] in aucs


def test_a_page_without_its_marks_is_refused() -> None:
    script = load("docs/make_methods_table.py")
    with pytest.raises(ValueError, match="must hold"):
        script.renewed("nothing here", "methods", "| a |")
