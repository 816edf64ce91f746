"""The pages' logic, by Streamlit's own test harness: no browser, no server."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from tests.app.fictional import DEFENSE, World, attestation, build_board, with_id
from tests.app.reading import opened, text

from idbench.api import Silent
from idbench.errors import DataError
from idbench.results import collect, write_run
from idbench.results.attestation import Statements
from idbench.results.labels import SplitLabels
from idbench_leaderboard import app, tables, words
from idbench_leaderboard.app.common import HEAD_START
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.building import build

SCRIPT = Path(app.__file__).with_name("main.py")
PAGES = ("board", "method", "compare", "target", "split", "changes", "glossary")


def board_table(test: AppTest) -> pd.DataFrame:
    """The board, with the names of the methods in place of the links that they are."""
    table: pd.DataFrame = next(each.value for each in test.dataframe if "AUC [95 % CI]" in each.value).copy()
    table["Link"] = table["Method"]
    table["Method"] = [parse_qs(urlparse(link).query)["method"][0] for link in table["Method"]]
    return table


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    (folder / "results").mkdir()
    build_board(World(), folder / "results", folder / "board")
    return folder / "board"


def test_the_app_opens_on_the_board(filled: Path) -> None:
    test = AppTest.from_file(str(SCRIPT), default_timeout=60)
    test.session_state["board"] = str(filled)
    test.run()
    assert not test.exception
    assert test.title[0].value == "Can these methods tell who was in the training data?"


def test_a_browser_may_draw_the_table_before_it_gets_the_charts(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once per visit, and nobody waits where there is no browser."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    opened("board", filled)
    unseen, pauses[:] = pauses.count(HEAD_START), []
    monkeypatch.setattr(type(st.context), "headers", {"Host": "127.0.0.1"})
    test = opened("board", filled)
    assert (unseen, pauses.count(HEAD_START)) == (0, 1)
    test.run()
    assert pauses.count(HEAD_START) == 1


def test_texts_may_be_of_the_type_that_pandas_3_gives_them(world: World, tmp_path: Path) -> None:
    """There what is missing in a column of texts stays missing when it is made text."""
    with pd.option_context("future.infer_string", True):
        world.fill(tmp_path / "results")
        build_board(world, tmp_path / "results", tmp_path / "board")
        test = AppTest.from_file(str(SCRIPT), default_timeout=60)
        test.session_state["board"] = str(tmp_path / "board")
        test.run()
    assert not test.exception
    assert len(board_table(test)) > 1


def test_a_folder_that_is_no_board_gets_a_sentence(tmp_path: Path) -> None:
    test = AppTest.from_file(str(SCRIPT), default_timeout=60)
    test.session_state["board"] = str(tmp_path)
    test.run()
    assert not test.exception
    assert "holds no board" in text(test)
    assert "bench leaderboard build" in text(test)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_the_filled_board(page: str, filled: Path) -> None:
    test = opened(page, filled)
    assert not test.error
    assert len(text(test)) > 200


@pytest.mark.parametrize("page", [page for page in PAGES if page != "glossary"])
def test_every_page_without_data_says_what_fills_it(page: str, empty: Path) -> None:
    test = opened(page, empty)
    assert "There is no result yet" in text(test)
    assert "bench run" in text(test)
    assert "bench leaderboard build" in text(test)


def test_the_board_tells_the_finding_in_words_and_numbers(filled: Path) -> None:
    test = opened("board", filled)
    table = board_table(test)
    assert table["Method"].tolist()[0] in text(test)
    assert [metric.label for metric in test.metric][-1] == "Control"
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", str(test.metric[0].value))
    assert table["AUC [95 % CI]"].is_monotonic_decreasing
    rates = table["TPR at 10 % FPR [95 % CI]"]
    assert rates.sort_values().tolist() == sorted(rates, key=lambda cell: float(cell.split()[0].rstrip("%")))
    assert all(cell.startswith("not estimable: a false-positive") for cell in table["TPR at 0.1 % FPR [95 % CI]"])
    assert set(table["Date"]) == {"2026-01-01"}
    authors = table.set_index("Method")["Authors"]
    assert authors.loc["keen"] == "Nobody et al. 2026", "as the card says"
    assert authors.loc["mild"] == "Noone, Nemo 2025", "as the citation says"
    assert authors.loc["deep"] == authors.loc["random"], "nobody is named: the package that has it"
    assert "31 of 32 records count" in json.dumps([each.label for each in test.expander])
    rejected = test.dataframe[-1].value
    assert rejected["reason"].tolist() == ["invalidated on 2026-01-01 by the tests: drawn with the wrong seed"]


def test_filters_come_from_the_address(filled: Path) -> None:
    test = opened("board", filled, target="fiction-b", checked="replayed", statistic="TPR at 10 % FPR")
    assert set(board_table(test)["Method"]) == {"keen", "random"}
    assert "the model **fiction-b**" in text(test)
    assert "TPR at 10 % FPR" in test.dataframe[1].value
    test.selectbox(key="track").set_value("text-only").run()
    assert not test.exception
    test.selectbox(key="checked").set_value("self-reported").run()
    assert set(board_table(test)["Method"]) == {"mild", "blind-look", "random"}


def test_unknown_names_in_the_address_fall_back(filled: Path) -> None:
    test = opened("board", filled, split="nowhere", target="no", corpus="no", version="77", track="loud")
    assert "the model **fiction-a**" in text(test)
    test = opened("method", filled, method="nobody")
    assert test.selectbox(key="method").value in test.selectbox(key="method").options


def test_a_target_that_has_another_corpus_resets_the_corpus(filled: Path) -> None:
    test = opened("board", filled)
    test.selectbox(key="target").set_value("fiction-b").run()
    assert not test.exception
    assert test.selectbox(key="corpus").value == "fiction-b"


def test_filters_that_leave_nothing_say_so(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "mild")
    build_board(world, tmp_path / "results", tmp_path / "board")
    for page in ("board", "method", "target"):
        assert "No record passes these filters" in text(opened(page, tmp_path / "board", checked="replayed"))


def test_method_shows_card_paper_and_command(filled: Path) -> None:
    test = opened("method", filled, method="keen")
    printed = text(test)
    assert "A Paper That Does Not Exist" in printed
    assert "bench run --method keen --split fiction --target fiction-a --seeds 2" in printed
    assert "At the threshold chosen on the calibration part: TPR" in printed
    parameters = next(each.value for each in test.dataframe if "Default" in each.value)
    assert parameters["What it is"].tolist() == ["Photos per person.", "Prompts per person."]
    test = opened("method", filled, method="mild")
    assert "Only one number of attack photos was run" in text(test)


def test_compare_pairs_and_places(filled: Path) -> None:
    test = opened("compare", filled, methods="keen")
    assert "Choose at least two methods" in text(test)
    test.multiselect(key="methods").set_value(["keen", "random"]).run()
    assert "**keen** has a higher AUC than **random**: +" in text(test)
    places = test.dataframe[1].value
    assert places[places["Method"] == "keen"]["Rank interval"].tolist()[0] == "1"
    assert places["TPR"].tolist()[-1] == "not estimable", "the cell is not cut; the sentence below it says why"
    assert "TPR at 0.1 % FPR is not estimable: a false-positive rate of 0.001 needs" in text(test)
    wins = test.dataframe[-1].value
    assert wins["People"].sum() == 240
    assert (wins["keen better"] + wins["random better"] + wins["Equal"] == wins["People"]).all()
    test.multiselect(key="methods").set_value(["keen", "deep", "mild", "random"]).run()
    assert not test.exception
    assert len(test.dataframe[0].value) == 6


def test_target_says_what_would_fill_the_heat_map(filled: Path) -> None:
    printed = text(opened("target", filled))
    assert "No defended target has been attacked yet" in printed
    assert "records that name it" in printed
    assert "None of 5 attacks differs significantly from chance on the control" in printed


def test_target_draws_defenses_once_there_are_some(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    world.write(tmp_path / "results", "keen", defense=DEFENSE)
    build_board(world, tmp_path / "results", tmp_path / "board")
    test = opened("target", tmp_path / "board")
    assert "No defended target" not in text(test)
    heat = next(each.value for each in test.dataframe if "defense" in each.value)
    assert heat["defense"].tolist() == ["none", "blur"]
    assert heat["auc"].is_monotonic_decreasing
    assert test.dataframe[-1].value["Method"].tolist() == ["keen"]


def test_target_without_a_control_says_how_to_run_one(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    build_board(world, tmp_path / "results", tmp_path / "board")
    assert "No control was run for the corpus fiction-a" in text(opened("target", tmp_path / "board"))


def test_links_to_a_method_show_the_row_that_was_clicked(filled: Path) -> None:
    test = opened("board", filled, settings="true", checked="replayed", track="black-box")
    table = board_table(test)
    few = table[table["Method"] == "keen (photos=1)"]
    query: dict[str, Any] = parse_qs(urlparse(few["Link"].item()).query)
    method = opened("method", filled, **query)
    assert not method.warning
    assert method.selectbox(key="method").value == "keen (photos=1)"
    assert method.selectbox(key="checked").value == "replayed"
    assert method.selectbox(key="track").value == "black-box"


def test_links_keep_the_defense(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen", defense=DEFENSE)
    build_board(world, tmp_path / "results", tmp_path / "board")
    test = opened("board", tmp_path / "board", defense="blur")
    details = board_table(test)["Link"].item()
    method = opened("method", tmp_path / "board", **parse_qs(urlparse(details).query))
    assert method.selectbox(key="method").value == "keen + blur"
    command = next(each.value for each in method.code if "#" in each.value)
    assert "# repeats the attack without the defense blur" in command
    assert "--defense" not in command.splitlines()[-1]


def test_what_a_link_asks_for_and_is_not_here_is_named(filled: Path) -> None:
    test = opened("board", filled, target="fiction-z", track="loud")
    assert any("Target: the link asks for `fiction-z`" in each.value for each in test.warning)
    assert any("Track: the link asks for `loud`" in each.value for each in test.warning)
    assert not opened("board", filled, target="fiction-b", track="text-only").warning
    test = opened("method", filled, method="keen (photos=1)")
    assert any("asks for `keen (photos=1)`" in each.value for each in test.warning)
    test = opened("compare", filled, methods=["keen", "gone"])
    assert any("asks for `gone`" in each.value for each in test.warning)


def test_settings_that_nobody_usually_takes_are_pointed_at(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen", parameters={"photos": 1, "prompts": 21})
    build_board(world, tmp_path / "results", tmp_path / "board")
    assert "switch on *Every parameter setting*" in text(opened("board", tmp_path / "board"))
    shown = opened("board", tmp_path / "board", settings="true")
    assert "keen (photos=1)" in text(shown)


def test_checked_records_stand_beside_checked_controls_only(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    world.write(tmp_path / "results", "keen", "fiction-0")
    found = collect([tmp_path / "results"])
    (checked,) = (run for run in found.runs if run.record.target.name == "fiction-a")
    build(found, [world.labels()], tmp_path / "board", Silent(), statements=Statements((attestation(checked),)))
    board, selection = Board(tmp_path / "board"), Selection("fiction", 1, "fiction-a", "fiction-a")
    assert board.rows(selection)["control_auc"].notna().all()
    assert board.rows(Selection("fiction", 1, "fiction-a", "fiction-a", checked="replayed"))["control_auc"].isna().all()
    test = opened("target", tmp_path / "board", checked="replayed")
    assert "No record of a control passes these filters" in text(test)


def test_a_control_of_another_architecture_is_named(world: World, tmp_path: Path) -> None:
    for name, design in (("fiction-0", "ResNet"), ("fiction-1", "ViT-tiny")):
        for method in ("keen", "random"):
            record = world.record(method, "fiction-0")
            changes = {"name": name, "architecture": design, "sha256": name[-1] * 64}
            record = with_id(record.model_copy(update={"target": record.target.model_copy(update=changes)}))
            write_run(tmp_path / name, record, world.table(0.0, None, 0, f"{method} on {name}"))
    for method in ("keen", "random"):
        world.write(tmp_path / "fiction-0", method)
    build_board(world, tmp_path / "fiction-0", tmp_path / "board")
    test = opened("target", tmp_path / "board")
    assert "The control's architecture (ResNet) is not that of this target (ViT-tiny)" in text(test)
    (tmp_path / "fiction-1").rename(tmp_path / "fiction-0" / "more")
    build_board(world, tmp_path / "fiction-0", tmp_path / "both")
    assert "is not that of this target" not in text(opened("target", tmp_path / "both"))
    board = Board(tmp_path / "both")
    alike = board.controls(Selection("fiction", 1, "fiction-a", "fiction-a")).set_index(["target", "method"])["auc"]
    row = board.rows(Selection("fiction", 1, "fiction-a", "fiction-a")).set_index("method").loc["keen"]
    assert row["control_auc"] == alike["fiction-1", "keen"]


def test_only_a_number_of_photos_is_varied(world: World, tmp_path: Path) -> None:
    assert tables.photo_count('{"photo_features": "target", "use_photos": true}') is None
    assert tables.photo_count('{"photos_per_person": null, "photo_features": "x"}') == "photos_per_person"
    for features in ("target", "other"):
        parameters = {"photos": 5, "photo_features": features}
        world.write(tmp_path / "results", "keen", parameters=parameters)
    build_board(world, tmp_path / "results", tmp_path / "board")
    board, selection = Board(tmp_path / "board"), Selection("fiction", 1, "fiction-a", "fiction-a", settings="all")
    for _, row in board.rows(selection).iterrows():
        assert len(tables.by_photos(board, selection, row)) == 1


def test_methods_without_photos_are_not_said_to_take_all(world: World, tmp_path: Path) -> None:
    bare = {"prompts": 21, "photo_features": "target", "photos": "none"}
    world.write(tmp_path / "results", "mild", parameters=bare, photos_per_case=0.0)
    build_board(world, tmp_path / "results", tmp_path / "board")
    printed = text(opened("method", tmp_path / "board", settings="true"))
    assert "used no photos" in printed
    assert "Runs with other numbers" not in printed


def test_methods_that_filters_take_away_give_way_to_the_first_two(filled: Path) -> None:
    def picked(**query: str | list[str]) -> list[str]:
        return list(opened("compare", filled, **query).multiselect(key="methods").value)

    first = picked()
    assert len(first) == 2
    assert picked(methods=["gone", first[0]]) == first
    assert picked(methods=["mild", "random", "gone"]) == ["mild", "random"]
    assert picked(methods=["mild"]) == ["mild"]
    assert picked(methods=[""]) == []


def test_what_is_not_estimable_is_said_in_words(filled: Path, several: Path) -> None:
    assert "TPR at 1 % FPR is not estimable: a false-positive rate of 0.01" in text(opened("method", several))
    assert "is not estimable" not in text(opened("method", filled))


def test_commands_name_targets_that_can_be_asked(several: Path) -> None:
    method = opened("method", several, target="all of fiction-a", method="keen")
    commands = [each.value for each in method.code]
    options = "--split fiction --target fiction-a,fiction-a-deep,fiction-a-wide"
    assert f"bench run --method keen {options} --param photos=1" in commands
    assert not any("all of" in command for command in commands)
    control = opened("method", several, target="fiction-0", corpus="fiction-b", method="keen")
    assert any("--target fiction-0 --corpus fiction-b --param photos=1" in each.value for each in control.code)


def test_places_speak_of_the_rates_that_the_board_shows(world: World, tmp_path: Path) -> None:
    for seed in range(3):
        world.write(tmp_path / "results", "keen", seed=seed)
    world.write(tmp_path / "results", "mild")
    for seed in range(2):
        world.write(tmp_path / "results", "random", seed=seed)
    build_board(world, tmp_path / "results", tmp_path / "board")
    board, selection = Board(tmp_path / "board"), Selection("fiction", 1, "fiction-a", "fiction-a")
    rows = board.rows(selection)
    places = tables.rate_places(board, selection, rows)
    for _, row in rows.iterrows():
        cell = places[(places["Method"] == row["label"]) & (places["At"] == "10 % FPR")]["TPR"].item()
        assert cell == words.percent_span(row["tpr_10"], row["tpr_10_low"], row["tpr_10_high"])
    ten = places[places["At"] == "10 % FPR"].set_index("Method")["Rank interval"]
    assert ten["keen"] == "1"


def test_targets_with_more_seeds_weigh_no_more(world: World, tmp_path: Path) -> None:
    targets = ("fiction-a", "fiction-a-wide")
    for target in targets:
        world.write(tmp_path / "results", "random", target)
        world.write(tmp_path / "results", "keen", target)
    for seed in (1, 2):
        world.write(tmp_path / "results", "keen", "fiction-a", seed)
    build_board(world, tmp_path / "results", tmp_path / "board")
    board = Board(tmp_path / "board")

    def keen(target: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        selection = Selection("fiction", 1, target, "fiction-a")
        rows = board.rows(selection)
        first, second = (rows[rows["method"] == method].iloc[0] for method in ("keen", "random"))
        found = tables.people(board, selection, first, second)
        assert found is not None
        assert found["a"][found["who"] == "members"].mean() == pytest.approx(100 * first["auc"])
        return found["a"].to_numpy()

    assert keen("all of fiction-a") == pytest.approx((keen(targets[0]) + keen(targets[1])) / 2)


def _build(results: Path, labels: SplitLabels, out: Path) -> None:
    build(collect([results]), [labels], out, Silent())


def test_without_public_labels_no_place_is_promised(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    world.write(tmp_path / "results", "random")
    _build(tmp_path / "results", world.labels(public=False), tmp_path / "board")
    test = opened("compare", tmp_path / "board")
    assert "No rank intervals" in text(test)
    assert "Rank intervals among" not in text(test)
    assert "Rank interval" not in test.dataframe[1].value


def test_everybody_is_counted_by_training_pictures(world: World, tmp_path: Path) -> None:
    labels = world.labels()
    known = labels.corpora["fiction-a"]
    alone = np.where(np.arange(known.occurrences.size) == 0, 999, known.occurrences)
    changed = replace(labels, corpora={**labels.corpora, "fiction-a": replace(known, occurrences=alone)})
    world.write(tmp_path / "results", "random")
    _build(tmp_path / "results", changed, tmp_path / "board")
    shown = opened("split", tmp_path / "board").dataframe[-1].value
    assert shown["Members"].sum() == world.people
    assert shown[shown["Training pictures"] == 999]["Members"].tolist() == [1]
    _build(tmp_path / "results", replace(changed, public=False), tmp_path / "sums")
    test = opened("split", tmp_path / "sums")
    assert test.dataframe[-1].value["Members"].sum() == world.people - 1
    assert "a number that a single member has is left out" in text(test)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("curves.parquet", lambda board: board.curve("x")),
        ("people.parquet", lambda board: board.people("fiction", 1, "fiction-a")),
        ("samples.parquet", lambda board: board.split_card("fiction", 1)),
        ("about.json", lambda board: board.split_card("fiction", 1)),
        ("entries.parquet", lambda board: board.rows(Selection("fiction", 1, "fiction-a", "fiction-a"))),
    ],
)
def test_a_damaged_file_gets_a_sentence(
    name: str, read: Callable[[Board], object], filled: Path, tmp_path: Path
) -> None:
    shutil.copytree(filled, tmp_path / "board")
    (tmp_path / "board" / name).write_bytes(b"{ damaged")
    board = Board(tmp_path / "board")
    with pytest.raises(DataError, match=f"{name} of the board .* is not what the build wrote"):
        read(board)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of three models of one corpus, one of another, and a control."""
    folder, world = tmp_path_factory.mktemp("several"), World(people=60)
    for target in ("fiction-a", "fiction-a-wide", "fiction-a-deep", "fiction-b", "fiction-0"):
        for method in ("keen", "random"):
            world.write(folder / "results", method, target)
    world.write(folder / "results", "mild", "fiction-a")
    build_board(world, folder / "results", folder / "board")
    return folder / "board"


