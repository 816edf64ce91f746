"""Defended targets through `bench run`: a defense that changes nothing changes no score, but what the run is called."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import Bench, refused

from idbench.api import Case, Context, Silent, TargetDefense
from idbench.errors import TargetError
from idbench.results import Run, find_runs
from idbench.runner.execute import Options, execute
from idbench.runner.registry import load_attack, load_defense, make_method
from idbench.runner.selection import check_trained_on, corpus_for
from idbench.runner.spec import Resolver, RunSpec, plan_method, split_spec
from idbench.splits import Split, load_split
from idbench.storage import cache_dir, sha256_bytes
from idbench.targets import Defended, TargetSpec, resolve_target
from idbench.targets.defended import defended_place, defended_target
from idbench.targets.defending import defend_target
from idbench.targets.fetch import pin_target

CORPUS = "avatars-tiny-a"
TINY = ("--split", "avatars-tiny", "--corpus", CORPUS)
PEOPLE = [Case(f"protected-{i}", name, None) for i, name in enumerate(("Mara Ohm", "Bo Ek"))]

pytestmark = pytest.mark.usefixtures("plugins")


def on_paper(name: str, base: str = "avatars-a", seed: int = 0) -> tuple[TargetSpec, TargetDefense]:  # type: ignore[type-arg]
    """A shipped target after a defense from outside, and the defense."""
    registered = load_defense(name)
    defense = make_method(registered)
    assert isinstance(defense, TargetDefense)
    given = sha256_bytes(json.dumps([person.name for person in PEOPLE]).encode())
    spec = defended_target(pin_target(resolve_target(base)), registered.applied(defense, seed, given))
    return spec, defense


def defended(name: str, place: Path, base: str = "avatars-a") -> TargetSpec:
    spec, defense = on_paper(name, base)
    return defend_target(spec, defense, PEOPLE, Context(0, "cpu", place, Silent()))


def register(bench: Bench, folder: Path, spec: TargetSpec) -> None:
    """Let a distribution of its own register the target, as whoever publishes one does."""
    about = folder / "publishes_a_target-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: publishes-a-target\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[idbench.targets]\n{spec.name} = publishes_a_target:SPEC\n")
    (folder / "publishes_a_target.py").write_text(
        f"from idbench.targets import TargetSpec\nSPEC = TargetSpec.model_validate_json({spec.model_dump_json()!r})\n"
    )
    bench.environment["PYTHONPATH"] = os.pathsep.join((bench.environment["PYTHONPATH"], str(folder)))


def spec_of(split: Split, target: TargetSpec, attack: str = "cosine", seed: int = 0, corpus: str = CORPUS) -> RunSpec:
    method = plan_method(load_attack(attack))
    return RunSpec(split=split_spec(split), target=target, attack=method, seed=seed, corpus=corpus)


def table(run: Run) -> dict[str, NDArray[np.generic]]:
    """Scores and details by identity; the order of the cases is another one in every run."""
    scores = run.scores()
    order = np.argsort(scores.identities)
    arrays = {"scores": scores.scores, "abstained": scores.abstained, "photos_used": scores.photos_used}
    return {name: values[order] for name, values in (arrays | dict(scores.details)).items()}


def test_a_defense_that_changes_nothing_reproduces_every_score_to_the_last_bit(bench: Bench, tmp_path: Path) -> None:
    spec, defense = on_paper("sample-identity")
    register(bench, tmp_path / "installed", spec)
    before = refused(bench("run", "-m", "cosine", *TINY, "--target", spec.name))
    assert "sample-identity was not applied to avatars-a here" in before
    pinned = defend_target(spec, defense, PEOPLE, Context(0, "cpu", tmp_path, Silent()))
    for target in ("avatars-a", spec.name):
        # Nothing that was computed for one target is at hand for the other, although their weights are the same.
        shutil.rmtree(cache_dir("embeddings"), ignore_errors=True)
        done = bench("run", "-m", "cosine", "-m", "idia", *TINY, "--target", target)
        assert done.returncode == 0, done.stderr
    runs = {(run.record.attack.name, run.record.target.name): run for run in find_runs(tmp_path / "results")}
    for method in ("cosine", "idia", "blind-names"):
        plain, after = runs[method, "avatars-a"], runs[method, spec.name]
        first, second = table(plain), table(after)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert plain.record.queries == after.record.queries
        assert plain.record.run_id != after.record.run_id
    record = runs["cosine", spec.name].record
    assert record.target.sha256 == pinned.sha256 == runs["cosine", "avatars-a"].record.target.sha256
    assert pinned.lineage is not None
    assert record.target.name.endswith(pinned.lineage[:8])
    one, other = (runs["idia", name].summary() for name in ("avatars-a", spec.name))
    assert one is not None
    assert other is not None
    assert (one.auc, one.tpr, one.corpus, one.control) == (other.auc, other.tpr, other.corpus, other.control)
    shown = bench("show", spec.name, "--json")
    assert json.loads(shown.stdout)["weights"]["defense"]["name"] == "sample-identity", shown.stderr


def test_what_is_attacked_are_the_defended_weights(tmp_path: Path) -> None:
    split = load_split("avatars-tiny")
    scores = []
    for spec in (pin_target(resolve_target("avatars-a")), defended("sample-noise", tmp_path)):
        scores.append(
            table(
                execute(Resolver(Silent()).resolve(spec_of(split, spec)), Options(tmp_path / "results"), Silent()).run
            )["scores"]
        )
    assert not np.allclose(scores[0], scores[1])
    assert np.corrcoef(scores[0], scores[1])[0, 1] > 0.5  # and not those of some other model


def test_damaged_weights_stop_the_run_in_one_sentence(tmp_path: Path) -> None:
    spec = defended("sample-noise", tmp_path)
    assert isinstance(spec.weights, Defended)
    place = defended_place(spec.weights)
    good = place.read_bytes()
    try:
        place.write_bytes(good[:-1] + b"x")
        plan = spec_of(load_split("avatars-tiny"), spec, seed=1)
        with pytest.raises(TargetError, match="have SHA-256") as caught:
            execute(Resolver(Silent()).resolve(plan), Options(tmp_path / "results"), Silent())
        assert "apply the defense again" in caught.value.hint
    finally:
        place.write_bytes(good)


def test_a_lineage_is_the_run_s_identity(tmp_path: Path) -> None:
    """Two defenses that come to the same weights are two targets, even under one name."""
    split = load_split("avatars-tiny")
    one, other = (on_paper("sample-identity", seed=seed)[0].model_copy(update={"sha256": "a" * 64}) for seed in (0, 1))
    assert one.name != other.name
    ids = {spec_of(split, spec.model_copy(update={"name": "same"})).run_id for spec in (one, other)}
    assert len(ids) == 2


@pytest.mark.parametrize("base", ["avatars-a", "avatars-b", "avatars-0"])
def test_labels_and_role_are_those_of_the_base(base: str) -> None:
    split = load_split("avatars")
    plain, after = pin_target(resolve_target(base)), on_paper("sample-identity", base)[0]
    assert corpus_for(split, after) == corpus_for(split, plain)
    after = after.model_copy(update={"sha256": "a" * 64})
    plans = [spec_of(split, spec, "random", corpus=corpus_for(split, spec)) for spec in (plain, after)]
    assert plans[0].control is plans[1].control is (base == "avatars-0")
    ref, other = (plan.target_ref for plan in plans)
    assert other.design != ref.design
    assert other.model_copy(update={"name": ref.name, "sha256": ref.sha256, "design": ref.design}) == ref
    assert RunSpec.model_validate_json(plans[1].model_dump_json()) == plans[1]


def test_a_target_of_another_build_stays_refused_after_a_defense() -> None:
    split = load_split("avatars-tiny")
    told = dict(split.manifest.training)
    base = pin_target(resolve_target("avatars-a")).model_copy(update={"corpus": CORPUS, "corpus_digest": "0" * 64})
    registered = load_defense("sample-identity")
    spec = defended_target(base, registered.applied(make_method(registered), 0, "1" * 64))
    changed = split.manifest.model_copy(update={"training": told | {CORPUS: "2" * 64}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "manifest", changed)
        for target in (base, spec):
            with pytest.raises(TargetError, match="was trained on another build"):
                check_trained_on(split, target)
