"""Verdicts, what they rest on, and the labels table with its provenance."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.corpora import write_tsv

from idbench.captions import EXACT, Folding, Rules, gather
from idbench.errors import DataError
from idbench.search.counting import CaptionSearch, CountOptions, count_names
from idbench.search.neighbours.recognition import Near
from idbench.search.report import Assumptions, PersonReport, report, write_labels
from idbench.splits.tables import arrow_schema

BELIEF = Assumptions(namesake=0.1, caption=0.5, named=0.6, seen=0.5)
PEOPLE = [("p1", "Ann Lee"), ("p2", "Mary Ann Lee"), ("p3", "Tom Ek"), ("p4", "Jörn Påske"), ("p5", "Jorn Paske")]


def searched(folder: Path, captions: list[str], rules: Rules | None = None) -> CaptionSearch:
    return count_names(gather(PEOPLE), [write_tsv(folder, captions)], rules or Rules(EXACT))


def near(clip: int | None, face: int | None, pictures: int = 100, captioned: int = 0) -> Near:
    return Near(2, 100, captioned, pictures, clip, face)


def by_id(reports: list[PersonReport]) -> dict[str, tuple[str, object]]:
    return {one.identity: (one.verdict, one.confidence) for one in reports}


def test_captions_alone(tmp_path: Path) -> None:
    captions = searched(tmp_path, ["Mary Ann Lee", "Mary Ann Lee", "Jörn Påske"])
    found = by_id(report(captions.sought, captions, {}, BELIEF))
    assert found == {
        "p1": ("undecided", None),
        "p2": ("mentioned", pytest.approx(0.9 * 0.75)),
        "p3": ("non-member", pytest.approx(0.6)),
        "p4": ("mentioned", pytest.approx(0.9 * 0.5)),
        "p5": ("non-member", pytest.approx(0.6)),
    }


def test_people_with_one_name_are_undecided_unless_it_never_occurs(tmp_path: Path) -> None:
    folded = Rules(Folding(accents=True))
    captions = searched(tmp_path, ["Jorn Paske"], folded)
    reports = report(captions.sought, captions, {}, BELIEF)
    assert by_id(reports)["p4"] == by_id(reports)["p5"] == ("undecided", None)
    assert reports[3].shares_name_with == ("p5",)
    assert reports[3].occurrences == 1
    captions = searched(tmp_path, ["nobody"], folded)
    assert by_id(report(captions.sought, captions, {}, BELIEF))["p5"] == ("non-member", pytest.approx(0.6))


def test_neighbours_raise_lower_and_contradict(tmp_path: Path) -> None:
    captions = searched(tmp_path, ["Mary Ann Lee", "Tom Ek"])
    seen = {"p2": near(30, 20), "p3": near(0, 15), "p4": near(20, 15), "p5": near(None, 16)}
    found = by_id(report(captions.sought, captions, seen, BELIEF))
    assert found["p2"] == ("member", pytest.approx(1 - (1 - 0.45) * 0.5))
    assert found["p3"] == ("mentioned", pytest.approx(0.45))
    assert found["p4"] == ("non-member", pytest.approx(1 - 0.4 * 0.5)), "20 % and 15 % are within the limits"
    assert found["p5"] == ("undecided", None)


def test_neighbours_alone() -> None:
    sought = tuple(gather(PEOPLE))
    seen = {"p1": near(0, 0), "p2": near(None, None), "p3": near(0, 0, captioned=2), "p4": near(5, 5, pictures=0)}
    found = by_id(report(sought, None, seen, BELIEF))
    assert found == {
        "p1": ("non-member", pytest.approx(0.5)),
        "p2": ("undecided", None),
        "p3": ("mentioned", pytest.approx(0.9 * 0.75)),
        "p4": ("undecided", None),
        "p5": ("undecided", None),
    }


def test_what_was_not_read_lowers_the_confidence_of_absence(tmp_path: Path) -> None:
    good, bad = write_tsv(tmp_path, ["x"], "a.tsv"), write_tsv(tmp_path, [], "b.tsv")
    bad.write_bytes(b"caption\turl\nonly one\n")
    captions = count_names(gather(PEOPLE), [good, bad], options=CountOptions(skip_damaged=True))
    assert by_id(report(captions.sought, captions, {}, BELIEF))["p3"] == ("non-member", pytest.approx(0.3))


def test_confidence_stays_between_0_and_1(tmp_path: Path) -> None:
    captions = searched(tmp_path, ["Mary Ann Lee"] * 40)
    for value in (0.0, 1.0):
        for one in report(captions.sought, captions, {"p2": near(90, 90)}, Assumptions(value, value, value, value)):
            assert one.confidence is None or 0 <= one.confidence <= 1


def test_labels_have_the_schema_of_splits_and_say_where_they_come_from(tmp_path: Path) -> None:
    captions = searched(tmp_path, ["Mary Ann Lee", "Mary Ann Lee", "Jörn Påske"])
    reports = report(captions.sought, captions, {"p3": near(1, 2)}, BELIEF)
    path = tmp_path / "labels.parquet"
    assert write_labels(path, "toy", reports, captions, BELIEF) == 4
    table = pq.read_table(path)
    assert table.schema.equals(arrow_schema("labels"))
    rows = {row["identity"]: row for row in table.to_pylist()}
    assert set(rows) == {"p2", "p3", "p4", "p5"}
    assert (rows["p2"]["corpus"], rows["p2"]["member"], rows["p2"]["occurrences"]) == ("toy", True, 2)
    assert (rows["p3"]["member"], rows["p3"]["occurrences"]) == (False, 0)
    for words in (
        "caption search v2: mentioned; exact, word boundaries; 2 of 3 captions of toy",
        captions.sha256,
        "namesake 0.1",
    ):
        assert words in rows["p2"]["how"]
    assert "not looked for" not in rows["p2"]["how"]
    assert "not looked for: another case, letters without their accents" in rows["p3"]["how"]
    assert "face hit rate 0.020 (limit 0.15)" in rows["p3"]["how"]


def test_nobody_decided(tmp_path: Path) -> None:
    reports = report(tuple(gather(PEOPLE)), None, {}, BELIEF)
    with pytest.raises(DataError, match="there are no labels to write"):
        write_labels(tmp_path / "labels.parquet", "toy", reports, None, BELIEF)
