"""Runs behind a defense before the training: a target of seconds is trained again in a worker, once, and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.small_runs import CORPUS, FORKS

from idbench.api import MethodError, Silent, TargetError
from idbench.results import Run, expected_run_id
from idbench.runner.checking import check_method, small_target
from idbench.runner.checkpoint import write_checkpoint
from idbench.runner.defend import defend
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid
from idbench.runner.process import WorkerOptions
from idbench.runner.protection import protected_people
from idbench.runner.registry import load_attack
from idbench.runner.spec import Resolver, RunSpec, plan_defense, plan_method, split_spec
from idbench.splits import load_split


def planned(defense: str, attack: str = "cosine", **params: Any) -> RunSpec:
    split = load_split("avatars-tiny")
    behind = plan_defense(defense, None, params)
    return RunSpec(
        split=split_spec(split),
        target=small_target(Silent()),
        attack=plan_method(load_attack(attack)),
        defense=behind.spec(split, protected_people(split, 0), 0, Silent()),
        seed=0,
        corpus=CORPUS,
    )


def carried_out(spec: RunSpec, results: Path) -> Run:
    return execute(Resolver(Silent()).resolve(spec), Options(results, forks=FORKS), Silent()).run


def test_a_target_is_trained_again_once_and_the_record_says_so(tmp_path: Path) -> None:
    runs = [carried_out(planned("drop-people", attack), tmp_path) for attack in ("cosine", "idia")]
    record = runs[0].record
    assert record.defense is not None
    assert record.defense.track == "corpus"
    assert record.defense.knowledge == ("NAME", "TRAINING_SET")
    assert record.defense.weights_sha256 not in (None, record.target.sha256)
    assert record.defense.cost is not None
    assert record.defense.cost.steps > 0
    assert record.defense.cost == (runs[1].record.defense and runs[1].record.defense.cost)  # trained once
    assert record.defense.utility
    assert expected_run_id(record) == record.run_id
    again = carried_out(planned("cap-pictures", pairs=0), tmp_path)  # the same pairs, by another way
    assert again.record.defense is not None
    assert again.record.defense.weights_sha256 == record.defense.weights_sha256
    other = again.scores()
    one = dict(zip(*(runs[0].scores().identities, runs[0].scores().scores), strict=True))
    np.testing.assert_array_equal([one[name] for name in other.identities], other.scores)


def test_the_guarantee_is_in_the_record(tmp_path: Path) -> None:
    defense = carried_out(planned("dp-clip", epsilon=10.0), tmp_path).record.defense
    assert defense is not None
    pair, person = defense.guarantees
    assert pair.epsilon == pytest.approx(10.0, rel=1e-6)
    assert (person.unit, person.pairs) == ("person", 75)


def test_a_checkpoint_of_a_target_that_was_trained_again_loads_and_states_the_guarantees(tmp_path: Path) -> None:
    import open_clip

    resolved = Resolver(Silent()).resolve(planned("dp-clip", epsilon=10.0))
    assert resolved.applying is not None
    base, out = resolved.spec.target, tmp_path / "safe"
    spec = defend(base, resolved.applying, WorkerOptions("cpu", None, Silent(), tmp_path / "log", FORKS.asking))
    write_checkpoint(resolved.applying, base, spec, out, tmp_path / "names.csv")
    card = (out / "README.md").read_text()
    assert "privacy: epsilon 10 at delta 1e-05 when one pair may be others" in card
    assert "when all pairs of a person, 75 at most, may be others" in card
    assert open_clip.create_model(f"local-dir:{out}") is not None


def test_a_run_depends_on_the_defenses_parameters() -> None:
    specs = [planned("cap-pictures"), planned("cap-pictures", pairs=4), planned("drop-people")]
    assert len({spec.run_id for spec in specs}) == 3


def test_what_cannot_be_trained_again_is_refused_before_anything_runs(tmp_path: Path) -> None:
    split = load_split("avatars-tiny")
    weights = tmp_path / "w.safetensors"
    from idbench.targets import resolve_target
    from idbench.targets.fetch import fetch_target

    weights.write_bytes(fetch_target(resolve_target("avatars-a")).weights.read_bytes())
    with pytest.raises(TargetError, match=r"cannot be trained again: the recipe .* is not known"):
        make_grid(
            split,
            ["cosine"],
            f"file:{weights}?like=avatars-a",
            corpus=CORPUS,
            defenses=[plan_defense("drop-people")],
        )


def test_another_build_of_the_training_set_is_refused(tmp_path: Path) -> None:
    spec = planned("drop-people")
    other = spec.model_copy(update={"target": spec.target.model_copy(update={"corpus_digest": "0" * 64})})
    with pytest.raises(TargetError, match="was trained on another build of avatars-tiny-a"):
        carried_out(other, tmp_path)


def test_a_name_that_is_in_no_caption_changes_nothing_and_too_many_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="more than the 1 that the guarantee is for"):
        carried_out(planned("dp-clip", pairs_per_person=1), tmp_path)


def test_a_defense_before_the_training_is_checked_in_a_world_of_seconds() -> None:
    states = {check.what: check.state for check in check_method("drop-names", 120.0, Silent())}
    assert states == dict.fromkeys(("import", "parameters", "run", "bystanders", "same seed, same scores"), "ok")
