"""A record counts if it says what was run; what is wrong with one costs no other its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.app.fictional import ADAPTATION, DEFENSE, METHODS, World, attestation, with_id
from tests.conftest import ROOT

from idbench.api import Silent
from idbench.metrics import batch
from idbench.privacy import Guarantee
from idbench.results import Run, RunRecord, collect, expected_run_id, write_run
from idbench.results.admission import admit, objection
from idbench.results.aligning import Reader, Scored
from idbench.results.attestation import Level, Statements
from idbench.results.labels import KnownTarget, SplitLabels, people_of
from idbench.results.record import DefenseCost, Estimate, UtilityMeasure
from idbench.results.repetition import Candidate
from idbench.results.rows import board_keys, entry_key
from idbench.results.store import Rejected
from idbench.storage import sha256_file
from idbench_leaderboard.board import Board, Selection
from idbench_leaderboard.building import build

SELECTION = Selection("fiction", 1, "fiction-a", "fiction-a")


@pytest.fixture
def world() -> World:
    return World(people=40, calibration=10)


def labels(world: World) -> dict[tuple[str, int], SplitLabels]:
    return {("fiction", 1): world.labels()}


def known(record: RunRecord, **changes: Any) -> KnownTarget:
    target = record.target
    values: dict[str, Any] = {
        "name": target.name,
        "version": target.version,
        "sha256": target.sha256,
        "corpus": target.corpus,
        "control_for": target.control_for,
        "design": target.design,
    }
    return KnownTarget(**(values | changes))


def test_an_honest_record_is_admitted(world: World) -> None:
    for method in ("keen", "mild", "deep", "blind-look", "random"):
        record = world.record(method)
        assert objection(record, labels(world), [known(record)]) == ""
    defended = world.record("keen", defense=DEFENSE)
    assert objection(defended, labels(world)) == ""


def retyped(record: RunRecord, **changes: Any) -> RunRecord:
    """A record in which somebody changed something, the run id left as it was."""
    return record.model_copy(update=changes)


EDITS: dict[str, Callable[[RunRecord], RunRecord]] = {
    "seed": lambda r: retyped(r, seed=1),
    "engine": lambda r: retyped(r, engine=1),
    "parameters": lambda r: retyped(r, parameters={"photos": 1, "prompts": 21}),
    "weights": lambda r: retyped(r, target=r.target.model_copy(update={"sha256": "9" * 64})),
    "target": lambda r: retyped(r, target=r.target.model_copy(update={"name": "fiction-a-wide"})),
    "design": lambda r: retyped(r, target=r.target.model_copy(update={"design": "9" * 64})),
    "code": lambda r: retyped(r, attack=r.attack.model_copy(update={"code_sha256": "9" * 64})),
    "defense": lambda r: retyped(r, defense=DEFENSE),
    "the id itself": lambda r: retyped(r, run_id="f" * 16),
    "schema": lambda r: retyped(r, schema_version=1),
}


@pytest.mark.parametrize("what", EDITS)
def test_whoever_changes_what_was_run_has_another_run_id(what: str, world: World) -> None:
    changed = EDITS[what](world.record("keen"))
    assert objection(changed, labels(world)).startswith(f"its run id is {changed.run_id}, and a run of what it says")


def of_card(record: RunRecord, **changes: Any) -> RunRecord:
    assert record.attack.card is not None
    card = record.attack.card.model_copy(update=changes)
    return retyped(record, attack=record.attack.model_copy(update={"card": card}))


def of_attack(record: RunRecord, **changes: Any) -> RunRecord:
    return with_id(retyped(record, attack=record.attack.model_copy(update=changes)))


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.05, high=value + 0.05, level=0.95, method="drawn")


GOOD, WORSE = estimate(0.9), estimate(0.6)
GUARANTEE = Guarantee(unit="person", pairs=5, epsilon=8.0, delta=1e-5, accountant="of the tests")

LIES: dict[str, tuple[Callable[[RunRecord], RunRecord], str]] = {
    "an easier track": (lambda r: of_attack(r, track="blind"), "it says track blind, and what its method asks"),
    "a track that does not exist": (lambda r: of_attack(r, track="best"), "it says track best"),
    "an access that does not exist": (lambda r: of_attack(r, access=("EVERYTHING",)), "does not exist: EVERYTHING"),
    "a knowledge that does not exist": (lambda r: of_attack(r, knowledge=("LABELS",)), "does not exist: LABELS"),
    "less access than the card": (lambda r: of_card(r, access=("WEIGHTS",)), "the access on its method's card"),
    "more knowledge than the card": (lambda r: of_card(r, knowledge=()), "knows what its card does not say"),
    "another method's card": (lambda r: of_card(r, name="mild"), "the name on its method's card"),
    "another version's card": (lambda r: of_card(r, version="2"), "the version on its method's card"),
    "parameters of another method": (lambda r: of_card(r, parameters=()), "its parameters are not those on its"),
    "labels that it was not given": (
        lambda r: with_id(retyped(r, calibration_corpus="fiction-a")),
        "whose calibration labels its method was given does not fit",
    ),
    "a defense in schema 1": (
        lambda r: with_id(retyped(r, schema_version=1, defense=DEFENSE)),
        "records of schema 1 have none",
    ),
}


def _defended(record: RunRecord, **changes: Any) -> RunRecord:
    return with_id(retyped(record, defense=DEFENSE.model_copy(update=changes)))


def _adapted(record: RunRecord, **changes: Any) -> RunRecord:
    return with_id(retyped(record, adaptation=ADAPTATION.model_copy(update=changes)))


def _measured(before: Estimate = GOOD, after: Estimate = WORSE, **changes: Any) -> dict[str, Any]:
    difference = changes.pop("difference", estimate(after.value - before.value))
    name = changes.pop("name", "recognition of walls")
    measure = UtilityMeasure(name=name, people=9, before=before, after=after, difference=difference)
    return {"utility": (measure.model_copy(update=changes),)}


_LONG_COST = DefenseCost(seconds=1e308, steps=1, device="cpu")
_MANY_STEPS = DefenseCost(seconds=1.0, steps=2**63 - 1, device="cpu")
TAMPERED: dict[str, tuple[Callable[[RunRecord], RunRecord], str]] = {
    "a defense with an access that does not exist": (
        lambda r: _defended(r, access=("EVERYTHING",)),
        "its defense has an access or knowledge that does not exist: EVERYTHING",
    ),
    "an adaptation with a knowledge that does not exist": (
        lambda r: _adapted(r, knowledge=("LABELS",)),
        "its adaptation has an access or knowledge that does not exist: LABELS",
    ),
    "a defense of endless cost": (lambda r: _defended(r, cost=_LONG_COST), "its defense took 1e+308 seconds"),
    "an adaptation of endless cost": (lambda r: _adapted(r, cost=_LONG_COST), "its adaptation took 1e+308 seconds"),
    "an adaptation of endless steps": (lambda r: _adapted(r, cost=_MANY_STEPS), "steps"),
    "defended weights by no hash": (lambda r: _defended(r, weights_sha256="x"), "its defense's weights_sha256"),
    "adapted weights by no hash": (lambda r: _adapted(r, weights_sha256="F" * 64), "its adaptation's weights_sha256"),
    "more right answers than questions": (lambda r: _defended(r, **_measured(after=estimate(5.0))), "utility"),
    "fewer right answers than none": (lambda r: _defended(r, **_measured(before=estimate(-0.5))), "utility"),
    "a huge utility": (lambda r: _defended(r, **_measured(after=estimate(1e308))), "utility"),
    "an interval beside its value": (
        lambda r: _defended(r, **_measured(after=estimate(0.6).model_copy(update={"low": 0.7}))),
        "utility",
    ),
    "a level that is none": (
        lambda r: _defended(r, **_measured(after=estimate(0.6).model_copy(update={"level": -1.0}))),
        "utility",
    ),
    "a difference that is another": (lambda r: _defended(r, **_measured(difference=estimate(0.3))), "utility"),
    "more people than there are": (lambda r: _defended(r, **_measured(people=2**63 - 1)), "utility"),
    "a measure twice": (lambda r: _defended(r, utility=_measured()["utility"] * 2), "twice"),
    "three hundred guarantees": (lambda r: _defended(r, guarantees=(GUARANTEE,) * 300), "guarantees"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_a_record_says_of_defense_and_adaptation_must_be_possible(what: str, world: World) -> None:
    change, words = TAMPERED[what]
    assert words in objection(change(world.record("keen")), labels(world))


def test_what_is_possible_of_defense_and_adaptation_counts(world: World) -> None:
    cost = DefenseCost(seconds=3.5, steps=20, device="cpu")
    hashes = {"lineage": "1" * 64, "weights_sha256": "2" * 64, "cost": cost}
    moved = _measured(estimate(1.0), estimate(-0.9), name="photos stay where they were (cosine)")
    for known in (_measured(), moved):
        record = _defended(world.record("keen"), **known, **hashes, guarantees=(GUARANTEE,))
        assert objection(_adapted(record, **hashes), labels(world)) == ""


@pytest.mark.parametrize("what", LIES)
def test_what_a_record_says_of_its_method_must_fit_together(what: str, world: World) -> None:
    change, words = LIES[what]
    assert words in objection(change(world.record("keen")), labels(world))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "9" * 64}, "its weights of fiction-a are not the registered ones (999999999999)"),
        ({"version": "2"}, "target fiction-a has version 2, and it says 1"),
        ({"design": "9" * 64}, "has another architecture, preprocessing or recipe"),
        ({"corpus": "fiction-b"}, "was trained on fiction-b, and it says that it was trained on fiction-a"),
        ({"control_for": ("fiction-a",)}, "is a control for fiction-a, and it says that it was trained on fiction-a"),
        ({"name": "registered"}, "its target has the weights of registered under another name"),
    ],
)
def test_targets_are_compared_with_the_registered_ones(changes: dict[str, Any], words: str, world: World) -> None:
    record = world.record("keen")
    assert words in objection(record, labels(world), [known(record, **changes)])


def test_targets_that_everybody_trains_anew_have_no_pinned_hash(world: World) -> None:
    record = world.record("keen")
    assert objection(record, labels(world), [known(record, sha256=None)]) == ""
    assert objection(record, labels(world), [known(record, name="other", sha256="1" * 64)]) == ""


def test_a_method_that_was_given_labels_answers_for_their_corpus_alone(world: World) -> None:
    knowledge = ("PHOTOS", "CALIBRATION_LABELS")

    def given(target: str, corpus: str, **changes: Any) -> RunRecord:
        record = world.record("blind-look", target, calibration_corpus=corpus, **changes)
        assert record.attack.card is not None
        card = record.attack.card.model_copy(update={"knowledge": knowledge})
        return of_attack(record, knowledge=knowledge, card=card)

    split = world.labels()
    assert objection(given("fiction-a", "fiction-a"), labels(world)) == ""
    assert "was given labels of fiction-b, but the target is scored against fiction-a" in objection(
        given("fiction-a", "fiction-b"), labels(world)
    )
    for corpus in ("fiction-a", "fiction-b"):
        assert [key.corpus for key in board_keys(given("fiction-0", corpus), split)] == [corpus]
    old = given("fiction-0", "fiction-a", schema_version=1).model_copy(update={"calibration_corpus": None})
    assert [key.corpus for key in board_keys(with_id(old), split)] == ["fiction-a"]
    assert objection(with_id(old), labels(world)) == ""
    assert len(board_keys(world.record("random", "fiction-0"), split)) == 2


def test_the_engine_is_part_of_the_row(world: World) -> None:
    record = world.record("keen")
    older = with_id(retyped(record, engine=1))
    (board,) = board_keys(record, world.labels())
    keys = {entry_key(board, each, Level.SELF_REPORTED).id for each in (record, older)}
    assert len(keys) == 2


def read(world: World, run: Run) -> Scored | Rejected:
    return Reader(people_of(world.labels())).read(run, "here")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_cases": 99}, "it says n_cases 99, and its scores have 100"),
        ({"n_abstained": 3}, "it says n_abstained 3, and its scores have 0"),
        ({"photos_per_case": 1.0}, "it says photos_per_case 1, and its scores have 5"),
        ({"photos_per_case": 5.01}, "it says photos_per_case 5.01, and its scores have 5"),
    ],
)
def test_counts_are_counted_again(changes: dict[str, Any], words: str, world: World, tmp_path: Path) -> None:
    run = write_run(tmp_path, world.record("keen", **changes), world.table(1.0, "fiction-a", 0))
    found = read(world, run)
    assert isinstance(found, Rejected)
    assert found.reason == words


def test_scores_of_strangers_and_of_impossible_size_are_refused(world: World, tmp_path: Path) -> None:
    table = world.table(1.0, "fiction-a", 0)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"identities": ("stranger", *table.identities[1:])}, "1 of its scores belong to nobody in the split"),
        ({"scores": np.where(np.arange(100) == 3, 1e300, table.scores)}, "a score is beyond 1e+100"),
        ({"scores": np.where(np.arange(100) == 3, np.inf, table.scores)}, "1 scores are not finite"),
        ({"photos_used": np.full(100, -5)}, "a number of photos used is negative"),
    ]
    for place, (changes, words) in enumerate(cases):
        run = write_run(tmp_path / str(place), world.record("keen"), replace(table, **changes))
        found = read(world, run)
        assert isinstance(found, Rejected)
        assert words in found.reason
    gone = world.labels(retracted=frozenset({"p00000"}))
    run = write_run(tmp_path / "retracted", world.record("keen"), table)
    assert isinstance(Reader(people_of(gone)).read(run, "here"), Scored)


def test_a_run_from_after_a_retraction_counts_for_the_row(world: World, tmp_path: Path) -> None:
    gone = frozenset({"p00000"})
    after = with_digest(world.labels(), gone)
    for name, digest in (("a", world.labels().digest), ("b", sorted(after.accepts)[0])):
        record = world.record("keen")
        record = with_id(retyped(record, split=record.split.model_copy(update={"digest": digest})))
        write_run(tmp_path / name, record, world.table(1.0, "fiction-a", 0))
    found = collect([tmp_path])
    candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
    admitted = admit(candidates, {("fiction", 1): after})
    assert [each.where[0] for each in admitted.kept] == ["b"]
    assert "another record of the same row and seed counts" in admitted.rejected[0].reason


def of_one_file(world: World, root: Path, **said: Any) -> None:
    """Two records of one run on weights that nobody registered, which differ in what these were trained on."""
    for name, changes in (("a", {}), ("b", said)):
        record = world.record("keen", "fiction-a-wide")
        target = record.target.model_copy(update=changes)
        assert expected_run_id(retyped(record, target=target)) == record.run_id
        write_run(root / name, retyped(record, target=target), world.table(1.0, "fiction-a", 0))


@pytest.mark.parametrize(
    "said", [{"corpus": "fiction-b"}, {"control_for": ("fiction-a",)}, {"corpus": None, "control_for": ("fiction-b",)}]
)
def test_records_that_disagree_about_what_a_target_saw_exclude_each_other(
    said: dict[str, Any], world: World, tmp_path: Path
) -> None:
    of_one_file(world, tmp_path, **said)
    found = collect([tmp_path])
    candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
    admitted = admit(candidates, labels(world))
    assert not admitted.kept
    assert ["contradict each other about what" in each.reason for each in admitted.rejected] == [True, True]
    statements = Statements((attestation(candidates[1].run),))
    admitted = admit(candidates, labels(world), statements=statements)
    assert [each.where[0] for each in admitted.kept] == ["b"]
    assert "an attested record says otherwise of what" in admitted.rejected[0].reason


def with_digest(split: SplitLabels, gone: frozenset[str]) -> SplitLabels:
    """The split once people were taken out; records may carry the digest from before and that from after."""
    digest = hashlib.sha256("\n".join([split.digest, *sorted(gone)]).encode()).hexdigest()
    return replace(split, retracted=gone, accepts=frozenset({digest}))


def put_json(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(data | changes))

    return change


def put_raw(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "run.json").read_text()
        assert old in text
        (folder / "run.json").write_text(text.replace(old, new))

    return change


def put_scores(**columns: pa.Array) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        table = pq.read_table(folder / "scores.parquet")
        pq.write_table(pa.table({**{n: table[n] for n in table.column_names}, **columns}), folder / "scores.parquet")
        put_json(scores_sha256=sha256_file(folder / "scores.parquet"))(folder)

    return change


def pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def device(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")

    return change


SPOILED: dict[str, Callable[[Path], None]] = {
    "a seed of 87 bits": put_json(seed=99999999999999999999999999),
    "a seed of 64 bits": put_json(seed=2**63),
    "a negative seed": put_json(seed=-1),
    "a seed as text": put_json(seed="0"),
    "a seed as a float": put_json(seed=0.5),
    "a seed as a boolean": put_json(seed=True),
    "a huge count": put_json(n_cases=10**400),
    "no cases": put_json(n_cases=0),
    "a NaN": put_raw('"peak_memory_mb":700.0'.replace(":", ": "), '"peak_memory_mb": NaN'),
    "an infinity": put_raw('"peak_memory_mb": 700.0', '"peak_memory_mb": 1e999'),
    "a lone surrogate in a title": put_raw("The keen attack", "\\ud800 attack"),
    "parameters nested 20,000 deep": put_raw('"photos": 5', '"photos": ' + "[" * 20_000 + "]" * 20_000),
    "a megabyte of text": put_json(created="x" * (1 << 21)),
    "a key twice": put_raw('"seed": 0', '"seed": 0, "seed": 1'),
    "an unknown key": put_json(auc=1.0),
    "a newer schema": put_json(schema_version=3),
    "no schema": put_raw('"schema_version": 2,', ""),
    "a list": lambda folder: (folder / "run.json").write_text("[]") and None,
    "an empty file": lambda folder: (folder / "run.json").write_bytes(b"") and None,
    "a pipe": pipe("run.json"),
    "a device": device("run.json"),
    "a pipe as scores": pipe("scores.parquet"),
    "a device as scores": device("scores.parquet"),
    "another run id": put_json(run_id="f" * 16),
    "scores as decimal text": put_scores(score=pa.array(["0.5"] * 100)),
    "scores as booleans": put_scores(score=pa.array([True] * 100)),
    "abstained as text": put_scores(abstained=pa.array(["False"] * 100)),
    "a label among the scores": put_scores(label=pa.array([1.0] * 100)),
    "more queries than 64 bits hold together": put_json(
        queries=dict.fromkeys(("texts", "images", "pairs", "gradients", "training_steps"), 2**63 - 1)
    ),
    "a run of longer than the universe": put_json(timings={"load": 0.0, "fit": 0.0, "score": 1e308, "total": 1e308}),
    "more memory than there is": put_json(peak_memory_mb=1e308),
    "photos by no hash": put_json(photos_sha256="../../photos"),
    "huge scores": put_scores(score=pa.array([1.7e308, -1.7e308] * 50)),
    "a split that is not here": put_json(split={"name": "x" * 5000, "version": 1, "digest": "d", "commit": None}),
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.timeout(60)
def test_one_spoiled_record_costs_itself_only(kind: str, world: World, tmp_path: Path) -> None:
    world.write(tmp_path / "results" / "good", "mild")
    world.write(tmp_path / "results" / "bad", "keen")
    spoiled = next((tmp_path / "results" / "bad").rglob("run.json")).parent
    SPOILED[kind](spoiled)
    built = build(collect([tmp_path / "results"]), [world.labels()], tmp_path / "board", Silent())
    assert Board(built.path).rows(SELECTION)["method"].tolist() == ["mild"]
    (rejected,) = built.rejected
    assert rejected.where.startswith("bad/")
    assert 0 < len(rejected.reason) < 500
    assert rejected.reason.encode()
    assert str(tmp_path) not in rejected.reason


def test_a_record_that_makes_the_statistics_fail_costs_itself_only(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with one of the seeds of a row, the others and the other rows are measured all the same."""
    for seed in range(3):
        world.write(tmp_path, "keen", seed=seed)
    world.write(tmp_path, "mild")
    culprit = world.table(METHODS["keen"][0], "fiction-a", 1, "keen").scores[0]
    whole = batch.judge

    def failing(groups: Sequence[NDArray[np.float64]], known: batch.KnownLabels, *more: Any) -> batch.Judged:
        if any(culprit in group for group in groups):
            raise FloatingPointError("overflow\n" + "x" * 10_000)
        return whole(groups, known, *more)

    monkeypatch.setattr(batch, "judge", failing)
    built = build(collect([tmp_path]), [world.labels()], tmp_path / "board", Silent())
    rows = Board(built.path).rows(SELECTION).set_index("method")
    assert rows["seeds"].to_dict() == {"keen": "0, 2", "mild": "0"}
    (rejected,) = built.rejected
    assert rejected.reason.startswith("it cannot be used: FloatingPointError: overflow x")
    assert len(rejected.reason) < 400


def test_the_reference_records_are_admitted_as_they_are() -> None:
    """They are of schema 1 and stay so on disk: their ids follow from the formula of their time."""
    found = collect([ROOT.parent / "leaderboard" / "reference"])
    assert not found.rejected
    assert len(found.runs) >= 285
    for run in found.runs:
        assert expected_run_id(run.record) == run.record.run_id
