"""Curves over numbers of photos or of training pictures, from an attack that counts all draws of photos in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.api.studies import PhotoStudy
from idbench.errors import DataError
from idbench.splits import Split
from idbench.studies.estimates import Reading, graded, rate
from idbench.studies.execution import CONTROL, TARGETS, Job, LabelledRun, jobs, people, series_of
from idbench.studies.setting import Setting
from idbench.studies.table import Point, Where


def most_photos(split: Split, most: int) -> int:
    """The largest number of photos, at most `most`, that at least half of the people under test have.

    Raises:
        DataError: fewer than two: there is nothing to vary.
    """
    have = np.array([len(identity.photos) for identity in split.identities if identity.part == "test"])
    most = min(most, int(np.sort(have)[len(have) // 2])) if have.size else 0
    if most < 2:
        raise DataError(
            f"Half of the people under test in {split.manifest.name} have fewer than two photos: their number cannot "
            "be varied.",
            hint="Use a split with more attack photos of each person, e.g. avatars.",
        )
    return most


def photo_numbers(most: int) -> list[int]:
    """1, 3, 5, ... and `most`."""
    return sorted({*range(1, most + 1, 2), most})


def few_numbers(most: int) -> list[int]:
    """One photo, some and all: the curves over training pictures."""
    return sorted({1, min(10 if most >= 30 else 3, most), most})


def photo_jobs(study: PhotoStudy, setting: Setting, split: Split) -> list[Job]:
    """One run for each target and seed; studies of one attack ask for the same, so that the second one reads it.

    Raises:
        DataError: too few photos.
    """
    most = most_photos(split, study.most_photos)
    sizes = sorted({*photo_numbers(most), *few_numbers(most)})
    return jobs(setting, split, study, {study.photos_parameter: sizes})


def measure(study: PhotoStudy, split: Split, finished: Sequence[LabelledRun], progress: Progress) -> list[Point]:
    """Every statistic for every number of photos, or for every bin of training pictures and a few numbers of photos."""
    most = most_photos(split, study.most_photos)
    if study.over == "photos":
        return _over_photos(study, photo_numbers(most), finished, progress)
    return _over_pictures(study, few_numbers(most), finished, progress)


def _over_photos(
    study: PhotoStudy, numbers: Sequence[int], finished: Sequence[LabelledRun], progress: Progress
) -> list[Point]:
    """Both targets together, each alone, and the control."""
    points: list[Point] = []
    for photos in progress.track(numbers, "intervals"):
        for series, runs in series_of(finished).items():
            points += _points(study, readings(study, runs, photos), Where(series, photos))
    return points


def _over_pictures(
    study: PhotoStudy, numbers: Sequence[int], finished: Sequence[LabelledRun], progress: Progress
) -> list[Point]:
    """The members of each bin against all non-members.

    The control is judged with A's labels and A's numbers of pictures: it was trained on none of them.
    """
    series = series_of(finished)
    seen = np.concatenate([run.labelled.occurrences[run.labelled.members] for run in series[TARGETS]])
    steps: list[tuple[int, Bin]] = [(photos, own) for photos in numbers for own in bins_of(seen)]
    points: list[Point] = []
    for photos, own in progress.track(steps, "intervals"):
        for name in (TARGETS, CONTROL):
            inside = [own.holds(run.labelled.occurrences) for run in series[name]]
            rows = readings(study, series[name], photos, inside)
            points += _points(study, rows, Where(name, photos, own.label))
    return points


def readings(
    study: PhotoStudy, runs: Sequence[LabelledRun], photos: int, inside: Sequence[NDArray[np.bool_]] | None = None
) -> list[Reading]:
    """The scores of every draw of that many photos, in every run.

    Args:
        study: says how the attack calls its details.
        runs: of the same people.
        photos: number of photos.
        inside: for each run, which members count, (n,); None: all. Non-members always count.
    """
    found = []
    for number, run in enumerate(runs):
        prefix = study.detail.format(photos=photos)
        counts = np.stack([values for name, values in sorted(run.details.items()) if name.startswith(prefix)])
        if (counts == counts[0]).all():  # all photos of everybody: there is but one draw
            counts = counts[:1]
        known = np.isfinite(counts[0])
        members = run.labelled.members & known
        if inside is not None:
            members &= inside[number]
        found += [Reading(row, members, ~run.labelled.members & known) for row in counts]
    return found


def _points(study: PhotoStudy, rows: Sequence[Reading], where: Where) -> list[Point]:
    """TPR and FPR of the method's own rule, TPR at 10 % FPR and AUC; nothing where a class is empty."""
    if any(not row.members.any() or row.nonmembers.sum() < 2 for row in rows):
        return []
    members, nonmembers, left_out = people(rows)
    where = replace(where, members=members, nonmembers=nonmembers, left_out=left_out, readings=len(rows))
    area, at_10 = graded(rows)
    values = {
        "tpr_rule": rate(rows, study.threshold, members=True),
        "fpr_rule": rate(rows, study.threshold, members=False),
        "tpr_10": at_10,
        "auc": area,
    }
    return [where.point(statistic, value) for statistic, value in values.items()]


_NUMBERS = 8  # as many distinct numbers may each be a bin of their own
_FEWEST = 20  # people in a bin of several numbers
_EDGES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class Bin:
    """Numbers of training pictures from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def label(self) -> str:
        """E.g. `25`, or `10-19`."""
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    def holds(self, occurrences: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers are in the bin."""
        return (occurrences >= self.low) & (occurrences <= self.high)


def bins_of(occurrences: NDArray[np.int64]) -> list[Bin]:
    """Bins for the training pictures of members.

    Args:
        occurrences: of each member, at least 1; several targets together.

    Returns:
        One bin per number where there are at most eight numbers; else ranges, each with at least twenty people, as
        far as there are that many.
    """
    numbers = np.unique(occurrences)
    if numbers.size <= _NUMBERS:
        return [Bin(int(number), int(number)) for number in numbers]
    groups = [[number for number in numbers.tolist() if low <= number < high] for low, high in _ranges()]
    return [Bin(group[0], group[-1]) for group in _merged([group for group in groups if group], occurrences)]


def _ranges() -> list[tuple[float, float]]:
    return list(zip(_EDGES, (*_EDGES[1:], float("inf")), strict=True))


def _merged(groups: Sequence[list[int]], occurrences: NDArray[np.int64]) -> list[list[int]]:
    """Neighbouring groups joined until each has enough people; what is left at the end joins the last."""
    merged: list[list[int]] = []
    waiting: list[int] = []
    for group in groups:
        waiting = waiting + group
        if int(np.isin(occurrences, waiting).sum()) >= _FEWEST:
            merged.append(waiting)
            waiting = []
    if not merged:
        return [waiting]
    if waiting:
        merged[-1] = merged[-1] + waiting
    return merged
