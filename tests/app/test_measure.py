"""The board's own arithmetic, checked against `idbench.metrics` and by hand; and what readers take away."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from idbench import figures
from idbench.errors import DataError
from idbench.escaping import Strong, plain
from idbench.metrics import (
    AucCovariance,
    Interval,
    NotEstimable,
    auc,
    auc_estimate,
    best_balanced_accuracy,
    bootstrap,
    decision_metrics,
    delong_covariance,
    permutation_test,
    roc_band,
    tpr_at_fpr,
    tpr_at_fpr_interval,
)
from idbench_leaderboard import charts, downloads, glossary, measure, words
from idbench_leaderboard.board import Board, View
from idbench_leaderboard.inputs import MethodInfo
from idbench_leaderboard.standing import Flags, Floats

MEMBERS = np.arange(200) % 2 == 0
VIEW = View("fiction", 1, "fiction-a", "fiction-a")


def drawn(strength: float, seeds: int = 1) -> Floats:
    rng = np.random.default_rng(int(10 * strength))
    return np.asarray(rng.normal(size=(seeds, MEMBERS.size)) + strength * MEMBERS, dtype=np.float64)


def known(members: Flags = MEMBERS, occurrences: NDArray[np.int64] | None = None) -> measure.Known:
    return measure.Known(members, np.where(members, 1, 0) if occurrences is None else occurrences)


def averages(*groups: Floats, who: measure.Known | None = None) -> measure.Averages:
    return measure.judge(groups, who or known()).averages


def awkward(people: int, seed: int) -> tuple[Floats, Flags]:
    """Rows with everything that goes wrong: ties, perfect order, wrong order, constants, few of one class."""
    rng = np.random.default_rng(seed)
    members = rng.permutation(np.arange(people) < max(2, people // int(rng.integers(2, 9))))
    rows = [
        rng.normal(size=people) + members,
        rng.integers(0, 3, people).astype(float),
        members.astype(float),
        -members.astype(float),
        np.zeros(people),
        rng.standard_cauchy(size=people),
        np.where(members, rng.integers(0, 2, people), 1.0),
        rng.normal(size=people) + 4.0 * members,
    ]
    return np.stack(rows), members


@pytest.mark.parametrize(("people", "seed"), [(20, 0), (61, 1), (150, 2), (400, 3), (1500, 4)])
def test_many_rows_at_once_are_each_row_alone(people: int, seed: int) -> None:
    rows, members = awkward(people, seed)
    judged = measure.judge([row[None] for row in rows], known(members))
    found = judged.averages
    values, rated = measure.auc_values(found), measure.rates(found)
    drawn_curves = measure.curves(found, known(members))
    for place, row in enumerate(rows):
        one = auc_estimate(row, members)
        value = values[place]
        assert judged.aucs[place] == pytest.approx(one.value, abs=1e-14)
        ends = (one.interval.low, one.interval.high)
        assert (value.value, value.low, value.high) == pytest.approx((one.value, *ends), abs=1e-9)
        for rate in rated[place]:
            _same_rate(rate, row, members)
        band = roc_band(row, members, measure.LEVEL, points=measure.ROC_POINTS)
        curve = drawn_curves[place]
        for name in ("fpr", "tpr", "low", "high"):
            assert getattr(curve, name) == pytest.approx(getattr(band, name), abs=1e-14), (name, place)
        order = np.unique(row, return_inverse=True)[1]
        assert (np.unique(judged.places[place], return_inverse=True)[1] == order).all()


def _same_rate(rate: measure.RateAt, row: Floats, members: Flags) -> None:
    one, ends = tpr_at_fpr(row, members, rate.fpr), tpr_at_fpr_interval(row, members, rate.fpr)
    if isinstance(one, NotEstimable):
        assert (rate.found, rate.reason, rate.resolution) == (None, one.reason, one.resolution)
        return
    assert rate.found is not None
    assert isinstance(ends, Interval)
    assert rate.found.value == pytest.approx(one.value, abs=1e-15)
    assert (rate.found.low, rate.found.high) == pytest.approx((ends.low, ends.high), abs=1e-9)


def test_the_covariance_of_rows_is_delongs() -> None:
    rows, members = awkward(300, 5)
    found = measure.joint_auc(averages(*(row[None] for row in rows), who=known(members)))
    one = delong_covariance(rows, members)
    for name in ("auc", "covariance", "of_members", "of_nonmembers", "n_members", "n_nonmembers"):
        assert getattr(found, name) == pytest.approx(getattr(one, name), abs=1e-14), name


def test_calibrated_decisions_are_those_of_the_metrics() -> None:
    calibration, who = awkward(60, 6)
    test, members = awkward(200, 7)
    for row, judged in zip(calibration, test, strict=True):
        threshold = best_balanced_accuracy(row, who).threshold
        one = decision_metrics(judged, members, threshold)
        found = measure.decisions(row[None], who, judged[None], members)
        assert found.threshold == (threshold if np.isfinite(threshold) else None)
        expected = (one.tpr.value, one.fpr.value, one.accuracy.value)
        assert (found.tpr, found.fpr, found.accuracy) == pytest.approx(expected, abs=1e-15)


def test_chance_agrees_with_the_permutation_test() -> None:
    for strength in (0.0, 0.2, 0.4):
        rows = drawn(strength)
        exact = permutation_test(rows[0], MEMBERS)
        assert measure.chance_p(averages(rows), known())[0] == pytest.approx(exact.p_two_sided, abs=0.01)


def test_chance_with_ties_and_without_any_difference() -> None:
    assert measure.chance_p(averages(np.zeros((2, 200))), known()) == [1.0]
    votes = np.random.default_rng(0).integers(0, 4, size=(1, 200)).astype(float)
    exact = permutation_test(votes[0], MEMBERS)
    assert measure.chance_p(averages(votes), known())[0] == pytest.approx(exact.p_two_sided, abs=0.02)


def test_repeating_a_seed_teaches_nothing() -> None:
    row = drawn(0.5)
    found = averages(row, np.repeat(row, 3, axis=0))
    once, thrice = measure.auc_values(found)
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))
    single, triple = measure.rates(found)
    assert single[0].found is not None
    assert triple[0].found is not None
    assert triple[0].found.low == pytest.approx(single[0].found.low)


def test_a_pool_is_a_mean_over_targets_with_people_as_clusters() -> None:
    rng = np.random.default_rng(1)
    person = rng.normal(size=200)  # what two models make of one person has much in common
    targets = [(person + 0.5 * rng.normal(size=200) + 0.8 * MEMBERS)[None] for _ in range(3)]
    found = averages(targets[0]).plus(averages(targets[1])).plus(averages(targets[2])).over(3)
    value = measure.auc_values(found)[0]
    rows = np.concatenate(targets)
    drawn_people = bootstrap(rows, MEMBERS, draws=4000).interval("auc")
    assert isinstance(drawn_people, Interval)
    assert value.value == pytest.approx(np.mean([auc(row, MEMBERS) for row in rows]), abs=1e-14)
    assert (value.low, value.high) == pytest.approx((drawn_people.low, drawn_people.high), abs=0.01)
    # Three times as many people would know far more than three looks at each.
    several = measure.auc_values(averages(rows.reshape(1, -1), who=known(np.tile(MEMBERS, 3))))[0]
    assert several.high - several.low < 0.7 * (value.high - value.low)


def test_perfect_separation_still_has_an_interval() -> None:
    found = measure.auc_values(averages(np.where(MEMBERS, 1.0, 0.0)[None]))[0]
    assert found.value == found.high == 1.0
    assert 0.9 < found.low < 1.0


def test_too_few_nonmembers_give_a_reason_and_no_number() -> None:
    ten, one, tenth = measure.rates(averages(drawn(1.0)))[0]
    assert ten.found is not None
    assert one.found is not None
    assert tenth.found is None
    assert "1000 non-members" in tenth.reason
    assert tenth.resolution == 0.01


def test_places_of_rows_that_cannot_be_told_apart() -> None:
    rows = [drawn(2.0), drawn(2.0) + 0.01 * drawn(0.3), drawn(0.0)]
    found = measure.joint_auc(averages(*rows))
    placed = measure.places(found)
    assert placed.rank.tolist() == [1, 1, 3]
    assert placed.low.tolist() == [1, 1, 3]
    assert placed.high.tolist() == [2, 2, 3]
    alone = measure.places(measure.joint_auc(averages(rows[0])))
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
    who = known(occurrences=occurrences)
    few, many = measure.bins(averages(rows, who=who), who)[0]
    kept = ~MEMBERS | (occurrences == 75)
    one = auc_estimate(rows[0][kept], MEMBERS[kept])
    assert (many.auc.value, many.auc.low) == pytest.approx((one.value, one.interval.low), abs=1e-9)
    assert (few.occurrences, few.n_members, many.occurrences, many.n_members) == (1, 50, 75, 50)
    assert few.auc.low < 0.5 < few.auc.high
    assert many.auc.low > 0.8


def test_curves_rise_and_lie_in_their_band() -> None:
    found = measure.curves(averages(drawn(1.0, seeds=2)), known())[0]
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


def test_pictures_of_every_chart(filled: Path) -> None:
    board = Board(filled)
    rows = board.rows(VIEW)
    spec = downloads.for_print(charts.whiskers(rows, "auc").to_dict(validate=False))
    assert figures.draw(spec, "png").startswith(b"\x89PNG")
    assert b"keen" in figures.draw(spec, "svg")
    with pytest.raises(DataError, match="cannot be drawn"):
        figures.draw({"mark": "nonsense", "$schema": 7}, "svg")


def test_findings_are_honest_about_chance(filled: Path) -> None:
    board = Board(filled)
    assert words.finding(board.rows(VIEW))[1] in (Strong("keen"), Strong("deep"))
    control = board.rows(View("fiction", 1, "fiction-0", "fiction-a"))
    assert "does not differ significantly from guessing" in plain(words.finding(control))
    assert words.control_verdict(board.controls(VIEW))[0] is True
    assert words.control_verdict(board.controls(VIEW).iloc[:0])[0] is None
    bad = board.controls(VIEW).assign(auc_low=0.6, auc_high=0.7)
    passed, verdict = words.control_verdict(bad)
    assert passed is False
    assert "exclude 0.5" in plain(verdict)
    assert plain(words.finding(board.rows(VIEW).iloc[:0])) == "Nothing to show with these filters."


def test_the_glossary_is_made_from_the_docstrings() -> None:
    found = {term.name: term for term in glossary.terms()}
    assert found["auc"].meaning.startswith("Area under the ROC curve")
    assert "Hanley" in found["auc"].source
    assert "Args" not in "".join(term.meaning for term in found.values())
