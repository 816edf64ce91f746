"""Fixtures of the leaderboard's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.fictional import World, build_board


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
