"""Photos as bytes: a PNG writer whose bytes never change, and a decoder that trusts nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.splits.manifest import PHOTO_LIMIT

_PIXEL_LIMIT = 64 << 20
_BLOCK = 65535  # longest stored block of a deflate stream (RFC 1951, 3.2.4)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of uint8 (h, w, 3) pixels, not compressed, so that no library's version changes its bytes."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each row begins with filter type 0
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    raw = rows.tobytes()
    blocks = [raw[i : i + _BLOCK] for i in range(0, len(raw), _BLOCK)]
    deflate = b"".join(
        struct.pack("<BHH", i == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for i, block in enumerate(blocks)
    )
    stream = b"\x78\x01" + deflate + struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decode_photo(data: bytes, what: str) -> NDArray[np.uint8]:
    """Pixels of an encoded photo, uint8 (h, w, 3) RGB; metadata is dropped.

    Args:
        data: the encoded file, at most 32 MiB and 64 megapixels.
        what: the photo's id, for the error's text.

    Raises:
        DataError: empty, too large, truncated or not a picture.
    """
    hint = "Fetch or build the split again, or retract the photo."
    if not data:
        raise DataError(f"Photo {what} is empty.", hint=hint)
    if len(data) > PHOTO_LIMIT:
        raise DataError(f"Photo {what} has {len(data) >> 20} MiB; {PHOTO_LIMIT >> 20} MiB are allowed.", hint=hint)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _PIXEL_LIMIT:
                raise DataError(f"Photo {what} has {image.width} x {image.height} pixels: too many.", hint=hint)
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"Photo {what} is not a picture that can be opened.", hint=hint) from error
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError) as error:
        # What Pillow raises for damaged files differs by format and version.
        raise DataError(f"Photo {what} is damaged: {error}.", hint=hint) from error
