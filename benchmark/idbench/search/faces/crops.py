"""From an encoded picture to the square that a face classifier sees; OpenCV's Haar cascade finds the face."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.errors import IdbenchError
from idbench.search.faces import Crop
from idbench.splits import decode_photo

_MARGIN = 0.2
"""Share of the face's side that is kept around it on each side: hair and chin."""

_LONGEST = 1024
"""Pixels of the longer side in which faces are looked for."""


def face_square(data: bytes, what: str, size: int, crop: Crop) -> NDArray[np.uint8] | None:
    """The face on a picture, uint8 (size, size, 3) RGB; None if a face is wanted and none is found.

    Args:
        data: the encoded picture.
        what: its name, for the error's text.
        size: pixels of a side.
        crop: `haar`: the largest face that the cascade finds. `none`: the whole picture is the face.

    Raises:
        DataError: not a picture.
        IdbenchError: OpenCV is wanted and not installed.
    """
    from PIL import Image

    pixels = decode_photo(data, what)
    if crop == "haar":
        box = _largest_face(pixels)
        if box is None:
            return None
        left, top, right, bottom = box
        pixels = pixels[top:bottom, left:right]
    resized = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def check_crop(crop: Crop) -> None:
    """Complain at once, not after the first thousand pictures.

    Raises:
        IdbenchError: OpenCV is wanted and not installed.
    """
    if crop == "haar":
        _cascade()


def _largest_face(pixels: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
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
            "Finding faces needs OpenCV, which is not installed.",
            hint="pip install 'idbench[search]', or pass --crop none for pictures that show the face alone.",
        ) from error
    return cv2.CascadeClassifier(f"{haarcascades}haarcascade_frontalface_default.xml")
