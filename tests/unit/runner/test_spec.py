"""Runs as plain data: they survive JSON, mean the same elsewhere, and are refused where they would not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field, ValidationError
from tests.small_runs import CORPUS, FORKS

from idbench.api import (
    Access,
    Attack,
    Case,
    Context,
    Knowledge,
    MethodCard,
    MethodParams,
    Scores,
    Silent,
    TargetView,
)
from idbench.errors import DataError, IdbenchError, MethodError, StorageError, UnknownNameError
from idbench.plugins import Plugin
from idbench.results import expected_run_id
from idbench.runner.execute import Options, execute
from idbench.runner.executor import Failed, LocalExecutor, Task
from idbench.runner.grid import make_grid, specs
from idbench.runner.registry import RegisteredAttack, load_attack, make_method, with_parameters
from idbench.runner.spec import DefenseSpec, MethodSpec, Resolver, RunSpec, plan_method, read_plan, write_plan
from idbench.splits import load_split


def spec_of(method: str = "random", **given: Any) -> RunSpec:
    split = load_split("avatars-tiny")
    (spec,) = specs(make_grid(split, [method], "avatars-a", corpus=CORPUS, **given))
    return spec


def changed(spec: RunSpec, part: str, **update: object) -> RunSpec:
    return spec.model_copy(update={part: getattr(spec, part).model_copy(update=update)})


@pytest.mark.parametrize("method", ["random", "blind-names", "idia", "lira"])
def test_a_spec_survives_json_and_another_process(method: str) -> None:
    spec = spec_of(method)
    text = spec.model_dump_json()
    assert RunSpec.model_validate_json(text) == spec
    code = "import sys; from idbench.runner.spec import RunSpec; spec = RunSpec.model_validate_json(sys.stdin.read()); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(spec.run_id); assert 'torch' not in sys.modules"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == spec.run_id


def test_the_record_of_a_run_says_the_same_as_its_spec(tmp_path: Path) -> None:
    spec = spec_of("blind-names", params={"longest": "3"})
    record = execute(Resolver(Silent()).resolve(spec), Options(tmp_path, forks=FORKS), Silent()).run.record
    assert record.run_id == spec.run_id == expected_run_id(record)
    assert record.calibration_corpus == CORPUS
    assert record.parameters == {"shortest": 1, "longest": 3, "strength": 1.0}
    assert record.parameters_passed is not None
    assert record.parameters_passed.overrides == {"longest": 3}
    card = record.attack.card
    assert card is not None
    assert (card.name, card.title) == ("blind-names", load_attack("blind-names").card.title)
    assert [(p.name, p.default) for p in card.parameters] == [("shortest", 1), ("longest", 4), ("strength", 1.0)]


def test_what_scores_depend_on_changes_the_id_and_nothing_else_does() -> None:
    spec = spec_of()
    passed = spec.attack.passed.model_copy(update={"overrides": {"x": 1}})
    same = [
        spec.model_copy(update={"corpus": "avatars-tiny-b"}),  # `random` is given no labels
        changed(spec, "attack", passed=passed),
        changed(spec, "attack", distribution="elsewhere 2"),
        changed(spec, "split", source="/somewhere/else"),
        changed(spec, "target", title="Another title"),
    ]
    assert {each.run_id for each in same} == {spec.run_id}
    other = [
        spec.model_copy(update={"seed": 1}),
        spec.model_copy(update={"engine": spec.engine + 1}),
        changed(spec, "attack", version="9"),
        changed(spec, "attack", code_sha256="0" * 64),
        changed(spec, "attack", parameters={"x": 1}),
        changed(spec, "split", digest="0" * 64),
        changed(spec, "target", sha256="0" * 64),
        changed(spec, "target", quick_gelu=True),
    ]
    ids = [each.run_id for each in other]
    assert len({spec.run_id, *ids}) == 1 + len(ids)
    learned = spec_of("blind-names")
    assert learned.model_copy(update={"corpus": "avatars-tiny-b"}).run_id != learned.run_id


@pytest.mark.parametrize(
    ("part", "update", "error", "message"),
    [
        ("split", {"digest": "0" * 64}, DataError, "has other content here"),
        ("split", {"source": "/no/such/folder"}, IdbenchError, "no split"),
        ("attack", {"name": "nobody", "plugin": "x:Y"}, IdbenchError, "nobody"),
        ("attack", {"plugin": "idbench_methods.attacks.idia:Idia"}, MethodError, "in the plan"),
        ("attack", {"code_sha256": "0" * 64}, MethodError, "its code_sha256 differs"),
        ("attack", {"version": "9"}, MethodError, "its version differs"),
    ],
)
def test_a_spec_that_means_something_else_here_is_refused(
    part: str, update: dict[str, object], error: type[IdbenchError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Resolver(Silent()).resolve(changed(spec_of(), part, **update))


def test_a_spec_of_another_engine_is_refused() -> None:
    spec = spec_of()
    with pytest.raises(MethodError, match="planned with version 1 of the engine"):
        Resolver(Silent()).resolve(spec.model_copy(update={"engine": 1}))


def test_a_spec_whose_defense_is_not_installed_here_is_refused_before_anything_runs() -> None:
    spec = spec_of()
    defense = DefenseSpec(**spec.attack.model_dump() | {"name": "nowhere"}, seed=0, given_sha256="0" * 64)
    with pytest.raises(UnknownNameError, match="no defense called 'nowhere'"):
        Resolver(Silent()).resolve(spec.model_copy(update={"defense": defense}))


def test_what_was_passed_is_kept_apart_from_all_parameters() -> None:
    method: MethodSpec = plan_method(load_attack("tuni"), None, {"runs": "3"})
    assert method.passed.overrides == {"runs": 3}
    assert method.passed.preset is None
    assert method.parameters["runs"] == 3
    assert len(method.parameters) > 5


class TextParams(MethodParams):
    prompt: str = Field(default="{}", description="a text")
    sizes: tuple[int, ...] = Field(default=(1,), description="numbers")


class Texts(Attack[TextParams]):
    card = MethodCard(name="texts", version="1", title="Texts", access=Access.NONE, knowledge=Knowledge.NONE)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        return Scores(np.zeros(len(cases)))


@pytest.mark.parametrize("typed", ["{}", "3", "true", "null", "[1]", '"quoted"', "a photo of {}"])
def test_a_text_is_taken_as_it_was_typed(typed: str) -> None:
    registered = RegisteredAttack(Plugin("texts", f"{__name__}:Texts", "tests 1"), Texts)
    assert make_method(registered, None, {"prompt": typed}).params.prompt == (typed.strip('"'))
    assert with_parameters(registered, {"prompt": typed}).params.prompt == typed
    made = make_method(registered, None, {"prompt": typed, "sizes": "[2, 3]"})
    assert made.params.sizes == (2, 3)


def test_a_plan_is_written_and_read_and_each_run_is_in_it_once(tmp_path: Path) -> None:
    first, second = spec_of(), spec_of("blind-names")
    path = tmp_path / "plan.json"
    assert write_plan(path, [first, second, first]) == 2
    assert read_plan(path) == [first, second]
    assert read_plan(path, [second.run_id[:6]]) == [second]
    with pytest.raises(IdbenchError, match="means none of the runs"):
        read_plan(path, ["zz"])
    with pytest.raises(IdbenchError, match="means none of the runs"):
        read_plan(path, [""])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a plan"),
        (b"{}", "is not a plan"),
        (b'{"schema_version": 2, "runs": []}', "is not a plan"),
        (b'{"schema_version": 1, "runs": [{"seed": -1}]}', "is not a plan"),
        (b"\xff\xfe", "is not a plan"),
        (b"[" * 20_000, "is not a plan"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(IdbenchError, match=message):
        read_plan(path)


def test_a_plan_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(StorageError):
            read_plan(path)


def test_seeds_have_bounds() -> None:
    spec = spec_of()
    for seed in (-1, 2**63):
        with pytest.raises(ValidationError):
            RunSpec.model_validate({**spec.model_dump(), "seed": seed})


def test_an_error_that_is_not_ours_ends_one_run_and_not_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, fine = spec_of("blind-names"), spec_of()
    resolver = Resolver(Silent())
    resolve = Resolver.resolve

    def some(self: Resolver, spec: RunSpec) -> Any:
        if spec == broken:
            raise ZeroDivisionError("in somebody's code")
        return resolve(self, spec)

    monkeypatch.setattr(Resolver, "resolve", some)
    first, second = LocalExecutor(resolver).run([Task(broken), Task(fine)], Options(tmp_path, forks=FORKS), Silent())
    assert isinstance(first, Failed)
    assert "ZeroDivisionError in some: in somebody's code" in first.error.message
    assert not isinstance(second, Failed)
    assert second.run.record.run_id == fine.run_id
