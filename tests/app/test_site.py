"""The exported site as files: which boards have a page, and that none is a dead end."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from tests.app.fictional import DEFENSE, World, build_board

from idbench.api import Silent
from idbench_leaderboard import charts, tables
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.site import export


def exported(world: World, folder: Path) -> Path:
    build_board(world, folder / "results", folder / "board")
    export(Board(folder / "board"), folder / "site", Silent())
    return folder / "site"


def links(page: Path) -> set[str]:
    """Files of the site that a page names."""
    named = re.findall(r'(?:href|src|value)="([^"#:]+\.[a-z]+)"', page.read_text(encoding="utf-8"))
    return set(named)


def test_targets_without_usual_settings_have_a_page(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen", parameters={"photos": 1, "prompts": 21})
    world.write(tmp_path / "results", "random", "fiction-b")
    site = exported(world, tmp_path)
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "keen (photos=1)" in page
    assert "fiction v1, target fiction-a, every parameter setting" in page
    assert len(pd.read_csv(site / "data" / "fiction-v1-fiction-a-fiction-a.csv")) == 1


def test_defended_rows_have_a_page_of_their_own(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen")
    world.write(tmp_path / "results", "keen", defense=DEFENSE)
    site = exported(world, tmp_path)
    assert "keen + blur" not in (site / "index.html").read_text(encoding="utf-8")
    defended = (site / "fiction-v1-fiction-a-fiction-a-blur.html").read_text(encoding="utf-8")
    assert "with the defense <b>blur</b>" in defended
    assert "keen + blur" in defended


def test_a_site_of_defended_targets_alone_has_a_first_page(world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results", "keen", defense=DEFENSE)
    site = exported(world, tmp_path)
    assert "keen + blur" in (site / "index.html").read_text(encoding="utf-8")


def test_every_link_leads_somewhere(world: World, tmp_path: Path) -> None:
    world.fill(tmp_path / "results")
    world.write(tmp_path / "results", "keen", defense=DEFENSE)
    site = exported(world, tmp_path)
    for page in site.glob("*.html"):
        named = links(page)
        assert page.name in ("glossary.html", "splits.html", "defenses.html", "changes.html") or len(named) > 5
        assert not [name for name in named if not (site / name).exists()]


@pytest.mark.parametrize(("targets", "numbered"), [(64, True), (65, False)])
def test_cells_that_are_too_narrow_for_a_number_get_none(targets: int, numbered: bool) -> None:
    names = [f"target {place}" for place in range(targets)]
    frame = pd.DataFrame({"attack": "keen", "target": names, "auc": 0.8, "low": 0.7, "high": 0.9})
    drawn = charts.heat(frame, "target").to_dict()
    marks = [layer["mark"]["type"] for layer in drawn.get("layer", [drawn])]
    assert marks == (["rect", "text"] if numbered else ["rect"])


def test_names_of_targets_are_drawn_whole(filled: Path) -> None:
    frame = tables.by_target(Board(filled), Selection("fiction", 1, "fiction-a", "fiction-a"))
    named = frame.assign(target=frame["target"].str.replace("fiction", "lfw-injected"))
    drawn = charts.heat(named, "target").to_dict(validate=False)
    assert "lfw-injected-0 for lfw-injected-a" in set(named["target"])
    # A letter is about six pixels wide. A name cut by a limit or by the page's edge makes two controls look alike.
    axis = drawn["layer"][0]["encoding"]["x"]["axis"]
    assert axis["labelLimit"] >= 6 * named["target"].str.len().max()
    assert axis["labelAngle"] == -90
