"""The filters in a real browser: whatever is switched after whatever, sidebar, address and page name the same board."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, permutations
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from selenium.webdriver.common.by import By
from tests.app.chromium import Browser, served
from tests.app.fictional import DEFENSE, World, said_of

from idbench.api import Silent
from idbench.results import SplitRef, collect
from idbench_leaderboard.board import ALL, NONE, Board, Selection
from idbench_leaderboard.building import build
from idbench_leaderboard.words import CHECKED

CHOICES = ("Split", "Version", "Target", "Corpus", "Track", "Defense", "Checked")
SWITCHES = {"Every parameter setting": "settings"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board on which every filter has something to choose: two splits, two versions, pools, controls, a defense."""
    folder, world = tmp_path_factory.mktemp("wide"), World(people=40, calibration=10)
    results = folder / "results"
    for name, version in (("fiction", 1), ("fiction", 2), ("other", 1)):
        split = SplitRef(name=name, version=version, digest=f"{name[0]}{version}" * 32, commit=None)
        targets = ("fiction-a", "fiction-a-wide", "fiction-b", "fiction-0") if version == 1 else ("fiction-a",)
        for target in targets[1:] if name == "other" else targets:
            for method in ("keen", "mild", "random"):
                world.write(results, method, target, split=split)
        world.write(results, "keen", "fiction-b", split=split, defense=DEFENSE)
        few = {"photos": 1, "prompts": 21}
        world.write(results, "keen", "fiction-b", split=split, parameters=few, photos_per_case=1.0)
    labels = [
        world.labels(name=name, version=version, digest=f"{name[0]}{version}" * 32)
        for name, version in (("fiction", 1), ("fiction", 2), ("other", 1))
    ]
    found = collect([results])
    built = build(found, labels, folder / "board", Silent(), statements=said_of(found))
    assert not built.rejected
    return folder / "board"


@pytest.fixture(scope="module")
def server(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with that board."""
    with served(wide, tmp_path_factory.mktemp("server")) as address:
        yield address


def chosen(browser: Browser) -> dict[str, str]:
    """What the sidebar shows: the choices by their labels, and whether each switch is on."""
    script = """
        const side = document.querySelector('[data-testid=stSidebar]');
        const shown = {};
        for (const box of side.querySelectorAll('[data-testid=stSelectbox]')) {
            const label = box.querySelector('[data-testid=stWidgetLabel]').innerText.trim();
            shown[label] = box.querySelector('input').value;
        }
        for (const box of side.querySelectorAll('[data-testid=stCheckbox]')) {
            shown[box.innerText.trim()] = String(box.querySelector('input').checked);
        }
        return shown;
    """
    return dict(browser.driver.execute_script(script))


def selection_of(shown: dict[str, str]) -> Selection:
    """The selection that a sidebar stands for."""
    return Selection(
        split=shown["Split"],
        version=int(shown["Version"]),
        target=shown["Target"],
        corpus=shown["Corpus"],
        track=ALL if shown["Track"] == "all tracks" else shown["Track"],
        checked=next(level for level, meaning in CHECKED.items() if meaning == shown["Checked"]),
        settings=ALL if shown["Every parameter setting"] == "true" else "usual",
        defense="" if shown["Defense"] == NONE else shown["Defense"],
    )


def agrees(browser: Browser, board: Board) -> bool:
    """Whether the page shows the board that the sidebar and the address name."""
    shown = chosen(browser)
    if not {*CHOICES, *SWITCHES} <= set(shown):
        return False
    selection = selection_of(shown)
    if browser.all("[data-testid=stStatusWidget]") or not selection_exists(board, selection):
        return False
    text, query = browser.text(), parse_qs(urlparse(browser.driver.current_url).query)
    if place_of(query, board) != (selection.split, selection.version, selection.target, selection.corpus):
        return False
    rows = board.rows(selection)
    if rows.empty:
        return "No record passes these filters" in text
    model = f"the model {selection.target}" if not rows["pooled"].any() else f"{int(rows['pooled'].max())} models"
    said = f"{model}{' (mean over the models)' if rows['pooled'].any() else ''}"
    said += f", with the defense {selection.defense}" if selection.defense else ""
    opening = f"Each row is one attack on {said}. It scored"
    place = f"of the split {selection.split}, version {selection.version}, without"
    corpus = f"are in the corpus {selection.corpus}."
    return all(part in text for part in (opening, place, corpus)) and methods_shown(browser) == set(rows["label"])


def place_of(query: dict[str, list[str]], board: Board) -> tuple[str, int, str, str]:
    """Split, version, target and corpus that a reader gets who opens an address: what it leaves out is the first."""
    split = query.get("split", board.splits())[0]
    version = int(query.get("version", [str(board.versions(split)[0])])[0])
    target = query.get("target", board.targets(split, version))[0]
    return split, version, target, query.get("corpus", board.corpora(split, version, target))[0]


def selection_exists(board: Board, selection: Selection) -> bool:
    """Whether the places of a selection belong together."""
    return (
        selection.split in board.splits()
        and selection.version in board.versions(selection.split)
        and selection.target in board.targets(selection.split, selection.version)
        and selection.corpus in board.corpora(selection.split, selection.version, selection.target)
    )


def methods_shown(browser: Browser) -> set[str]:
    """The methods in the table."""
    script = "return [...document.querySelectorAll('table[role=grid] [role=gridcell]')].map((c) => c.textContent)"
    links = [cell for cell in browser.driver.execute_script(script) if cell.startswith("/method?")]
    return {parse_qs(urlparse(link).query)["method"][0] for link in links}


def switch(browser: Browser, name: str) -> None:
    """Change one filter to its next value; one with a single value stays."""
    if name in SWITCHES:
        boxes = browser.all("[data-testid=stSidebar] [data-testid=stCheckbox] label")
        browser.click(next(box for box in boxes if name in box.text))
        return
    boxes = browser.all("[data-testid=stSidebar] [data-testid=stSelectbox]")
    box = next(box for box in boxes if box.text.startswith(name))
    before = chosen(browser)[name]
    browser.click(box.find_element(By.TAG_NAME, "input"))
    options = browser.until(lambda: browser.all("[role=option]"), f"options of {name}")
    names = [option.text for option in options]
    options[(names.index(before) + 1) % len(names)].click()
    browser.until(lambda: not browser.all("[role=option]"), "a closed list")


def tour(names: tuple[str, ...]) -> list[str]:
    """A walk that goes from every name to every other once, and back to the first."""
    left = {name: [other for other in names if other != name] for name in names}
    stack, walk = [names[0]], list[str]()
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    assert {*pairwise(walk)} == {*permutations(names, 2)}
    return walk


def test_no_filter_shows_another_board_than_the_page(browser: Browser, server: str, wide: Path) -> None:
    board = Board(wide)
    browser.size(1280, 1400)
    browser.open(server)
    browser.until(lambda: agrees(browser, board), "the first board")
    seen = set()
    for name in tour((*CHOICES, *SWITCHES)):
        switch(browser, name)
        browser.until(lambda: agrees(browser, board), f"page and sidebar that agree after a change of {name}")
        seen.add(tuple(chosen(browser).values()))
    assert len(seen) > 15
    assert browser.errors() == []
