"""Photos: a PNG writer that others can read, and a decoder that trusts nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from idbench.errors import DataError
from idbench.splits import decode_photo, encode_png
from idbench.splits.manifest import PHOTO_LIMIT


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000))
def test_png_round_trip(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = encode_png(pixels)
    assert np.array_equal(decode_photo(data, "x"), pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
        assert image.mode == "RGB"


def test_png_longer_than_one_block() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 220, 3), dtype=np.uint8)
    assert np.array_equal(decode_photo(encode_png(pixels), "x"), pixels)


def test_png_bytes_never_change() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert encode_png(pixels).hex() == (
        "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a73"
        "00000019494441547801010e00f1ff0000010203040500060708090a0b013b0043"
        "39c1271b0000000049454e44ae426082"
    )


def png() -> bytes:
    return encode_png(np.full((32, 32, 3), 7, dtype=np.uint8))


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"this is text", "not a picture"),
        (png()[:60], "damaged|not a picture"),
        (png()[: len(png()) // 2], "damaged"),
        (png()[:500] + b"\xff" * 20 + png()[520:], "damaged"),
        (b"\0" * (PHOTO_LIMIT + 1), "MiB"),
        (bomb(), "pixels|not a picture"),
    ],
    ids=["empty", "text", "header", "half", "flipped", "huge", "bomb"],
)
def test_bad_photos_are_named(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decode_photo(data, "0123abcd")
    assert "0123abcd" in caught.value.message
    assert caught.value.hint


def test_other_formats_become_rgb_without_metadata() -> None:
    for mode, kind in (("L", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG")):
        file = io.BytesIO()
        Image.new(mode, (5, 4)).save(file, kind)
        assert decode_photo(file.getvalue(), "x").shape == (4, 5, 3)
