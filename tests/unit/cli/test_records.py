"""What the command line says of records that are damaged, and of numbers that records cannot hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.app.fictional import World
from tests.conftest import Bench, refused
from tests.web import picture

from idbench.results import find_runs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two records, the second of them damaged."""
    world = World(people=20, calibration=5)
    world.write(tmp_path / "results", "keen")
    record = world.write(tmp_path / "results", "mild")
    folder = next((tmp_path / "results").rglob(f"mild-{record.run_id}"))
    (folder / "run.json").write_text('{"schema_version": ' + "[" * 20_000)
    return tmp_path / "results"


def test_a_damaged_record_is_listed_with_its_reason_beside_the_others(results: Path) -> None:
    done = Bench(results.parent)("list", "runs", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["method"], bool(row["problem"])) for row in rows] == [("keen", False), ("-", True)]
    assert "is nested deeper than" in rows[1]["problem"]


def test_a_damaged_record_is_shown_as_damaged_by_its_id_and_its_path(results: Path) -> None:
    folder = next(results.rglob("mild-*"))
    run_id = folder.name.rpartition("-")[2]
    for asked in (run_id, run_id[:8], str(folder)):
        error = refused(Bench(results.parent)("show", asked))
        assert "is nested deeper than" in error, asked
        assert "There is no" not in error
    error = refused(Bench(results.parent)("show", "0" * 16))
    assert "There is no run '0000000000000000' in results." in error
    error = refused(Bench(results.parent)("show", "cosin"))
    assert "There is no method, defense, split, target or run called 'cosin'. Did you mean 'cosine'?" in error


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 99}', '{"schema_version": 1}', "\x00\xff"])
def test_whatever_damages_a_record_is_named(content: str, results: Path) -> None:
    folder = next(results.rglob("mild-*"))
    (folder / "run.json").write_text(content)
    error = refused(Bench(results.parent)("show", folder.name.rpartition("-")[2]))
    assert "run.json" in error
    assert "There is no" not in error


def test_metrics_that_do_not_fit_are_not_shown(results: Path) -> None:
    (run,) = find_runs(results)
    (run.path / "metrics.json").write_text(json.dumps({"run_id": run.record.run_id, "auc": {"value": 1.0}}))
    done = Bench(results.parent)("show", run.record.run_id)
    assert done.returncode == 0, done.stderr
    assert f"bench score {run.record.run_id[:8]}" in " ".join(done.stdout.split())
    assert "AUC" not in done.stdout


@pytest.mark.parametrize("seed", ["99999999999999999999999999", str(2**63), "-1", "1.5", "\u0661x"])
def test_seeds_that_no_record_holds_get_one_sentence(seed: str, tmp_path: Path) -> None:
    for arguments in (("run", "--method", "random"), ("data", "audit", "avatars-tiny")):
        done = Bench(tmp_path)(*arguments, f"--seed={seed}")
        assert "--seed" in refused(done)
    assert list(tmp_path.iterdir()) == []


def test_the_last_of_several_seeds_must_fit_too(tmp_path: Path) -> None:
    done = Bench(tmp_path)("run", "--method", "random", "--seed", str(2**63 - 1), "--seeds", "2")
    assert "last of 2 seeds" in refused(done)


def test_an_audit_says_beforehand_how_long_it_takes(tmp_path: Path) -> None:
    done = Bench(tmp_path)("data", "audit", "avatars", "-m", "cosine", "-m", "lira", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert re.search(r"about \S+ (min|h) in all; as measured in the reference board", done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_audit_of_people_says_beforehand_what_it_does_and_how_long_it_takes(tmp_path: Path) -> None:
    for name, count in (("Ada", 1), ("Bo", 2), ("Cy", 2)):
        for number in range(count):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.jpg").write_bytes(picture(name, number))
    people = [word for name in ("Ada", "Bo", "Cy") for word in ("--name", f"{name} Quill", "--photos", name)]
    asked = ("audit", "person", *people, "--target", "avatars-a", "-m", "cosine", "-m", "idia", "--dry-run")
    done = Bench(tmp_path)(*asked)
    assert done.returncode == 0, done.stderr
    assert "3 people, 2 attacks: cosine, idia" in done.stdout
    assert "Compared with drawn people of avatars who are not in avatars-a" in " ".join(done.stdout.split())
    assert re.search(r"about \S+ s in all; as measured in the reference board", done.stdout), done.stdout
    several = json.loads(Bench(tmp_path)(*asked, "--json").stdout)
    alone = json.loads(Bench(tmp_path)(*asked[:2], *people[:4], *asked[-7:], "--json").stdout)
    assert several["seconds"] == pytest.approx(2 * alone["seconds"])  # once with one photo, once with two
    assert {path.name for path in tmp_path.iterdir()} == {"Ada", "Bo", "Cy"}
