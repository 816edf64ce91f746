"""Photos as bytes: a PNG writer whose bytes never change, and the one decoder, which trusts nothing.

Every picture of a person goes through `decode_photo`, from folders, tables, shards or the web: upright as its EXIF
orientation says, in eight bits per colour.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.splits.manifest import PHOTO_LIMIT

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".avif", ".heic", ".heif"),
)
"""Endings of files that may be photos."""

_LEAST_CONTRAST = 2.0  # of 255, standard deviation of a channel: what a JPEG makes of one colour stays below
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
"""For this Pillow starts another program, which no photo may do."""
_BOXES = 1 << 16
"""Bytes at the beginning of a HEIC file within which it describes its pictures."""
_ORIENTATION = 0x112
_SIXTEEN_BITS = ("PPM", "PNG")
"""Formats whose pictures of more than eight bits Pillow gives as whole numbers up to 65535, however dark they are."""
_EVERYWHERE = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP")
"""Formats that every reader reads, in eight bits per colour but for some PNGs."""
_PNG_DEPTH, _BITS = 24, 8
"""Byte of a PNG that says how many bits a colour has, and how many every reader reads."""
NEEDS_HEIF = "HEIC, which needs pillow-heif: pip install 'idbench[heic]'"
"""What a picture is that cannot be read, and what would read it."""
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
    """Pixels of an encoded photo, uint8 (h, w, 3) RGB, upright as its EXIF orientation says; metadata is dropped.

    Pictures with more than eight bits per colour are scaled to eight; of several frames the first is taken.

    Args:
        data: the encoded file, at most 32 MiB and 64 megapixels.
        what: the photo's id, for the error's text.

    Raises:
        DataError: empty, too large, truncated, not a picture, or of a format that nothing installed here reads.
    """
    hint = "Fetch or build the split again, or retract the photo."
    if not data:
        raise DataError(f"Photo {what} is empty.", hint=hint)
    if len(data) > PHOTO_LIMIT:
        raise DataError(f"Photo {what} has {len(data) >> 20} MiB; {PHOTO_LIMIT >> 20} MiB are allowed.", hint=hint)
    if data.startswith(_POSTSCRIPT):
        raise DataError(f"Photo {what} is not a picture that can be opened.", hint=hint)
    from PIL import Image, ImageOps, UnidentifiedImageError

    heic = is_heic(data)
    if heic and not reads_heic():
        raise DataError(f"Photo {what} is HEIC, which needs pillow-heif.", hint="Run: pip install 'idbench[heic]'")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _PIXEL_LIMIT:
                raise DataError(f"Photo {what} has {image.width} x {image.height} pixels: too many.", hint=hint)
            if heic:
                _keep_orientation(image, data)
            white = 65535.0 if image.format in _SIXTEEN_BITS else None
            upright = ImageOps.exif_transpose(image)
            return np.array(_eight_bits(upright, what, white).convert("RGB"), dtype=np.uint8)
    except DataError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"Photo {what} is not a picture that can be opened.", hint=hint) from error
    except Exception as error:
        # What Pillow and its decoders raise for damaged files differs by format and version.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"Photo {what} is damaged: {reason}.", hint=hint) from error


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture shows nothing: a pixel that counts visitors, an empty frame, a photo taken in a pocket.

    Args:
        pixels: uint8 (h, w, 3), from `decode_photo`.
    """
    return bool(pixels.std(axis=(0, 1)).max() < _LEAST_CONTRAST)


def readable(data: bytes) -> bytes:
    """An encoded picture as every reader sees it as it looks; what some read otherwise, as a PNG without loss.

    That is what EXIF turns, has more than eight bits per colour (OpenCV makes it white), or is of a format that few
    read. What is damaged, or not a picture, stays as it is, for whoever decodes it to judge.

    Raises:
        DataError: HEIC, and nothing that is installed here reads it.
    """
    from PIL import Image

    if is_heic(data) and not reads_heic():
        raise DataError(NEEDS_HEIF)
    try:
        with Image.open(io.BytesIO(data)) as image:
            deep = image.format == "PNG" and data[_PNG_DEPTH] > _BITS
            turned = image.getexif().get(_ORIENTATION, 1) in range(2, 9)
            plain = image.format in _EVERYWHERE and not (deep or turned)
        return data if plain else encode_png(decode_photo(data, "from the web"))
    except Exception:  # noqa: BLE001  what is damaged, or not a picture, is judged when it is decoded
        return data


def is_heic(data: bytes) -> bool:
    """Whether an encoded picture is of the kind that telephones call HEIC; AVIF, its relative, is not."""
    # The least specific brand says nothing where AVIF is among those that follow it.
    avif = b"avif" in data[16 : int.from_bytes(data[:4], "big")]
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not avif


@cache
def reads_heic() -> bool:
    """Let Pillow read HEIC, if the package for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _keep_orientation(image: Image, data: bytes) -> None:
    """Let a HEIC's EXIF orientation count where the format's own, which its decoder obeys, is not given."""
    stated = image.info.get("original_orientation")
    if stated and not any(box in data[:_BOXES] for box in (b"irot", b"imir")):
        image.getexif()[_ORIENTATION] = stated


def _eight_bits(image: Image, what: str, white: float | None) -> Image:
    """A picture whose numbers are at most 255. Pillow itself cuts larger ones off, which turns the picture white.

    Args:
        image: any picture.
        what: the photo's id, for the error's text.
        white: what stands for white in whole numbers of 32 bits, where the format says it.

    Raises:
        DataError: its numbers are not brightnesses on any known scale.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    from PIL import Image as Pillow

    values = np.asarray(image, dtype=np.float64)
    if image.mode.startswith("I;16"):
        white = 65535.0
    largest = _largest(values, what) if white is None or image.mode == "F" else white
    return Pillow.fromarray(np.round(values * (255.0 / largest)).astype(np.uint8))


def _largest(values: NDArray[np.float64], what: str) -> float:
    """What stands for white in a picture of whole numbers of 32 bits or of fractions, which do not say it."""
    low, high = float(np.nan_to_num(values, nan=-1).min()), float(np.nan_to_num(values, nan=-1).max())
    scale = next((white for white in (1.0, 255.0, 65535.0) if high <= white), None)
    if low < 0 or scale is None:
        raise DataError(
            f"Photo {what} holds numbers from {low:g} to {high:g}, which are not brightness.",
            hint="Save it as JPEG or PNG.",
        )
    return scale
