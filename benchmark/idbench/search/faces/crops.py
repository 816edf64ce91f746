"""From an encoded picture to the square that a face classifier sees; OpenCV's Haar cascade finds the face."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from idbench.search.faces import Crop
from idbench.splits import decode_photo
from idbench.splits.faces import check_detector, largest_face


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
        box = largest_face(pixels)
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
        check_detector("pass --crop none for pictures that show the face alone")
