"""IDIA by number of training pictures: figure 5 of its paper, for one attack photo, some and all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from idbench.api import Progress
from idbench.splits import Split
from idbench.studies.bins import Bin, bins_of
from idbench.studies.execution import Finished
from idbench.studies.idia import CONTROL, TARGETS, few_numbers, most_photos, people, points_of, readings, series_of
from idbench.studies.table import Point, Where


def measure(split: Split, finished: Sequence[Finished], progress: Progress) -> list[Point]:
    """Every statistic for the members of each bin against all non-members, and for each number of photos.

    The control is judged with A's labels and A's numbers of pictures: it was trained on none of them.
    """
    series = series_of(finished)
    seen = np.concatenate([run.judged.occurrences[run.judged.members] for run in series[TARGETS]])
    steps = [(photos, own) for photos in few_numbers(most_photos(split)) for own in bins_of(seen)]
    points: list[Point] = []
    for photos, own in progress.track(steps, "intervals"):
        for name in (TARGETS, CONTROL):
            points += _points(name, series[name], photos, own)
    return points


def _points(series: str, runs: Sequence[Finished], photos: int, own: Bin) -> list[Point]:
    rows = readings(runs, photos, [own.holds(run.judged.occurrences) for run in runs])
    members, nonmembers, left_out = people(rows)
    where = Where(
        series, photos, own.label, members=members, nonmembers=nonmembers, left_out=left_out, readings=len(rows)
    )
    return points_of(where, rows)
