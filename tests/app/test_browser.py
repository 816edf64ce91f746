"""The pages and the exported site in headless Chromium, as a person uses them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from tests.app.chromium import Browser, served

from idbench.api import Silent
from idbench_leaderboard.board import Board
from idbench_leaderboard.manifest import REFERENCE
from idbench_leaderboard.site import export


@pytest.fixture(scope="module")
def server(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with the filled board."""
    with served(filled, tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with the reference board."""
    with served(REFERENCE, tmp_path_factory.mktemp("reference")) as address:
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
        ("changes", "What changed since the last build", 0),
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
    cut = (
        "return [...document.querySelectorAll('[data-testid=stTable] table')].filter((t) => t.scrollWidth > 390).length"
    )
    browser.until(lambda: browser.driver.execute_script(cut) == 0, "tables of facts that wrap")


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
    browser.says("Every parameter setting")
    boxes = browser.all("[data-testid=stSidebar] [data-testid=stSelectbox]")
    browser.click(next(box for box in boxes if box.text.startswith("Checked")).find_element(By.TAG_NAME, "input"))
    options = browser.until(lambda: browser.all("[role=option]"), "levels")
    next(option for option in options if option.text == "replayed or reproduced").click()
    browser.until(lambda: "checked=replayed" in browser.driver.current_url, "address")
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
    browser.says("Every parameter setting")
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
    choose = "const s = document.getElementById('checked'); s.selectedIndex = arguments[0]; "
    choose += "s.dispatchEvent(new Event('input'))"
    browser.driver.execute_script(choose, 1)
    browser.until(lambda: set(names()) == {"keen", "random"}, "rows that were replayed or reproduced")
    browser.driver.execute_script(choose, 2)
    browser.until(lambda: names() == [], "no row, as none was reproduced")
    browser.driver.execute_script(choose, 0)
    browser.until(lambda: set(names()) == set(first), "all rows")
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


WIDER = """
    const right = (e) => e.getBoundingClientRect().right;
    const own = (e) => e.closest('.scroll, pre, .dvn-scroller, details');
    const outside = [...document.querySelectorAll('body *')].filter(
        (e) => e.checkVisibility() && !own(e) && !e.closest('svg g') && right(e) > innerWidth + 1);
    const squeezed = [...document.querySelectorAll('.facts')].filter(
        (t) => t.checkVisibility() && t.scrollWidth > t.parentElement.clientWidth + 1);
    const main = document.querySelector('[data-testid=stMain]') || document.documentElement;
    const more = [document.documentElement, document.body, main].filter((e) => e.scrollWidth > e.clientWidth);
    return [...more, ...outside, ...squeezed].map((e) => `${e.tagName} ${e.className}: ${e.textContent.slice(0, 60)}`);
"""
"""What reaches beyond the window, apart from what scrolls by itself; tables of facts have no need to."""


def test_no_page_is_wider_than_a_phone(browser: Browser, reference: str, tmp_path: Path) -> None:
    export(Board(REFERENCE), tmp_path / "site", Silent())
    *pages, _, board = sorted((tmp_path / "site").glob("*.html"), key=lambda path: len(path.name))
    site = [path.as_uri() for path in [*(page for page in pages if "-" not in page.name), board]]
    names = ("", "method", "compare", "target", "defenses", "split", "changes", "glossary")
    for page in [*(f"{reference}/{name}" for name in names), *site]:
        browser.size(390, 844)
        browser.open(page)
        browser.until(lambda: browser.all("h1"), "a title")
        browser.until(lambda: len(browser.all("figure[data-drawn]")) == len(browser.all("figure")), "charts")
        for width in (390, 320):
            browser.size(width, 844)
            _settle(browser)
            assert browser.driver.execute_script(WIDER) == [], (page, width)


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


CONTRAST = """
    const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = (c) => [0, 1, 2].reduce((sum, i) => {
        const v = c[i] / 255;
        return sum + [0.2126, 0.7152, 0.0722][i] * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    }, 0);
    const over = (top, below) => {
        const a = top.length > 3 ? top[3] : 1;
        return [0, 1, 2].map((i) => a * top[i] + (1 - a) * below[i]);
    };
    const ground = (element) => {
        const layers = [];
        for (let e = element; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length && (c.length < 4 || c[3] > 0)) layers.push(c);
        }
        const page = matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255];
        return layers.reverse().reduce((below, top) => over(top, below), page);
    };
    const poor = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, style = getComputedStyle(element);
        const text = walker.currentNode.textContent.trim();
        // Menus of the charts fade in; cells of a grid are drawn on a canvas; what is behind a number of the heat map
        // is not around it.
        const elsewhere = element.closest('.vega-actions, canvas, [role=grid], .mark-text.role-mark');
        if (!text || !element.checkVisibility() || elsewhere) continue;
        const drawn = element.closest('svg');
        const ink = rgb(drawn ? style.fill : style.color);
        if (ink.length < 3) continue;
        let opacity = 1;
        for (let e = element; e; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
        if (!opacity || element.closest(':disabled, [aria-disabled=true]')) continue;
        const below = ground(element), alpha = (ink.length > 3 ? ink[3] : 1) * opacity;
        const shown = over([...ink.slice(0, 3), alpha], below);
        const [a, b] = [light(shown), light(below)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.tagName}: ${text.slice(0, 60)}`);
    }
    return [...new Set(poor)];
"""
"""Every visible text whose contrast with what is behind it is below 4.5; pictures drawn on a canvas apart."""


def _settle(browser: Browser) -> None:
    """Wait until nothing is drawn any more: Streamlit shows a page piece by piece and fades in what is new."""
    seen: list[str] = []

    def unchanged() -> bool:
        seen.append(browser.text())
        time.sleep(0.2)
        return not browser.all("[data-testid=stStatusWidget]") and len(seen) > 4 and len(set(seen[-4:])) == 1

    browser.until(unchanged, "a page that stays as it is")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["", "method", "compare", "target", "defenses", "split", "changes", "glossary"])
def test_words_stand_out_from_the_page(browser: Browser, server: str, page: str, scheme: str) -> None:
    browser.scheme(scheme)
    browser.open(f"{server}/{page}")
    browser.until(lambda: browser.all("[data-testid=stMain] h1"), "a title")
    browser.until(lambda: not browser.all("[data-testid=stStatusWidget]"), "a page that is done")
    _settle(browser)
    assert browser.driver.execute_script(CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_on_the_site(browser: Browser, site: str, scheme: str) -> None:
    browser.scheme(scheme)
    for page in ("index.html", "splits.html", "defenses.html", "changes.html", "glossary.html"):
        browser.open(f"{site}/{page}")
        browser.find("h1")
        browser.driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        browser.until(lambda: len(browser.all("figure[data-drawn]")) == len(browser.all("figure")), "charts")
        assert browser.driver.execute_script(CONTRAST) == []


def test_a_phone_reaches_every_page(browser: Browser, server: str) -> None:
    browser.size(390, 844)
    browser.open(server)
    browser.until(lambda: browser.all("[data-testid=stMain] h1"), "a title")
    for page in ("Glossary", "Changes", "Split", "Defenses", "Target", "Compare", "Method", "Board"):
        if not any(link.is_displayed() for link in _pages(browser, page)):
            browser.click(browser.find("[data-testid=stExpandSidebarButton]"))
        browser.until(lambda name=page: [e for e in _pages(browser, name) if e.is_displayed()], page)[0].click()  # type: ignore[misc]
        path = "/" if page == "Board" else f"/{page.lower()}"
        browser.until(lambda wanted=path: urlparse(browser.driver.current_url).path == wanted, path)  # type: ignore[misc]


def _pages(browser: Browser, name: str) -> list[WebElement]:
    return [link for link in browser.all("a") if (link.get_attribute("textContent") or "").strip() == name]


@pytest.mark.parametrize("page", ["", "changes"])
def test_the_tables_of_the_reference_board_fit_beside_the_filters(browser: Browser, reference: str, page: str) -> None:
    browser.open(f"{reference}/{page}")
    browser.until(lambda: browser.all(".dvn-scroller"), "a table")
    script = "const e = document.querySelector('.dvn-scroller'); return e.scrollWidth - e.clientWidth"
    browser.until(lambda: browser.driver.execute_script(script) <= 0, "a table that need not be scrolled sideways")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_beside_close_points_cover_nothing_on_a_phone(browser: Browser, reference: str, scheme: str) -> None:
    script = """
        const chart = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')]
            .find((e) => (e.getAttribute('aria-label') || '').includes('on a log axis. Cheap'));
        if (!chart) return null;
        const box = (e) => { const b = e.getBoundingClientRect(); return [b.left, b.right, b.top, b.bottom]; };
        const names = [...chart.querySelectorAll('.mark-text.role-mark text')];
        const points = [...chart.querySelectorAll('.mark-symbol.role-mark path')];
        const frame = box(chart.querySelector('svg'));
        return [names.map(box), points.map(box), frame];
    """
    browser.size(390, 844)
    browser.scheme(scheme)
    browser.open(f"{reference}/?target=avatars-a")
    browser.until(lambda: len((browser.driver.execute_script(script) or [[]])[0]) > 20, "a chart of many methods")
    _settle(browser)
    names, points, frame = browser.driver.execute_script(script)
    assert len(names) == len(points)
    assert not any(_overlap(one, other) for i, one in enumerate(names) for other in [*names[:i], *points])
    assert all(frame[0] <= name[0] and name[1] <= frame[1] + 1 for name in names)


def _overlap(one: list[float], other: list[float]) -> bool:
    """Whether two boxes (left, right, top, bottom) share more than an edge, in pixels; letters do not fill theirs."""
    wide, high = min(one[1], other[1]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[2], other[2])
    return wide > 1 and high > 2


def test_a_keyboard_reaches_every_page(browser: Browser, server: str) -> None:
    browser.open(server)
    browser.until(lambda: browser.all("[data-testid=stMain] h1"), "a title")
    reached: set[str] = set()
    for _ in range(60):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        reached.add(browser.driver.execute_script("return (document.activeElement.textContent || '').trim()"))
    assert {"Board", "Method", "Compare", "Target", "Defenses", "Split", "Changes", "Glossary"} <= reached
