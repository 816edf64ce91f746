"""The pages and the exported site in headless Chromium, as a person uses them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tests.app.chromium import Browser, served

from idbench.api import Silent
from idbench_leaderboard.board import Board
from idbench_leaderboard.site import export


@pytest.fixture(scope="module")
def server(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with the filled board."""
    with served(filled, tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def site(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("export") / "site"
    export(Board(filled), folder, Silent())
    return folder.as_uri()


@pytest.mark.parametrize(
    ("page", "words", "charts"),
    [
        ("board", "Provenance", 2),
        ("method", "Records behind this row", 5),
        ("compare", "Person by person", 3),
        ("target", "on other targets of this split", 2),
        ("split", "People by number of training pictures", 0),
        ("glossary", "Metrics", 0),
    ],
)
def test_pages_load(browser: Browser, server: str, page: str, words: str, charts: int) -> None:
    browser.open(f"{server}/{page}" if page != "board" else server)
    browser.says(words)
    browser.until(lambda: len(browser.all("[data-testid=stVegaLiteChart] .marks")) >= charts, "charts")
    assert browser.errors() == []
    assert browser.strangers(server, server.replace("http", "ws")) == set()
    assert not browser.all("[data-testid=stException]")
    assert _unnamed(browser) == []
    described = [chart.get_attribute("aria-label") for chart in browser.all("[data-testid=stVegaLiteChart]")]
    assert len([name for name in described if name]) >= charts
    browser.size(390, 844)
    sideways = "return document.documentElement.scrollWidth"
    browser.until(lambda: browser.driver.execute_script(sideways) <= 390, "a page as wide as a phone")


def _unnamed(browser: Browser) -> list[str]:
    """What a screen reader would have no name for."""
    script = """
        const named = (e) => e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title
            || e.textContent.trim() || e.getAttribute('alt') || (e.labels && e.labels.length);
        const parts = 'button, input:not([type=hidden]), a, img, select';
        return [...document.querySelector('[data-testid=stMain]').querySelectorAll(parts)]
            .filter((e) => e.checkVisibility() && !e.closest('[aria-hidden=true]') && !named(e))
            .map((e) => e.outerHTML.slice(0, 200));
    """
    return list(browser.driver.execute_script(script))


def test_navigation_keeps_the_view(browser: Browser, server: str) -> None:
    browser.open(f"{server}/?target=fiction-b")
    browser.says("the model fiction-b")
    link = browser.until(lambda: [a for a in browser.all("a") if a.text.strip() == "Target"], "link")[0]
    link.click()
    browser.says("The same attacks on other targets")
    query = parse_qs(urlparse(browser.driver.current_url).query)
    assert urlparse(browser.driver.current_url).path == "/target"
    assert query["target"] == ["fiction-b"]
    assert browser.errors() == []


def test_filters_write_the_address_that_reproduces_the_view(browser: Browser, server: str) -> None:
    browser.open(server)
    browser.says("Checked records only")
    label = browser.until(
        lambda: [e for e in browser.all("[data-testid=stCheckbox] label") if "Checked" in e.text], "toggle"
    )[0]
    label.click()
    browser.until(lambda: "verified=true" in browser.driver.current_url, "address")
    browser.until(lambda: "keen" in _cells(browser) and "mild" not in _cells(browser), "filtered rows")
    shown, address = _cells(browser), browser.driver.current_url
    browser.open(address)
    browser.until(lambda: _cells(browser) == shown, "the same rows")
    assert {"keen", "random"} <= set(shown)
    assert browser.errors() == []


def _cells(browser: Browser) -> list[str]:
    """Cells of the board's table, as a screen reader is told them."""
    script = """
        const grid = document.querySelector('[aria-label^="The board"] canvas, [aria-label^="The board"]');
        const table = grid && (grid.closest('[data-testid=stDataFrame]') || grid).querySelector('table[role=grid]');
        return table ? [...table.querySelectorAll('[role=gridcell]')].map((cell) => cell.textContent) : [];
    """
    cells = [str(cell) for cell in browser.driver.execute_script(script)]
    # The name of a method is a link, whose address is what is read out.
    return [parse_qs(urlparse(cell).query)["method"][0] if cell.startswith("/method?") else cell for cell in cells]


def test_the_table_sorts(browser: Browser, server: str) -> None:
    browser.open(server)
    browser.until(lambda: "keen" in _cells(browser), "table")
    before = _cells(browser)
    canvas = browser.find('[aria-label^="The board"] canvas, [data-testid=stDataFrame] canvas')
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    size = canvas.size
    # The header is the first row; Method is pinned to the left.
    ActionChains(browser.driver).move_to_element_with_offset(
        canvas, -size["width"] // 2 + 30, -size["height"] // 2 + 15
    ).click().perform()
    browser.until(lambda: _cells(browser) not in ([], before), "another order")
    names = [cell for cell in _cells(browser) if cell in {"keen", "deep", "mild", "random", "blind-look"}]
    assert names in (sorted(names), sorted(names, reverse=True))
    assert browser.errors() == []


def test_downloads(browser: Browser, server: str) -> None:
    browser.open(server)
    browser.says("Provenance")
    for label, name in (("CSV", "csv"), ("JSON", "json"), ("LaTeX", "tex"), ("BibTeX", "bib")):
        _click_download(browser, f"idbench-fiction-v1-fiction-a.{name}", label)
    rows = pd.read_csv(browser.downloaded("idbench-fiction-v1-fiction-a.csv"))
    assert len(rows) == 5
    assert len(json.loads(browser.downloaded("idbench-fiction-v1-fiction-a.json").read_text())) == 5
    assert "\\toprule" in browser.downloaded("idbench-fiction-v1-fiction-a.tex").read_text()
    assert "@misc{keen," in browser.downloaded("idbench-fiction-v1-fiction-a.bib").read_text()
    expander = browser.until(
        lambda: [e for e in browser.all("[data-testid=stExpander] summary") if "AUC by method" in e.text], "numbers"
    )[0]
    browser.click(expander)
    _click_download(browser, "auc.svg", "SVG")
    _click_download(browser, "auc.png", "PNG")
    assert browser.downloaded("auc.svg").read_text().startswith("<svg")
    assert browser.downloaded("auc.png").read_bytes().startswith(b"\x89PNG")
    assert browser.errors() == []


def _click_download(browser: Browser, name: str, label: str) -> None:
    key = re.sub(r"[^A-Za-z0-9_-]", "-", f"get-{name}")
    button = browser.find(f".st-key-{key} button")
    browser.until(lambda: button.text.strip() == label, label)
    browser.click(button)
    browser.downloaded(name)


def test_dark_mode(browser: Browser, server: str) -> None:
    browser.scheme("dark")
    browser.open(server)
    browser.find("h1")
    colour = browser.driver.execute_script(
        "return getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    assert max(int(value) for value in re.findall(r"\d+", colour)[:3]) < 64


def test_keyboards_reach_the_filters(browser: Browser, server: str) -> None:
    browser.open(server)
    browser.says("Checked records only")
    reached = set()
    for _ in range(40):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        reached.add(browser.driver.execute_script("return document.activeElement.getAttribute('aria-label') || ''"))
    assert any("Split" in name for name in reached), reached


def test_the_site_opens_from_disk(browser: Browser, site: str) -> None:
    browser.open(f"{site}/index.html")
    browser.until(lambda: len(browser.all("figure[data-drawn]")) >= 5, "charts")
    assert browser.errors() == []
    assert browser.strangers(site) == set()
    assert len(browser.all(".chart svg")) >= 5
    assert all(chart.get_attribute("aria-label") for chart in browser.all(".chart"))


def test_the_site_sorts_filters_and_goes_on(browser: Browser, site: str) -> None:
    browser.open(f"{site}/index.html")
    browser.find("#board")

    def names() -> list[str]:
        return [e.text for e in browser.all("#board tbody tr:not([hidden]) th")]

    def column(place: int) -> list[str]:
        return [e.get_attribute("data-key") or "" for e in browser.all(f"#board tbody tr td:nth-child({place})")]

    def shown(name: str) -> bool:
        return any(e.is_displayed() and e.text.startswith(name) for e in browser.all("#board thead th"))

    first = names()
    assert not shown("Queries")
    browser.click(browser.find(".picker summary"))
    box = next(e for e in browser.all(".picker label") if e.text.strip() == "Queries")
    browser.click(box)
    assert shown("Queries")
    head = next(e for e in browser.all("#board thead th") if e.text.startswith("Queries"))
    place = browser.all("#board thead th").index(head) + 1
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(v) for v in column(place)] == sorted((float(v) for v in column(place)), reverse=True)
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert [float(v) for v in column(place)] == sorted(float(v) for v in column(place))
    browser.find("#verified").click()
    assert set(names()) == {"keen", "random"}
    browser.find("#verified").click()
    browser.find("#find").send_keys("mil")
    assert names() == ["mild"]
    assert set(first) == {"keen", "deep", "mild", "random", "blind-look"}
    browser.driver.execute_script(
        "const s = document.getElementById('boards'); s.selectedIndex = 1; s.dispatchEvent(new Event('change'))"
    )
    browser.until(lambda: "index.html" not in browser.driver.current_url, "the next board")
    assert browser.errors() == []
    for link in browser.all("a.button"):
        target = Path(urlparse(str(link.get_attribute("href"))).path)
        assert target.stat().st_size > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_on_a_phone(browser: Browser, site: str, scheme: str) -> None:
    browser.size(390, 844)
    browser.scheme(scheme)
    for page in ("index.html", "glossary.html"):
        browser.open(f"{site}/{page}")
        browser.find("h1")
        assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    colour = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (max(int(value) for value in re.findall(r"\d+", colour)) < 64) == (scheme == "dark")
    assert browser.errors() == []