def test_pooled_targets_are_a_board_of_their_own(several: Path) -> None:
    test = opened("board", several, target="all of fiction-a")
    printed = text(test)
    assert "one attack on **3 models**" in printed
    assert "Intervals are over people, with these models fixed." in printed
    assert "Target by target" in printed
    table = board_table(test)
    assert table["Method"].tolist() == ["keen", "random"]
    assert table["Targets"].tolist() == [3, 3]
    single = opened("board", several, target="fiction-a")
    assert "Target by target" not in text(single)
    table = board_table(single)
    assert set(table["Method"]) == {"keen", "mild", "random"}
    assert "Targets" not in table


def test_every_page_shows_pooled_targets(several: Path) -> None:
    target = opened("target", several, target="all of fiction-a")
    assert "3 models trained on fiction-a" in text(target)
    members = next(each.value for each in target.dataframe if "Architecture" in each.value)
    assert members["Target"].tolist() == ["fiction-a", "fiction-a-deep", "fiction-a-wide"]
    method = opened("method", several, target="all of fiction-a", method="keen")
    assert "--target fiction-a,fiction-a-deep,fiction-a-wide" in text(method)
    assert "choose a single target to see them" in text(method)
    runs = next(each.value for each in method.dataframe if "run_id" in each.value)
    assert len(runs) == 3
    compare = opened("compare", several, target="all of fiction-a")
    assert "**keen** has a higher AUC than **random**" in text(compare)
    split = opened("split", several, target="all of fiction-a")
    blind = next(each.value for each in split.dataframe if "Blind attack" in each.value)
    assert len(blind) == 4  # random on each single target, not once more for the pool


