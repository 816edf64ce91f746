"""What a submission must pass: each check against a submission that deserves it, and none against an honest one."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.app.fictional import METHODS, World, invalidation, with_id
from tests.conftest import refused

from idbench.errors import IdbenchError
from idbench.results import (
    BlindComparison,
    Queries,
    Run,
    RunRecord,
    ScoreTable,
    Summary,
    collect,
    read_run,
    write_run,
    write_summary,
)
from idbench.results.attestation import Statements
from idbench.results.checks import References, Report, Severity, check, gather_records
from idbench.results.labels import KnownTarget
from idbench.results.lookalike import close_to, looks_like
from idbench.results.proposal import RUNS, Proposal, record_place
from idbench.results.record import PassedParameters, ShadowCosts
from idbench.results.summarizing import LabelledScores, compared, contradiction, derived
from idbench.storage import sha256_file
from idbench.submission import open_proposal

WORLD = World(people=60, calibration=10)
TARGETS = ("fiction-a", "fiction-b", "fiction-0")


def registered_target(name: str) -> KnownTarget:
    ref = WORLD.record("keen", name).target
    return KnownTarget(ref.name, ref.version, ref.sha256, ref.corpus, ref.control_for, str(ref.design))


def known(**changes: Any) -> References:
    targets = [WORLD.record("keen", name).target for name in TARGETS]
    registered = tuple(
        KnownTarget(t.name, t.version, t.sha256, t.corpus, t.control_for, str(t.design)) for t in targets
    )
    return References(**({"labels": {("fiction", 1): WORLD.labels()}, "targets": registered} | changes))


def put(root: Path, run: Run) -> Path:
    """A record where it belongs in a repository of results."""
    place = root / record_place(run)
    shutil.copytree(run.path, place)
    (place / "worker.log").unlink(missing_ok=True)
    return place


def submit(root: Path, work: Path, method: str = "keen", target: str = "fiction-a", **changes: Any) -> Path:
    """One honest record in a repository."""
    WORLD.write(work, method, target, **changes)
    (run,) = collect([work]).runs
    place = put(root, run)
    shutil.rmtree(work)
    return place


def scored(
    root: Path, work: Path, scores: Any, method: str = "keen", target: str = "fiction-a", **changes: Any
) -> Path:
    """A record with other scores."""
    record = WORLD.record(method, target, **changes)
    n = len(WORLD.ids)
    table = ScoreTable(WORLD.ids, np.asarray(scores, dtype=float), np.zeros(n, dtype=bool), np.full(n, 5))
    return put(root, write_run(work, record, table))


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A repository with accepted records."""
    root = tmp_path / "before"
    for target in TARGETS:
        submit(root, tmp_path / "work", "mild", target)
    (root / "README.md").write_text("results\n")
    return root


@pytest.fixture
def after(tmp_path: Path, before: Path) -> Path:
    """The same, for a proposal to be added to."""
    root = tmp_path / "after"
    shutil.copytree(before, root)
    return root


def report(after: Path, before: Path | None = None, **changes: Any) -> Report:
    proposal = Proposal(after, before)
    return check(proposal, gather_records(proposal), known(**changes))


def found(made: Report, name: str, severity: Severity = Severity.FAIL) -> str:
    """What one check found, as one text."""
    (one,) = [each for each in made.checks if each.name == name]
    return "\n".join(each.message for each in one.findings if each.severity is severity)


def outcomes(made: Report) -> dict[str, str]:
    return {each.name: each.outcome.value for each in made.checks}


def test_an_honest_submission_passes_every_check(before: Path, after: Path, tmp_path: Path) -> None:
    for target in TARGETS:
        submit(after, tmp_path / "work", "keen", target)
    made = report(after, before)
    assert set(outcomes(made).values()) == {"pass"}, made.failures
    assert len(made.records) == 3, "and what was accepted before is not looked at again"
    everything = report(after)
    assert len(everything.records) == 6
    assert everything.passed


def test_a_plain_folder_of_results_is_checked_as_well(tmp_path: Path) -> None:
    for target in TARGETS:
        WORLD.write(tmp_path / "results", "keen", target)
    assert set(outcomes(report(tmp_path / "results")).values()) == {"pass"}
    (tmp_path / "nothing").mkdir()
    assert "no record is proposed" in found(report(tmp_path / "nothing"), "schema")


