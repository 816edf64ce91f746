"""The board's own arithmetic, checked against `idbench.metrics` and by hand; and what readers take away."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from idbench.errors import DataError
from idbench.metrics import AucCovariance, permutation_test
from idbench_leaderboard import charts, downloads, glossary, measure, words
from idbench_leaderboard.board import Board, View

MEMBERS = np.arange(200) % 2 == 0
VIEW = View("fiction", 1, "fiction-a", "fiction-a")


def drawn(strength: float, seeds: int = 1) -> measure.Floats:
    rng = np.random.default_rng(int(10 * strength))
    return np.asarray(rng.normal(size=(seeds, MEMBERS.size)) + strength * MEMBERS, dtype=np.float64)


def test_chance_agrees_with_the_permutation_test() -> None:
    for strength in (0.0, 0.2, 0.4):
        rows = drawn(strength)
        exact = permutation_test(rows[0], MEMBERS)
        assert measure.chance_p(rows, MEMBERS) == pytest.approx(exact.p_two_sided, abs=0.01)


def test_chance_with_ties_and_without_any_difference() -> None:
    assert measure.chance_p(np.zeros((2, 200)), MEMBERS) == 1.0
    votes = np.random.default_rng(0).integers(0, 4, size=(1, 200)).astype(float)
    exact = permutation_test(votes[0], MEMBERS)
    assert measure.chance_p(votes, MEMBERS) == pytest.approx(exact.p_two_sided, abs=0.02)


def test_repeating_a_seed_teaches_nothing() -> None:
    row = drawn(0.5)
    once, thrice = measure.auc_value(row, MEMBERS), measure.auc_value(np.repeat(row, 3, axis=0), MEMBERS)
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))
    single, triple = measure.rates(row, MEMBERS), measure.rates(np.repeat(row, 3, axis=0), MEMBERS)
    assert single[0] == triple[0]


def test_perfect_separation_still_has_an_interval() -> None:
    found = measure.auc_value(np.where(MEMBERS, 1.0, 0.0)[None], MEMBERS)
    assert found.value == found.high == 1.0
    assert 0.9 < found.low < 1.0


def test_too_few_nonmembers_give_a_reason_and_no_number() -> None:
    ten, one, tenth = measure.rates(drawn(1.0), MEMBERS)
    assert ten.found is not None
    assert one.found is not None
    assert tenth.found is None
    assert "1000 non-members" in tenth.reason
    assert tenth.resolution == 0.01


def test_places_of_rows_that_cannot_be_told_apart() -> None:
    rows = [drawn(2.0), drawn(2.0) + 0.01 * drawn(0.3), drawn(0.0)]
    found = measure.joint_auc(rows, MEMBERS)
    placed = measure.places(found)
    assert placed.rank.tolist() == [1, 1, 3]
    assert placed.low.tolist() == [1, 1, 3]
    assert placed.high.tolist() == [2, 2, 3]
    alone = measure.places(measure.joint_auc(rows[:1], MEMBERS))
    assert (alone.rank.tolist(), alone.low.tolist(), alone.high.tolist()) == ([1], [1], [1])
    nothing = np.zeros((0, 0))
    assert measure.places(AucCovariance(np.zeros(0), nothing, nothing, nothing, 2, 2)).rank.size == 0


def test_histograms_hold_everybody() -> None:
    for rows in (drawn(1.0, seeds=2), np.zeros((1, 200)), np.where(np.arange(200) == 7, 1e9, 0.0)[None]):
        bars = measure.histogram(rows, MEMBERS)
        assert bars.members.sum() == pytest.approx(1.0)
        assert bars.nonmembers.sum() == pytest.approx(1.0)
        assert (np.diff(bars.edges) > 0).all()


def test_bins_set_members_against_all_nonmembers() -> None:
    occurrences = np.where(MEMBERS, np.where(np.arange(200) < 100, 1, 75), 0)
    rows = drawn(0.0) + 2.0 * (occurrences == 75)
    few, many = measure.bins(rows, MEMBERS, occurrences)
    assert (few.occurrences, few.n_members, many.occurrences, many.n_members) == (1, 50, 75, 50)
    assert few.auc.low < 0.5 < few.auc.high
    assert many.auc.low > 0.8


def test_curves_rise_and_lie_in_their_band() -> None:
    found = measure.curve(drawn(1.0, seeds=2), MEMBERS)
    assert (np.diff(found.tpr) >= 0).all()
    assert (found.low <= found.tpr).all()
    assert (found.tpr <= found.high).all()


def test_downloads_say_what_the_board_says(filled: Path) -> None:
    rows = Board(filled).rows(VIEW)
    back = pd.read_csv(io.StringIO(downloads.csv(rows)))
    assert back["auc"].tolist() == pytest.approx(rows["auc"].tolist())
    told = json.loads(downloads.as_json(rows))
    assert [each["label"] for each in told] == rows["label"].tolist()
    assert told[0]["tpr_01"] is None
    table = downloads.latex(rows.assign(label=["a_b & 50%"] * len(rows)), "100 % {sure}")
    assert r"a\_b \& 50\%" in table
    assert r"100 \% \{sure\}" in table
    assert table.count(r"\\") == len(rows) + 1
    assert "n.e." not in table
    assert all(line.count("&") - line.count(r"\&") == 5 for line in table.splitlines() if "a\\_b" in line)


def test_bibtex_names_the_board_and_the_papers(filled: Path) -> None:
    manifest = Board(filled).manifest
    text = downloads.bibtex("A board", manifest, [("keen", "Nobody & Co., 50 % of a Paper", "https://example.org")])
    assert manifest["inputs_sha256"][:16] in text
    assert r"Nobody \& Co., 50 \% of a Paper" in text
    assert text.count("{") == text.count("}")


def test_pictures_of_every_chart(filled: Path) -> None:
    board = Board(filled)
    rows = board.rows(VIEW)
    spec = downloads.for_print(charts.whiskers(rows, "auc").to_dict(validate=False))
    assert downloads.picture(spec, "png").startswith(b"\x89PNG")
    assert b"keen" in downloads.picture(spec, "svg")
    with pytest.raises(DataError, match="cannot be drawn"):
        downloads.picture({"mark": "nonsense", "$schema": 7}, "svg")


def test_findings_are_honest_about_chance(filled: Path) -> None:
    board = Board(filled)
    assert "**keen**" in words.finding(board.rows(VIEW)) or "**deep**" in words.finding(board.rows(VIEW))
    control = board.rows(View("fiction", 1, "fiction-0", "fiction-a"))
    assert "cannot tell that from guessing" in words.finding(control)
    assert words.control_verdict(board.controls(VIEW))[0] is True
    assert words.control_verdict(board.controls(VIEW).iloc[:0])[0] is None
    bad = board.controls(VIEW).assign(auc_low=0.6, auc_high=0.7)
    passed, verdict = words.control_verdict(bad)
    assert passed is False
    assert "leave 0.5 out" in verdict
    assert words.finding(board.rows(VIEW).iloc[:0]) == "Nothing to show with these filters."


def test_the_glossary_is_made_from_the_docstrings() -> None:
    found = {term.name: term for term in glossary.terms()}
    assert found["auc"].meaning.startswith("Area under the ROC curve")
    assert "Hanley" in found["auc"].source
    assert "Args" not in "".join(term.meaning for term in found.values())
