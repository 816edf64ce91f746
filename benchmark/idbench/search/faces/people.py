"""People as folders of photos: FOLDER/PERSON/*.jpg."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idbench.errors import DataError
from idbench.storage import storage_errors

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True, slots=True)
class PersonFolder:
    """One person's photos.

    Args:
        name: of the folder.
        photos: files, sorted.
    """

    name: str
    photos: tuple[Path, ...]


def read_people(folder: Path) -> list[PersonFolder]:
    """People below a folder, sorted by name; folders without photos are left out.

    Raises:
        DataError: no such folder, or nobody in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", hint="Give a folder with one folder of photos for each person.")
    with storage_errors(folder):
        people = [
            PersonFolder(
                place.name,
                tuple(sorted(file for file in place.iterdir() if file.is_file() and file.suffix.lower() in _ENDINGS)),
            )
            for place in sorted(folder.iterdir())
            if place.is_dir() and not place.name.startswith(".")
        ]
    found = [person for person in people if person.photos]
    if not found:
        raise DataError(f"{folder} holds no folders with photos.", hint="Lay it out as FOLDER/PERSON/*.jpg.")
    return found
