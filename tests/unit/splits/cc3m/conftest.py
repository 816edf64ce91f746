"""What the tests of full-size builds share: a small web, and settings that fit it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web import Web, serving, write_faces

from idbench.splits.cc3m.steps import Settings


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """`good/N` is a picture; the other folders of `tests/web.py` are what goes wrong."""
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    with serving() as found:
        yield found


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Twelve people with six photos each."""
    return write_faces(tmp_path / "faces", 12, 6)


@pytest.fixture
def settings() -> Settings:
    """Small pictures, small shards."""
    return Settings(picture_side=48, smallest_side=16, shard_pairs=16, fetch_processes=1, fetch_threads=4)
