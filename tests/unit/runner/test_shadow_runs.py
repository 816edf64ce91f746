"""Attacks on shadow models as runs: the cost in the record, the cache, and what a run that cannot be says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.small_runs import CORPUS, FORKS

from idbench.api import Silent
from idbench.errors import DataError, TargetError
from idbench.results import Run, RunRecord, read_run
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, specs
from idbench.runner.spec import ResolvedRun, Resolver
from idbench.splits import load_split

QUICK = {"shadows": 4, "epochs": 0.1}  # two epochs of one step each


def resolved(method: str, **params: object) -> ResolvedRun:
    grid = make_grid(load_split("avatars-tiny"), [method], "avatars-a", corpus=CORPUS, params=QUICK | params)
    (spec,) = specs(grid)
    return Resolver(Silent()).resolve(spec)


def run(method: str, results: Path, **params: object) -> Run:
    return execute(resolved(method, **params), Options(results, time_limit=200, force=True, forks=FORKS), Silent()).run


def test_the_record_says_what_the_shadows_cost_from_nothing_and_this_time(tmp_path: Path) -> None:
    first = run("lira", tmp_path).record
    assert first.shadows is not None
    assert (first.shadows.count, first.shadows.trained) == (4, 4)
    assert first.shadows.steps == first.shadows.trained_steps == first.queries.training_steps == 4 * 2
    assert first.shadows.seconds > 0
    assert first.attack.track == "shadow"
    assert "AUXILIARY_PEOPLE" in first.attack.knowledge
    # Another method with the same shadows trains nothing, and counts the same steps.
    done = run("shadow-classifier", tmp_path)
    second = read_run(done.path).record
    assert second.shadows is not None
    assert (second.shadows.count, second.shadows.trained, second.shadows.trained_steps) == (4, 0, 0)
    assert second.shadows.steps == second.queries.training_steps == 8
    assert second.shadows.seconds == first.shadows.seconds
    assert done.scores().scores.size == second.n_cases == 72


def test_records_without_shadows_stay_what_they_were(tmp_path: Path) -> None:
    done = run_of("random", tmp_path)
    assert done.record.shadows is None
    assert done.record.queries.training_steps == 0
    older = json.loads((done.path / "run.json").read_text())
    del older["shadows"]  # as written before there were any
    assert RunRecord.model_validate(older) == done.record


def run_of(method: str, results: Path) -> Run:
    (spec,) = specs(make_grid(load_split("avatars-tiny"), [method], "avatars-a", corpus=CORPUS))
    return execute(Resolver(Silent()).resolve(spec), Options(results, forks=FORKS), Silent()).run


def test_a_target_without_recipe_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = resolved("rmia")
    unknown = run.spec.target.model_copy(update={"recipe": None})
    changed = replace(run, spec=run.spec.model_copy(update={"target": unknown}))
    with pytest.raises(TargetError, match="avatars-a comes without the recipe"):
        execute(changed, Options(tmp_path, forks=FORKS), Silent())


def test_a_split_without_auxiliary_people_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = resolved("rmia")
    named = run.split.manifest.model_copy(update={"name": "elsewhere"})
    monkeypatch.setattr(run.split, "manifest", named)
    with pytest.raises(DataError, match="elsewhere has no auxiliary people"):
        execute(run, Options(tmp_path, forks=FORKS), Silent())
