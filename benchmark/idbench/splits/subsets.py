"""Subsets of splits: subsets that it names, and pairs of members and non-members that match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from idbench.api import Progress
from idbench.errors import DataError, UnknownNameError
from idbench.splits.card import complete_card, plain_prose, read_card
from idbench.splits.honesty import covariates_of, examine
from idbench.splits.manifest import MANIFEST_FILE, Manifest, manifest_text
from idbench.splits.split import Split
from idbench.splits.tables import COLUMNS, ROWS_PER_GROUP, Row, read_rows, write_table
from idbench.storage import write_text

MATCHED: Final = "matched"
"""The subset that is derived from what separates members from non-members; every split has it."""

CALIPER: Final = 0.25
"""Farthest that a member and a non-member of one pair may lie apart in a telling covariate, in standard deviations."""

_NOT_COPIED: Final = ("subsets",)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Members and non-members that are alike in what separates members from non-members without a target.

    Args:
        identities: whom to keep, members and non-members alike.
        covariates: what they were matched on.
        left_out: people of the test part without a partner.
    """

    identities: tuple[str, ...]
    covariates: tuple[str, ...]
    left_out: int


def subset_names(split: Split) -> tuple[str, ...]:
    """Subsets that a split names, and `matched`."""
    return (*sorted({str(row[0]) for row in split.rows("subsets")}), MATCHED)


def people_of_subset(split: Split, name: str) -> tuple[str, ...]:
    """Ids of the people of a subset that the split names.

    Raises:
        UnknownNameError: it names no such subset.
    """
    found = tuple(str(row[1]) for row in split.rows("subsets") if row[0] == name)
    if not found:
        raise UnknownNameError(f"subset of {split.manifest.name}", name, subset_names(split))
    return found


def matched_people(split: Split, progress: Progress) -> Pairs:
    """Pairs of a member and a non-member that lie within `CALIPER` in every covariate that tells them apart.

    Pairs are assigned so that the sum of distances is smallest, then those outside of the caliper are dropped.

    Args:
        split: with all its labels.
        progress: shows how far the photos are.

    Raises:
        DataError: no pair is left.
    """
    from scipy.optimize import linear_sum_assignment

    honesty = examine(split, progress)
    telling = {one.name for one in honesty.corpora[0].telling} if honesty.corpora else set()
    found = {name: array for (name, _), array in covariates_of(split, progress).items() if name in telling}
    columns = {name: array for name, array in found.items() if not np.isnan(array).any()}
    if not columns:
        raise DataError(f"Nothing in {split.manifest.name} has to be matched.", hint="Use the split as it is.")
    tested = np.array([one.part == "test" for one in split.identities])
    members = np.asarray(split.labels(honesty.corpora[0].corpora[0]).member, dtype=np.bool_)
    inside, outside = np.flatnonzero(members & tested), np.flatnonzero(~members & tested)
    table = np.column_stack([array / array.std() for array in columns.values()])
    apart = np.abs(table[inside][:, None, :] - table[outside][None, :, :])
    allowed = (apart <= CALIPER).all(axis=2)
    cost = np.where(allowed, apart.sum(axis=2), _FAR * apart.shape[2])
    left, right = linear_sum_assignment(cost)
    good = allowed[left, right]
    if not good.any():
        raise DataError(
            f"No member of {split.manifest.name} is like a non-member: no matched subset is left.",
            hint="Use a split whose membership was assigned at random.",
        )
    kept = [int(i) for i in (*inside[left[good]], *outside[right[good]])]
    ids = tuple(split.identities[i].id for i in sorted(kept))
    return Pairs(ids, tuple(columns), len(inside) + len(outside) - len(ids))


_FAR = 1e6  # cost of a pair outside of the caliper: any pair inside is preferred


def write_subset(split: Split, people: Sequence[str], name: str, out: Path, progress: Progress) -> Manifest:
    """Write a split of some of the people of another one; candidate names and prompts stay.

    Args:
        split: the whole.
        people: ids of those to keep.
        name: of the subset; the new split is called SPLIT-NAME.
        out: an existing empty folder.
        progress: shows how far the copying is.

    Raises:
        DataError: labels are withheld.
        StorageError: no space or no permission.
    """
    if split.manifest.withheld is not None:
        raise DataError(f"Labels of {split.manifest.name} are withheld.", hint="Ask the holder of the labels.")
    kept = frozenset(people)
    tables = [table for table in split.manifest.rows if table not in _NOT_COPIED]
    written = {table: write_table(out, table, kept_rows(split, table, kept, progress)) for table in tables}
    parts = [one.part for one in split.identities if one.id in kept]
    manifest = split.manifest.model_copy(
        update={
            "name": f"{split.manifest.name}-{name}",
            "title": f"{split.manifest.title}; {name}",
            "source": f"{len(kept)} people of {split.manifest.name} v{split.manifest.version} ({split.digest[:12]})",
            "parts": {"test": parts.count("test"), "calibration": parts.count("calibration")},
            "rows": {table: rows for table, (rows, _) in written.items()},
            "digests": {table: digest for table, (_, digest) in written.items()},
            "retracted": (),
        }
    )
    prose = plain_prose(read_card(split.folder))
    write_text(out / "README.md", complete_card(prose, manifest, out))
    write_text(out / MANIFEST_FILE, manifest_text(manifest))
    return manifest


def kept_rows(split: Split, table: str, kept: frozenset[str], progress: Progress) -> Iterator[list[Row]]:
    """The rows of a table that belong to the people kept, and whatever belongs to nobody, in batches."""
    rows, columns = read_rows(split.folder, table), list(COLUMNS[table])
    if table == "names":  # without those of people who were taken out
        rows = [(name,) for name in split.candidate_names]
    if "identity" in columns:
        place = columns.index("identity")
        rows = [row for row in rows if row[place] in kept]
    pictures = "image" in COLUMNS[table].values()
    starts = range(0, len(rows), ROWS_PER_GROUP)
    for start in progress.track(starts, f"copying {table}", len(starts)):
        batch = rows[start : start + ROWS_PER_GROUP]
        yield [(*row, split.read_photo(row[0])) for row in batch] if pictures else batch
