"""Files and folders that this user may not read or write: one sentence that names them, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.fictional import write_about
from tests.conftest import refused

from idbench.splits import load_split

_AS_ANYBODY = """
import ctypes, os, sys
if os.geteuid() == 0:  # give up what lets root read and write whatever the mode says, for good
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def anybody(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command as somebody types it for whom modes count."""
    return subprocess.run(
        [sys.executable, "-c", _AS_ANYBODY, *words], cwd=folder, env=os.environ | {"COLUMNS": "200"},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return anybody(folder, "-m", "idbench.cli.main", *words)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Records, a split, a plan and weights, a folder to shut and one that stays as it is."""
    (tmp_path / "closed").touch(0)
    if sys.platform != "linux" or anybody(tmp_path, "-c", "open('closed')").returncode == 0:
        pytest.skip("modes do not keep this user from reading")
    split = load_split("avatars-tiny")
    shutil.copytree(split.folder, tmp_path / "split")
    write_about(split, tmp_path / "results")
    for name in ("plan.json", "weights.safetensors"):
        (tmp_path / name).write_text("{}")
    for name in ("shut", "fixed"):
        (tmp_path / name).mkdir()
    yield tmp_path
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)


SHUT = {
    "shut": ("leaderboard", "check", "shut"),
    "split/manifest.json": ("show", "split"),
    "plan.json": ("run", "--plan", "plan.json"),
    "results": ("list", "runs"),
}


@pytest.mark.parametrize("closed", SHUT)
def test_what_cannot_be_read_is_named(closed: str, place: Path) -> None:
    (place / closed).chmod(0)
    assert Path(closed).name in refused(bench(place, *SHUT[closed]))


CHECKED = {
    "split/data/names.parquet": ("data", "lint", "split"),
    "weights.safetensors": ("target", "verify", "file:weights.safetensors?like=avatars-a&name=drawn"),
}


@pytest.mark.parametrize("closed", CHECKED)
def test_a_check_counts_what_it_cannot_read_as_wrong(closed: str, place: Path) -> None:
    (place / closed).chmod(0)
    done = bench(place, *CHECKED[closed])
    assert done.returncode == 1
    assert Path(closed).name in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


TINY = ("--split", "avatars-tiny", "--target", "avatars-a", "--corpus", "avatars-tiny-a")
FIXED = (
    ("run", "-m", "random", *TINY, "--results", "fixed/results"),
    ("run", "-m", "random", *TINY, "--write-plan", "fixed/plan.json"),
    ("leaderboard", "build", "results", "--out", "fixed/board"),
    ("leaderboard", "labels", "avatars-tiny", "--out", "fixed/labels.json"),
    ("data", "build", "avatars-tiny", "--out", "fixed/split"),
    ("method", "new", "my-thing", "--out", "fixed/thing"),
)


@pytest.mark.parametrize("words", FIXED, ids=lambda words: " ".join(words[:2]))
def test_a_place_that_cannot_be_written_is_named(words: tuple[str, ...], place: Path) -> None:
    (place / "fixed").chmod(0o555)
    assert "fixed" in refused(bench(place, *words))
    assert not list((place / "fixed").iterdir())


def test_a_record_that_cannot_be_read_costs_no_other(place: Path) -> None:
    paths = sorted(path.parent for path in place.rglob("results/**/run.json"))
    assert len(paths) > 1
    (paths[0] / "run.json").chmod(0)
    listed = bench(place, "list", "runs")
    assert listed.returncode == 0, listed.stderr
    assert "cannot be read" in listed.stdout + listed.stderr
    for other in paths[1:]:
        assert other.name.rpartition("-")[2][:8] in listed.stdout
    assert "run.json" in refused(bench(place, "show", str(paths[0])))
    built = bench(place, "leaderboard", "build", "results", "--out", "board", "--json")
    assert built.returncode == 0, built.stderr
    assert "No permission to use" in built.stdout
