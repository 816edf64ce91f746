"""Runs a study's attack on its targets through the ordinary runner, and joins what comes back with the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.api.studies import BudgetStudy, PhotoStudy
from idbench.results import Run, ScoreTable, write_summary
from idbench.results.summarizing import LabelledScores
from idbench.runner.crew import Crew
from idbench.runner.evaluate import summarize, with_labels
from idbench.runner.execute import Executed, Options
from idbench.runner.executor import Executor, Failed, LocalExecutor, Task
from idbench.runner.grid import Numbered, is_done, raise_first
from idbench.runner.registry import find_attack, load_attack
from idbench.runner.spec import Resolver, RunSpec, plan_method, split_spec
from idbench.splits import Split
from idbench.studies.estimates import Reading, graded
from idbench.studies.setting import AuditedTarget, Setting
from idbench.studies.table import Point, Where

TARGETS = "A and B"
CONTROL = "control"
"""Series of a study: the mean of both targets, and the control."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a study.

    Args:
        audited: the target and its labels.
        split: the identities.
        spec: what is run.
    """

    audited: AuditedTarget
    split: Split
    spec: RunSpec


@dataclass(frozen=True, slots=True)
class LabelledRun:
    """A finished run, labelled on the test part.

    Args:
        audited: the target and its labels.
        run: its record.
        labelled: scores and labels by identity.
        details: the attack's details in the same order.
    """

    audited: AuditedTarget
    run: Run
    labelled: LabelledScores
    details: Mapping[str, NDArray[np.float64]]


def graded_points(runs: Sequence[LabelledRun], where: Where) -> list[Point]:
    """AUC and TPR at 10 % FPR of runs of the same people, members against non-members; none without runs."""
    if not runs:
        return []
    rows = [Reading(r.labelled.scores, r.labelled.members, ~r.labelled.members) for r in runs]
    members, nonmembers, _ = people(rows)
    where = replace(where, members=members, nonmembers=nonmembers, readings=len(rows))
    area, at_10 = graded(rows)
    return [where.point("auc", area), where.point("tpr_10", at_10)]


def jobs(setting: Setting, split: Split, study: PhotoStudy | BudgetStudy, varied: Mapping[str, object]) -> list[Job]:
    """The runs of a study's attack with one set of parameters: on A, B and the control, for every seed.

    Args:
        setting: targets and seeds.
        split: the setting's, or one made from it.
        study: names the attack, and its parameters that are the same in every run.
        varied: the other parameters.

    Raises:
        MethodError: a parameter does not fit.
        PluginError: the attack cannot be used.
    """
    registered = load_attack(study.attack) if study.instrument is None else find_attack(study.attack, study.instrument)
    method, identities = plan_method(registered, None, {**study.parameters, **varied}), split_spec(split)
    return [
        Job(
            audited,
            split,
            RunSpec(split=identities, target=audited.target, attack=method, seed=seed, corpus=audited.corpus),
        )
        for audited in setting.audited
        for seed in setting.seeds
    ]


def series_of(finished: Sequence[LabelledRun]) -> dict[str, list[LabelledRun]]:
    """The runs behind each series: both targets together, each alone, and the control."""
    alone = {name: [run for run in finished if run.audited.series == name] for name in ("A", "B", CONTROL)}
    return {TARGETS: alone["A"] + alone["B"], **alone}


def people(rows: Sequence[Reading]) -> tuple[int, int, int]:
    """How many people are members, non-members, and neither for want of photos, in at least one reading."""
    members = np.any([row.members for row in rows], axis=0)
    nonmembers = np.any([row.nonmembers for row in rows], axis=0)
    return int(members.sum()), int(nonmembers.sum()), int(np.isnan(rows[0].scores).sum())


def job_done(job: Job, setting: Setting) -> bool:
    """Whether there is a record of it."""
    return is_done(job.spec, setting.results)


def carry_out(wanted: Sequence[Job], setting: Setting, progress: Progress) -> Iterator[tuple[Job, Executed | Failed]]:
    """Run what has no record yet, read the others; each as soon as it is finished, in whatever order.

    Raises:
        StorageError: the results folder cannot be written; nothing more is tried.
    """
    jobs = {job.spec.run_id: job for job in wanted}
    resolver = Resolver(progress, {job.spec.split.source: job.split for job in wanted})
    executor: Executor = LocalExecutor(resolver) if setting.jobs == 1 else Crew(setting.jobs)
    numbered = Numbered(progress, [Task(job.spec) for job in wanted])
    options = Options(setting.results, setting.device, setting.time_limit)
    for result in executor.run(numbered.taken(), options, numbered):
        numbered.finished(result)
        yield jobs[result.spec.run_id], result


def run_jobs(wanted: Sequence[Job], setting: Setting, progress: Progress) -> list[LabelledRun]:
    """Run what has no record yet, read the others; in the order of the jobs.

    Raises:
        IdbenchError: a run failed, the first of them; all others are kept.
    """
    finished: dict[str, LabelledRun] = {}
    failed: list[Failed] = []
    for job, result in carry_out(wanted, setting, progress):
        if isinstance(result, Failed):
            failed.append(result)
            continue
        if not result.reused or result.run.summary() is None:
            control = job.audited.series == CONTROL
            summary = summarize(result.run, job.split, job.spec.corpus, seed=job.spec.seed, control=control)
            write_summary(result.run, summary)
        table = result.run.scores()
        labelled = with_labels(table, job.split, job.spec.corpus, "test")
        finished[job.spec.run_id] = LabelledRun(job.audited, result.run, labelled, _aligned(table, labelled))
    raise_first(failed, len(wanted))
    return [finished[job.spec.run_id] for job in wanted]


def _aligned(table: ScoreTable, labelled: LabelledScores) -> dict[str, NDArray[np.float64]]:
    """Details in the order of the labelled identities."""
    row = {name: i for i, name in enumerate(table.identities)}
    order = np.array([row[name] for name in labelled.identities], dtype=np.int64)
    return {name: values[order] for name, values in table.details.items()}
