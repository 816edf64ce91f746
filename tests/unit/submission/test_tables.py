"""The tables of a repository of results: what `datasets.load_dataset` shows of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.app.fictional import World, attestation, invalidation
from tests.conftest import ROOT, Bench, refused

from idbench.results import collect
from idbench.results.attestation import Level, Statements
from idbench.results.proposal import record_place
from idbench.submission.tables import write_tables

LOAD = """
import sys, datasets
for name in ("runs", "scores"):
    table = datasets.load_dataset(sys.argv[1], name, split="full")
    print(name, len(table), ",".join(table.column_names))
rows = datasets.load_dataset(sys.argv[1], "runs", split="full")
print(sorted((row["method"], row["counts"], row["level"], row["reason"]) for row in rows))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    shutil.copytree(ROOT.parent / "leaderboard" / "results_repository", root)
    for method in ("keen", "mild", "random"):
        World(people=40, calibration=10).write(tmp_path / "work", method)
    for run in collect([tmp_path / "work"]).runs:
        shutil.copytree(run.path, root / record_place(run))
    broken = root / "runs" / "odd" / "0123456789abcdef-01234567"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    return root


def test_every_record_and_whether_it_counts(repository: Path) -> None:
    world = World(people=40, calibration=10)
    runs = {run.record.attack.name: run for run in collect([repository / "runs"]).runs}
    statements = Statements((attestation(runs["keen"], Level.REPRODUCED), invalidation(runs["mild"], "drawn by hand")))
    made = write_tables(repository, {("fiction", 1): world.labels()}, (), statements)
    assert (made.runs, made.counted, made.scores, len(made.unreadable)) == (3, 2, 200, 1)
    done = subprocess.run([sys.executable, "-c", LOAD, str(repository)], capture_output=True, text=True, check=True)
    first, second, third = done.stdout.splitlines()
    assert first.startswith("runs 3 run,folder,method")
    assert second == "scores 200 run,identity,score,abstained,photos_used"
    assert "('keen', True, 'reproduced', None)" in third
    assert "('mild', False, None, 'invalidated on 2026-01-01 by the tests: drawn by hand')" in third


def test_the_command(bench: Bench, repository: Path) -> None:
    done = bench("leaderboard", "tables", str(repository))
    assert done.returncode == 0, done.stderr
    assert "3 runs, of which 0 count" in " ".join(done.stdout.split()), "nobody knows the labels of this fiction"
    assert "left out: odd/0123456789abcdef-01234567" in done.stdout
    assert bench("leaderboard", "tables", str(repository)).returncode == 0, "its own tables it writes again"
    (repository / "data" / "runs.parquet").write_bytes(b"years of work")
    assert "not a table of results" in refused(bench("leaderboard", "tables", str(repository)))
    assert (repository / "data" / "runs.parquet").read_bytes() == b"years of work"
    assert "has no folder runs" in refused(bench("leaderboard", "tables", str(repository / "runs")))
