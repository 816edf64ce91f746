"""Pictures of people as they are stored in a full-size build: JPEG without metadata, no larger than need be."""

from __future__ import annotations

import io
from pathlib import Path

from idbench.splits.injected.people import read_pixels

_QUALITY = 95  # img2dataset's, so that people and background are compressed alike


def encode_jpeg(file: Path, side: int) -> bytes:
    """A photo as JPEG whose shorter side is at most `side` pixels; never enlarged.

    Raises:
        DataError: the photo cannot be opened.
    """
    from PIL import Image

    image = Image.fromarray(read_pixels(file))
    scale = side / min(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
