"""Defenses x attacks x adaptations on one target: the runs, the worst case of each defense, and the files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from idbench.api import CorpusDefense, Progress
from idbench.api.studies import DefenseStudy
from idbench.errors import DataError
from idbench.escaping import csv_cell
from idbench.results import Estimate, Run
from idbench.results.worst_case import UNDEFENDED, Attacked, Attempt, WorstCase, attacked, worst_cases
from idbench.runner.evaluate import with_labels
from idbench.runner.executor import Failed
from idbench.runner.grid import why_not
from idbench.runner.protection import protected_people
from idbench.runner.registry import load_attack
from idbench.runner.spec import (
    DefenseSpec,
    PlannedAdaptation,
    PlannedDefense,
    RunSpec,
    plan_adaptation,
    plan_defense,
    plan_method,
    split_spec,
)
from idbench.splits import Split
from idbench.storage import read_bounded, write_text
from idbench.studies.execution import Job, carry_out, job_done
from idbench.studies.setting import Setting

_LARGEST: Final = 1 << 26


class Relearned(BaseModel):
    """What an attack finds among the protected after some steps of further training: one point of a curve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defense: str
    attack: str
    adaptation: str
    steps: int
    protected: Estimate


class DefenseResult(BaseModel):
    """A finished study of defenses; `NAME.json`.

    Rows with a difference to the reference, costs and utility are `worst`; every attack on every defense is `attacked`;
    `curves` say what comes back over steps of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    title: str
    note: str
    split: str
    split_version: int
    split_digest: str
    target: str
    target_sha256: str | None
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    failed: tuple[str, ...]
    worst: tuple[WorstCase, ...]
    attacked: tuple[Attacked, ...]
    curves: tuple[Relearned, ...] = ()


_RESULT: Final = TypeAdapter(DefenseResult)


@dataclass(frozen=True, slots=True)
class _Finished:
    """A run with the name of the attack as the tables call it."""

    run: Run
    attack: str
    seed: int


def defense_jobs(study: DefenseStudy, setting: Setting, split: Split, progress: Progress) -> list[Job]:
    """The runs of a study: those of cheap defenses first. What trains the target again runs with the first seed alone.

    Raises:
        UnknownNameError: nothing is registered under a name.
        MethodError: a parameter does not fit.
    """
    audited, where = setting.audited[0], split_spec(split)  # once: it looks through all that is installed
    methods = {name: plan_method(load_attack(name)) for name in study.attacks}
    adaptations = [plan_adaptation(one.name, None, one.parameters) for one in study.adaptations]
    ways: list[tuple[str, PlannedAdaptation | None]] = [(name, None) for name in study.attacks]
    ways += [(name, one) for name in study.adapted for one in adaptations]
    defenses = [None, *sorted(map(plan_defense, study.defenses), key=_trains_again)]
    found = []
    for planned in defenses:
        seeds = setting.seeds[:1] if planned is not None and _trains_again(planned) else setting.seeds
        specs = {seed: _spec(planned, split, seed, progress) for seed in seeds}
        for name, adapted in ways:
            if why_not(methods[name], planned, adapted):
                continue
            for seed in seeds:
                spec = RunSpec(
                    split=where,
                    target=audited.target,
                    attack=methods[name],
                    defense=specs[seed],
                    adaptation=None if adapted is None else adapted.spec,
                    seed=seed,
                    corpus=audited.corpus,
                )
                found.append(Job(audited, split, spec))
    return found


def _trains_again(planned: PlannedDefense) -> bool:
    return issubclass(planned.registered.kind, CorpusDefense)


def _spec(planned: PlannedDefense | None, split: Split, seed: int, progress: Progress) -> DefenseSpec | None:
    return None if planned is None else planned.spec(split, protected_people(split, seed), seed, progress)


def run_defenses(
    study: DefenseStudy, setting: Setting, split: Split, progress: Progress, *, so_far: bool = False
) -> DefenseResult:
    """Run what has no record yet, and judge; a run that fails is left out and named.

    Args:
        study: what is run.
        setting: target, seeds, where records are.
        split: whose people are under test.
        progress: shows how far it is.
        so_far: run nothing, and judge what has a record.

    Raises:
        StorageError: the results folder cannot be written.
        DataError: nothing has a record so far.
        IdbenchError: every run failed; the first reason.
    """
    planned = defense_jobs(study, setting, split, progress)
    jobs = [job for job in planned if job_done(job, setting)] if so_far else planned
    if not jobs:
        raise DataError(f"No run of {study.name} is finished.", hint=f"Run it: bench study {study.name}")
    done = {job.spec.run_id: result for job, result in carry_out(jobs, setting, progress)}
    results = [done[job.spec.run_id] for job in jobs]
    failed = [result for result in results if isinstance(result, Failed)]
    if len(failed) == len(jobs):
        raise failed[0].error
    finished = [
        _Finished(result.run, result.run.record.attack_label, result.spec.seed)
        for result in results
        if not isinstance(result, Failed)
    ]
    result = _result(study, setting, split, finished, [f"{one.spec}: {one.error.message}" for one in failed])
    missing = (
        ""
        if len(jobs) == len(planned)
        else f" {len(jobs)} of the study's {len(planned)} runs: the others were not run."
    )
    return result.model_copy(update={"note": result.note + missing})


def _result(
    study: DefenseStudy, setting: Setting, split: Split, finished: Sequence[_Finished], failed: Sequence[str]
) -> DefenseResult:
    audited = setting.audited[0]
    attempts = list(_attempts(finished, split, audited.corpus))
    records = {one.run.record.defense.name: one.run.record.defense for one in finished if one.run.record.defense}
    worst = []
    rows = attacked(attempts)
    for row in worst_cases(attempts, rows):
        defense = records.get(row.defense)
        if defense is not None:
            row = replace(row, cost=defense.cost, guarantees=defense.guarantees, utility=defense.utility)  # noqa: PLW2901
        worst.append(row)
    half = int(attempts[0].protected.sum())
    return DefenseResult(
        study=study.name,
        title=study.title,
        note=f"{split.manifest.name} v{split.manifest.version} on {audited.target.name}: {half} of "
        f"{len(attempts[0].members)} people under test are protected, members and non-members alike; seeds "
        f"{', '.join(map(str, setting.seeds))}, the first alone for defenses that train again.",
        split=split.manifest.name,
        split_version=split.manifest.version,
        split_digest=split.digest,
        target=audited.target.name,
        target_sha256=audited.target.sha256,
        seeds=setting.seeds,
        runs=tuple(one.run.record.run_id for one in finished),
        failed=tuple(failed),
        worst=tuple(worst),
        attacked=tuple(rows),
        curves=tuple(_curves(finished, rows)),
    )


def _curves(finished: Sequence[_Finished], rows: Sequence[Attacked]) -> Iterator[Relearned]:
    """AUC over steps for every adaptation that was run with several numbers of them; 0 steps: the attack as it is."""
    labels: dict[tuple[str, str], dict[int, str]] = {}
    for one in finished:
        adaptation, attack = one.run.record.adaptation, one.run.record.attack.name
        if adaptation is not None and "steps" in adaptation.parameters:
            labels.setdefault((attack, adaptation.name), {0: attack})[adaptation.parameters["steps"]] = one.attack
    for (attack, name), by_steps in labels.items():
        if len(by_steps) < 3:
            continue  # one number of steps is not a curve
        steps_of = {label: steps for steps, label in by_steps.items()}
        for row in sorted(rows, key=lambda row: (row.defense, steps_of.get(row.attack, 0))):
            if row.attack in steps_of:
                yield Relearned(
                    defense=row.defense,
                    attack=attack,
                    adaptation=name,
                    steps=steps_of[row.attack],
                    protected=row.protected,
                )


def _attempts(finished: Sequence[_Finished], split: Split, corpus: str) -> Iterator[Attempt]:
    """Scores with labels; who would have been protected counts for the target as it is, too."""
    ids: dict[int, frozenset[str]] = {}
    for one in finished:
        if one.seed not in ids:
            ids[one.seed] = frozenset(split.identities[i].id for i in protected_people(split, one.seed))
        judged = with_labels(one.run.scores(), split, corpus, "test")
        protected = np.array([name in ids[one.seed] for name in judged.identities], dtype=np.bool_)
        defense = one.run.record.defense
        name = UNDEFENDED if defense is None else defense.name
        yield Attempt(name, one.attack, one.seed, judged.scores, judged.members, protected)


def write_defenses(result: DefenseResult, folder: Path) -> list[Path]:
    """Write `NAME.csv`, one line per defense and attack, and `NAME.json` with everything.

    Raises:
        StorageError: no space, no permission, or the folder does not exist.
    """
    table, whole = folder / f"{result.study}.csv", folder / f"{result.study}.json"
    write_text(table, _as_csv(result))
    write_text(whole, result.model_dump_json(indent=1) + "\n")
    return [table, whole]


def read_defenses(path: Path) -> DefenseResult:
    """What `write_defenses` wrote as JSON.

    Raises:
        DataError: it is not the table of such a study.
    """
    try:
        return _RESULT.validate_json(read_bounded(path, _LARGEST))
    except ValidationError as error:
        raise DataError(
            f"{path} is not the table of a study of defenses: {error.errors()[0]['msg']}.",
            hint="Run `bench study defenses` again.",
        ) from error


def _as_csv(result: DefenseResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = ("protected", "others", "marks")
    names = [f"{name}_{end}" for name in measures for end in ("auc", "low", "high")]
    writer.writerow(["defense", "attack", "seeds", *names, "strongest"])
    strongest = {(row.defense, row.strongest) for row in result.worst}
    for row in result.attacked:
        values = [getattr(getattr(row, name), end) for name in measures for end in ("value", "low", "high")]
        texts = (csv_cell(row.defense), csv_cell(row.attack), " ".join(map(str, row.seeds)))
        writer.writerow([*texts, *(f"{value:.6g}" for value in values), int((row.defense, row.attack) in strongest)])
    return text.getvalue()


def is_defense_result(study: str, folder: Path) -> bool:
    """Whether a folder holds what `write_defenses` wrote for a study."""
    found = json.loads(read_bounded(folder / f"{study}.json", _LARGEST))
    return isinstance(found, dict) and found.get("study") == study and {"worst", "attacked"} <= found.keys()
