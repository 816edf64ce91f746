"""A split that is open: identities, labels, names, and photos that are read only when they are asked for."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.digests import digest_after, digests_until
from idbench.errors import DataError, LabelsWithheld, UnknownNameError
from idbench.hub import HubRef
from idbench.splits.manifest import Labels, Manifest, Part, read_manifest
from idbench.splits.retractions import retracted_here
from idbench.splits.tables import COLUMNS, OF_IDENTITIES, REQUIRED, Row, digest_rows, open_table, read_rows, table_path
from idbench.wording import counted

_GROUPS_KEPT = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """One person of a split.

    Args:
        id: opaque.
        part: "calibration" or "test".
        name: full name.
        photos: ids of the person's photos, none of which is in a training set.
    """

    id: str
    part: Part
    name: str
    photos: tuple[str, ...]


class _Pictures:
    """Encoded pictures of one table, by photo id; holds a few row groups at a time, whatever the table's size."""

    def __init__(self, folder: Path, table: str, rows: list[Row], sha_column: int) -> None:
        self._file: Any = open_table(folder, table)
        self._path = table_path(folder, table)
        self._sha256 = {str(row[0]): str(row[sha_column]) for row in rows}
        self._place: dict[str, tuple[int, int]] = {}
        position = 0
        for group in range(self._file.num_row_groups):
            for row in range(self._file.metadata.row_group(group).num_rows):
                self._place[str(rows[position][0])] = (group, row)
                position += 1
        self._groups: OrderedDict[int, Any] = OrderedDict()

    def __contains__(self, photo: str) -> bool:
        return photo in self._place

    def sha256(self, photo: str) -> str:
        return self._sha256[photo]

    def read(self, photo: str) -> bytes:
        group, row = self._place[photo]
        data = self._group(group)[row].as_py()
        content = (data or {}).get("bytes") or b""
        if hashlib.sha256(content).hexdigest() != self._sha256[photo]:
            raise DataError(f"Photo {photo} in {self._path} differs from its recorded hash.")
        return content

    def _group(self, group: int) -> Any:
        import pyarrow as pa

        if group in self._groups:
            self._groups.move_to_end(group)
            return self._groups[group]
        try:
            column = self._file.read_row_group(group, columns=["image"]).column("image")
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path} is damaged: photos cannot be read.") from error
        self._groups[group] = column
        if len(self._groups) > _GROUPS_KEPT:
            self._groups.popitem(last=False)
        return column


