"""Runs a study's attack on its targets through the ordinary runner, and joins what comes back with the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.results import Run, ScoreTable, write_summary
from idbench.runner.evaluate import Judged, judge, summarize
from idbench.runner.execute import Options, execute
from idbench.runner.grid import is_done
from idbench.runner.registry import find_attack, load_attack
from idbench.runner.spec import Resolver, RunSpec, plan_method, split_spec
from idbench.splits import Split
from idbench.studies.setting import Audited, Setting

IDIA_DRAWS = ("idia-draws", "idbench_methods.attacks.idia_draws:IdiaDraws")
"""IDIA for all numbers of photos at once. It is no entry on any board, so that it is not registered."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a study.

    Args:
        audited: the target and its labels.
        split: the identities.
        spec: what is run.
    """

    audited: Audited
    split: Split
    spec: RunSpec


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run, judged on the test part.

    Args:
        audited: the target and its labels.
        run: its record.
        judged: scores and labels by identity.
        details: the attack's details in the same order.
    """

    audited: Audited
    run: Run
    judged: Judged
    details: Mapping[str, NDArray[np.float64]]


def jobs(setting: Setting, split: Split, attack: str | tuple[str, str], params: Mapping[str, object]) -> list[Job]:
    """The runs of one attack with one set of parameters: on A, B and the control, for every seed.

    Args:
        setting: targets and seeds.
        split: the setting's, or one made from it.
        attack: a registered name, or the name of an instrument and where it is.
        params: of the attack.

    Raises:
        MethodError: a parameter does not fit.
        PluginError: the attack cannot be used.
    """
    registered = load_attack(attack) if isinstance(attack, str) else find_attack(*attack)
    method, people = plan_method(registered, None, params), split_spec(split)
    return [
        Job(
            audited,
            split,
            RunSpec(split=people, target=audited.target, attack=method, seed=seed, corpus=audited.corpus),
        )
        for audited in setting.audited
        for seed in setting.seeds
    ]


def job_done(job: Job, setting: Setting) -> bool:
    """Whether there is a record of it."""
    return is_done(job.spec, setting.results)


def run_jobs(wanted: list[Job], setting: Setting, progress: Progress) -> Iterator[Finished]:
    """Run what has no record yet, read the others; in the order of the jobs.

    Raises:
        IdbenchError: a run failed; those before it are kept.
    """
    options = Options(setting.results, setting.device, setting.time_limit)
    for job in wanted:
        spec, split = job.spec, job.split
        resolver = Resolver(progress, {spec.split.source: split})
        done = execute(resolver.resolve(spec), options, progress)
        if not done.reused or done.run.summary() is None:
            control = job.audited.series == "control"
            write_summary(done.run, summarize(done.run, split, spec.corpus, seed=spec.seed, control=control))
        table = done.run.scores()
        judged = judge(table, split, spec.corpus, "test")
        yield Finished(job.audited, done.run, judged, _aligned(table, judged))


def _aligned(table: ScoreTable, judged: Judged) -> dict[str, NDArray[np.float64]]:
    """Details in the order of the judged identities."""
    row = {name: i for i, name in enumerate(table.identities)}
    order = np.array([row[name] for name in judged.identities], dtype=np.int64)
    return {name: values[order] for name, values in table.details.items()}
