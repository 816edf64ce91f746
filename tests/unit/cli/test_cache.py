"""`bench cache`: what is kept is counted, removed on demand, oldest first, and made again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.conftest import Bench

from idbench.errors import UnknownNameError
from idbench.kept import clear, kinds


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("BENCH_CACHE", str(root))
    for place, (name, size) in enumerate(
        (("embeddings/one/a", 100), ("embeddings/two/b", 200), ("pixels/c", 400), ("shadows/d", 800), ("other/e", 50))
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (1_000_000 + place, 1_000_000 + place))
    return root


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_kinds_are_counted(cache: Path) -> None:
    found = {kind.name: (kind.files, kind.size, kind.quick) for kind in kinds()}
    assert found == {
        "embeddings": (2, 300, True),
        "pixels": (1, 400, True),
        "shadows": (1, 800, False),
        "other": (1, 50, False),
    }


def test_only_what_is_made_again_quickly_goes_unasked(cache: Path) -> None:
    assert clear([], dry_run=True) == (3, 700)
    assert left(cache) == ["a", "b", "c", "d", "e"]
    assert clear([]) == (3, 700)
    assert left(cache) == ["d", "e"]
    assert not (cache / "embeddings").exists()
    assert clear(["shadows"]) == (1, 800)
    assert left(cache) == ["e"]


def test_what_was_used_longest_ago_goes_first_until_the_rest_fits(cache: Path) -> None:
    assert clear([], most=10_000) == (0, 0)
    assert clear([], most=650) == (1, 100)
    assert left(cache) == ["b", "c", "d", "e"]
    assert clear([], most=0) == (2, 600)


def test_a_link_is_removed_and_not_followed(cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    (cache / "embeddings" / "link").symlink_to(outside)
    (cache / "embeddings" / "file").symlink_to(outside / "precious")
    clear(["embeddings"])
    assert (outside / "precious").read_text() == "stays"


def test_what_does_not_exist_is_named(cache: Path) -> None:
    with pytest.raises(UnknownNameError, match="no kind of what is kept called 'embedings'"):
        clear(["embedings"])
    with pytest.raises(UnknownNameError):
        clear(["../outside"])


def test_an_empty_cache_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "none"))
    assert kinds() == []
    assert clear([]) == (0, 0)


def test_the_commands(cache: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    shown = bench("cache", "info")
    assert shown.returncode == 0, shown.stderr
    assert "decoded photos" in shown.stdout
    assert "trained shadow models" in shown.stdout
    done = bench("cache", "clear", "--keep", "0.65kB", "--json")
    assert json.loads(done.stdout) == {"files": 1, "bytes": 100, "removed": True}
    for typed in ("lots", "5 XB", "-1"):
        refused = bench("cache", "clear", f"--keep={typed}")
        assert refused.returncode == 1
        assert "is not a size" in refused.stderr
        assert "Traceback" not in refused.stderr
