"""Runs behind a defense: what is attacked, what the record says, who is reported apart, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from tests.conftest import Bench, refused
from tests.small_runs import CORPUS, FORKS

from idbench.api import Knowledge, Silent
from idbench.errors import IdbenchError, MethodError, TargetError
from idbench.results import Run, expected_run_id, find_runs
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, run_grid, specs
from idbench.runner.protection import given_sha256, protected_people
from idbench.runner.registry import load_attack
from idbench.runner.selection import check_trained_on
from idbench.runner.spec import Resolver, RunSpec, plan_defense, plan_method, split_spec
from idbench.splits import load_split
from idbench.storage import cache_dir
from idbench.targets import Defended, TargetSpec, resolve_target
from idbench.targets.defended import defended_place
from idbench.targets.fetch import pin_target

TINY = ("--split", "avatars-tiny", "--corpus", CORPUS, "--target", "avatars-a")

pytestmark = pytest.mark.usefixtures("plugins")


def planned(defense: str | None, attack: str = "cosine", seed: int = 0, **params: object) -> RunSpec:
    grid = make_grid(
        load_split("avatars-tiny"),
        [attack],
        "avatars-a",
        [seed],
        CORPUS,
        defenses=[None if defense is None else plan_defense(defense, None, params)],
    )
    (spec,) = specs(grid)
    return spec


def carried_out(spec: RunSpec, results: Path, **options: Any) -> Run:
    return execute(Resolver(Silent()).resolve(spec), Options(results, forks=FORKS, **options), Silent()).run


def defended(spec: RunSpec) -> TargetSpec:
    """The target that a run attacks, on paper."""
    applying = Resolver(Silent()).resolve(spec).applying
    assert applying is not None
    return applying.target(spec.target)


def table(run: Run) -> dict[str, NDArray[np.generic]]:
    """Scores and details by identity; the order of the cases is another one in every run."""
    scores = run.scores()
    order = np.argsort(scores.identities)
    arrays = {"scores": scores.scores, "abstained": scores.abstained, "photos_used": scores.photos_used}
    return {name: values[order] for name, values in (arrays | dict(scores.details)).items()}


def test_a_defense_that_changes_nothing_reproduces_every_score_to_the_last_bit(bench: Bench, tmp_path: Path) -> None:
    for defenses in (("none",), ("sample-identity",)):
        # Nothing that was computed for one target is at hand for the other, although their weights are the same.
        shutil.rmtree(cache_dir("embeddings"), ignore_errors=True)
        asked = [word for name in defenses for word in ("--defense", name)]
        done = bench("run", "-m", "cosine", "-m", "idia", *TINY, *asked)
        assert done.returncode == 0, done.stderr
    runs = {(r.record.attack.name, r.record.defense is not None): r for r in find_runs(tmp_path / "results")}
    for method in ("cosine", "idia"):
        plain, after = runs[method, False], runs[method, True]
        first, second = table(plain), table(after)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert plain.record.queries == after.record.queries
        assert plain.record.target == after.record.target
        assert plain.record.run_id != after.record.run_id
        one, other = plain.summary(), after.summary()
        assert one is not None
        assert other is not None
        assert (one.auc, one.tpr, one.blind) == (other.auc, other.tpr, other.blind)
        assert one.groups == ()
        assert {group.group for group in other.groups} == {"protected", "unprotected"}
    record = runs["cosine", True].record
    assert record.defense is not None
    assert record.defense.weights_sha256 == record.target.sha256
    assert record.defense.cost is not None
    assert expected_run_id(record) == record.run_id
    shown = bench("show", record.run_id)
    assert "sample-identity 1" in shown.stdout, shown.stderr


def test_the_record_says_what_was_applied_to_whom(tmp_path: Path) -> None:
    spec = planned("sample-noise", scale=0.02, seed=3)
    record = carried_out(spec, tmp_path).record
    assert record.defense is not None
    split = load_split("avatars-tiny")
    people = protected_people(split, 3)
    assert record.defense.protected == tuple(sorted(split.identities[i].id for i in people))
    assert record.defense.parameters == {"scale": 0.02}
    assert record.defense.seed == 3
    assert record.defense.knowledge == ("NAME",)
    assert record.defense.lineage == defended(spec).lineage
    assert record.target.name == "avatars-a"
    assert expected_run_id(record) == record.run_id == spec.run_id


def test_what_is_attacked_are_the_defended_weights(tmp_path: Path) -> None:
    plain, after = (table(carried_out(planned(name), tmp_path))["scores"] for name in (None, "sample-noise"))
    assert not np.allclose(plain, after)
    assert np.corrcoef(plain, after)[0, 1] > 0.5  # and not those of some other model


def test_the_defended_target_is_made_once(tmp_path: Path) -> None:
    runs = [carried_out(planned("sample-noise", attack, seed=8), tmp_path) for attack in ("cosine", "idia")]
    costs = [run.record.defense and run.record.defense.cost for run in runs]
    assert costs[0] is not None
    assert costs[0] == costs[1]  # seconds of a second time would differ


def test_a_blind_attack_waits_for_no_defense(tmp_path: Path) -> None:
    spec = planned("sample-hangs-weights", "random")
    record = carried_out(spec, tmp_path, time_limit=60.0).record
    assert record.defense is not None
    assert record.defense.weights_sha256 is None


def test_damaged_weights_are_made_again(tmp_path: Path) -> None:
    spec = planned("sample-noise", seed=1)
    first = table(carried_out(spec, tmp_path / "one"))["scores"]
    weights = defended(spec).weights
    assert isinstance(weights, Defended)
    place = defended_place(weights)
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    assert np.array_equal(table(carried_out(spec, tmp_path / "two"))["scores"], first)


def test_a_run_is_named_by_all_that_the_defense_depends_on() -> None:
    base = planned("sample-noise")
    assert base.defense is not None
    others = [
        planned(None),
        planned("sample-identity"),
        planned("sample-noise", scale=0.03),
        planned("sample-noise", seed=1),
    ]
    changes: list[dict[str, Any]] = [{"version": "2"}, {"code_sha256": "0" * 64}, {"given_sha256": "1" * 64}]
    others += [base.model_copy(update={"defense": base.defense.model_copy(update=change)}) for change in changes]
    ids = {spec.run_id for spec in (base, *others)}
    assert len(ids) == 1 + len(others)
    assert RunSpec.model_validate_json(base.model_dump_json()) == base


def test_a_run_of_a_defense_that_is_another_one_here_is_refused() -> None:
    spec = planned("sample-noise")
    assert spec.defense is not None
    for what, value in (("code_sha256", "0" * 64), ("given_sha256", "0" * 64), ("version", "9")):
        other = spec.model_copy(update={"defense": spec.defense.model_copy(update={what: value})})
        with pytest.raises(MethodError, match=f"sample-noise here is not the one .* its {what} differs"):
            Resolver(Silent()).resolve(other)


def test_what_a_target_is_put_behind_is_said_in_one_place() -> None:
    spec = planned("sample-identity")
    after = defended(spec).model_copy(update={"sha256": "a" * 64})
    method = plan_method(load_attack("cosine"))
    split = load_split("avatars-tiny")
    with pytest.raises(ValidationError, match="is defended already"):
        RunSpec(split=split_spec(split), target=after, attack=method, seed=0, corpus=CORPUS)
    with pytest.raises(ValidationError, match="has the run's seed"):
        RunSpec.model_validate(spec.model_dump() | {"seed": 4})


def test_a_defense_is_given_what_it_declares_and_no_more(tmp_path: Path) -> None:
    """The sample defense writes down what it could see."""
    spec = planned("sample-curious")
    run = carried_out(spec, tmp_path)
    assert run.record.defense is not None
    report = json.loads(next(cache_dir("methods", "sample-curious").rglob("seen.json")).read_text())
    split = load_split("avatars-tiny")
    people = protected_people(split, 0)
    assert sorted(report["names"]) == sorted(split.identities[i].name for i in people)
    assert report["photos"] == report["pairs"] == report["auxiliary"] == "refused"
    assert report["bytes_of_photos"] == 0
    mentioned = [identity.name for identity in split.identities if identity.name in report["request"]]
    assert sorted(mentioned) == sorted(report["names"])
    for identity in split.identities:
        assert identity.id not in report["request"]


@pytest.mark.parametrize(
    ("defense", "says"),
    [
        ("sample-nan-weights", "holds NaN or infinite values"),
        ("sample-raises-weights", "failed during the defense: RuntimeError: no such layer"),
        ("sample-dies-weights", "ended without a result"),
        ("sample-none-weights", "a NoneType is not a mapping"),
        ("sample-short-weights", "1 tensor is missing"),
    ],
)
def test_a_defense_that_fails_costs_one_sentence_and_nothing_else(defense: str, says: str, tmp_path: Path) -> None:
    spec = planned(defense)
    with pytest.raises(IdbenchError, match=says):
        carried_out(spec, tmp_path)
    weights = defended(spec).weights
    assert isinstance(weights, Defended)
    assert not defended_place(weights).exists()
    assert not list(find_runs(tmp_path))
    assert carried_out(planned(None), tmp_path).record.defense is None


def test_a_defense_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(IdbenchError, match="did not finish within 15 seconds"):
        carried_out(planned("sample-hangs-weights"), tmp_path, time_limit=15.0)


def test_a_failed_defense_keeps_no_other_run_from_its_result(tmp_path: Path) -> None:
    split = load_split("avatars-tiny")
    defenses = [plan_defense("sample-raises-weights"), None]
    grid = make_grid(split, ["cosine"], "avatars-a", [0], CORPUS, defenses=defenses)
    found = run_grid(grid, Options(tmp_path, forks=FORKS), Silent())
    outcomes = []
    with pytest.raises(IdbenchError, match=r"1 of 2 runs failed\. cosine on avatars-a behind sample-raises-weights"):
        outcomes.extend(iter(found))
    assert [run.record.defense for run in find_runs(tmp_path) if run.record.attack.name == "cosine"] == [None]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--defense", "sample-identty"), "no defense called 'sample-identty'"),
        (("--defense", "sample-noise", "--defense-param", "scale=-1"), "scale of sample-noise"),
        (("--defense", "sample-noise", "--defense-param", "size=1"), "no parameter of sample-noise called 'size'"),
        (("--defense-param", "scale=1"), "parameters of a defense, but no defense"),
        (("--defense", "none", "--defense-param", "scale=1"), "`none` has no parameters"),
        (("--defense", "sample-gone"), "cannot be imported"),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(
    bench: Bench, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert says.lower() in refused(bench("run", "-m", "cosine", *TINY, *arguments)).lower()
    assert not (tmp_path / "results").exists()


def test_given_depends_on_what_is_declared_alone() -> None:
    split = load_split("avatars-tiny")
    one, other = protected_people(split, 0), protected_people(split, 1)
    assert one != other
    kinds = [Knowledge.NAME, Knowledge.PHOTOS, Knowledge.NAME | Knowledge.PUBLIC_PAIRS, Knowledge.NONE]
    assert len({given_sha256(split, one, k, Silent()) for k in kinds}) == len(kinds)
    assert given_sha256(split, one, Knowledge.NAME, Silent()) != given_sha256(split, other, Knowledge.NAME, Silent())
    same = given_sha256(split, one, Knowledge.NONE, Silent()), given_sha256(split, other, Knowledge.NONE, Silent())
    assert same[0] == same[1]  # it was told nothing of whom it protects


def test_a_target_of_another_build_stays_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    split = load_split("avatars-tiny")
    base = pin_target(resolve_target("avatars-a")).model_copy(update={"corpus": CORPUS, "corpus_digest": "0" * 64})
    changed = split.manifest.model_copy(update={"training": dict(split.manifest.training) | {CORPUS: "2" * 64}})
    monkeypatch.setattr(split, "manifest", changed)
    with pytest.raises(TargetError, match="was trained on another build"):
        check_trained_on(split, base)
