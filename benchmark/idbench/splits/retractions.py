"""Lists of identities that asked to be taken out: the one that ships with the package, and the one of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from platformdirs import user_config_path

from idbench.errors import DataError
from idbench.outputs import check_file
from idbench.splits.manifest import MANIFEST_FILE, Manifest, manifest_text, read_manifest
from idbench.splits.tables import plain_columns, read_rows
from idbench.storage import expanded, is_there, read_bounded, write_text

FILE = "retractions.txt"

_BYTES = 1 << 26
_REASON = 200  # characters
_HEAD = """\
# Identities that were taken out on this machine, one per line: SPLIT IDENTITY  # date, reason
# They disappear from loading, runs and boards, whatever copy of the split is on disk.
"""


def own_list() -> Path:
    """This machine's list: `BENCH_RETRACTIONS`, else a file beside the user's settings, which outlives every cache."""
    named = os.environ.get("BENCH_RETRACTIONS")
    return expanded(Path(named)) if named else user_config_path("idbench") / FILE


def retracted_here(split: str) -> frozenset[str]:
    """Identities of a split that the installed package's list or this machine's list takes out.

    Raises:
        StorageError: this machine's list is there and cannot be read: people on it would come back.
    """
    packaged = files("idbench.splits").joinpath(FILE).read_text(encoding="utf-8")
    path = own_list()
    own = read_bounded(path, _BYTES).decode("utf-8", errors="replace") if is_there(path) else ""
    return parse_retractions(packaged, split) | parse_retractions(own, split)


def parse_retractions(text: str, split: str) -> frozenset[str]:
    """Identity ids on lines `SPLIT IDENTITY`; `#` begins a comment, lines of other splits are passed over."""
    entries = (line.partition("#")[0].split() for line in text.splitlines())
    return frozenset(entry[1] for entry in entries if len(entry) == 2 and entry[0] == split)


def retract(split: str, identities: Sequence[str], reason: str) -> None:
    """Put identities of a split on this machine's list.

    Args:
        split: its name.
        identities: opaque ids.
        reason: one line that anybody may read: no name, no story. May be empty.

    Raises:
        DataError: the reason is not one short line, or an id cannot be on a list.
        StorageError: the list cannot be written, or what lies in its place is another file.
    """
    if len(reason) > _REASON or not reason.isprintable():
        raise DataError("A reason is one line of at most 200 characters.", hint="Leave names and stories out of it.")
    if odd := [each for each in identities if not each or "#" in each or each.split() != [each]]:
        raise DataError(f"{odd[0]!r} cannot be the id of an identity.", hint="Ids are in the table `identities`.")
    path = own_list()
    check_file(path, "list of retractions", _is_list)
    text = read_bounded(path, _BYTES).decode("utf-8") if is_there(path) else _HEAD
    known, today = parse_retractions(text, split), f"{datetime.now(UTC):%Y-%m-%d}"
    note = f"{today}, {reason}" if reason else today
    lines = [f"{split} {identity}  # {note}\n" for identity in dict.fromkeys(identities) if identity not in known]
    if lines:
        write_text(path, text + ("" if text.endswith("\n") else "\n") + "".join(lines))


def _is_list(path: Path) -> bool:
    """Whether every line is a comment or names a split and an identity."""
    lines = read_bounded(path, _BYTES).decode("utf-8").splitlines()
    return all(len(line.partition("#")[0].split()) in (0, 2) for line in lines)


def retract_in_folder(folder: Path, identities: Sequence[str]) -> None:
    """Put identities on the list that travels with a split's folder, in its manifest.

    Raises:
        DataError: the folder is not a split, or holds no such identity and never did.
        StorageError: the manifest cannot be written.
    """
    manifest = read_manifest(folder)
    check_known(identities, mentioned(folder, manifest) | set(manifest.retracted), folder)
    listed = tuple(sorted({*manifest.retracted, *identities}))
    if listed != manifest.retracted:
        changed = manifest.model_copy(update={"retracted": listed})
        write_text(folder / MANIFEST_FILE, manifest_text(changed))


def mentioned(folder: Path, manifest: Manifest) -> set[str]:
    """Ids of everybody whom a table of a split's folder speaks of, also of those who have no label any more."""
    found: set[str] = set()
    for table in manifest.rows:
        columns = plain_columns(table)
        if "identity" in columns:
            place = columns.index("identity")
            found.update(str(row[place]) for row in read_rows(folder, table))
    return found


def check_known(identities: Sequence[str], known: set[str], where: object) -> None:
    """Refuse ids that nobody has: a typo must not look like a person who was taken out.

    Raises:
        DataError: an id is unknown.
    """
    if unknown := [identity for identity in identities if identity not in known]:
        raise DataError(
            f"{where} has no identity {unknown[0]!r}.", hint="Ids are in the table `identities`, beside the names."
        )