def test_the_heat_map_has_every_attack_on_every_target(several: Path) -> None:
    frame = tables.by_target(Board(several), Selection("fiction", 1, "fiction-a", "fiction-a"))
    counts = frame.groupby("target", sort=False)["attack"].apply(set).to_dict()
    assert list(counts)[-2:] == ["fiction-0 for fiction-a", "fiction-0 for fiction-b"]
    assert counts["fiction-a"] == {"keen", "mild", "random"}
    assert counts["fiction-a-wide"] == counts["fiction-b"] == {"keen", "random"}
    assert frame["attack"].iloc[0] == "keen"  # the best on average comes first, wherever it was run
    assert not any("all of" in str(name) for name in counts)


@pytest.mark.parametrize("page", ["board", "method", "compare", "target"])
def test_rows_can_be_taken_away(page: str, several: Path) -> None:
    test = opened(page, several)
    labels = [getattr(button, "label", "") for button in test.get("download_button")]
    assert {"CSV", "JSON", "LaTeX", "BibTeX", "SVG", "PNG"} <= set(labels)


def test_split_shows_card_audit_and_sizes(filled: Path) -> None:
    test = opened("split", filled)
    printed = text(test)
    assert "Nobody here exists." in printed
    assert "No blind attack differs significantly from chance" in printed
    blind = next(each.value for each in test.dataframe if "Blind attack" in each.value)
    ends = [float(end) for shown in blind["AUC"] for end in re.findall(r"[\[ ](0\.\d+)", shown)[-2:]]
    assert f"reach as far as an AUC of {max(*ends, 1 - min(ends)):.3f}" in printed
    checks = test.table[-1].value
    assert [shown.replace("\\", "") for shown in checks["Value"]] == ["passed: none", "failed: one"]
    assert test.dataframe[-1].value["Members"].sum() == 120


def test_split_warns_when_a_blind_attack_is_not_blind(world: World, tmp_path: Path) -> None:
    write_run(tmp_path / "results", world.record("blind-look"), world.table(1.5, "fiction-a", 0))
    build_board(world, tmp_path / "results", tmp_path / "board")
    assert "Not at chance without a query to the model: blind-look" in text(opened("split", tmp_path / "board"))


def test_glossary_explains_every_metric(filled: Path) -> None:
    from idbench import metrics

    test = opened("glossary", filled)
    assert "`tpr_at_fpr`" in text(test)
    functions = [name for name in metrics.__all__ if name[0].islower()]
    assert all(f"`{name}`" in text(test) for name in functions)
    test.text_input(key="find").set_value("holm").run()
    assert "`holm`" in text(test)
    assert "`tpr_at_fpr`" not in text(test)
    test.text_input(key="find").set_value("xyzzy").run()
    assert "Nothing found" in text(test)
