"""Grids of runs: one that fails keeps no other from its own; what cannot be pooled is not, and is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.small_runs import CORPUS, FORKS

from idbench.api import Progress, Silent
from idbench.errors import IdbenchError, StorageError, TargetError
from idbench.results import RunRecord
from idbench.runner import grid as module
from idbench.runner.execute import Executed, Options
from idbench.runner.executor import Failed, LocalExecutor, Task
from idbench.runner.grid import Outcome, make_grid, named_refusals, run_grid, specs, unable
from idbench.runner.pooling import pool, unpooled
from idbench.runner.registry import RegisteredAttack, load_attack
from idbench.runner.spec import Resolver, plan_defense, split_spec
from idbench.splits import Split, load_split
from idbench.targets.fetch import packaged_file

SHADOW_ATTACKS = {"lira", "rmia", "shadow-classifier"}


@pytest.fixture
def split() -> Split:
    return load_split("avatars-tiny")


class Failing:
    """Carries runs out here, but for those of one method, which fail with an error of the test's."""

    def __init__(self, split: Split, method: str, error: Exception) -> None:
        self._local = LocalExecutor(Resolver(Silent(), {split_spec(split).source: split}))
        self._method, self._error = method, error

    def run(self, tasks: Iterable[Task], options: Options, progress: Progress) -> Iterator[Executed | Failed]:
        for task in tasks:
            if task.spec.attack.name == self._method:
                if isinstance(self._error, StorageError):
                    raise self._error
                assert isinstance(self._error, IdbenchError)
                yield Failed(task.spec, self._error)
            else:
                yield from self._local.run([task], options, progress)


@pytest.fixture(autouse=True)
def no_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compared with blind attacks here, to save their time."""
    monkeypatch.setattr(module, "blind_attacks", list)


def outcomes(split: Split, tmp_path: Path, *methods: str) -> list[Outcome]:
    grid = make_grid(split, methods, "avatars-a,avatars-b", corpus=CORPUS)
    return list(run_grid(grid, Options(tmp_path, forks=FORKS), Silent()))


def test_a_run_that_fails_keeps_no_other_from_its_own(split: Split, tmp_path: Path) -> None:
    failing = Failing(split, "idia", TargetError("No such device.", hint="Use another."))
    grid = make_grid(split, ["idia", "random"], "avatars-a,avatars-b", corpus=CORPUS)
    found: list[RunRecord] = []
    carried_out = (outcome.run.record for outcome in run_grid(grid, Options(tmp_path, forks=FORKS), Silent(), failing))
    with pytest.raises(IdbenchError, match=r"^2 of 4 runs failed\. idia on avatars-a: No such device\.") as caught:
        found.extend(carried_out)
    assert [(r.attack.name, r.target.name) for r in found] == [("random", "avatars-a"), ("random", "avatars-b")]
    assert "idia on avatars-b" in caught.value.message
    assert caught.value.hint == "Use another."


def test_a_single_run_fails_with_its_own_error(split: Split, tmp_path: Path) -> None:
    error = TargetError("No such device.", hint="Use another.")
    grid = make_grid(split, ["idia"], "avatars-a", corpus=CORPUS)
    with pytest.raises(TargetError) as caught:
        list(run_grid(grid, Options(tmp_path, forks=FORKS), Silent(), Failing(split, "idia", error)))
    assert caught.value is error


def test_a_full_disk_ends_the_grid(split: Split, tmp_path: Path) -> None:
    full = Failing(split, "idia", StorageError("No space left."))
    grid = make_grid(split, ["idia", "random"], "avatars-a", corpus=CORPUS)
    with pytest.raises(StorageError, match="No space left"):
        list(run_grid(grid, Options(tmp_path, forks=FORKS), Silent(), full))
    assert not list(tmp_path.rglob("run.json"))


def test_all_leaves_out_what_cannot_run(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ["cosine", "random", *sorted(SHADOW_ATTACKS)]
    assert unable(split, "avatars-a", methods) == {}
    reference = f"file:{packaged_file('avatars-a.safetensors')}?like=avatars-a&name=elsewhere&corpus={CORPUS}"
    unknown = unable(split, f"avatars-a,{reference}", methods)
    assert unknown.keys() == SHADOW_ATTACKS
    assert "the recipe that elsewhere was trained by is not known" in unknown["lira"]
    monkeypatch.setattr(split, "manifest", split.manifest.model_copy(update={"name": "lonely"}))
    assert unable(split, "avatars-a", methods) == dict.fromkeys(SHADOW_ATTACKS, "lonely has no auxiliary people")


def test_attacks_are_not_looked_up_again_for_every_run(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup reads what every installed distribution registers: for each run of a large grid, that takes minutes."""
    attacks, defenses = ["cosine", "idia", "random", "tuni"], [None, plan_defense("round"), plan_defense("noise")]
    grid = make_grid(split, attacks, "avatars-a,avatars-b", corpus=CORPUS, defenses=defenses)
    looked_up: list[str] = []

    def load(name: str) -> RegisteredAttack:
        looked_up.append(name)
        return load_attack(name)

    monkeypatch.setattr(module, "load_attack", load)
    assert grid.size == len(list(specs(grid))) == 20
    assert ("tuni", "behind noise, which answers no GRADIENT") in named_refusals(grid)
    assert len(looked_up) <= len(attacks)


def test_a_target_of_another_build_of_its_corpus_is_refused(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt = split.manifest.model_copy(update={"training": {CORPUS: "1" * 64}})
    monkeypatch.setattr(split, "manifest", rebuilt)
    reference = f"file:{packaged_file('avatars-a.safetensors')}?like=avatars-a&corpus={CORPUS}&digest="
    with pytest.raises(TargetError, match="another build") as caught:
        make_grid(split, ["random"], reference + "0" * 64)
    assert "bench target train" not in caught.value.hint  # that is for registered targets
    assert make_grid(split, ["random"], reference + "1" * 64).targets[0][0].corpus == CORPUS


def test_labels_of_another_corpus_are_not_pooled_with_a_targets_own(split: Split, tmp_path: Path) -> None:
    """On them an attack turns around: the mean would be chance, whatever the attack can do."""
    found = outcomes(split, tmp_path, "random")
    assert [p.targets for p in pool(split, found)] == [("avatars-a", "avatars-b")]
    assert pool(split, [found[0], trained_on(found[1], "avatars-tiny-b")]) == []
    assert unpooled(split, [found[0], trained_on(found[1], "avatars-tiny-b")]) == []


def test_targets_with_different_numbers_of_members_are_named(split: Split, tmp_path: Path) -> None:
    first, second = outcomes(split, tmp_path, "random")
    assert unpooled(split, [first, second]) == []
    other = replace(second, summary=second.summary.model_copy(update={"n_members": 7}))
    assert pool(split, [first, other]) == []
    assert unpooled(split, [first, other]) == ["random"]


def trained_on(outcome: Outcome, corpus: str) -> Outcome:
    def changed(model: Any, **update: Any) -> Any:
        return model.model_copy(update=update)

    record = outcome.run.record
    return replace(
        outcome, run=replace(outcome.run, record=changed(record, target=changed(record.target, corpus=corpus)))
    )
