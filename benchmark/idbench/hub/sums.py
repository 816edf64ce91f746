"""The file `SHA256SUMS` of a publication: what `sha256sum -c` checks, and what loading checks without the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from idbench.errors import DataError
from idbench.storage import is_there, read_bounded, sha256_file, write_text

SUMS_FILE: Final = "SHA256SUMS"

_BYTES: Final = 1 << 26
_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\n]+)")


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder, by its path there; hidden files and folders are left out."""
    return {
        place.relative_to(folder).as_posix(): place
        for place in sorted(folder.rglob("*"))
        if place.is_file() and not any(part.startswith(".") for part in place.relative_to(folder).parts)
    }


def write_sums(folder: Path) -> None:
    """Write the sums of every other file in a folder."""
    lines = [f"{sha256_file(file)}  {path}\n" for path, file in files_in(folder).items() if path != SUMS_FILE]
    write_text(folder / SUMS_FILE, "".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """SHA-256 by path.

    Raises:
        DataError: the file is missing or is not a list of sums.
    """
    path = folder / SUMS_FILE
    if not is_there(path):
        raise DataError(f"{folder} has no {SUMS_FILE}: idbench did not publish it.", hint="Check the name.")
    matches = [_LINE.fullmatch(line) for line in read_bounded(path, _BYTES).decode(errors="replace").splitlines()]
    found = {match[2]: match[1] for match in matches if match is not None}
    outside = any(Path(name).is_absolute() or ".." in Path(name).parts for name in found)
    if len(found) != len(matches) or not found or outside:
        raise DataError(f"{path} is not a list of SHA-256 sums.", hint="Fetch it again.")
    return found


def wrong_files(folder: Path) -> list[str]:
    """Files of a folder that are missing or differ from its sums.

    Raises:
        DataError: there are no sums.
    """
    return [
        path
        for path, sha256 in read_sums(folder).items()
        if not is_there(folder / path) or sha256_file(folder / path) != sha256
    ]
