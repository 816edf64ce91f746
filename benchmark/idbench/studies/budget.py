"""Curves over what an attack may spend: one parameter varied while the others have their usual values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from idbench.api import Progress
from idbench.api.studies import BudgetStudy
from idbench.splits import Split
from idbench.studies.estimates import Reading, graded
from idbench.studies.execution import Job, LabelledRun, jobs, people, series_of
from idbench.studies.setting import Setting
from idbench.studies.table import Point, Where

Budget = dict[str, int]


def budgets(study: BudgetStudy) -> list[Budget]:
    """The values of the parameters, each varied around the usual ones; cheapest first."""
    usual = {axis.parameter: axis.usual for axis in sorted(study.axes, key=lambda axis: axis.parameter)}
    found: list[Budget] = []
    for axis in study.axes:
        for value in axis.values:
            if (budget := usual | {axis.parameter: value}) not in found:
                found.append(budget)
    return sorted(found, key=lambda budget: (prod(budget.values()), *budget.values()))


def budget_jobs(study: BudgetStudy, setting: Setting, split: Split) -> list[Job]:
    """One run for each budget, target and seed; the cheapest first."""
    return [job for budget in budgets(study) for job in jobs(setting, split, study, budget)]


def measure(study: BudgetStudy, split: Split, finished: Sequence[LabelledRun], progress: Progress) -> list[Point]:
    """AUC and TPR at 10 % FPR for every budget: both targets together, each alone, and the control."""
    del split
    points: list[Point] = []
    for budget in progress.track(budgets(study), "intervals"):
        own = [run for run in finished if budget.items() <= run.run.record.parameters.items()]
        for series, chosen in series_of(own).items():
            rows = [Reading(r.labelled.scores, r.labelled.members, ~r.labelled.members) for r in chosen]
            members, nonmembers, _ = people(rows)
            where = Where(series, settings=budget, members=members, nonmembers=nonmembers, readings=len(rows))
            area, at_10 = graded(rows)
            points += [where.point("auc", area), where.point("tpr_10", at_10)]
    return points
