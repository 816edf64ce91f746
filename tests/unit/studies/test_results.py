"""Tables and figures of studies, from points whose numbers are known."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import ROOT

from idbench.api import Access
from idbench.runner.registry import ATTACKS
from idbench.studies import catalogue
from idbench.studies.budget import budgets, variants
from idbench.studies.catalogue import STUDIES
from idbench.studies.charts import draw
from idbench.studies.defenses import read_defenses, write_defenses
from idbench.studies.estimates import Value
from idbench.studies.photos import few_numbers, photo_numbers
from idbench.studies.table import StudyResult, TargetUsed, Where, as_csv, read_result, write_tables
from idbench_methods.studies import BY_EPOCHS, TUNI_AT_LENGTH, TUNI_BY_BUDGET

DEFENSES = "defenses"
"""Name of the study whose tables have a format of their own."""

CONDITIONS = {
    "idia-by-photos": [Where("A and B", photos) for photos in (1, 3, 30)],
    "idia-by-training-pictures": [Where("A and B", k, label) for k in (1, 10, 30) for label in ("1", "5", "10-19")],
    "tuni-by-budget": [Where("A and B", settings=budget) for budget in budgets(TUNI_BY_BUDGET)],
    "tuni-at-length": [
        Where("A and B", settings=budget, variant=variant)
        for budget in budgets(TUNI_AT_LENGTH)
        for variant in variants(TUNI_AT_LENGTH)
    ],
    "by-epochs": [
        Where("A", settings={"epochs": epochs}, variant=attack)
        for epochs in BY_EPOCHS.epochs
        for attack in BY_EPOCHS.attacks
    ],
}


def result_of(study: str) -> StudyResult:
    places = [replace(where, series=series) for where in CONDITIONS[study] for series in (where.series, "control")]
    points = [
        where.point(statistic, Value(0.25 + i / 100, 0.2, 0.6, "made up"))
        for i, where in enumerate(places)
        for statistic in ("tpr_rule", "fpr_rule", "tpr_10", "auc")
    ]
    lacking = places[0].point("tpr_10", Value(None, None, None, "not estimable: one of 8 non-members is 12.5%"))
    targets = tuple(
        TargetUsed(series, f"made-up-{series}", "0" * 64, "corpus") for series in ("A", "B", "control")
    )  # fmt: skip
    return StudyResult(
        study, STUDIES.load(study).title, "made up.", "made-up", 1, "0" * 64, "made-up", targets, "idia-draws", ({},),
        (0,), ("0" * 16,), (*points, lacking),
    )  # fmt: skip


@pytest.mark.parametrize("study", CONDITIONS)
def test_every_figure_can_be_drawn(study: str) -> None:
    pictures = draw(STUDIES.load(study), result_of(study))
    assert pictures.png.startswith(b"\x89PNG")
    assert pictures.svg.startswith("<svg")
    for words in (STUDIES.load(study).title, "AUC", "control", "95 % intervals over people"):
        assert words in pictures.svg
    each = BY_EPOCHS.attacks if study == "by-epochs" else ("TPR at 10 % FPR",)
    assert all(words in pictures.svg for words in each)


@pytest.mark.parametrize("study", CONDITIONS)
def test_the_same_result_gives_the_same_figure(study: str) -> None:
    declared = STUDIES.load(study)
    assert draw(declared, result_of(study)) == draw(declared, result_of(study))


def test_tables_hold_every_point(tmp_path: Path) -> None:
    result = result_of("idia-by-photos")
    table, whole = write_tables(result, tmp_path)
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == len(result.points) == len(json.loads(whole.read_text())["points"])
    assert (rows[0]["series"], rows[0]["photos"], rows[0]["statistic"], rows[0]["value"]) == (
        "A and B", "1", "tpr_rule", "0.25",
    )  # fmt: skip
    assert "steps" not in rows[0], "columns in which nothing stands are left out"
    assert rows[-1]["value"] == ""
    assert rows[-1]["interval"].startswith("not estimable")


def test_csv_of_nothing_is_a_header_alone() -> None:
    assert list(csv.reader(io.StringIO(as_csv(())))) == [[]]


def test_numbers_of_photos_are_the_papers() -> None:
    assert photo_numbers(30) == [*range(1, 30, 2), 30]
    assert few_numbers(30) == [1, 10, 30]
    assert photo_numbers(7) == [1, 3, 5, 7]
    assert few_numbers(7) == [1, 3, 7]
    assert few_numbers(2) == [1, 2]


def test_budgets_vary_one_thing_at_a_time() -> None:
    found = [(budget["runs"], budget["steps"]) for budget in budgets(TUNI_BY_BUDGET)]
    assert found == [(4, 4), (2, 16), (4, 16), (8, 16), (4, 64)]


def test_every_attack_that_asks_the_target_and_trains_no_shadows_is_seen_by_epochs() -> None:
    cards = [entry.value.card for entry in ATTACKS.entries() if entry.value is not None]
    asking = {card.name for card in cards if card.access and Access.TRAIN_SHADOWS not in card.access}
    own = {name for name in asking if not name.startswith("sample-")}
    assert set(BY_EPOCHS.attacks) == own - {"tuni-early"}  # the same attack, decided earlier


def test_studies_are_found_by_what_packages_declare() -> None:
    assert {*CONDITIONS, "defenses"} == set(STUDIES.names())  # whose results have tables of their own
    folder = Path(catalogue.__file__).parent
    text = "".join(path.read_text(encoding="utf-8").lower() for path in folder.glob("*.py"))
    assert not [method for method in ATTACKS.names() if f'"{method}' in text]


def test_committed_tables_of_defenses_are_read_back_whole(tmp_path: Path) -> None:
    found = sorted((ROOT.parent / "docs" / "studies").glob(f"*/{DEFENSES}.json"))
    assert found
    for path in found:
        for written in write_defenses(read_defenses(path), tmp_path):
            assert written.read_text(encoding="utf-8") == path.with_suffix(written.suffix).read_text(encoding="utf-8")


def test_committed_tables_are_read_back_whole() -> None:
    for path in sorted((ROOT.parent / "docs" / "studies").glob("*/*.json")):
        if path.stem == DEFENSES:
            continue
        result = read_result(path)
        assert (path.parent / f"{result.study}.csv").read_text(encoding="utf-8") == as_csv(result.points)
        # Not to the last byte: letters are measured with the fonts of the machine.
        drawn = path.with_suffix(".svg").read_text(encoding="utf-8")
        assert result.title in drawn
        assert all(target.name in drawn for target in result.targets)
