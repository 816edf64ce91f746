"""IDIA by number of attack photos: figure 4 of its paper, with intervals over people."""

from __future__ import annotations

from collections.abc import Sequence

from idbench.api import Progress
from idbench.splits import Split
from idbench.studies.execution import Finished
from idbench.studies.idia import most_photos, people, photo_numbers, points_of, readings, series_of
from idbench.studies.table import Point, Where


def measure(split: Split, finished: Sequence[Finished], progress: Progress) -> list[Point]:
    """Every statistic for every number of photos: both targets together, each alone, and the control."""
    points: list[Point] = []
    for photos in progress.track(photo_numbers(most_photos(split)), "intervals"):
        for series, runs in series_of(finished).items():
            rows = readings(runs, photos)
            members, nonmembers, left_out = people(rows)
            where = Where(series, photos, members=members, nonmembers=nonmembers, left_out=left_out, readings=len(rows))
            points += points_of(where, rows)
    return points
