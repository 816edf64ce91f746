"""Records, cards and splits whose every text is hostile: exported and served, they stay text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from streamlit.testing.v1 import AppTest
from tests.app.chromium import PAGES, Browser, served
from tests.app.fictional import ADAPTATION, DEFENSE, World, about, statements_of, with_id
from tests.conftest import Bench

from idbench.api import Guarantee, Silent
from idbench.results import AdaptationRef, DefenseCost, DefenseRef, Estimate, UtilityMeasure, collect
from idbench.results.attestation import Attestation, Invalidation
from idbench_leaderboard import app
from idbench_leaderboard.board import Board
from idbench_leaderboard.building import build
from idbench_leaderboard.inputs import About, SplitCard, TargetDescription
from idbench_leaderboard.site import export

NAME = "=1+1 <!--<script><svg onload=hit()> ![i](x) [l](javascript:hit()) **b** `c` $d$ :smile: | \u202e#"
"""For what becomes the name of a folder: no slash, and short."""
TEXT = (
    "{field} <!--<script>hit()</script> </script><script>hit()</script> <img src=x onerror=hit()> --> "
    "![i](https://evil.example/{field}.png) [l](javascript:hit()) <https://evil.example/a> https://evil.example/b "
    "www.evil.example me@evil.example \x1b[31mred =HYPERLINK(1) :material/info: $x$ {{{{ 7*7 }}}} {{% x %}}"
)


def hostile(kind: Any, **kept: Any) -> Any:
    """An object of a card's class with every text replaced."""
    known: dict[str, Any] = {
        field.name: TEXT.format(field=field.name) for field in fields(kind) if field.type in _TEXTS
    }
    return kind(**(known | kept))


_TEXTS = ("str", "str | None")