def rewrite(place: Path, change: Callable[[RunRecord], RunRecord]) -> Path:
    """Another record in the place of one, at the place that belongs to it."""
    record = change(read_run(place).record)
    (place / "run.json").write_text(record.model_dump_json())
    if not re.fullmatch(r"[\w-]+", record.attack.name):
        return place  # no folder can have this name, or it lies elsewhere
    new = place.parents[2] / record_place(read_run(place))
    new.parent.mkdir(parents=True, exist_ok=True)
    place.rename(new)
    return new


def of_attack(record: RunRecord, **changes: Any) -> RunRecord:
    card = record.attack.card
    assert card is not None
    card = card.model_copy(update={name: value for name, value in changes.items() if name in ("name", "title", "url")})
    own = {name: value for name, value in changes.items() if name != "url"}
    return with_id(record.model_copy(update={"attack": record.attack.model_copy(update={**own, "card": card})}))


def with_target(record: RunRecord, name: str, sha256: str) -> Any:
    return record.target.model_copy(update={"name": name, "sha256": sha256})


def day(year: int) -> datetime:
    return datetime(year, 12, 31, tzinfo=UTC)


SHADOWS = ShadowCosts(count=8, steps=100, seconds=1.0, trained=9, trained_steps=50, waited=0.0)

WRONG: dict[str, tuple[str, Callable[[RunRecord], RunRecord], str]] = {
    "a run id of its own": ("admission", lambda r: r.model_copy(update={"run_id": "a" * 16}), "its run id is"),
    "a split that nobody knows": (
        "admission",
        lambda r: with_id(r.model_copy(update={"split": r.split.model_copy(update={"name": "other"})})),
        "no labels for split other",
    ),
    "another version of the split": (
        "admission",
        lambda r: with_id(r.model_copy(update={"split": r.split.model_copy(update={"version": 7})})),
        "there are labels for version 1",
    ),
    "weights of its own": (
        "admission",
        lambda r: with_id(r.model_copy(update={"target": r.target.model_copy(update={"sha256": "9" * 64})})),
        "are not the registered ones",
    ),
    "counts of its own": ("coverage", lambda r: r.model_copy(update={"n_abstained": 7}), "it says n_abstained 7"),
    "a name that is taken": ("names", lambda r: of_attack(r, name="mild", distribution="evil 1.0"), "belongs to"),
    "a name that looks like another": ("names", lambda r: of_attack(r, name="mi1d"), "looks like mild"),
    "letters that look alike": ("names", lambda r: of_attack(r, name="m\u0456ld"), "is not a method's name"),
    "a name that climbs out": ("names", lambda r: of_attack(r, name="../../../etc"), "is not a method's name"),
    "a link that is a script": ("text", lambda r: of_attack(r, url="javascript:alert(1)"), "is not an address"),
    "a title that turns around": (
        "text",
        lambda r: of_attack(r, title="good\u202edab"),
        "change the direction of text",
    ),
    "a title as long as a book": (
        "text",
        lambda r: of_attack(r, title="x" * 301),
        "301 characters; the limit is 300",
    ),
    "a title of two lines": ("text", lambda r: of_attack(r, title="a\nb"), "attack.title is not one line"),
    "a target that looks like another": (
        "names",
        lambda r: with_id(r.model_copy(update={"target": with_target(r, "fict\u0456on-a", "9" * 64)})),
        "looks like fiction-a, which is another target",
    ),
    "a day to come": ("current", lambda r: r.model_copy(update={"created": day(9999)}), "which is yet to come"),
    "a day long gone": (
        "current",
        lambda r: r.model_copy(update={"created": day(1970)}),
        "before there was an idbench",
    ),
    "an engine to come": (
        "admission",
        lambda r: with_id(r.model_copy(update={"engine": 99})),
        "version 99 of the engine, and 2 is the newest",
    ),
    "a preset that does not exist": (
        "admission",
        lambda r: r.model_copy(update={"parameters_passed": PassedParameters(preset="odd", overrides={})}),
        "it names the preset odd, which its method's card does not have",
    ),
    "parameters that nobody passed": (
        "admission",
        lambda r: with_id(r.model_copy(update={"parameters": dict.fromkeys(r.parameters, "other")})),
        "does not follow from its defaults and what was passed",
    ),
    "queries that its method may not ask": (
        "admission",
        lambda r: r.model_copy(update={"queries": r.queries.model_copy(update={"gradients": 7})}),
        "it counts gradients, for which its method does not ask",
    ),
    "more shadow models than it used": (
        "admission",
        lambda r: r.model_copy(update={"shadows": SHADOWS}),
        "it trained more shadow models than it used",
    ),
    "processors that no machine has": (
        "admission",
        lambda r: r.model_copy(update={"environment": r.environment.model_copy(update={"processors": -5})}),
        "it ran on -5 processors",
    ),
    "a title for terminals": ("text", lambda r: of_attack(r, title="\x1b]0;owned\x07"), "change the direction of text"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_record_says_wrongly_is_found(what: str, before: Path, after: Path, tmp_path: Path) -> None:
    name, change, words = WRONG[what]
    place = submit(after, tmp_path / "work")
    rewrite(place, change)
    made = report(after, before)
    assert words in found(made, name), made.failures
    assert not made.passed


@pytest.mark.parametrize("text", ["<script>hit()</script>", "=HYPERLINK(1)", "![i](x)", "[l](javascript:hit())"])
def test_markup_and_formulas_are_pointed_out(text: str, after: Path, before: Path, tmp_path: Path) -> None:
    rewrite(submit(after, tmp_path / "work"), lambda r: of_attack(r, title=text))
    assert "markup or a formula" in found(report(after, before), "text", Severity.WARN)


def test_what_was_there_is_left_alone(before: Path, after: Path, tmp_path: Path) -> None:
    submit(after, tmp_path / "work")
    first, second, _ = sorted(after.glob("runs/mild/*"))
    (first / "run.json").write_bytes((first / "run.json").read_bytes() + b"\n")
    shutil.rmtree(second)
    made = report(after, before)
    words = found(made, "untouched")
    assert words.count("is changed") == 1
    assert words.count("is removed") == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("README.md.bak", "below runs/ only"),
        ("attestations/0123456789abcdef-attestation-aaaaaaaaaaaa.json", "below runs/ only"),
        ("labels/labels.json", "below runs/ only"),
        (".github/workflows/own.yml", "below runs/ only"),
        ("conftest.py", "below runs/ only"),
        ("runs/keen/model.pkl", "consists of run.json"),
        ("runs/keen/0123456789abcdef-01234567/worker.log", "consists of run.json"),
        ("runs/keen/0123456789abcdef-01234567/setup.py", "consists of run.json"),
        ("runs/keen/0123456789abcdef-01234567/.hidden/run.json", "consists of run.json"),
    ],
)
def test_files_go_where_they_belong(path: str, words: str, before: Path, after: Path, tmp_path: Path) -> None:
    submit(after, tmp_path / "work")
    (after / path).parent.mkdir(parents=True, exist_ok=True)
    (after / path).write_bytes(b"\x80\x04]")
    assert words in found(report(after, before), "files")


