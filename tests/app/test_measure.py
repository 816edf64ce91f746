"""The board's histograms, and what readers take away."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from idbench import figures
from idbench.errors import DataError
from idbench.escaping import Strong, plain
from idbench_leaderboard import charts, downloads, glossary, measure, tables, words
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.inputs import MethodInfo

MEMBERS = np.arange(200) % 2 == 0
SELECTION = Selection("fiction", 1, "fiction-a", "fiction-a")


def drawn(strength: float, seeds: int = 1) -> measure.Floats:
    rng = np.random.default_rng(int(10 * strength))
    return np.asarray(rng.normal(size=(seeds, MEMBERS.size)) + strength * MEMBERS, dtype=np.float64)


def test_histograms_hold_everybody() -> None:
    for rows in (drawn(1.0, seeds=2), np.zeros((1, 200)), np.where(np.arange(200) == 7, 1e9, 0.0)[None]):
        bars = measure.histogram(rows, MEMBERS)
        assert bars.members.sum() == pytest.approx(1.0)
        assert bars.nonmembers.sum() == pytest.approx(1.0)
        assert (np.diff(bars.edges) > 0).all()


def test_downloads_say_what_the_board_says(filled: Path) -> None:
    rows = Board(filled).rows(SELECTION)
    back = pd.read_csv(io.StringIO(downloads.csv(rows)))
    assert back["auc"].tolist() == pytest.approx(rows["auc"].tolist())
    answer = json.loads(downloads.as_json(rows))
    assert [each["label"] for each in answer] == rows["label"].tolist()
    assert answer[0]["tpr_01"] is None
    table = downloads.latex(rows.assign(label=["a_b & 50%"] * len(rows)), "100 % {sure}")
    assert r"a\_b \& 50\%" in table
    assert r"100 \% \{sure\}" in table
    assert table.count(r"\\") == len(rows) + 1
    assert "n.e." not in table
    assert all(line.count("&") - line.count(r"\&") == 5 for line in table.splitlines() if "a\\_b" in line)


def test_bibtex_names_the_board_and_the_papers(filled: Path) -> None:
    manifest = Board(filled).manifest
    paper = "Nobody & Co., 50 % of a Paper"
    card = MethodInfo(
        "keen", "1", "e" * 64, "Keen", paper=paper, authors="Nobody & Co.", year=2026, url="https://example.org"
    )
    text = downloads.bibtex("A board", manifest, [card])
    assert r"author = {{Nobody \& Co.}}" in text
    assert "year = {2026}" in text
    assert r"\url{https://example.org}" in text
    assert manifest["inputs_sha256"][:16] in text
    assert r"Nobody \& Co., 50 \% of a Paper" in text
    assert text.count("{") == text.count("}")


def test_who_published_a_method_is_known_from_the_card_of_other_code(filled: Path) -> None:
    board = Board(filled)
    rows = board.rows(SELECTION)
    known = tables.authors_of(board, rows)
    assert known["keen"] == "Nobody et al. 2026"
    assert "random" not in known
    assert tables.authors_of(board, rows.assign(code_sha256="f" * 64)) == known
    assert tables.authors_of(board, rows.assign(method_version="0")) == {}


def test_pictures_of_every_chart(filled: Path) -> None:
    board = Board(filled)
    rows = board.rows(SELECTION)
    spec = downloads.for_print(charts.whiskers(rows, "auc").to_dict(validate=False))
    assert figures.draw(spec, "png").startswith(b"\x89PNG")
    assert b"keen" in figures.draw(spec, "svg")
    with pytest.raises(DataError, match="cannot be drawn"):
        figures.draw({"mark": "nonsense", "$schema": 7}, "svg")


def test_findings_are_honest_about_chance(filled: Path) -> None:
    board = Board(filled)
    assert words.finding(board.rows(SELECTION))[1] in (Strong("keen"), Strong("deep"))
    control = board.rows(Selection("fiction", 1, "fiction-0", "fiction-a"))
    assert "does not differ significantly from guessing" in plain(words.finding(control))
    assert words.control_verdict(board.controls(SELECTION))[0] is True
    assert words.control_verdict(board.controls(SELECTION).iloc[:0])[0] is None
    bad = board.controls(SELECTION).assign(auc_low=0.6, auc_high=0.7)
    passed, verdict = words.control_verdict(bad)
    assert passed is False
    assert "exclude" in plain(verdict)
    assert plain(words.finding(board.rows(SELECTION).iloc[:0])) == "Nothing to show with these filters."


def test_the_glossary_is_made_from_the_docstrings() -> None:
    found = {term.name: term for term in glossary.terms()}
    assert found["auc"].meaning.startswith("Area under the ROC curve")
    assert "Hanley" in found["auc"].source
    assert "Args" not in "".join(term.meaning for term in found.values())
