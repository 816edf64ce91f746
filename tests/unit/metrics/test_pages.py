"""The committed pages about the metrics are those that the code would write."""

import json
from pathlib import Path

import pytest
from tests.scripts import load

ROOT = Path(__file__).parents[3]


def test_glossary_is_up_to_date() -> None:
    glossary = load("docs/make_glossary.py")
    assert glossary.PAGE.read_text(encoding="utf-8") == glossary.page(), "run: python docs/make_glossary.py"
    assert glossary.main(["--check"]) == 0


def test_glossary_check_notices_an_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glossary = load("docs/make_glossary.py")
    monkeypatch.setattr(glossary, "PAGE", tmp_path / "glossary.md")
    assert glossary.main(["--check"]) == 1
    assert glossary.main([]) == 0
    assert glossary.main(["--check"]) == 0


def test_coverage_page_shows_all_committed_numbers() -> None:
    coverage = load("benchmark/perf/coverage.py")
    numbers = json.loads(coverage.NUMBERS.read_text(encoding="utf-8"))
    for table in coverage.tables():
        assert len(numbers[table.name]) == len(table.cells), table.name
        assert {len(row) for row in numbers[table.name]} == {len(table.columns)}, table.name
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.page(numbers), "run: coverage.py --render"


@pytest.mark.parametrize(("name", "place"), [("auc", 0), ("difference", 0), ("tpr", 0), ("ranks", 0)])
def test_a_committed_number_is_measured_again(name: str, place: int) -> None:
    coverage = load("benchmark/perf/coverage.py")
    (table,) = (table for table in coverage.tables() if table.name == name)
    committed = json.loads(coverage.NUMBERS.read_text(encoding="utf-8"))[name][place]
    again = table.measure(table.cells[place])
    # Another processor may round one data set in a thousand to the other side.
    assert list(again) == pytest.approx(committed, abs=0.005)