def link(place: Path) -> None:
    (place / "scores.parquet").unlink()
    (place / "scores.parquet").symlink_to("/etc/passwd")


def folder_link(place: Path) -> None:
    aside = place.with_name("aside")
    place.rename(aside)
    place.symlink_to(aside)


def pipe(place: Path) -> None:
    (place / "run.json").unlink()
    os.mkfifo(place / "run.json")


def device(place: Path) -> None:
    (place / "metrics.json").symlink_to("/dev/zero")


def huge(place: Path) -> None:
    with (place / "scores.parquet").open("r+b") as file:
        file.truncate(1 << 40)  # sparse


@pytest.mark.parametrize("harm", [link, folder_link, pipe, device, huge])
def test_irregular_files_are_neither_opened_nor_accepted(
    harm: Callable[[Path], None], before: Path, after: Path, tmp_path: Path
) -> None:
    harm(submit(after, tmp_path / "work"))
    assert "it is" in found(report(after, before), "files") or "bytes" in found(report(after, before), "files")


def test_a_record_lies_where_its_content_belongs(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work")
    place.rename(place.with_name("0123456789abcdef-01234567"))
    assert "its content belongs in runs/keen/" in found(report(after, before), "schema")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x80\x04\x95pickle", "is not JSON"),
        (b"[" * 20_000, "nested deeper"),
        (b'{"schema_version": 9}', "schema version 9"),
        (b'{"schema_version": 2, "seed": NaN}', "NaN"),
        (b'{"schema_version": 2, "seed": 1e999}', "too large"),
    ],
)
def test_unreadable_records_cost_themselves(raw: bytes, words: str, before: Path, after: Path, tmp_path: Path) -> None:
    (submit(after, tmp_path / "work") / "run.json").write_bytes(raw)
    assert words in found(report(after, before), "schema")


