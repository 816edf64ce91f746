"""What a study measured: points with intervals, and the files that hold them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from idbench.errors import DataError
from idbench.escaping import csv_cell
from idbench.storage import read_bounded, write_text
from idbench.studies.estimates import Value

STATISTICS = {
    "auc": "AUC",
    "tpr_10": "TPR at 10 % FPR",
    "tpr_rule": "TPR at the method's own rule",
    "fpr_rule": "FPR at the method's own rule",
}

_LARGEST: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Point:
    """One estimate.

    Args:
        series: `A and B` (mean of both targets, people as what varies), `A`, `B` or `control`.
        statistic: a key of `STATISTICS`.
        photos: attack photos of each person; None where no photos are used.
        pictures: training pictures of the members, e.g. `25` or `10-19`; None: members of all numbers.
        settings: parameters of the attack, or of the targets' training, that the study varies; None: it varies none.
        value, low, high: the estimate and its 95 % interval; None if it cannot be estimated.
        interval: how the interval was made, or why there is no estimate.
        members, nonmembers: people behind it; a member on A who is a non-member on B counts as both.
        left_out: people of the test part with too few photos.
        readings: scores of each person that were averaged over: draws of photos, seeds, targets.
        variant: what has a curve of its own: an attack, or a way of running it; None where there is but one.
    """

    series: str
    statistic: str
    photos: int | None
    pictures: str | None
    settings: dict[str, int] | None
    value: float | None
    low: float | None
    high: float | None
    interval: str
    members: int
    nonmembers: int
    left_out: int
    readings: int
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """The condition that a point is measured under; see `Point`."""

    series: str
    photos: int | None = None
    pictures: str | None = None
    settings: dict[str, int] | None = None
    members: int = 0
    nonmembers: int = 0
    left_out: int = 0
    readings: int = 1
    variant: str | None = None

    def point(self, statistic: str, value: Value) -> Point:
        """The estimate of a statistic under this condition."""
        return Point(statistic=statistic, **asdict(self), **asdict(value))


@dataclass(frozen=True, slots=True)
class TargetUsed:
    """A target of a study: its role, name, hash of its weights, and the corpus whose labels it is judged with.

    `loss` is that of the last epoch, for targets that the study trained.
    """

    series: str
    name: str
    sha256: str | None
    corpus: str
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A finished study.

    Args:
        study: its name.
        title: one line for people.
        note: what was measured on whom, in a few sentences.
        split: name of the split that the runs used.
        split_version: its version.
        split_digest: its digest.
        made_from: name of the split that was asked for.
        targets: A, B and control.
        attack: name of the attack in the records; of several, by commas.
        parameters: those that differ from the attack's defaults, for each group of runs.
        seeds: of the runs.
        runs: ids of the records.
        points: what was measured.
        engine: version of the engine that ran the records and made the intervals; None: 1, which did not say.
    """

    study: str
    title: str
    note: str
    split: str
    split_version: int
    split_digest: str
    made_from: str
    targets: tuple[TargetUsed, ...]
    attack: str
    parameters: tuple[dict[str, object], ...]
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    points: tuple[Point, ...]
    engine: int | None = None


def write_tables(result: StudyResult, folder: Path) -> list[Path]:
    """Write `NAME.csv`, one line per point, and `NAME.json` with everything that the points rest on.

    Raises:
        StorageError: no space, no permission, or the folder does not exist.
    """
    table, whole = folder / f"{result.study}.csv", folder / f"{result.study}.json"
    write_text(table, as_csv(result.points))
    write_text(whole, json.dumps(asdict(result), indent=1, allow_nan=False) + "\n")
    return [table, whole]


def read_result(path: Path) -> StudyResult:
    """What `write_tables` wrote as JSON.

    Raises:
        DataError: it is not the table of a study.
    """
    try:
        found = json.loads(read_bounded(path, _LARGEST))
        found["targets"] = tuple(TargetUsed(**target) for target in found["targets"])
        found["points"] = tuple(Point(**point) for point in found["points"])
        for name in ("parameters", "seeds", "runs"):
            found[name] = tuple(found[name])
        return StudyResult(**found)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not the table of a study: {error}.", hint="Run `bench study` again.") from error


def is_result_of(study: str, folder: Path) -> bool:
    """Whether a folder holds what `write_tables` wrote for a study."""
    found = json.loads(read_bounded(folder / f"{study}.json", _LARGEST))
    return isinstance(found, dict) and found.get("study") == study and {"points", "runs"} <= found.keys()


def as_csv(points: tuple[Point, ...]) -> str:
    """One line per point, one column per parameter that varies; empty columns are left out; six digits."""
    rows = [_row(point) for point in points]
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if any(row.get(name) is not None for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue()


def _row(point: Point) -> dict[str, object]:
    row: dict[str, object] = {"series": point.series, "variant": point.variant}
    for name, value in asdict(point).items():
        row |= (value or {}) if name == "settings" else {name: value}
    return row


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str):
        return csv_cell(value)
    return f"{value:.6g}" if isinstance(value, float) else value
