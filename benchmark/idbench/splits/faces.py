"""Finds faces on pictures with the detector that OpenCV's package contains, the Haar cascade of Viola and Jones."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.errors import IdbenchError
from idbench.splits.photos import decode_photo

_MARGIN = 0.2
"""Share of the face's side that is kept around it on each side: hair and chin."""

_LONGEST = 1024
"""Pixels of the longer side in which faces are looked for."""


def check_detector(instead: str) -> None:
    """Fail at once, not after the first thousand pictures.

    Args:
        instead: what a person may do without the detector, for the hint.

    Raises:
        IdbenchError: OpenCV is not installed.
    """
    try:
        _cascade()
    except IdbenchError as error:
        raise IdbenchError(str(error), hint=f"{error.hint}, or {instead}.") from error


def has_face(data: bytes) -> bool:
    """Whether a face is found on an encoded picture.

    Raises:
        DataError: not a picture.
        IdbenchError: OpenCV is not installed.
    """
    return largest_face(decode_photo(data, "a picture")) is not None


def largest_face(pixels: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the largest face with some hair and chin, in pixels; None where none is found.

    Args:
        pixels: RGB, (height, width, 3).

    Raises:
        IdbenchError: OpenCV is not installed.
    """
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST / max(height, width))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if scale < 1.0:
        grey = cv2.resize(grey, (max(1, int(width * scale)), max(1, int(height * scale))))
    faces = _cascade().detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5)
    if len(faces) == 0:
        return None
    x, y, w, h = (float(value) / scale for value in max(faces, key=lambda face: int(face[2]) * int(face[3])))
    left, top = max(0, round(x - _MARGIN * w)), max(0, round(y - _MARGIN * h))
    return left, top, min(width, round(x + (1 + _MARGIN) * w)), min(height, round(y + (1 + _MARGIN) * h))


@cache
def _cascade() -> Any:
    try:
        import cv2
        from cv2.data import haarcascades
    except ImportError as error:
        raise IdbenchError(
            "Finding faces needs OpenCV, which is not installed.", hint="pip install 'idbench[search]'"
        ) from error
    return cv2.CascadeClassifier(f"{haarcascades}haarcascade_frontalface_default.xml")