def columns(place: Path, **changes: Any) -> Path:
    """Replace columns of the scores, and let the record have their hash."""
    table = pq.read_table(place / "scores.parquet")
    for name, values in changes.items():
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, pa.array(values))
        else:
            table = table.append_column(name, pa.array(values))
    pq.write_table(table, place / "scores.parquet")
    digest = sha256_file(place / "scores.parquet")
    return rewrite(place, lambda record: record.model_copy(update={"scores_sha256": digest}))


N = len(WORLD.ids)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": [float("nan")] * N}, "not finite"),
        ({"score": [float("inf"), *[0.0] * (N - 1)]}, "not finite"),
        ({"score": [-1e300, *[0.0] * (N - 1)]}, "beyond"),
        ({"score": ["1"] * N}, "has the type"),
        ({"identity": [WORLD.ids[0]] * N}, "occurs twice"),
        ({"identity": [*WORLD.ids[:-1], "stranger"]}, "belong to nobody"),
        ({"photos_used": [-1] * N}, "negative"),
        ({"payload": [b"\x80\x04"] * N}, "has a column 'payload'"),
        ({"identity": ["x" * 300, *WORLD.ids[1:]]}, "an id has more than"),
        ({"detail_\x1b]0;owned\x07": [0.0] * N}, "is not a short name"),
        ({"detail_a\u202eb": [0.0] * N}, "is not a short name"),
        ({"detail_" + "x" * 5000: [0.0] * N}, "is not a short name"),
        ({"detail_": [0.0] * N}, "is not a short name"),
        ({"detail_pairs": [[0.0, 1.0]] * N}, "has the type list"),
        ({"score": [{"a": 1.0}] * N}, "has the type struct"),
        ({"photos_used": [2**62] * N}, "it says photos_per_case 5"),
    ],
)
def test_scores_that_are_not_scores(
    changes: dict[str, Any], words: str, before: Path, after: Path, tmp_path: Path
) -> None:
    columns(submit(after, tmp_path / "work"), **changes)
    assert words in found(report(after, before), "coverage")


