"""TUNI by its budget: number of optimizations for each name, and gradient steps of each."""

from __future__ import annotations

from collections.abc import Sequence

from idbench.api import Progress
from idbench.splits import Split
from idbench.studies.estimates import Reading, graded
from idbench.studies.execution import Finished, Job, jobs
from idbench.studies.idia import people, series_of
from idbench.studies.setting import Setting
from idbench.studies.table import Point, Where

PEOPLE = 240
"""People of the test part that are audited: a choice of time alone."""

STEPS = (4, 16, 64)
RUNS = (2, 4, 8)
MIDDLE = (4, 16)
"""Runs and steps that stay while the other one varies: TUNI's defaults here."""


def budgets() -> list[tuple[int, int]]:
    """Runs and steps: each varied around the middle, cheapest first."""
    grid = {(runs, MIDDLE[1]) for runs in RUNS} | {(MIDDLE[0], steps) for steps in STEPS}
    return sorted(grid, key=lambda budget: budget[0] * budget[1])


def tuni_jobs(setting: Setting, split: Split) -> list[Job]:
    """One run for each budget, target and seed; the cheapest first."""
    return [job for runs, steps in budgets() for job in jobs(setting, split, "tuni", {"runs": runs, "steps": steps})]


def measure(split: Split, finished: Sequence[Finished], progress: Progress) -> list[Point]:
    """AUC and TPR at 10 % FPR for every budget: both targets together, each alone, and the control."""
    points: list[Point] = []
    for runs, steps in progress.track(budgets(), "intervals"):
        own = [run for run in finished if _budget(run) == (runs, steps)]
        for series, chosen in series_of(own).items():
            rows = [Reading(r.judged.scores, r.judged.members, ~r.judged.members) for r in chosen]
            members, nonmembers, _ = people(rows)
            where = Where(series, runs=runs, steps=steps, members=members, nonmembers=nonmembers, readings=len(rows))
            area, at_10 = graded(rows)
            points += [where.point("auc", area), where.point("tpr_10", at_10)]
    return points


def _budget(run: Finished) -> tuple[int, int]:
    parameters = run.run.record.parameters
    return int(parameters["runs"]), int(parameters["steps"])
