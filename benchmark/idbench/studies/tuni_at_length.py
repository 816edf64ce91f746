"""TUNI's fair hearing: many steps, both optimizers, and people whom the target has seen as often as anybody."""

from __future__ import annotations

from collections.abc import Sequence

from idbench.api import Progress
from idbench.splits import Split
from idbench.studies.estimates import Reading, graded
from idbench.studies.execution import Finished, Job, jobs
from idbench.studies.idia import people, series_of
from idbench.studies.setting import Setting
from idbench.studies.table import Point, Where

EACH = 64
"""People of each corpus, those with the most training pictures: members of one target, non-members of the other."""

RUNS = 10
STEPS = (16, 64, 256, 1024)
OPTIMIZERS: dict[str, dict[str, object]] = {
    "adam": {"optimizer": "adam"},
    "sgd": {"optimizer": "sgd", "learning_rate": 0.02, "tolerance": 0.0},
}
"""Adam as TUNI's defaults here; plain ascent as in the released code, which never stops early."""


def tuni_jobs(setting: Setting, split: Split) -> list[Job]:
    """One run for each number of steps, optimizer, target and seed; the cheapest first."""
    return [
        job
        for steps in STEPS
        for optimizer in OPTIMIZERS.values()
        for job in jobs(setting, split, "tuni", {"runs": RUNS, "steps": steps, **optimizer})
    ]


def series_name(series: str, optimizer: str) -> str:
    """What a series is called in the table, e.g. `A and B, adam`."""
    return f"{series}, {optimizer}"


def measure(split: Split, finished: Sequence[Finished], progress: Progress) -> list[Point]:
    """AUC and TPR at 10 % FPR for every number of steps and optimizer: both targets, each alone, and the control."""
    points: list[Point] = []
    conditions = [(steps, optimizer) for steps in STEPS for optimizer in OPTIMIZERS]
    for steps, optimizer in progress.track(conditions, "intervals"):
        own = [run for run in finished if _condition(run) == (steps, optimizer)]
        for series, chosen in series_of(own).items():
            rows = [Reading(r.judged.scores, r.judged.members, ~r.judged.members) for r in chosen]
            members, nonmembers, _ = people(rows)
            where = Where(
                series_name(series, optimizer),
                runs=RUNS,
                steps=steps,
                members=members,
                nonmembers=nonmembers,
                readings=len(rows),
            )
            area, at_10 = graded(rows)
            points += [where.point("auc", area), where.point("tpr_10", at_10)]
    return points


def _condition(run: Finished) -> tuple[int, str]:
    parameters = run.run.record.parameters
    return int(parameters["steps"]), str(parameters["optimizer"])
