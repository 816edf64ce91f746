"""What both studies of IDIA share: numbers of photos, the runs, and readings of the people from the counted votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.splits import Split
from idbench.studies.estimates import Reading, graded, rate
from idbench.studies.execution import IDIA_DRAWS, Finished, Job, jobs
from idbench.studies.setting import Setting
from idbench.studies.table import Point, Where

MOST_PHOTOS = 30
"""The paper's largest number of photos."""

DRAWS = 20
POOL = 1000
TAU = 1
"""Draws of photos, names in the pool, and right prompts that make a member: the paper's."""

TARGETS = "A and B"
CONTROL = "control"


def most_photos(split: Split) -> int:
    """The largest number of photos, at most 30, that at least half of the people under test have.

    Raises:
        DataError: fewer than two: there is nothing to vary.
    """
    have = np.array([len(identity.photos) for identity in split.identities if identity.part == "test"])
    most = min(MOST_PHOTOS, int(np.sort(have)[len(have) // 2])) if have.size else 0
    if most < 2:
        raise DataError(
            f"Half of the people under test in {split.manifest.name} have fewer than two photos: their number cannot "
            "be varied.",
            hint="Use a split with more attack photos of each person, e.g. avatars.",
        )
    return most


def photo_numbers(most: int) -> list[int]:
    """1, 3, 5, ... and `most`: those of figure 4 of the paper, as far as there are photos."""
    return sorted({*range(1, most + 1, 2), most})


def few_numbers(most: int) -> list[int]:
    """One photo, some and all: the curves of the study of training pictures."""
    return [1, 10, 30] if most == MOST_PHOTOS else sorted({1, min(3, most), most})


def idia_jobs(setting: Setting, split: Split) -> list[Job]:
    """One run for each target and seed; both studies of IDIA ask for the same, so that the second one reads it.

    Raises:
        DataError: too few photos.
    """
    most = most_photos(split)
    sizes = sorted({*photo_numbers(most), *few_numbers(most)})
    return jobs(setting, split, IDIA_DRAWS, {"sizes": sizes, "draws": DRAWS, "pool_size": POOL})


def series_of(finished: Sequence[Finished]) -> dict[str, list[Finished]]:
    """The runs behind each series: both targets together, each alone, and the control."""
    alone = {name: [run for run in finished if run.audited.series == name] for name in ("A", "B", CONTROL)}
    return {TARGETS: alone["A"] + alone["B"], **alone}


def readings(runs: Sequence[Finished], photos: int, inside: Sequence[NDArray[np.bool_]] | None = None) -> list[Reading]:
    """The right prompts of every draw of that many photos, in every run.

    Args:
        runs: of the same people.
        photos: number of photos.
        inside: for each run, which members count, (n,); None: all. Non-members always count.
    """
    found = []
    for number, run in enumerate(runs):
        prefix = f"right_{photos}_"
        counts = np.stack([values for name, values in sorted(run.details.items()) if name.startswith(prefix)])
        if (counts == counts[0]).all():  # all photos of everybody: there is but one draw
            counts = counts[:1]
        known = np.isfinite(counts[0])
        members = run.judged.members & known
        if inside is not None:
            members &= inside[number]
        found += [Reading(row, members, ~run.judged.members & known) for row in counts]
    return found


def points_of(where: Where, rows: Sequence[Reading]) -> list[Point]:
    """TPR and FPR of the paper's rule, TPR at 10 % FPR and AUC; nothing where a class has nobody."""
    if any(not row.members.any() or row.nonmembers.sum() < 2 for row in rows):
        return []
    area, at_10 = graded(rows)
    values = {
        "tpr_rule": rate(rows, TAU, members=True),
        "fpr_rule": rate(rows, TAU, members=False),
        "tpr_10": at_10,
        "auc": area,
    }
    return [where.point(statistic, value) for statistic, value in values.items()]


def people(rows: Sequence[Reading]) -> tuple[int, int, int]:
    """How many people are members, non-members, and neither for want of photos, in at least one reading."""
    members = np.any([row.members for row in rows], axis=0)
    nonmembers = np.any([row.nonmembers for row in rows], axis=0)
    return int(members.sum()), int(nonmembers.sum()), int(np.isnan(rows[0].scores).sum())
