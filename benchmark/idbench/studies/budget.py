"""Curves over what an attack may spend: one parameter varied while the others have their usual values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from idbench.api import Progress
from idbench.api.studies import BudgetStudy
from idbench.splits import Split
from idbench.studies.execution import Job, LabelledRun, graded_points, jobs, series_of
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
    """One run for each budget, variant, target and seed; the cheapest first."""
    return [
        job
        for budget in budgets(study)
        for variant in variants(study).values()
        for job in jobs(setting, split, study, {**variant, **budget})
    ]


def variants(study: BudgetStudy) -> Mapping[str | None, Mapping[str, object]]:
    """The parameters of each variant by its name; one without a name where a study has none."""
    named: dict[str | None, Mapping[str, object]] = {}
    named.update(study.variants.items())
    return named or {None: {}}


def measure(study: BudgetStudy, split: Split, finished: Sequence[LabelledRun], progress: Progress) -> list[Point]:
    """AUC and TPR at 10 % FPR for every budget and variant: both targets together, each alone, and the control.

    Conditions of which nothing is finished are left out.
    """
    del split
    points: list[Point] = []
    for budget in progress.track(budgets(study), "intervals"):
        for name, variant in variants(study).items():
            asked = {**variant, **budget}
            own = [run for run in finished if asked.items() <= run.run.record.parameters.items()]
            for series, chosen in series_of(own).items():
                points += graded_points(chosen, Where(series, settings=budget, variant=name))
    return points