def test_somebody_without_a_score_is_missed(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work")
    pq.write_table(pq.read_table(place / "scores.parquet").slice(3), place / "scores.parquet")
    digest = sha256_file(place / "scores.parquet")
    rewrite(place, lambda r: r.model_copy(update={"scores_sha256": digest, "n_cases": r.n_cases - 3}))
    assert "3 of 120 people of the test part have no score" in found(report(after, before), "coverage")


def test_a_bomb_of_a_table_is_not_unpacked(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work")
    n = 2_000_000
    bomb = pa.table({"identity": pa.array(["x"] * n), "score": pa.array(np.zeros(n))})
    pq.write_table(bomb, place / "scores.parquet", compression="zstd")
    assert (place / "scores.parquet").stat().st_size < 100_000
    digest = sha256_file(place / "scores.parquet")
    rewrite(place, lambda record: record.model_copy(update={"scores_sha256": digest}))
    assert "2,000,000 rows" in found(report(after, before), "coverage")


def labelled(run: Run, part: str) -> LabelledScores:
    """The scores of a part of the fictional world, with labels of its first corpus."""
    labels = WORLD.labels()
    rows = np.flatnonzero(labels.test == (part == "test"))
    rows = rows[np.argsort([labels.identities[row] for row in rows])]
    table = run.scores()
    where = {name: place for place, name in enumerate(table.identities)}
    order = [where[labels.identities[row]] for row in rows]
    own = labels.corpora["fiction-a"]
    ids = tuple(labels.identities[row] for row in rows)
    return LabelledScores(ids, table.ranked()[order], own.member[rows], own.occurrences[rows])


def honest_metrics(run: Run, blind: BlindComparison | None = None) -> Summary:
    test, calibration = labelled(run, "test"), labelled(run, "calibration")
    return derived(run.record, test, calibration, "fiction-a", blind, run.record.seed)


def test_metrics_beside_a_record_are_computed_again(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work")
    run = read_run(place)
    honest = honest_metrics(run)
    assert honest.decision is not None
    assert honest.bins
    write_summary(run, honest)
    assert outcomes(report(after, before))["metrics"] == "pass"
    write_summary(run, honest.model_copy(update={"scores_sha256": "0" * 64}))
    assert "derived from another record" in found(report(after, before), "metrics")
    write_summary(run, honest.model_copy(update={"corpus": "fiction-b"}))
    assert "a corpus that the record is not scored against" in found(report(after, before), "metrics")
    (place / "metrics.json").write_text("{}")
    assert "not a valid record" in found(report(after, before), "metrics")


def test_metrics_from_before_a_retraction_are_called_that(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work")
    run = read_run(place)
    write_summary(run, honest_metrics(run))
    labels = WORLD.labels(retracted=frozenset({WORLD.labels().identities[0]}))
    made = report(after, before, labels={("fiction", 1): replace(labels, accepts=frozenset({labels.digest}))})
    assert "counts people who were taken out since: bench score writes it again" in found(made, "metrics")
    assert "taken out of the split since this ran" in found(made, "current", Severity.WARN)


def edited(value: Any) -> Any:
    """Something else of the same type, as somebody would put it who wants to look a little better."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + (1 if isinstance(value, int) else 0.001)
    return f"{value}." if isinstance(value, str) else 0.5


def places_of(value: Any, *way: Any) -> list[tuple[Any, ...]]:
    """The ways to every number, text and gap in nested values."""
    if isinstance(value, (dict, list)) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [place for key, item in pairs for place in places_of(item, *way, key)]
    return [way]


def test_whatever_metrics_state_is_held_against_the_scores(tmp_path: Path) -> None:
    """Values, intervals, p, thresholds, counts: each edited by itself is pointed out."""
    run = read_run(submit(tmp_path / "sent", tmp_path / "work"))
    true = honest_metrics(run)
    honest = json.loads(true.model_dump_json())
    kept = {("summary_version",), ("blind",), ("groups",), ("marks",)}
    ways = [way for way in places_of(honest) if way not in kept]
    assert len(ways) > 30
    assert contradiction(true, true) == ""
    for way in ways:
        changed = copy.deepcopy(honest)
        inside = changed
        for key in way[:-1]:
            inside = inside[key]
        inside[way[-1]] = "none" if way[-1] == "reason" else edited(inside[way[-1]])
        shown = way[-1] if isinstance(way[-1], str) else way[-2]
        reason = contradiction(Summary.model_validate_json(json.dumps(changed)), true)
        assert re.search(f"says .*{shown}|another record", reason), way
    shorter = contradiction(true.model_copy(update={"bins": ()}), true)
    assert shorter.startswith("says bins (how many) 0, and the scores have")


@pytest.mark.parametrize("name", ["auc", "p_chance", "decision", "macro_auc"])
def test_an_edited_number_is_pointed_out_by_the_checks(name: str, after: Path, before: Path, tmp_path: Path) -> None:
    run = read_run(submit(after, tmp_path / "work"))
    honest = json.loads(honest_metrics(run).model_dump_json())
    *_, last = places_of(honest[name], name)
    inside = honest
    for key in last[:-1]:
        inside = inside[key]
    inside[last[-1]] = edited(inside[last[-1]])
    write_summary(run, Summary.model_validate_json(json.dumps(honest)))
    assert f"metrics.json says {name}" in found(report(after, before), "metrics")


def test_a_comparison_with_a_blind_attack_is_held_against_its_record(before: Path, after: Path, tmp_path: Path) -> None:
    run = read_run(submit(after, tmp_path / "work"))
    other = next(run for run in collect([before]).runs if run.record.target.name == "fiction-a")
    stated = compared("mild", labelled(run, "test"), labelled(other, "test"))
    assert stated is not None
    write_summary(run, honest_metrics(run, stated))
    assert outcomes(report(after, before))["metrics"] == "pass"
    write_summary(run, honest_metrics(run, stated.model_copy(update={"p": stated.p / 2})))
    assert "says p" in found(report(after, before), "metrics")
    write_summary(run, honest_metrics(run, stated.model_copy(update={"difference": stated.difference + 0.01})))
    assert "says a difference of" in found(report(after, before), "metrics")
    write_summary(run, honest_metrics(run, stated.model_copy(update={"attack": "absent"})))
    made = report(after, before)
    assert "compares with absent" in found(made, "metrics", Severity.WARN)
    assert made.passed


def test_nothing_is_sent_twice_or_copied(before: Path, after: Path, tmp_path: Path) -> None:
    accepted = sorted(before.glob("runs/mild/*"))[0]
    shutil.copytree(accepted, after / RUNS / "mild" / "0123456789abcdef-01234567")
    assert "this very record is there already" in found(report(after, before), "duplicates")
    shutil.rmtree(after / RUNS / "mild" / "0123456789abcdef-01234567")
    scored(after, tmp_path / "work", read_run(accepted).scores().scores, "keen")
    assert "byte for byte, those of another method" in found(report(after, before), "duplicates")


def test_scores_of_another_method_are_known_in_another_file_and_on_another_scale(
    before: Path, after: Path, tmp_path: Path
) -> None:
    accepted = next(p for p in before.glob("runs/mild/*") if read_run(p).record.target.name == "fiction-a")
    scores = read_run(accepted).scores().scores
    place = scored(after, tmp_path / "work", scores, "keen")
    table = pq.read_table(place / "scores.parquet").replace_schema_metadata(None)
    columns(place, score=table["score"].to_pylist())
    assert "number for number, those of another method: mild/" in found(report(after, before), "duplicates")
    shutil.rmtree(after / RUNS / "keen")
    scored(after, tmp_path / "work", 3 * scores + 1, "keen")
    made = report(after, before)
    assert "exactly the order of another method: mild/" in found(made, "duplicates", Severity.WARN)


@pytest.mark.parametrize(
    ("disguise", "words"),
    [
        (lambda scores, noise: np.exp(scores / 3) + 1e-3 * noise, "almost exactly the order of another method"),
        (lambda scores, noise: scores + 0.02 * noise, "almost exactly the order of another method"),
        (lambda scores, noise: np.where(np.arange(scores.size) % 5, scores, noise), "80 % of its scores are"),
        (lambda scores, noise: np.where(np.arange(scores.size) % 2, scores, noise), "50 % of its scores are"),
    ],
)
def test_scores_of_another_method_are_known_under_noise(
    disguise: Callable[[Any, Any], Any], words: str, before: Path, after: Path, tmp_path: Path
) -> None:
    own = WORLD.table(0.4, "fiction-a", 0, "mild").scores
    scored(after, tmp_path / "work", disguise(own, np.random.default_rng(3).normal(size=own.size)), "deep")
    assert words in found(report(after, before), "duplicates", Severity.WARN)


def test_methods_that_agree_as_methods_do_are_not_taken_for_copies(before: Path, after: Path, tmp_path: Path) -> None:
    """Of 13,625 pairs of reference records the closest has a rank correlation of 0.993."""
    own = WORLD.table(0.4, "fiction-a", 0, "mild").scores
    scored(after, tmp_path / "work", own + 0.2 * np.random.default_rng(3).normal(size=own.size), "deep")
    assert "another method" not in found(report(after, before), "duplicates", Severity.WARN)


def test_scores_of_another_target_or_seed_are_known(before: Path, after: Path, tmp_path: Path) -> None:
    scored(after, tmp_path / "1", drawn(1.0), "keen", "fiction-a")
    scored(after, tmp_path / "2", drawn(1.0), "keen", "fiction-a", seed=5)
    made = report(after, before)
    assert made.passed, "a method that draws nothing has the same scores with every seed"
    assert "its scores are those of seed" in found(made, "duplicates", Severity.WARN)
    scored(after, tmp_path / "3", drawn(1.0), "keen", "fiction-b")
    assert "that they have on another target" in found(report(after, before), "duplicates")
    scored(after, tmp_path / "4", drawn(0.0), "blind-look", "fiction-a")
    scored(after, tmp_path / "5", drawn(0.0), "blind-look", "fiction-b")
    words = found(report(after, before), "duplicates")
    assert "blind-look" not in words, "who asks nothing answers alike whatever the target"


def test_a_record_does_not_come_from_whom_it_names(before: Path, after: Path, tmp_path: Path) -> None:
    taken = {"methods": {"cosine": "idbench 0.1.0"}}
    rewrite(submit(after, tmp_path / "work"), lambda r: of_attack(r, name="superb", distribution="idbench 0.1.0"))
    assert "from idbench 0.1.0, and there is no method superb in that here" in found(
        report(after, before, **taken), "names"
    )
    shutil.rmtree(after / RUNS / "superb")
    rewrite(submit(after, tmp_path / "work"), lambda r: of_attack(r, name="superb", distribution="ldbench 0.1.0"))
    assert "the distribution ldbench 0.1.0 looks like idbench" in found(report(after, before, **taken), "names")
    shutil.rmtree(after / RUNS / "superb")
    rewrite(submit(after, tmp_path / "work"), lambda r: of_attack(r, name="cosine", distribution="idbench 0.1.0"))
    made = report(after, before, **taken, codes={"cosine": "5" * 64})
    assert "its code is not that of cosine as installed here" in found(made, "names", Severity.WARN)


def test_other_code_under_a_name_and_release_that_are_there_is_pointed_out(
    before: Path, after: Path, tmp_path: Path
) -> None:
    place = submit(after, tmp_path / "work", "deep")
    rewrite(place, lambda record: of_attack(record, name="mild", code_sha256="a" * 64))
    words = "its code is not that of other records of mild from fiction 1.0"
    assert words in found(report(after, before), "names", Severity.WARN)


def test_one_code_has_one_card(before: Path, after: Path, tmp_path: Path) -> None:
    submit(after, tmp_path / "work", "keen", "fiction-a")
    rewrite(submit(after, tmp_path / "work", "keen", "fiction-b"), lambda r: of_attack(r, title="Better than all"))
    assert "is not that of another record of the same code" in found(report(after, before), "names")


def test_a_repetition_does_not_bring_a_card_of_its_own(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work", "mild", "fiction-a", peak_memory_mb=9.0)
    rewrite(place, lambda record: of_attack(record, url="https://example.com/mine"))
    assert "card is not that of another record of the same code" in found(report(after, before), "names")


def test_what_accepted_records_say_of_the_weights_is_not_contradicted(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    submit(before, tmp_path / "work", "mild", "fiction-a-wide")
    shutil.copytree(before, after)
    place = submit(after, tmp_path / "work", "keen", "fiction-a-wide")
    assert "contradict" not in found(report(after, before), "duplicates")
    rewrite(place, lambda r: r.model_copy(update={"target": r.target.model_copy(update={"corpus": "fiction-b"})}))
    assert "contradict each other about what" in found(report(after, before), "duplicates")


@pytest.mark.parametrize("name", ["mild2", "mild-v2", "the-mild", "milld", "midl", "mold"])
def test_names_that_are_built_on_others_are_pointed_out(name: str, before: Path, after: Path, tmp_path: Path) -> None:
    rewrite(submit(after, tmp_path / "work"), lambda r: of_attack(r, name=name, distribution="stranger 1.0"))
    made = report(after, before)
    assert made.passed, made.failures
    assert f"the name {name} is easily taken for mild" in found(made, "names", Severity.WARN)


def test_a_repetition_is_welcome_and_a_contradiction_is_not(before: Path, after: Path, tmp_path: Path) -> None:
    accepted = read_run(next(p for p in before.glob("runs/mild/*") if read_run(p).record.target.name == "fiction-a"))
    scores = accepted.scores().scores
    noise = np.random.default_rng(0).normal(size=scores.size)
    scored(after, tmp_path / "1", scores + 1e-7 * noise, "mild")
    made = report(after, before)
    assert found(made, "duplicates") == ""
    assert "counts as a repetition" in found(made, "duplicates", Severity.WARN)
    scored(after, tmp_path / "2", noise, "mild")
    assert "contradict each other" in found(report(after, before), "duplicates")


def members() -> Any:
    return WORLD.labels().corpora["fiction-a"].member


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (lambda: members().astype(float), "its scores are the labels of fiction-a"),
        (lambda: -3.0 * members(), "its scores are the labels of fiction-a"),
        (lambda: np.full(N, 0.25), "everybody has the same score"),
        (
            lambda: members() + np.random.default_rng(1).uniform(0, 0.9, N),
            "it tells all 60 members of fiction-a from all 60 others",
        ),
    ],
)
def test_scores_that_no_method_gives(
    scores: Callable[[], Any], words: str, before: Path, after: Path, tmp_path: Path
) -> None:
    scored(after, tmp_path / "work", scores())
    assert words in found(report(after, before), "plausibility")


def drawn(strength: float, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=N) + strength * members()


def test_what_reads_something_else_than_the_target(before: Path, after: Path, tmp_path: Path) -> None:
    scored(after, tmp_path / "work", drawn(1.5), "keen", "fiction-a")
    scored(after, tmp_path / "work", drawn(1.0, seed=1), "keen", "fiction-0")
    made = report(after, before)
    assert "on the control, which saw nobody" in found(made, "plausibility")
    shutil.rmtree(after / RUNS / "keen")
    scored(after, tmp_path / "other", drawn(1.5), "blind-look", "fiction-a")
    assert "it asks the target nothing and has AUC" in found(report(after, before), "plausibility")


def test_who_asks_the_target_counts_queries(before: Path, after: Path, tmp_path: Path) -> None:
    none = Queries(texts=0, images=0, pairs=0, gradients=0, training_steps=0)
    scored(after, tmp_path / "work", drawn(3.0), "keen", queries=none)
    assert "it counts no query of the target and has AUC" in found(report(after, before), "plausibility")
    shutil.rmtree(after / RUNS / "keen")
    few = none.model_copy(update={"texts": 2, "pairs": N})
    scored(after, tmp_path / "few", drawn(3.0), "keen", queries=few)
    made = report(after, before)
    people = int(WORLD.labels().test.sum())
    words = f"it counts 2 queries of the target about {people} people and has AUC"
    assert words in found(made, "plausibility", Severity.WARN)
    assert made.passed  # a method may know how


def test_maintainers_are_told_where_to_look(before: Path, after: Path, tmp_path: Path) -> None:
    scored(after, tmp_path / "work", drawn(3.0), "keen")
    words = found(report(after, before), "plausibility", Severity.WARN)
    assert "far beyond the strongest known on this target" in words
    assert "it was not run on the control target" in words


def test_older_versions_and_withdrawn_records_are_refused(before: Path, after: Path, tmp_path: Path) -> None:
    place = submit(after, tmp_path / "work")
    labels = {("fiction", 1): WORLD.labels(), ("fiction", 2): WORLD.labels(version=2)}
    assert "is at version 2 now" in found(report(after, before, labels=labels), "current")
    withdrawn = Statements((invalidation(read_run(place), "drawn by hand"),))
    assert "it was invalidated by the tests" in found(report(after, before, statements=withdrawn), "admission")
    target = known().targets
    unregistered = tuple(replace(each, name=f"{each.name}-x", sha256=None) for each in target)
    assert "is not registered" in found(report(after, before, targets=unregistered), "current", Severity.WARN)


def test_names_that_look_alike() -> None:
    others = ["tuni", "shadow-classifier", "rmia", "cosine"]
    for name in ("tun1", "tun\u0456", "\uff34\uff35\uff2e\uff29", "t-u-n-i", "shadowclassifier", "rrnia", "c0sine"):
        assert looks_like(name, others), name
    for name in (*others, "lira", "idia", "tuner", "cosine-of-names", *METHODS):
        assert looks_like(name, others) is None, name
    for name in ("lira", "rmia", "tuner", "cost", "idia", "shadow"):
        assert close_to(name, others) is None, name


def run_git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_is_compared_with_where_it_left_the_branch(before: Path, tmp_path: Path) -> None:
    run_git(before, "init", "-q")
    run_git(before, "add", ".")
    run_git(before, "commit", "-qm", "accepted")
    run_git(before, "checkout", "-qb", "mine")
    submit(before, tmp_path / "work", "keen")
    run_git(before, "add", ".")
    run_git(before, "commit", "-qm", "proposed")
    run_git(before, "checkout", "-q", "main")
    other = submit(before, tmp_path / "work", "deep")  # somebody else's, accepted meanwhile
    run_git(before, "add", ".")
    run_git(before, "commit", "-qm", "accepted meanwhile")
    run_git(before, "checkout", "-q", "mine")
    with open_proposal(str(before), "main") as proposal:
        gathered = gather_records(proposal)
        assert [each.where.partition("/")[0] for each in gathered.proposed] == ["keen"]
        assert proposal.removed == ()
        assert other.name in {Path(each.where).name for each in gathered.accepted}
        assert check(proposal, gathered, known()).passed
    for base in ("nowhere", "--output=x", str(before)):
        with (
            pytest.raises(IdbenchError, match=r"neither a folder nor a revision|compared with itself"),
            open_proposal(str(before), base),
        ):
            pass


def test_the_command(bench: Any, tmp_path: Path) -> None:
    from tests.app.fictional import write_about

    from idbench.api import Silent
    from idbench.splits import load_split

    write_about(load_split("avatars-tiny", Silent()), tmp_path / "results")
    (random,) = (tmp_path / "results").rglob("random-*")
    assert "belongs to idbench, and this one comes from fiction" in bench("leaderboard", "check", "results").stdout
    shutil.rmtree(random)
    done = bench("leaderboard", "check", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed" in done.stdout
    for file in (tmp_path / "results").rglob("scores.parquet"):
        file.write_bytes(b"PAR1")
    done = bench("leaderboard", "check", "results", "--json")
    assert done.returncode == 1
    assert '"passed": false' in done.stdout
    assert "Traceback" not in done.stderr
    assert "is not a folder" in refused(bench("leaderboard", "check", "nowhere"))
