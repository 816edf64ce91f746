"""A study of defenses on a few dozen people: runs, resumption, what fails, the worst case, table and figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from idbench.api import DataError, Silent
from idbench.api.studies import AdaptedBy, DefenseStudy
from idbench.results import find_runs
from idbench.results.worst_case import UNDEFENDED
from idbench.splits import load_split
from idbench.studies.catalogue import STUDIES, plan, run_defense_study
from idbench.studies.defenses import is_defense_result, read_defenses
from idbench.studies.setting import AuditedTarget, Setting, choose_audited

STUDY = DefenseStudy(
    name="few",
    title="A few defenses",
    source="none",
    defenses=("null-space", "sample-raises-weights"),
    attacks=("cosine",),
    adapted=("cosine",),
    adaptations=(AdaptedBy(name="int4"),),
)

pytestmark = pytest.mark.usefixtures("plugins")


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    split = load_split("avatars-tiny")
    a, b, control = choose_audited(split, "avatars-a,avatars-b,avatars-0")
    assert isinstance(a, AuditedTarget)
    return Setting(split, (a, b, control), (0,), tmp_path / "results")


@pytest.mark.timeout(600)
def test_a_study_is_run_resumed_and_written(setting: Setting, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    result, files = run_defense_study(STUDY, setting, out, Silent())
    assert [path.suffix for path in files] == [".csv", ".json", ".svg", ".png"]
    tried = {(row.defense, row.attack) for row in result.attacked}
    assert tried == {(name, way) for name in (UNDEFENDED, "null-space") for way in ("cosine", "cosine + int4")}
    assert len(result.failed) == 2
    assert "sample-raises-weights failed during the defense: RuntimeError: no such layer" in result.failed[0]
    worst = {row.defense: row for row in result.worst}
    for name, row in worst.items():
        own = [each for each in result.attacked if each.defense == name]
        assert row.protected.value == max(each.protected.value for each in own)
        assert row.marks.value == max(each.marks.value for each in own)
    assert worst["null-space"].cost is not None
    assert worst["null-space"].utility
    assert worst[UNDEFENDED].utility == ()
    assert read_defenses(out / "few.json") == result
    assert is_defense_result("few", out)
    lines = (out / "few.csv").read_text().splitlines()
    assert len(lines) == 1 + len(tried)
    assert sum(line.endswith(",1") for line in lines) == 2
    drawn = (out / "few.svg").read_text()
    assert all(word in drawn for word in ("null-space", "cosine + int4", "Privacy against utility"))

    assert "others were not run" not in result.note
    wider = STUDY.model_copy(update={"defenses": (*STUDY.defenses, "identity-projection")})
    part, _ = run_defense_study(wider, setting, tmp_path / "out", Silent(), so_far=True)
    assert part.worst == result.worst
    assert part.note.endswith("4 of the study's 8 runs: the others were not run.")

    side_by_side = replace(setting, results=tmp_path / "side by side", jobs=2)
    assert run_defense_study(STUDY, side_by_side, out, Silent())[0] == result

    before = {run.record.run_id: run.record.created for run in find_runs(setting.results)}
    again, _ = run_defense_study(STUDY, setting, out, Silent())
    assert {run.record.run_id: run.record.created for run in find_runs(setting.results)} == before
    assert again.worst == result.worst


def test_the_shipped_study_tries_all_shipped_defenses_and_adaptations(setting: Setting) -> None:
    from idbench.runner.registry import ADAPTATIONS, ATTACKS, DEFENSES, load_attack

    study = STUDIES.load("defenses")
    assert isinstance(study, DefenseStudy)
    own = {plugin.name for plugin in DEFENSES.plugins() if plugin.distribution.startswith("idbench ")}
    assert set(study.defenses) == own
    assert {one.name for one in study.adaptations} == set(ADAPTATIONS.names())
    attacks = [plugin for plugin in ATTACKS.plugins() if plugin.distribution.startswith("idbench ")]
    asking = {plugin.name for plugin in attacks if not load_attack(plugin.name).card.blind}
    early = {"tuni-early"}  # the same attack, decided earlier
    assert asking - set(study.attacks) == early  # the strongest of all is the board's number
    assert study.seeds == 3
    jobs = plan(study, setting, setting.split)
    ids = [job.spec.run_id for job in jobs]
    assert len(set(ids)) == len(ids)
    assert {job.audited.target.name for job in jobs} == {"avatars-a"}
    three = Setting(setting.split, setting.audited, (0, 1, 2), setting.results)
    combined = {
        (job.spec.defense.name, job.spec.adaptation.name) for job in jobs if job.spec.defense and job.spec.adaptation
    }
    assert ("null-space", "int4") in combined
    assert ("round", "int4") not in combined  # who is answered has no weights
    seeds: dict[str, set[int]] = {}
    for job in plan(study, three, setting.split):
        name = job.spec.defense.name if job.spec.defense else UNDEFENDED
        seeds.setdefault(name, set()).add(job.spec.seed)
    assert seeds["drop-people"] == {0}
    assert seeds["null-space"] == {0, 1, 2}


def test_what_is_not_such_a_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "few.json").write_text("{}")
    with pytest.raises(DataError, match="is not the table of a study of defenses"):
        read_defenses(tmp_path / "few.json")
    assert not is_defense_result("few", tmp_path)
    with pytest.raises(ValidationError, match="is to be adapted but is not one of the attacks"):
        DefenseStudy.model_validate(STUDY.model_dump() | {"adapted": ("idia",)})


@pytest.mark.timeout(600)
def test_what_relearning_brings_back_is_a_curve_over_steps(setting: Setting, tmp_path: Path) -> None:
    steps = tuple(AdaptedBy(name="relearn", parameters={"steps": number}) for number in (1, 3))
    study = STUDY.model_copy(update={"defenses": (), "adaptations": steps})  # the target as it is: few runs
    result, files = run_defense_study(study, setting, tmp_path, Silent())
    by_label = {row.attack: row.protected for row in result.attacked}
    assert {point.steps: point.protected for point in result.curves} == {
        0: by_label["cosine"],
        1: by_label["cosine + relearn (steps 1)"],
        3: by_label["cosine + relearn (steps 3)"],
    }
    assert {(point.defense, point.attack, point.adaptation) for point in result.curves} == {
        (UNDEFENDED, "cosine", "relearn")
    }
    assert "What relearn brings back for cosine" in files[2].read_text()
    assert read_defenses(files[1]) == result