class Split:
    """An open split. Opening reads the small tables and verifies them; photos are verified one by one as they are read.

    Args:
        folder: the split's folder.
        on_damage: called when a photo turns out to be damaged, before the error is raised.
        origin: where on the Hub the folder comes from, pinned; None for what was built here.
        also_retracted: identities that are taken out beside those of the manifest's and the machine's lists.

    Raises:
        DataError: a table is missing, damaged, or differs from the manifest.
    """

    def __init__(
        self,
        folder: Path,
        on_damage: Callable[[], None] | None = None,
        origin: HubRef | None = None,
        also_retracted: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self.origin = origin
        self.manifest: Manifest = read_manifest(folder)
        self._on_damage = on_damage
        rows = {table: self._verified_rows(table) for table in self.manifest.rows}
        if missing := [table for table in REQUIRED if table not in rows]:
            raise DataError(
                f"The manifest in {folder} does not list the table {missing[0]!r}.",
                hint="Fetch or build the split again.",
            )
        self.retracted: frozenset[str] = self._retractions(rows["identities"], also_retracted)
        self._rows = {table: found for table, found in rows.items() if table in OF_IDENTITIES}
        gone = {str(row[2]) for row in rows["identities"] if row[0] in self.retracted}
        self.identities: tuple[Identity, ...] = tuple(
            Identity(str(row[0]), row[1], str(row[2]), tuple(row[3] or ()))
            for row in rows["identities"]
            if row[0] not in self.retracted
        )
        self.candidate_names: tuple[str, ...] = tuple(str(name) for (name,) in rows["names"] if name not in gone)
        self.prompts: tuple[str, ...] = tuple(str(template) for (template,) in rows["prompts"])
        self.public_pairs: tuple[tuple[str, str], ...] = tuple(
            (str(row[0]), str(row[1])) for row in rows.get("public_pairs", [])
        )
        self._members = self._members_of(rows["labels"])
        self._labels = {} if self.manifest.withheld else self._labels_of(rows["labels"])
        self._pictures = [_Pictures(folder, "photos", rows["photos"], 2)]
        if "public_pairs" in rows:
            self._pictures.append(_Pictures(folder, "public_pairs", rows["public_pairs"], 2))
        self._allowed = {photo for identity in self.identities for photo in identity.photos}
        self._allowed.update(photo for photo, _ in self.public_pairs)

    @property
    def digest(self) -> str:
        """SHA-256 of all that results depend on, retractions included: equal digests, equal data."""
        return digest_after(self.manifest.digest, self.retracted)

    def has_been(self, digest: str) -> bool:
        """Whether a digest is this version's, as it is or before people were taken out of it."""
        return digest in digests_until(self.manifest.digest, self.retracted)

    @property
    def photos_digest(self) -> str:
        """SHA-256 over the table of photos: people with equal photos, whatever their labels, prompts and names."""
        return self.manifest.digests_here["photos"]

    @property
    def corpora(self) -> tuple[str, ...]:
        """Corpora that the split has labels for."""
        return tuple(corpus.name for corpus in self.manifest.corpora)

    def labels(self, corpus: str) -> Labels:
        """Membership in one corpus, aligned with `identities`.

        Raises:
            UnknownNameError: the split has no labels for this corpus.
            LabelsWithheld: those of one part are not in this folder.
        """
        if corpus not in self.corpora:
            raise UnknownNameError("corpus in this split", corpus, self.corpora)
        if self.manifest.withheld is not None:
            raise LabelsWithheld(
                f"The {self.manifest.withheld.part} labels of {self.manifest.name} are withheld.",
                hint="Send the record to the labels' holder, who runs bench challenge answer (docs/challenge.md).",
            )
        return self._labels[corpus]

    def calibration_members(self, corpus: str) -> NDArray[np.bool_]:
        """Membership of the calibration part in one corpus, bool (n,) aligned with `identities`; False for all others.

        Raises:
            UnknownNameError: the split has no labels for this corpus.
        """
        if corpus not in self.corpora:
            raise UnknownNameError("corpus in this split", corpus, self.corpora)
        calibration = np.array([identity.part == "calibration" for identity in self.identities], dtype=np.bool_)
        return np.asarray(self._members[corpus] & calibration, dtype=np.bool_)

    def rows(self, table: str) -> list[Row]:
        """Rows of one of the tables that speak of identities, without retracted ones; empty if it is not there.

        Args:
            table: `urls`, `label_sources`, `bins`, `selection`, `subsets` or `spellings`.
        """
        place = list(COLUMNS[table]).index("identity")
        return [row for row in self._rows.get(table, []) if row[place] not in self.retracted]

    def photo_sha256(self, photo: str) -> str:
        """SHA-256 of a photo's encoded bytes, from the table: no picture is read."""
        return self._table_of(photo).sha256(photo)

    def read_photo(self, photo: str) -> bytes:
        """Encoded bytes of one photo, verified.

        Raises:
            DataError: no such photo, retracted, or damaged.
        """
        table = self._table_of(photo)
        try:
            return table.read(photo)
        except DataError as error:
            if self._on_damage is None:
                raise DataError(error.message, hint=f"Fetch or build the split in {self.folder} again.") from error
            self._on_damage()
            raise DataError(error.message, hint="Repeat the command: it builds the split again.") from error

    def read_photos(self, photos: Iterable[str]) -> Iterator[bytes]:
        """Encoded bytes of photos, in the order asked; a few row groups are in memory at a time.

        Photos of one identity lie together: ask for them together.
        """
        return (self.read_photo(photo) for photo in photos)

    def _table_of(self, photo: str) -> _Pictures:
        if photo in self._allowed:
            for table in self._pictures:
                if photo in table:
                    return table
        raise DataError(
            f"The split {self.manifest.name} has no photo {photo!r}.", hint="`bench data lint` checks the folder."
        )

    def _verified_rows(self, table: str) -> list[Row]:
        rows = read_rows(self.folder, table)
        if digest_rows(rows) != self.manifest.digests_here.get(table):
            raise DataError(
                f"The table {table!r} in {self.folder} is not the one that its manifest describes.",
                hint="Fetch or build the split again; `bench data lint` lists what is wrong.",
            )
        return rows

    def _retractions(self, identities: list[Row], also: Collection[str]) -> frozenset[str]:
        listed = {*self.manifest.retracted, *retracted_here(self.manifest.name), *also}
        return frozenset(listed & {str(row[0]) for row in identities})

    def _members_of(self, rows: list[Row]) -> Mapping[str, NDArray[np.bool_]]:
        """Members of each corpus according to the labels; False where there is no label."""
        members = {(row[0], row[1]) for row in rows if row[2]}
        return {
            corpus: np.array([(corpus, identity.id) in members for identity in self.identities], dtype=np.bool_)
            for corpus in self.corpora
        }

    def _labels_of(self, rows: list[Row]) -> Mapping[str, Labels]:
        order = {identity.id: i for i, identity in enumerate(self.identities)}
        labels = {}
        for corpus in self.corpora:
            found = {str(row[1]): row for row in rows if row[0] == corpus and row[1] in order}
            if len(found) != len(order):
                raise DataError(
                    f"The split in {self.folder} lacks labels of "
                    f"{counted(len(order) - len(found), 'identity', 'identities')} for {corpus}.",
                    hint="`bench data lint` lists them.",
                )
            ordered = [found[identity.id] for identity in self.identities]
            labels[corpus] = Labels(
                corpus,
                np.array([row[2] for row in ordered], dtype=np.bool_),
                np.array([-1 if row[3] is None else row[3] for row in ordered], dtype=np.int64),
                tuple(str(row[4]) for row in ordered),
                np.array([np.nan if row[5] is None else row[5] for row in ordered], dtype=np.float64),
            )
        return labels
