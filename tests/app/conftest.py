"""Fixtures of the leaderboard's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.chromium import Browser
from tests.app.fictional import World, build_board


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Streamlit's AppTest leaves its script behind as `__main__`, which processes started later would run again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture
def world() -> World:
    """A fresh maker of records."""
    return World()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the full fictional board."""
    folder = tmp_path_factory.mktemp("fiction")
    world = World()
    world.fill(folder / "results")
    build_board(world, folder / "results", folder / "board")
    return folder / "board"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the tests of a file."""
    opened = Browser(tmp_path_factory.mktemp("downloads"))
    yield opened
    opened.driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """The browser as on a desk, in daylight."""
    chromium.size(1280, 900)
    chromium.scheme("light")
    return chromium
