"""Records are written whole, read back the same, and refused when anything about them is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tests.records import record

from idbench.errors import RecordError, StorageError
from idbench.results import (
    Estimate,
    Run,
    ScoreTable,
    Summary,
    collect,
    find_run,
    find_runs,
    read_run,
    with_floor,
    write_run,
    write_summary,
)
from idbench.results.record import CardCopy
from idbench.results.store import read_summary
from idbench.storage import sha256_file

TABLE = ScoreTable(
    identities=("b", "a", "c"),
    scores=np.array([2.0, 1.0, np.nan]),
    abstained=np.array([False, False, True]),
    photos_used=np.array([1, 2, 0]),
    decisions=np.array([True, False, False]),
    details={"S": np.array([0.2, 0.1, 0.3])},
)


CARD = CardCopy(
    name="m",
    version="1",
    title="M",
    summary="",
    paper=None,
    url=None,
    access=(),
    knowledge=(),
    optional_knowledge=(),
    choices=(),
    presets={},
    parameters=(),
)


def written(root: Path, **changes: str) -> Run:
    return write_run(root, record(**changes), TABLE, "log")


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e17, -1e17])
def test_an_abstention_lies_below_scores_of_any_size(scale: float) -> None:
    abstained = np.array([False, True, False])
    ranked = with_floor(np.array([scale, np.nan, 2 * scale]), abstained)
    assert np.isfinite(ranked).all()
    assert ranked[1] < ranked[~abstained].min()


def test_round_trip(tmp_path: Path) -> None:
    run = read_run(written(tmp_path).path)
    table = run.scores()
    assert run.record.attack.name == "m"
    assert run.record.queries.total == 12
    assert table.identities == ("a", "b", "c"), "rows are in the order of the ids"
    assert table.scores[:2].tolist() == [1.0, 2.0]
    assert np.isnan(table.scores[2])
    assert table.ranked().tolist() == [1.0, 2.0, 0.0]
    assert table.decisions is not None
    assert table.decisions.tolist() == [False, True, False]
    assert table.details["S"].tolist() == [0.1, 0.2, 0.3]
    assert (run.path / "worker.log").read_text() == "log"
    assert run.summary() is None


def test_equal_parts_of_records_are_held_once_and_only_those(tmp_path: Path) -> None:
    """1, 1.0 and True are equal in Python, but a card that says one of them does not say another."""
    for seed in range(2):
        write_run(tmp_path / str(seed), record().model_copy(update={"seed": seed}), TABLE)
    for place, steps in enumerate((1, 1.0, True)):
        attack = record().attack.model_copy(update={"card": CARD.model_copy(update={"presets": {"q": {"n": steps}}})})
        write_run(tmp_path / f"card {place}", record().model_copy(update={"attack": attack}), TABLE)
    alike = [run.record for run in collect([tmp_path / "0", tmp_path / "1"]).runs]
    assert [one.seed for one in alike] == [0, 1]
    for name in ("split", "target", "attack", "environment", "queries"):
        assert getattr(alike[0], name) is getattr(alike[1], name)
    for run in (found := collect([tmp_path])).runs:
        assert run == read_run(run.path)
        assert run.record.model_dump_json() == read_run(run.path).record.model_dump_json()
    kept = [run.record.attack.card.presets["q"]["n"] for run in found.runs if run.record.attack.card]
    assert sorted(map(repr, kept)) == ["1", "1.0", "True"]


def test_an_accelerator_goes_by_its_own_name() -> None:
    where = record().environment
    assert where.hardware == "cpu"
    assert where.model_copy(update={"device": "cuda", "device_model": "Fictional F1"}).hardware == "Fictional F1"


def test_no_name_no_label_no_place_in_a_record(tmp_path: Path) -> None:
    text = (written(tmp_path).path / "run.json").read_text()
    assert not {"hostname", "user", "host", "path", "member", "label"} & set(json.loads(text))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    double = ScoreTable(("a", "a"), np.zeros(2), np.zeros(2, bool), np.zeros(2, int))
    with pytest.raises(RecordError, match="same identity"):
        write_run(tmp_path, record(), double)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert list(find_runs(tmp_path)) == []


def test_names_of_targets_become_file_names(tmp_path: Path) -> None:
    run = written(tmp_path, target="file:../../etc/x?arch=y")
    assert run.path.parent.parent == tmp_path / "s-v1"
    assert read_run(run.path).record.target.name == "file:../../etc/x?arch=y"


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    first = written(tmp_path)
    written(tmp_path, run_id="0123ffffffffffff")
    assert [run.record.run_id for run in find_runs(tmp_path)] == ["0123456789abcdef", "0123ffffffffffff"]
    assert find_run(tmp_path, "01234").path == first.path
    assert find_run(tmp_path, str(first.path)).record == first.record
    with pytest.raises(RecordError, match="may be any of 2 runs"):
        find_run(tmp_path, "0123")
    with pytest.raises(RecordError, match="There is no run 'ffff'"):
        find_run(tmp_path, "ffff")
    assert list(find_runs(tmp_path / "nothing")) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="not a folder"):
        list(find_runs(tmp_path / "file"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not JSON"),
        ("[]", "not a valid record"),
        ("{}", "not a valid record"),
        ("null", "not a valid record"),
        ('{"schema_version": 99}', "has schema version 99"),
    ],
)
def test_damaged_records_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path).path
    (path / "run.json").write_text(text)
    with pytest.raises(RecordError, match=sentence):
        read_run(path)


def test_unknown_keys_and_impossible_values_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path).path / "run.json"
    good = json.loads(path.read_text())
    for change in ({"auc": 0.99}, {"seed": -1}, {"n_cases": 0}, {"run_id": "xyz"}, {"created": "2026-01-02T00:00:00"}):
        path.write_text(json.dumps(good | change))
        with pytest.raises(RecordError, match=next(iter(change))):
            read_run(path)
    with pytest.raises(ValidationError):
        record().seed = 3  # type: ignore[misc]


def test_changed_scores_are_refused(tmp_path: Path) -> None:
    run = written(tmp_path)
    scores = run.path / "scores.parquet"
    scores.write_bytes(scores.read_bytes() + b"x")
    with pytest.raises(RecordError, match="not what the run wrote"):
        run.scores()
    scores.unlink()
    with pytest.raises(RecordError, match="is missing"):
        run.scores()


def test_one_damaged_record_hides_no_other(tmp_path: Path) -> None:
    good, bad = written(tmp_path), written(tmp_path, run_id="f" * 16)
    (bad.path / "run.json").write_text("{")
    assert [run.record.run_id for run in find_runs(tmp_path)] == [good.record.run_id]
    found = collect([tmp_path])
    assert [run.path for run in found.runs] == [good.path]
    assert [(each.where, each.reason) for each in found.rejected] == [
        (f"s-v1/t/m-{'f' * 16}", f"s-v1/t/m-{'f' * 16}/run.json is not JSON (line 1).")
    ]
    with pytest.raises(RecordError, match="is not JSON"):
        find_run(tmp_path, "ffff")
    with pytest.raises(RecordError, match="No run was named"):
        find_run(tmp_path, "")


def test_folders_that_cannot_be_read_or_named_stop_nothing(tmp_path: Path) -> None:
    written(tmp_path)
    odd = tmp_path / os.fsdecode(b"\xff\xfe")
    odd.mkdir()
    (odd / "run.json").write_text("{}")
    deep = tmp_path.joinpath(*["deep"] * 40)
    deep.mkdir(parents=True)
    (deep / "run.json").write_text("{}")
    found = collect([tmp_path])
    assert len(found.runs) == 1
    reasons = {each.where: each.reason for each in found.rejected}
    assert reasons.keys() == {r"\xff\xfe", "/".join(["deep"] * 16)}
    assert "only 16 levels" in reasons["/".join(["deep"] * 16)]
    assert all(text.encode() for pair in reasons.items() for text in pair)


def test_what_a_record_of_schema_1_said_of_itself_is_dropped(tmp_path: Path) -> None:
    path = written(tmp_path).path / "run.json"
    note = {"at": "2026-01-02T00:00:00Z", "by": "the person who ran it", "reason": "none"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verification": "reproduced", "invalidated": [note]}))
    run = read_run(path)
    assert run.record.schema_version == 1
    assert not {"verification", "invalidated"} & run.record.model_dump().keys()
    assert run.sha256 == sha256_file(path), "statements are bound to the bytes on disk"


def test_a_record_of_schema_2_says_nothing_of_how_far_it_may_be_believed(tmp_path: Path) -> None:
    path = written(tmp_path).path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 2, "verification": "reproduced"}))
    with pytest.raises(RecordError, match="verification: Extra inputs"):
        read_run(path)


def summary_of(run: Run, **changes: object) -> Summary:
    estimate = Estimate(value=0.5, low=0.4, high=0.6, level=0.95, method="drawn")
    values: dict[str, object] = {
        "run_id": run.record.run_id,
        "scores_sha256": run.record.scores_sha256,
        "split_digest": run.record.split.digest,
        "corpus": "c",
        "control": False,
        "n_members": 1,
        "n_nonmembers": 2,
        "auc": estimate,
        "tpr": (),
        "p_chance": 1.0,
        "blind": None,
        "bins": (),
        "trend_p": None,
        "macro_auc": None,
        "decision": None,
    }
    return Summary.model_validate(values | changes)


def test_metrics_count_for_the_scores_that_they_were_derived_from(tmp_path: Path) -> None:
    run = written(tmp_path)
    assert run.summary() is None
    write_summary(run, summary_of(run))
    assert run.summary() == summary_of(run)
    for changes in ({"run_id": "f" * 16}, {"scores_sha256": "0" * 64}, {"split_digest": "other"}):
        write_summary(run, summary_of(run, **changes))
        assert run.summary() is None, changes
    metrics = run.path / "metrics.json"
    write_summary(run, summary_of(run))
    changed = json.loads(metrics.read_text()) | {"p_chance": 0.001}
    metrics.write_text(json.dumps(changed))
    assert run.summary() is None
    with pytest.raises(RecordError, match="was changed after it was written"):
        read_summary(run)
    unsealed = {name: value for name, value in changed.items() if name != "content_sha256"}
    metrics.write_text(json.dumps(unsealed))  # as versions before 2026-11-26 wrote them
    assert run.summary() == summary_of(run, p_chance=0.001)
    older = json.loads(summary_of(run).model_dump_json()) | {"summary_version": 1}
    for text in ("", "{", json.dumps(older), json.dumps({n: v for n, v in older.items() if n != "scores_sha256"})):
        metrics.write_text(text)
        assert run.summary() is None, text[:40]
