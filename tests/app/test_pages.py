"""The pages' logic, by Streamlit's own test harness: no browser, no server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from tests.app.fictional import World, build_board

from idbench.results import MethodRef
from idbench_leaderboard import app, tables
from idbench_leaderboard.board import Board, View

SCRIPT = Path(app.__file__).with_name("main.py")
PAGES = ("board", "method", "compare", "target", "split", "glossary")


def _one(page: str, folder: str) -> None:
    from importlib import import_module
    from pathlib import Path as Folder

    from idbench_leaderboard.app import common

    board = common.board_at(Folder(folder))
    view = common.filters(board) if len(board.entries) else None
    import_module(f"idbench_leaderboard.app.views.{page}").page(board, view)


def opened(page: str, board: Path, **query: str) -> AppTest:
    """A page as a reader finds it behind an address."""
    test = AppTest.from_function(_one, args=(page, str(board)), default_timeout=60)
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception
    return test


def text(test: AppTest) -> str:
    """Everything that a page says."""
    parts = [*test.title, *test.header, *test.subheader, *test.markdown, *test.info, *test.success, *test.warning]
    return "\n".join(str(part.value) for part in [*parts, *test.caption, *test.error, *test.code])


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


def test_a_folder_that_is_no_board_gets_a_sentence(tmp_path: Path) -> None:
    test = AppTest.from_file(str(SCRIPT), default_timeout=60)
    test.session_state["board"] = str(tmp_path)
    test.run()
    assert not test.exception
    assert "holds no board" in test.error[0].value
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
    table = test.dataframe[1].value
    assert table["Method"].tolist()[0] in text(test)
    assert [metric.label for metric in test.metric][-1] == "Control"
    assert table["AUC"].is_monotonic_decreasing
    assert all(cell.startswith("not estimable: a false-positive rate") for cell in table["0.1 %: 95 %"])
    assert "31 of 32 records count" in json.dumps([each.label for each in test.expander])
    rejected = test.dataframe[-1].value
    assert rejected["reason"].tolist() == ["invalidated on 2026-01-01 by the tests: drawn with the wrong seed"]


def test_filters_come_from_the_address(filled: Path) -> None:
    test = opened("board", filled, target="fiction-b", verified="true", statistic="TPR at 10 % FPR")
    table = test.dataframe[1].value
    assert set(table["Method"]) == {"keen", "random"}
    assert "the model **fiction-b**" in text(test)
    assert "TPR at 10 % FPR" in test.dataframe[0].value
    test.selectbox(key="track").set_value("text-only").run()
    assert not test.exception
    test.toggle(key="verified").set_value(False).run()
    assert set(test.dataframe[1].value["Method"]) == {"mild", "blind-look", "random"}


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
        assert "No record passes these filters" in text(opened(page, tmp_path / "board", verified="true"))


def test_method_shows_card_paper_and_command(filled: Path) -> None:
    test = opened("method", filled, method="keen")
    said = text(test)
    assert "A Paper That Does Not Exist" in said
    assert "bench run --method keen --split fiction --target fiction-a --seeds 2" in said
    assert "At the threshold that the calibration people chose" in said
    parameters = next(each.value for each in test.dataframe if "Usual" in each.value)
    assert parameters["What it is"].tolist() == ["Photos per person.", "Prompts per person."]
    test = opened("method", filled, method="mild")
    assert "Only one number of attack photos was run" in text(test)


def test_compare_pairs_and_places(filled: Path) -> None:
    test = opened("compare", filled, methods="keen")
    assert "Choose at least two methods" in text(test)
    test.multiselect(key="methods").set_value(["keen", "random"]).run()
    assert "**keen** is better than **random** by" in text(test)
    places = test.dataframe[1].value
    assert places[places["Method"] == "keen"]["Place"].tolist()[0] == "1"
    assert "not estimable" in places["TPR"].tolist()[-1]
    wins = test.dataframe[-1].value
    assert wins["People"].sum() == 240
    assert (wins["keen better"] + wins["random better"] + wins["Level"] == wins["People"]).all()
    test.multiselect(key="methods").set_value(["keen", "deep", "mild", "random"]).run()
    assert not test.exception
    assert len(test.dataframe[0].value) == 6


def test_target_says_what_would_fill_the_heat_map(filled: Path) -> None:
    said = text(opened("target", filled))
    assert "No defended target has been attacked yet" in said
    assert "records that name it" in said
    assert "None of 5 attacks can be told from chance on the control" in said


def test_target_draws_defenses_once_there_are_some(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    defense = MethodRef(
        name="blur",
        version="1",
        title="Blur",
        distribution="fiction",
        code_sha256="7" * 64,
        access=(),
        knowledge=(),
        track="blind",
    )
    world.write(tmp_path / "results", "keen", defense=defense)
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
    said = text(test)
    assert "an attack on **3 models**" in said
    assert "Intervals speak of other people, asked of these same models." in said
    assert "Target by target" in said
    table = next(each.value for each in test.dataframe if "Places" in each.value)
    assert table["Method"].tolist() == ["keen", "random"]
    assert table["Targets"].tolist() == [3, 3]
    single = opened("board", several, target="fiction-a")
    assert "Target by target" not in text(single)
    table = next(each.value for each in single.dataframe if "Places" in each.value)
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
    assert "**keen** is better than **random** by" in text(compare)
    split = opened("split", several, target="all of fiction-a")
    blind = next(each.value for each in split.dataframe if "Blind attack" in each.value)
    assert len(blind) == 4  # random on each single target, not once more for the pool


def test_the_heat_map_has_every_attack_on_every_target(several: Path) -> None:
    frame = tables.by_target(Board(several), View("fiction", 1, "fiction-a", "fiction-a"))
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
    said = text(test)
    assert "Nobody here exists." in said
    assert "No blind attack can be told from chance" in said
    checks = next(each.value for each in test.dataframe if "Verdict" in each.value)
    assert checks["Verdict"].tolist() == ["passed", "look closer"]
    assert test.dataframe[-1].value["Members"].sum() == 120


def test_split_warns_when_a_blind_attack_is_not_blind(world: World, tmp_path: Path) -> None:
    from idbench.results import write_run

    write_run(tmp_path / "results", world.record("blind-look"), world.table(1.5, "fiction-a", 0))
    build_board(world, tmp_path / "results", tmp_path / "board")
    assert "Look closer: blind-look is not at chance" in text(opened("split", tmp_path / "board"))


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