def cards(split: str, target: str) -> About:
    """What a split and a target say of themselves, all of it hostile."""
    kind = about()
    card = kind.splits[0]
    checks = (replace(card.checks[0], name=TEXT.format(field="check"), detail=TEXT.format(field="detail")),)
    corpora = {"fiction-a": TEXT.format(field="corpus")}
    samples = tuple(replace(sample, caption=TEXT.format(field="caption")) for sample in card.samples)
    return About(
        splits=(
            hostile(SplitCard, name=split, version=1, corpora=corpora, fictional=True, checks=checks, samples=samples),
        ),
        targets=(hostile(TargetDescription, name=target),),
    )


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board of hostile records, built as the command line does."""
    folder, world = tmp_path_factory.mktemp("hostile"), World(people=40, calibration=10)
    split, method, target = f"s {NAME}", f"m {NAME}", f"t {NAME}"
    for model in ("keen", "random"):
        for name in ("fiction-a", "fiction-a-wide", "fiction-0"):
            record = world.record(model, name)
            texts = {"title", "distribution"}
            attack = record.attack.model_copy(update={field: TEXT.format(field=field) for field in texts})
            if attack.card is not None and model == "keen":
                values = {field: TEXT.format(field=field) for field in ("title", "summary", "paper", "authors")}
                copied = attack.card.model_copy(update={**values, "name": method, "version": attack.version})
                copied = copied.model_copy(update={"url": "javascript:hit()"})
                attack = attack.model_copy(update={"name": method, "card": copied})
            place = {"name": f"{target} {name[-1]}", "version": TEXT.format(field="tv"), "architecture": TEXT}
            values = {field: TEXT.format(field=field) for field in ("system", "device", "python")}
            changed = {
                "split": record.split.model_copy(update={"name": split}),
                "target": record.target.model_copy(update=place),
                "attack": attack,
                "environment": record.environment.model_copy(update=values),
            }
            _write(folder / "results", world, record.model_copy(update=changed), model)
            if name == "fiction-a":
                defense = _defense(world)
                for adaptation in (None, _adaptation()):
                    both = {"defense": defense, "adaptation": adaptation}
                    other = world.record(model, name).model_copy(update={**changed, **both})
                    _write(folder / "results", world, other, model)
                other = world.record(model, name, 9).model_copy(update={**changed, "seed": 9})
                _write(folder / "results", world, other, model)
    found = collect([folder / "results"])
    labels = [world.labels(name=split)]
    statements, own = statements_of(found), cards(split, target + " a")
    stated = tuple((TEXT.format(field="file"), each.model_copy(update=_by(each))) for _, each in statements.found)
    fewer = replace(found, runs=found.runs[:-3], names=found.names[:-3])
    for records in (fewer, found):  # the second time there is something to say of what changed
        build(records, labels, folder / "board", Silent(), statements=replace(statements, found=stated), about=own)
    changes = Board(folder / "board").changes()
    assert changes is not None
    assert changes.rows
    return folder / "board"


def _by(statement: Attestation | Invalidation) -> dict[str, str]:
    """Who said it and why, hostile too."""
    why = "note" if isinstance(statement, Attestation) else "reason"
    return {"by": TEXT.format(field="by"), why: TEXT.format(field=why)}


def _defense(world: World) -> DefenseRef:
    """A defense of hostile names, parameters, cost and measures of utility, with a guarantee."""
    one = Estimate(value=0.5, low=0.4, high=0.6, level=0.95, method=TEXT.format(field="method"))
    none = one.model_copy(update={"value": 0.0, "low": -0.1, "high": 0.1})
    names = ("recognition of " + TEXT.format(field="walls"), TEXT.format(field="utility"))
    values = {field: TEXT.format(field=field) for field in ("version", "title", "distribution")}
    half = tuple(sorted(world.ids[i] for i in range(2 * world.people) if i % 4 < 2))
    more: dict[str, Any] = {
        "name": f"d\n{NAME}\nrm -rf ~",
        "parameters": {
            TEXT.format(field="parameter"): TEXT.format(field="value"),
            "=1+1": ["\x1b[2J", {"\u202e": None}],
        },
        "protected": half,
        "cost": DefenseCost(seconds=1.0, steps=2, device=TEXT.format(field="device")),
        "guarantees": (
            Guarantee(unit="pair", pairs=1, epsilon=1.0, delta=1e-5, accountant=TEXT.format(field="accountant")[:300]),
        ),
        "utility": tuple(UtilityMeasure(name=n, people=9, before=one, after=one, difference=none) for n in names),
    }
    return DEFENSE.model_copy(update={**values, **more})


def _adaptation() -> AdaptationRef:
    values = {field: TEXT.format(field=field) for field in ("name", "version", "title", "distribution")}
    return ADAPTATION.model_copy(update={**values, "parameters": {TEXT.format(field="parameter"): NAME}})


def _write(root: Path, world: World, record: Any, model: str) -> None:
    from idbench.results import write_run

    record = with_id(record)
    write_run(root / record.run_id, record, world.table(0.8, "fiction-a", record.seed, model))


@pytest.fixture(scope="module")
def site(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported site of that board."""
    out = tmp_path_factory.mktemp("export") / "site"
    export(Board(board), out, Silent())
    return out


