"""Runs of adapted attacks: identity, record, what is asked, and which combinations are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.conftest import Bench, refused
from tests.small_runs import CORPUS, FORKS

from idbench.api import Silent
from idbench.results import Run, expected_run_id, find_runs
from idbench.runner.execute import Options, execute
from idbench.runner.grid import make_grid, specs
from idbench.runner.spec import Resolver, RunSpec, plan_adaptation, plan_defense
from idbench.splits import load_split

TINY = ("--split", "avatars-tiny", "--corpus", CORPUS, "--target", "avatars-a")


def planned(adaptation: str | None, defense: str | None = None, attack: str = "cosine", **params: object) -> RunSpec:
    (spec,) = specs(
        make_grid(
            load_split("avatars-tiny"),
            [attack],
            "avatars-a",
            corpus=CORPUS,
            defenses=[None if defense is None else plan_defense(defense)],
            adaptations=[None if adaptation is None else plan_adaptation(adaptation, None, params)],
        )
    )
    return spec


def carried_out(spec: RunSpec, results: Path) -> Run:
    return execute(Resolver(Silent()).resolve(spec), Options(results, forks=FORKS), Silent()).run


def scores(run: Run) -> list[float]:
    table = run.scores()
    return [float(score) for _, score in sorted(zip(table.identities, table.scores, strict=True))]


def test_a_run_without_adaptation_keeps_the_id_that_it_had_before_there_were_any() -> None:
    """Recomputed here by the formula of schema 2 as it was first published, from the spec's parts."""
    import hashlib
    import json

    spec = planned(None, "null-space")
    assert spec.defense is not None
    defense = spec.defense
    parts = {
        "engine": spec.engine,
        "split": [spec.split.name, spec.split.version, spec.split.digest],
        "target": [spec.target.name, spec.target.sha256, spec.target.design],
        "attack": [spec.attack.name, spec.attack.version, spec.attack.code_sha256],
        "calibration": None,
        "parameters": spec.attack.parameters,
        "seed": 0,
        "defense": [
            *(defense.name, defense.version, defense.code_sha256, defense.parameters, 0, defense.given_sha256),
        ],
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    assert spec.run_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_adaptation_and_its_parameters_are_part_of_the_identity() -> None:
    every = [
        planned(None),
        planned("relearn"),
        planned("relearn", steps=5),
        planned("int4"),
        planned("int4", "null-space"),
        planned("other-prompts"),
    ]
    assert len({spec.run_id for spec in every}) == len(every)
    assert all(RunSpec.model_validate_json(spec.model_dump_json()) == spec for spec in every)
    assert planned("nonlinear-probe").calibration_corpus == CORPUS
    assert planned("relearn").calibration_corpus is None


def test_weights_are_adapted_once_after_the_defense_and_the_record_says_so(tmp_path: Path) -> None:
    runs = [carried_out(planned("int8", "null-space", attack), tmp_path) for attack in ("cosine", "idia")]
    record = runs[0].record
    assert record.defense is not None
    assert record.adaptation is not None
    assert (record.adaptation.name, record.adaptation.track) == ("int8", "weights")
    assert len({record.target.sha256, record.defense.weights_sha256, record.adaptation.weights_sha256}) == 3
    assert record.adaptation.lineage not in (None, record.defense.lineage)
    assert record.adaptation.cost == (runs[1].record.adaptation and runs[1].record.adaptation.cost)
    assert record.attack_label == "cosine + int8"
    assert expected_run_id(record) == record.run_id
    plain = carried_out(planned(None, "null-space"), tmp_path)
    assert scores(runs[0]) != scores(plain)
    assert np.corrcoef(scores(runs[0]), scores(plain))[0, 1] > 0.9


def test_questions_are_adapted_behind_a_defense_of_answers(tmp_path: Path) -> None:
    """Rounding to two decimals is told from none by the mean of many answers, and every question is counted."""
    plain, adapted = (carried_out(planned(name, "round"), tmp_path) for name in (None, "average-answers"))
    truth = scores(carried_out(planned(None), tmp_path))
    assert adapted.record.adaptation is not None
    assert adapted.record.adaptation.weights_sha256 is None
    assert adapted.record.queries.pairs == 8 * plain.record.queries.pairs
    assert np.corrcoef(scores(adapted), truth)[0, 1] > 0.9


def test_what_does_not_go_together_is_refused_in_one_sentence(bench: Bench, tmp_path: Path) -> None:
    for arguments, says in (
        (("-m", "cosine", "--adapt", "relern"), "no adaptation called 'relern'"),
        (("-m", "cosine", "--adapt", "relearn", "--adapt-param", "steps=-1"), "steps of relearn"),
        (("-m", "cosine", "--adapt-param", "steps=1"), "parameters of an adaptation, but no adaptation"),
        (("-m", "cosine", "--adapt", "none", "--adapt-param", "steps=1"), "`none` has no parameters"),
        (("-m", "random", "--adapt", "int8"), "it asks the target nothing"),
        (("-m", "tuni", "--adapt", "other-prompts"), "answers no GRADIENT"),
        (("-m", "cosine", "--defense", "round", "--adapt", "int8"), "has no weights to change"),
        (("-m", "cosine", "--defense", "round", "--adapt", "photos-for-names"), "answers no TEXT_EMBEDDING"),
        (("-m", "idia", "--adapt", "nonlinear-probe"), "answers no LABEL"),
    ):
        assert says in refused(bench("run", *arguments, *TINY))
    assert not list(find_runs(tmp_path / "results"))
    listed = bench("list", "adaptations", "--json")
    assert "photos-for-names" in listed.stdout
    shown = bench("show", "clean-clip")
    assert "CleanCLIP" in shown.stdout, shown.stderr
