"""Gets Labeled Faces in the Wild through scikit-learn and cuts out the faces."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.injected.people import list_people, read_pixels
from idbench.storage import atomic_dir, cache_dir, make_dir, storage_errors

MIDDLE = 112
"""Side of the middle square of a funneled picture (250 px) that holds the face."""

PHOTOS = 13_233
"""Of Labeled Faces in the Wild."""

_MOST_KNOWN = 500  # photos; one person has that many, so that scikit-learn itself decodes little
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)  # of this disk, not of the network


def fetch_faces(progress: Progress) -> Path:
    """A folder of faces, `NAME/*.png`, made from LFW's funneled pictures; downloaded once (about 230 MB).

    Raises:
        DataError: no network, the download failed, or what an earlier one left is not whole.
        StorageError: no space or no permission in the cache.
    """
    faces = cache_dir("faces", "lfw")
    if not faces.is_dir():
        pictures = _download(make_dir(cache_dir("downloads"))) / "lfw_home" / "lfw_funneled"
        _check_whole(pictures)
        cut_faces(pictures, faces, progress)
    return faces


def cut_faces(pictures: Path, faces: Path, progress: Progress) -> None:
    """Write the middle of each picture of a folder `NAME/*.jpg` into a folder `NAME/*.png`, all or nothing."""
    from PIL import Image

    people = list_people(pictures).people
    with atomic_dir(faces) as folder:
        for person in progress.track(people, "Cutting out faces", len(people)):
            for photo in person.photos:
                pixels = read_pixels(photo)
                top, left = ((side - MIDDLE) // 2 for side in pixels.shape[:2])
                if min(top, left) < 0:
                    raise DataError(
                        f"{photo} is smaller than {MIDDLE} px, so it is not a funneled picture of LFW.",
                        hint="Remove the folder and download it again, or give your own folder with --faces DIR.",
                    )
                place = make_dir(folder / photo.parent.name) / f"{photo.stem}.png"
                face = np.ascontiguousarray(pixels[top : top + MIDDLE, left : left + MIDDLE])
                Image.fromarray(face).save(place)


def _check_whole(pictures: Path) -> None:
    """scikit-learn takes a folder whose unpacking was cut short, by a kill or a full disk, for the whole."""
    found = sum(len(person.photos) for person in list_people(pictures).people)
    if found != PHOTOS:
        raise DataError(
            f"{pictures} holds {found:,} of the {PHOTOS:,} photos of Labeled Faces in the Wild.",
            hint=f"Remove {pictures} and repeat the command.",
        )


def _download(home: Path) -> Path:
    from sklearn.datasets import fetch_lfw_people

    with storage_errors(home):
        try:
            fetch_lfw_people(data_home=str(home), funneled=True, min_faces_per_person=_MOST_KNOWN, resize=0.1)
        except Exception as error:  # whatever fails in there (no network, a proxy, a moved file) asks the same
            if isinstance(error, OSError) and error.errno in _OURS:
                raise
            raise DataError(
                f"Labeled Faces in the Wild could not be downloaded ({type(error).__name__}).",
                hint="Connect to the network and repeat, or give a folder of faces, NAME/*.jpg, with --faces DIR.",
            ) from error
    return home