@pytest.fixture(scope="module")
def server(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with that board."""
    with served(board, tmp_path_factory.mktemp("server")) as address:
        yield address


def unharmed(browser: Browser, *own: str) -> None:
    """Nothing ran, nothing was asked for, and no link leads where a record wants."""
    assert browser.driver.execute_script("return window.ran || 0") == 0
    assert browser.strangers(*own, "about:", "file:") == set()
    for link in browser.all("a[href]:not(.card a)"):  # a data card may link to the web
        parts = urlparse(str(link.get_attribute("href")))
        assert parts.scheme in ("http", "https", "file"), parts
        assert "evil.example" not in parts.netloc, parts
    pictures = [str(e.get_attribute("src")) for e in browser.all("main img, [data-testid=stMain] img")]
    assert all(source.startswith(("data:", *own)) for source in pictures), pictures
    assert not browser.all("main svg[onload], [data-testid=stMain] [onload], [data-testid=stMain] [onerror]")


@pytest.fixture
def armed(browser: Browser) -> Browser:
    """A browser that counts how often a record's code runs."""
    browser.command("Page.addScriptToEvaluateOnNewDocument", source="window.hit = () => { window.ran = 1; };")
    return browser


def test_the_site_shows_hostile_text(armed: Browser, site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert len(pages) >= 6
    for page in pages:
        armed.open(page.as_uri())
        armed.find("main h1")
        armed.driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        if page.name not in ("glossary.html", "splits.html", "defenses.html", "changes.html"):
            armed.until(lambda: len(armed.all("figure[data-drawn]")) == len(armed.all("figure")) > 0, "charts")
            printed = armed.text()
            for part in ("m =1+1 <!--<script><svg onload=hit()>", "[l](javascript:hit())", "{{ 7*7 }}", "\\x1b[31mred"):
                assert part in printed, (page.name, part)
        assert "\u202e" not in armed.text()
        assert armed.errors() == []
        unharmed(armed, site.as_uri())


def test_downloads_of_hostile_rows(site: Path) -> None:
    for path in (site / "data").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "\x1b" not in text or path.suffix in (".csv", ".json")
        if path.suffix == ".csv":
            cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
            assert not [cell for cell in cells if re.match(r"\s*[=@+]", cell)]
            assert any(cell.startswith("'=1+1") for cell in cells) or any("=1+1" in cell for cell in cells)
        if path.suffix in (".tex", ".bib"):
            assert "<script>" not in text
            assert "javascript" not in re.findall(r"\\url\{([^}]*)", text)


LAST = {
    "board": "Provenance",
    "method": "Records behind this row",
    "target": "on other targets of this split",
    "split": "People by number of training pictures",
}
"""What stands at the end of a page."""


@pytest.mark.parametrize("page", PAGES)
def test_the_app_shows_hostile_text(armed: Browser, server: str, page: str) -> None:
    armed.size(1280, 3000)
    armed.open(f"{server}/{page if page != 'board' else ''}?settings=true")
    armed.until(lambda: armed.all("[data-testid=stMain] h1"), "a title")
    armed.until(lambda: not armed.all("[data-testid=stStatusWidget]"), "a page that is done")
    for expander in armed.all("[data-testid=stExpander] summary"):
        armed.driver.execute_script("arguments[0].click()", expander)
    armed.until(lambda: not armed.all("[data-testid=stStatusWidget]"), "a page that is done")
    assert not armed.all("[data-testid=stException]")
    if page in LAST:
        armed.says(LAST[page])
    printed = armed.text().replace("\u2060", "")
    assert "\u202e" not in printed
    if page not in ("glossary", "compare", "target"):  # the target page names it in the cells of a canvas alone
        name = "<!--<script><svg onload=hit()> ![i](x) [l](javascript:hit()) **b** `c` $d$ :smile:"
        armed.until(lambda: name in armed.text().replace("\u2060", ""), "tables that are drawn after the rest")
    unharmed(armed, server, server.replace("http", "ws"))


def test_commands_stay_one_command(board: Path) -> None:
    for command in Board(board).entries["command"]:
        lines = command.splitlines()
        assert len(lines) <= 2
        assert all(each.startswith(("bench run ", "# ")) for each in lines)
        assert lines[-1].startswith("bench run ")


@pytest.mark.parametrize("how", [(), ("--json",), ("--format", "csv"), ("--format", "md"), ("--format", "latex")])
def test_the_command_line_shows_hostile_records(board: Path, bench: Bench, how: tuple[str, ...]) -> None:
    """Every record, with what it was put behind and adapted by, in each format that there is."""
    runs = [path.parent for path in (board.parent / "results").rglob("run.json")]
    shown = [*(runs if "--format" not in how else [])]
    lines = [("show", str(run), *how) for run in shown if json.loads((run / "run.json").read_text())["adaptation"]]
    for words in (("list", "runs", "--results", str(board.parent / "results"), *how), *lines[:1]):
        done = bench(*words)
        assert done.returncode == 0, done.stderr
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", done.stdout)
        assert "evil.example" in done.stdout or words[0] == "list"
        if "csv" in how:
            cells = [cell for row in csv.reader(done.stdout.splitlines()) for cell in row]
            assert not [cell for cell in cells if re.match(r"\s*[=@+]", cell)]


def test_pages_fail_on_nothing(board: Path) -> None:
    test = AppTest.from_file(str(Path(app.__file__).with_name("main.py")), default_timeout=60)
    test.session_state["board"] = str(board)
    test.run()
    assert not test.exception
    assert test.title[0].value == "Can these methods tell who was in the training data?"
