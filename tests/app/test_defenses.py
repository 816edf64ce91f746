"""The page of defenses: adapted attacks count against a defense alone, and the strongest one is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest
from tests.app.fictional import ADAPTATION, DEFENSE, METHODS, World, build_board

from idbench.api import DataError, Silent
from idbench.results import DefenseRef, Estimate, UtilityMeasure, collect, write_run
from idbench.results.admission import admit
from idbench.results.attestation import Attestation, Level, Statements, subject_of
from idbench.results.repetition import Candidate
from idbench.storage import sha256_file
from idbench_leaderboard import defenses
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.site import export

SELECTION = Selection("fiction", 1, "fiction-a", "fiction-a")


def one(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.05, high=value + 0.05, level=0.95, method="drawn")


def defense(world: World, name: str = "blur") -> DefenseRef:
    measure = UtilityMeasure(
        name="recognition of walls", people=9, before=one(0.9), after=one(0.6), difference=one(-0.3)
    )
    ids = world.ids
    half = tuple(sorted(ids[i] for i in range(2 * world.people) if i % 4 < 2))
    return DEFENSE.model_copy(update={"name": name, "title": name, "protected": half, "utility": (measure,)})


def write(world: World, root: Path, strength: float, salt: str, **changes: Any) -> None:
    record = world.record("keen", **changes)
    assert "keen" in METHODS
    write_run(root, record, world.table(strength, "fiction-a", record.seed, salt))


@pytest.fixture
def board(world: World, tmp_path: Path) -> Path:
    root = tmp_path / "results"
    write(world, root, 1.0, "plain")
    write(world, root, 0.0, "hidden", defense=defense(world))
    for seed in (0, 1):
        write(world, root, 0.8, "back", defense=defense(world), adaptation=ADAPTATION, seed=seed)
    write(world, root, 0.0, "gone", defense=defense(world, "drop-people"))
    write(world, root, 0.0, "gone too", defense=defense(world, "drop-people"), adaptation=ADAPTATION)
    build_board(world, root, tmp_path / "board")
    return tmp_path / "board"


def test_the_strongest_attack_counts_adapted_or_not(board: Path) -> None:
    opened = Board(board)
    table = opened.defense_table(SELECTION)
    assert table is not None
    rows = {row.defense: row for row in table.worst}
    assert rows["blur"].strongest == "keen + relearn (steps 5)"
    assert rows["blur"].attempts == 2
    assert rows["blur"].protected.value > 0.6
    assert rows["blur"].beyond_reference is not None
    assert rows["blur"].beyond_reference.value > 0.1
    assert rows["none"].strongest == "keen"
    shown = defenses.shown(table).set_index("Defense")
    assert shown.loc["blur", "Recognition"] == "0.90 → 0.60"
    assert shown.loc["none", "Recognition"] == "–"
    assert (shown.loc["blur", "Seeds"], shown.loc["none", "Seeds"]) == (2, 1)


def test_an_adapted_attack_is_no_row_of_the_board(board: Path) -> None:
    entries = Board(board).entries
    assert sorted(entries["defense"]) == ["", "blur", "drop-people"]
    assert not [where for where in Board(board).manifest["rejected"] if "another record" in where["reason"]]


def test_the_page_shows_the_worst_cases(board: Path) -> None:
    def app(folder: str) -> None:
        from pathlib import Path

        from idbench_leaderboard.app.views import defenses, target
        from idbench_leaderboard.board import Board, Selection

        opened, selection = Board(Path(folder)), Selection("fiction", 1, "fiction-a", "fiction-a")
        defenses.page(opened, selection)
        assert target.worst is defenses

    test = AppTest.from_function(app, args=(str(board),), default_timeout=60).run()
    assert not test.exception
    worst = next(each.value for each in test.dataframe if "Strongest attack" in each.value)
    assert "keen + relearn (steps 5)" in worst["Strongest attack"].tolist()
    assert worst["Defense"].tolist()[0] == "drop-people"
    notes = re.sub(r"\\(.)", r"\1", " ".join(str(note.value) for note in test.caption))
    assert "Where a cell is empty" in notes
    assert "Not in the chart: none" in notes
    heat = next(each.value for each in test.dataframe if "attack" in each.value and "defense" in each.value)
    assert np.isfinite(heat["auc"]).all()


def test_the_page_of_a_target_without_defenses_shows_those_of_its_split(board: Path) -> None:
    """As a mean over several targets has none of its own: the board opens on such a mean."""

    def app(folder: str) -> None:
        from pathlib import Path

        from idbench_leaderboard.app.views import defenses
        from idbench_leaderboard.board import Board, Selection

        selection = Selection("fiction", 1, "all of fiction-a", "fiction-a")
        opened = Board(Path(folder))
        assert opened.defense_table(selection) is None
        defenses.page(opened, selection)

    test = AppTest.from_function(app, args=(str(board),), default_timeout=60).run()
    assert not test.exception
    assert not test.info
    assert "target fiction" in test.header[0].value.replace("\\", "")
    assert any("Strongest attack" in each.value for each in test.dataframe)


def test_the_site_has_the_page(board: Path, tmp_path: Path) -> None:
    export(Board(board), tmp_path / "site", Silent())
    page = (tmp_path / "site" / "defenses.html").read_text(encoding="utf-8")
    assert "keen + relearn (steps 5)" in page
    assert "Privacy against utility" in page
    assert 'href="defenses.html"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_a_board_without_defenses_says_what_would_fill_the_page(world: World, tmp_path: Path) -> None:
    write(world, tmp_path / "results", 1.0, "plain")
    build_board(world, tmp_path / "results", tmp_path / "board")
    opened = Board(tmp_path / "board")
    assert opened.defense_tables() == ()
    assert not (tmp_path / "board" / "defenses.json").exists()
    export(opened, tmp_path / "site", Silent())
    assert "No defended target" in (tmp_path / "site" / "defenses.html").read_text(encoding="utf-8")


def test_damaged_tables_are_refused(board: Path) -> None:
    path = board / "defenses.json"
    path.write_text(json.dumps({"tables": [1]}))
    with pytest.raises(DataError, match=r"defenses\.json of the board .* is not what the build wrote"):
        Board(board).defense_tables()


def test_two_settings_of_one_defense_are_two_rows(world: World, tmp_path: Path) -> None:
    for strength in (0.5, 0.9):
        ref = defense(world).model_copy(update={"parameters": {"strength": strength}})
        write(world, tmp_path / "results", strength, str(strength), defense=ref)
    build_board(world, tmp_path / "results", tmp_path / "board")
    table = Board(tmp_path / "board").defense_table(SELECTION)
    assert table is None or len({row.defense for row in table.worst}) == 2


def shifted(world: World, name: str = "blur") -> DefenseRef:
    """The same defense, said to protect the other half."""
    ref = defense(world, name)
    others = tuple(one for one in world.ids[: 2 * world.people] if one not in ref.protected)
    return ref.model_copy(update={"protected": others, "given_sha256": "9" * 64})


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a")])
def test_records_that_disagree_about_the_protected_contradict_each_other(
    order: tuple[str, ...], world: World, tmp_path: Path
) -> None:
    """One forged record must not choose among whom a defense is judged."""
    refs = {"a": defense(world), "b": shifted(world), "c": defense(world, "drop-people")}
    for salt in order:
        write(world, tmp_path / "results" / salt, 0.5, salt, defense=refs[salt])
    write(world, tmp_path / "results" / "plain", 0.9, "plain")
    built = build_board(world, tmp_path / "results", tmp_path / "board")
    assert {each.where.split("/")[0] for each in built.rejected} == {"a", "b"}
    assert all("disagree about who is protected" in each.reason for each in built.rejected)
    table = Board(tmp_path / "board").defense_table(SELECTION)
    assert table is not None
    assert {row.defense for row in table.worst} == {"none", "drop-people"}
    assert sorted(Board(tmp_path / "board").entries["defense"]) == ["", "drop-people"]


def test_an_attested_record_says_who_is_protected(world: World, tmp_path: Path) -> None:
    runs = {}
    for salt, ref in {"true": defense(world), "forged": shifted(world)}.items():
        record = world.record("keen", defense=ref)
        runs[salt] = write_run(tmp_path / "results" / salt, record, world.table(0.5, "fiction-a", 0, salt))
    stated = Attestation(
        subject=subject_of(runs["true"]), level=Level.REPLAYED, at=datetime(2026, 1, 1, tzinfo=UTC), by="maintainers"
    )
    found = collect([tmp_path / "results"])
    candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
    labels = world.labels()
    admitted = admit(candidates, {("fiction", 1): labels}, statements=Statements((("file", stated),)))
    assert [each.where.split("/")[0] for each in admitted.kept] == ["true"]
    assert "an attested record of the same defense and seed" in admitted.rejected[0].reason


def test_a_defense_protects_people_of_the_test_part_only(world: World, tmp_path: Path) -> None:
    ref = defense(world)
    ref = ref.model_copy(update={"protected": (*ref.protected, world.ids[-1])})
    write(world, tmp_path / "results", 0.5, "calibration", defense=ref)
    write(world, tmp_path / "results", 0.9, "plain")
    built = build_board(world, tmp_path / "results", tmp_path / "board")
    assert [each.reason for each in built.rejected] == [
        f"its defense protects people who are not in the test part: {world.ids[-1]}"
    ]


def test_defenses_that_are_evenly_divided_do_not_say_whom_the_undefended_target_is_judged_by(
    world: World, tmp_path: Path
) -> None:
    write(world, tmp_path / "results", 0.9, "plain")
    for number, ref in enumerate((defense(world), shifted(world, "drop-people"))):
        write(world, tmp_path / "results", 0.5, str(number), defense=ref)
    build_board(world, tmp_path / "results", tmp_path / "board")
    table = Board(tmp_path / "board").defense_table(SELECTION)
    assert table is not None
    assert {row.defense for row in table.worst} == {"blur", "drop-people"}


def _changed(folder: Path) -> None:
    (folder / "scores.parquet").write_bytes(b"nothing of the kind")


def _without_somebody(folder: Path) -> None:
    table = pq.read_table(folder / "scores.parquet").slice(1)
    pq.write_table(table, folder / "scores.parquet")
    data = json.loads((folder / "run.json").read_text())
    data |= {"scores_sha256": sha256_file(folder / "scores.parquet"), "n_cases": len(table)}
    (folder / "run.json").write_text(json.dumps(data))


def _infinite(folder: Path) -> None:
    table = pq.read_table(folder / "scores.parquet")
    table = table.set_column(table.column_names.index("score"), "score", pa.array([float("inf")] * len(table)))
    pq.write_table(table, folder / "scores.parquet")
    data = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(data | {"scores_sha256": sha256_file(folder / "scores.parquet")}))


@pytest.mark.parametrize("damage", [_changed, _without_somebody, _infinite])
@pytest.mark.parametrize("which", ["plain", "defended", "adapted"])
def test_scores_that_cannot_be_used_cost_their_record_only(
    which: str, damage: Callable[[Path], None], world: World, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "defended": {"defense": defense(world)},
        "adapted": {"defense": defense(world), "adaptation": ADAPTATION},
    }
    for salt, own in changes.items():
        write(world, root / salt, 0.5, salt, **own)
    damage(next((root / which).rglob("run.json")).parent)
    built = build_board(world, root, tmp_path / "board")
    assert [each.where.split("/")[0] for each in built.rejected] == [which]
    tables = Board(tmp_path / "board").defense_tables()
    attempts = sum(row.attempts for table in tables for row in table.worst)
    assert attempts == 2
