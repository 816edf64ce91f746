"""Secret seeds, and folders whose test labels are withheld: the holder of the seed scores what others submit."""

from __future__ import annotations

from pathlib import Path

from idbench.errors import DataError
from idbench.splits.card import complete_card, plain_prose, read_card
from idbench.splits.injected.dealing import SALTED
from idbench.splits.manifest import MANIFEST_FILE, Part, Withheld, manifest_text
from idbench.splits.split import Split
from idbench.splits.tables import read_rows, table_path, write_table
from idbench.storage import atomic_dir, copy_files, require_regular, storage_errors, write_text

SHORTEST = 16
"""Fewest characters of a secret: one that can be guessed gives the labels away."""

_LONGEST = 4096  # bytes


def read_secret(file: Path) -> str:
    """The secret in a file, without white space around it.

    Raises:
        DataError: too short, too long, or not text.
        StorageError: it cannot be read.
    """
    how = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))' > FILE"
    with storage_errors(file):
        require_regular(file)
        with file.open("rb") as opened:
            data = opened.read(_LONGEST + 1)
    try:
        secret = data.decode().strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text.", hint=how) from error
    if len(data) > _LONGEST:
        raise DataError(f"{file} is larger than {_LONGEST} bytes: it does not look like a secret.", hint=how)
    if len(secret) < SHORTEST:
        raise DataError(f"The secret in {file} has {len(secret)} characters; {SHORTEST} are needed.", hint=how)
    return secret


def write_withheld(split: Split, out: Path, part: Part = "test") -> None:
    """Write a copy of a split without the labels of one part.

    Manifest and digest stay the same but for a note, so that runs on the copy are scored against the complete folder,
    and the digest of the complete table binds its holder: labels cannot be changed after results were seen.

    Args:
        split: with all labels, made with a secret seed.
        out: a new folder.
        part: whose labels are left out.

    Raises:
        DataError: the labels do not follow from a secret seed, so that anybody could know them.
    """
    hidden = {identity.id for identity in split.identities if identity.part == part}
    every = read_rows(split.folder, "labels")
    rows = [row for row in every if row[1] not in hidden]
    if not all(str(row[4]).startswith(SALTED) for row in every):
        raise DataError(
            f"The labels of {split.manifest.name} do not follow from a secret seed: they cannot be withheld.",
            hint="Build it with --secret-seed FILE.",
        )
    with atomic_dir(out) as folder:
        copy_files(split.folder, folder)
        table_path(folder, "labels").unlink()
        count, digest = write_table(folder, "labels", [rows])
        withheld = Withheld(part=part, rows=count, digest=digest)
        manifest = split.manifest.model_copy(update={"withheld": withheld})
        prose = plain_prose(read_card(split.folder))
        write_text(folder / "README.md", complete_card(prose, manifest, folder))
        write_text(folder / MANIFEST_FILE, manifest_text(manifest))
