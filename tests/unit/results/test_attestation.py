"""What maintainers say of records is bound to bytes, lies apart from the results, and costs nothing when wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.app.fictional import START, World, attestation, invalidation
from tests.conftest import Bench, refused
from tests.irregular import IRREGULAR_FILES

from idbench.errors import IdbenchError, RecordError, StorageError
from idbench.results import Run, collect, write_run
from idbench.results.attestation import (
    Level,
    Statements,
    read_statements,
    subject_of,
    write_statement,
)


@pytest.fixture
def run(world: World, tmp_path: Path) -> Run:
    return write_run(tmp_path / "results", world.record("keen"), world.table(1.0, "fiction-a", 0))


@pytest.fixture
def world() -> World:
    return World(people=20, calibration=5)


def read(tmp_path: Path) -> Statements:
    return read_statements([tmp_path / "statements"], [tmp_path / "results"])


def test_levels_rise_and_nobody_attests_the_least() -> None:
    assert [level.rank for level in (Level.SELF_REPORTED, Level.REPLAYED, Level.REPRODUCED)] == [0, 1, 2]


def test_statements_come_back_and_the_highest_level_counts(run: Run, tmp_path: Path) -> None:
    assert Statements().level(run) is Level.SELF_REPORTED
    for level in (Level.REPRODUCED, Level.REPLAYED):
        write_statement(tmp_path / "statements", attestation(run, level)[1])
    found = read(tmp_path)
    assert len(found.found) == 2
    assert found.level(run) is Level.REPRODUCED
    assert found.invalidation(run) is None
    assert not found.unfit([run])


def test_nothing_that_was_said_is_overwritten(run: Run, tmp_path: Path) -> None:
    first = attestation(run)[1]
    later = first.model_copy(update={"at": START + timedelta(days=1)})
    paths = {write_statement(tmp_path / "statements", each) for each in (first, later, first)}
    assert len(paths) == 2
    assert sorted(path.name for path in (tmp_path / "statements").iterdir()) == sorted(path.name for path in paths)


@pytest.mark.parametrize("change", ["run_id", "record_sha256", "scores_sha256"])
def test_hashes_that_do_not_fit_count_for_nothing_and_are_reported(change: str, run: Run, tmp_path: Path) -> None:
    wrong = subject_of(run).model_copy(update={change: "0" * len(getattr(subject_of(run), change))})
    write_statement(tmp_path / "statements", attestation(run)[1].model_copy(update={"subject": wrong}))
    found = read(tmp_path)
    assert found.level(run) is Level.SELF_REPORTED
    (ignored,) = found.unfit([run])
    assert ignored.where.endswith(".json")
    assert ("is not here" if change == "run_id" else "those of no record here") in ignored.reason


def test_an_invalidation_holds_for_the_same_scores_under_a_record_typed_anew(
    run: Run, world: World, tmp_path: Path
) -> None:
    write_statement(tmp_path / "statements", invalidation(run, "the photos were swapped")[1])
    retyped = run.record.model_copy(update={"created": START.replace(year=1999)})
    again = write_run(tmp_path / "other", retyped, world.table(1.0, "fiction-a", 0))
    assert again.sha256 != run.sha256
    found = read(tmp_path)
    note = found.invalidation(again)
    assert note is not None
    assert note.reason == "the photos were swapped"
    assert not found.unfit([again])
    assert found.invalidation(replace(run, record=run.record.model_copy(update={"scores_sha256": "0" * 64}))) is None


def test_an_attestation_does_not_hold_for_a_record_typed_anew(run: Run, world: World, tmp_path: Path) -> None:
    write_statement(tmp_path / "statements", attestation(run)[1])
    retyped = run.record.model_copy(update={"created": START.replace(year=1999)})
    again = write_run(tmp_path / "other", retyped, world.table(1.0, "fiction-a", 0))
    assert read(tmp_path).level(again) is Level.SELF_REPORTED


HOSTILE: dict[str, Any] = {
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "nested": b"[" * 20_000,
    "another version": {"version": 2},
    "another kind": {"kind": "praise"},
    "an unknown key": {"rank": 1},
    "an unknown level": {"level": "certified"},
    "the least level": {"level": "self-reported"},
    "no hash": {"subject": {"run_id": "0" * 16, "record_sha256": "", "scores_sha256": "0" * 64}},
    "a time without a zone": {"at": "2026-01-01T00:00:00"},
    "a number as a time": {"at": 0},
    "nobody": {"by": ""},
    "a long name": {"by": "x" * 2000},
    "a lone surrogate": {"note": "\ud800"},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_files_that_are_no_statement_are_reported_and_cost_no_other(kind: str, run: Run, tmp_path: Path) -> None:
    write_statement(tmp_path / "statements", attestation(run)[1])
    good = json.loads(attestation(run)[1].model_dump_json())
    value = HOSTILE[kind]
    raw = value if isinstance(value, bytes) else json.dumps(good | value).encode()
    (tmp_path / "statements" / "odd.json").write_bytes(raw)
    found = read(tmp_path)
    assert found.level(run) is Level.REPLAYED
    (ignored,) = found.ignored
    assert ignored.where == "odd.json"
    assert ignored.reason
    assert str(tmp_path) not in ignored.reason
    assert len(ignored.reason) < 400


def test_a_statement_of_no_version_is_not_believed(run: Run, tmp_path: Path) -> None:
    """What another version means by the same words is not known."""
    answer = json.loads(attestation(run)[1].model_dump_json())
    del answer["version"]
    (tmp_path / "statements").mkdir()
    (tmp_path / "statements" / "bare.json").write_text(json.dumps(answer))
    found = read(tmp_path)
    assert found.level(run) is Level.SELF_REPORTED
    assert [each.reason for each in found.ignored] == ["it does not say of which version it is"]


@pytest.mark.parametrize("make", IRREGULAR_FILES, ids=lambda make: make.__name__)
@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_reported(make: Any, run: Run, tmp_path: Path) -> None:
    write_statement(tmp_path / "statements", attestation(run)[1])
    make(tmp_path / "statements" / "odd.json")
    found = read(tmp_path)
    assert found.level(run) is Level.REPLAYED
    assert [each.where for each in found.ignored] == ["odd.json"]


def test_statements_never_come_from_among_the_results(run: Run, tmp_path: Path) -> None:
    inside = tmp_path / "results" / "attestations"
    write_statement(inside, attestation(run, Level.REPRODUCED)[1])
    write_statement(run.path, attestation(run, Level.REPRODUCED)[1])
    assert Statements().level(collect([tmp_path / "results"]).runs[0]) is Level.SELF_REPORTED
    (tmp_path / "link").symlink_to(inside)
    for folder in (inside, run.path, tmp_path / "results", tmp_path, tmp_path / "link"):
        with pytest.raises(RecordError, match="among the results"):
            read_statements([folder], [tmp_path / "results"])
    with pytest.raises(StorageError, match="is not a folder"):
        read_statements([tmp_path / "nowhere"], [tmp_path / "results"])


def test_the_commands_write_bind_and_refuse(run: Run, tmp_path: Path) -> None:
    bench, short = Bench(tmp_path), run.record.run_id[:8]
    common = ("--by", "A Maintainer", "--to", "statements", "--results", "results")
    planned = bench("attest", short, "--level", "replayed", *common, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "would write" in planned.stdout
    assert not (tmp_path / "statements").exists()
    done = bench("attest", short, "--level", "reproduced", "--note", "seed 7", *common, "--json")
    (answer,) = json.loads(done.stdout)
    assert answer["level"] == "reproduced"
    assert answer["subject"] == subject_of(run).model_dump()
    assert read(tmp_path).level(run) is Level.REPRODUCED
    done = bench("invalidate", str(run.path), "--reason", "the photos were swapped", *common)
    assert done.returncode == 0, done.stderr
    note = read(tmp_path).invalidation(run)
    assert note is not None
    assert (note.by, note.reason) == ("A Maintainer", "the photos were swapped")
    before = {path.name: path.read_bytes() for path in (tmp_path / "statements").iterdir()}
    inside = ("--by", "x", "--to", "results/statements", "--results", "results")
    assert "among the results" in refused(bench("attest", short, "--level", "replayed", *inside))
    assert "There is no run" in refused(bench("attest", "ffff", "--level", "replayed", *common))
    assert "--reason" in refused(bench("invalidate", short, "--reason", " ", *common))
    (run.path / "scores.parquet").write_bytes(b"other")
    assert "not what the run wrote" in refused(bench("attest", short, "--level", "replayed", *common))
    assert {path.name: path.read_bytes() for path in (tmp_path / "statements").iterdir()} == before
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["fiction-v1"]


def test_of_several_runs_none_is_attested_unless_all_can_be(world: World, run: Run, tmp_path: Path) -> None:
    other = write_run(tmp_path / "results", world.record("mild"), world.table(1.0, "fiction-a", 0))
    (other.path / "scores.parquet").write_bytes(b"other")
    with pytest.raises(IdbenchError):
        other.scores()
    common = ("--level", "replayed", "--by", "x", "--to", "statements", "--results", "results")
    done = Bench(tmp_path)("attest", run.record.run_id, other.record.run_id, *common)
    assert "not what the run wrote" in refused(done)
    assert not (tmp_path / "statements").exists()
    assert np.isfinite(run.scores().scores).all()
