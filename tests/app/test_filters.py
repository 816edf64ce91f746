"""The filters of every page in a real browser: whatever is switched after whatever, sidebar, address and page agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise, permutations
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from tests.app.chromium import Browser, served
from tests.app.fictional import DEFENSE, World, statements_of

from idbench.api import Silent
from idbench.results import SplitRef, collect
from idbench_leaderboard import words
from idbench_leaderboard.board import ALL, NONE, Board, Selection
from idbench_leaderboard.building import build
from idbench_leaderboard.words import CHECKED

CHOICES = ("Split", "Version", "Target", "Corpus", "Track", "Defense", "Checked")
SWITCHES = {"Every parameter setting": "settings"}
PLACES = CHOICES[:4]
"""The filters that every page follows on which filters apply."""


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
    built = build(found, labels, folder / "board", Silent(), statements=statements_of(found))
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


def agrees(browser: Browser, board: Board, page: str = "board") -> bool:
    """Whether a page shows the board that the sidebar and the address name."""
    shown = chosen(browser)
    if not {*CHOICES, *SWITCHES} <= set(shown) or browser.all("[data-testid=stStatusWidget]"):
        return False
    selection = selection_of(shown)
    if not selection_exists(board, selection):
        return False
    query = parse_qs(urlparse(browser.driver.current_url).query)
    if place_of(query, board) != (selection.split, selection.version, selection.target, selection.corpus):
        return False
    return PAGES[page][1](browser, board, selection)


def board_agrees(browser: Browser, board: Board, selection: Selection) -> bool:
    rows, text = board.rows(selection), browser.text()
    if rows.empty:
        return "No record passes these filters" in text
    sentence = f"Each row is one attack on {attacked(rows, selection)}. It scored"
    place = f"of the split {selection.split}, version {selection.version}, without"
    corpus = f"are in the corpus {selection.corpus}."
    return all(part in text for part in (sentence, place, corpus)) and methods_shown(browser) == set(rows["label"])


def method_agrees(browser: Browser, board: Board, selection: Selection) -> bool:
    rows, text = board.rows(selection), browser.text()
    if rows.empty:
        return "No record passes these filters" in text
    label = str(browser.find("[data-testid=stMain] [data-testid=stSelectbox] input").get_attribute("value"))
    row = rows[rows["label"] == label]
    if row.empty or parse_qs(urlparse(browser.driver.current_url).query)["method"] != [label]:
        return False
    (first,) = (found for _, found in row.iterrows())
    auc = words.span(first["auc"], first["auc_low"], first["auc_high"])
    return place(rows, selection) in text and str(first["method_title"]) in text and auc in text


def compare_agrees(browser: Browser, board: Board, selection: Selection) -> bool:
    rows, text = board.rows(selection), browser.text()
    if len(rows) < 2:
        return "It takes two methods to compare." in text
    picked = [label for label in rows["label"] if label in chips(browser)]
    if set(picked) != set(chips(browser)) or place(rows, selection) not in text:
        return False
    if len(picked) < 2:
        return "Choose at least two methods." in text
    charts = [str(chart.get_attribute("aria-label")) for chart in browser.all("[data-testid=stVegaLiteChart]")]
    return any(f"bands of {', '.join(picked)}." in chart for chart in charts)


def target_agrees(browser: Browser, board: Board, selection: Selection) -> bool:
    rows, text = board.rows(selection), " ".join(browser.text().split())
    pooled = len(board.members_of(selection))
    card = f"{pooled} models trained on {selection.corpus} " if pooled else f" Name {selection.target} Version "
    if card not in text:
        return False
    return "No record passes these filters" in text if rows.empty else place(rows, selection) in text


def defenses_agree(browser: Browser, board: Board, selection: Selection) -> bool:
    text, own = browser.text(), board.defense_table(selection)
    of_split = [
        each
        for each in board.defense_tables()
        if (each.split, each.split_version) == (selection.split, selection.version)
    ]
    wanted = [own] if own else of_split
    heads = [head.text for head in browser.all("[data-testid=stMain] h2")]
    if not wanted:
        return "No defended target has been attacked yet." in text
    return heads == [f"{each.split} v{each.split_version}, target {each.target}" for each in wanted]


def split_agrees(browser: Browser, board: Board, selection: Selection) -> bool:
    text = " ".join(browser.text().split())
    name = f"Name and version {selection.split} v{selection.version} "
    return name in text and f"Members of the corpus {selection.corpus} in the test part" in text


def stays(browser: Browser, board: Board, selection: Selection) -> bool:
    return "ilters do not apply here." in browser.text()


PAGES: dict[str, tuple[tuple[str, ...], Callable[[Browser, Board, Selection], bool]]] = {
    "board": ((*CHOICES, *SWITCHES), board_agrees),
    "method": ((*CHOICES, *SWITCHES, "Method"), method_agrees),
    "compare": ((*CHOICES, *SWITCHES, "Methods"), compare_agrees),
    "target": ((*CHOICES, *SWITCHES), target_agrees),
    "defenses": (PLACES, defenses_agree),
    "split": (PLACES, split_agrees),
    "changes": (PLACES, stays),
    "glossary": (PLACES, stays),
}
"""Of each page, the filters that are switched after one another, and whether it shows the board of the sidebar."""


def attacked(rows: pd.DataFrame, selection: Selection) -> str:
    """What a page calls the models of a selection."""
    models = f"{int(rows['pooled'].max())} models (mean over the models)"
    models = models if rows["pooled"].any() else f"the model {selection.target}"
    return f"{models}, with the defense {selection.defense}" if selection.defense else models


def place(rows: pd.DataFrame, selection: Selection) -> str:
    """How a page other than the board says what its numbers are about."""
    where = f"split {selection.split}, version {selection.version}; members are the people in the corpus"
    return f"Attacks on {attacked(rows, selection)}; {where} {selection.corpus}."


def chips(browser: Browser) -> list[str]:
    """The methods chosen on the page Compare."""
    script = """
        const tags = document.querySelectorAll('[data-testid=stMain] .react-aria-ComboBox [data-tag]');
        return [...tags].map((tag) => tag.getAttribute('aria-label'));
    """
    return list(browser.driver.execute_script(script))


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
    elif name == "Methods":
        _switch_methods(browser)
    else:
        _switch_choice(browser, name)


def _switch_choice(browser: Browser, name: str) -> None:
    where = "[data-testid=stSidebar]" if name in CHOICES else "[data-testid=stMain]"

    def field() -> WebElement | None:
        boxes = browser.all(f"{where} [data-testid=stSelectbox]")
        return next((box.find_element(By.TAG_NAME, "input") for box in boxes if box.text.startswith(name)), None)

    def options() -> list[WebElement]:
        # A page that is drawn again at this moment takes the click and opens no list; a reader clicks again.
        if not browser.all("[role=option]") and (found := field()):
            browser.click(found)
        end = time.monotonic() + 0.5
        while not (opened := browser.all("[role=option]")) and time.monotonic() < end:
            time.sleep(0.02)
        return opened

    now = field()
    if now is None:
        return
    before = str(now.get_attribute("value"))
    shown = browser.until(options, "options")
    names = [option.text for option in shown]
    shown[(names.index(before) + 1) % len(names)].click()
    browser.until(lambda: not browser.all("[role=option]"), "a closed list")


def _switch_methods(browser: Browser) -> None:
    """The first of the methods goes, and the last that can be chosen comes."""
    if not browser.all("[data-testid=stMain] .react-aria-ComboBox"):
        return
    before = chips(browser)
    if len(before) > 1:
        browser.click(browser.all("[data-testid=stMain] .react-aria-ComboBox [data-tag] button")[0])
        browser.until(lambda: len(chips(browser)) < len(before), "one method fewer")
        browser.until(lambda: not browser.all("[data-testid=stStatusWidget]"), "a page at rest")
    left = len(chips(browser))
    browser.click(browser.all("[data-testid=stMain] .react-aria-ComboBox button")[-1])
    browser.until(lambda: browser.all("[role=option]"), "options")[-1].click()
    browser.until(lambda: len(chips(browser)) > left, "one method more")
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
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


def check_share_link(browser: Browser, board: Board, page: str) -> None:
    """Whoever opens the address in a fresh window finds the same sidebar and the same words."""
    own, sidebar, printed = browser.driver.current_window_handle, chosen(browser), main_text(browser)
    address = browser.driver.current_url
    browser.driver.switch_to.new_window("tab")
    browser.size(1280, 1400)
    browser.driver.get(address)
    browser.until(lambda: agrees(browser, board, page) and chosen(browser) == sidebar, f"the filters of {address}")
    found = main_text(browser)
    browser.driver.close()
    browser.driver.switch_to.window(own)
    assert found == printed


def main_text(browser: Browser) -> list[str]:
    """What a page says once it has come to rest, line by line, and what is chosen in it."""
    script = """
        const main = document.querySelector('[data-testid=stMain]');
        return [main.innerText, ...[...main.querySelectorAll('input')].map((e) => e.value)];
    """
    seen = list[list[str]]()

    def rests() -> bool:
        seen.append(list(browser.driver.execute_script(script)))
        time.sleep(0.1)
        return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3] == seen[-4]

    browser.until(rests, "a page at rest")
    return [line for text in seen[-1] for line in text.splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_no_filter_shows_another_board_than_the_page(browser: Browser, server: str, wide: Path, page: str) -> None:
    board, walk = Board(wide), tour(PAGES[page][0])
    browser.size(1280, 1400)
    browser.open(server if page == "board" else f"{server}/{page}")
    browser.until(lambda: agrees(browser, board, page), "the first board")
    seen = set()
    for step, name in enumerate(walk):
        switch(browser, name)
        browser.until(lambda: agrees(browser, board, page), f"page and sidebar that agree after a change of {name}")
        seen.add(tuple(chosen(browser).values()))
        if name not in walk[step + 1 :]:
            check_share_link(browser, board, page)
    assert len(seen) > (15 if len(walk) > 20 else 5)
    assert browser.errors() == []
