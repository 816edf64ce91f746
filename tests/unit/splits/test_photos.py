"""Photos: a PNG writer that others can read, and a decoder that trusts nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from idbench.errors import DataError
from idbench.splits import decode_photo, encode_png, photos
from idbench.splits.manifest import PHOTO_LIMIT
from idbench.splits.photos import is_heic


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


def encoded(image: Image.Image, kind: str, **more: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def upright() -> np.ndarray:
    """Four quarters of different colours, higher than wide."""
    pixels = np.zeros((48, 32, 3), dtype=np.uint8)
    pixels[:24, :16], pixels[:24, 16:], pixels[24:, :16] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    """A telephone stores what its sensor saw, and how to turn it: the photo that attacks see is upright."""
    stored = {1: None, 2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
              7: "TRANSVERSE", 8: "ROTATE_270"}[orientation]  # fmt: skip
    image = Image.fromarray(upright())
    if stored is not None:
        image = image.transpose(getattr(Image.Transpose, stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode_photo(encoded(image, kind, exif=exif, **({"quality": 100} if kind != "TIFF" else {})), "x")
    assert found.shape == (48, 32, 3)
    assert np.abs(found[4:20, 4:12].mean(axis=(0, 1)) - (250, 10, 10)).max() < 8
    assert np.abs(found[28:44, 4:12].mean(axis=(0, 1)) - (10, 10, 250)).max() < 8


def test_pictures_of_sixteen_bits_are_scaled() -> None:
    gray = np.linspace(0, 65535, 40 * 30).reshape(30, 40)
    expected = np.round(gray / 257)
    for kind in ("PNG", "TIFF"):
        found = decode_photo(encoded(Image.fromarray(gray.astype(np.uint16)), kind), "x")
        assert np.abs(found - expected[:, :, None]).max() <= 1
    whole = Image.fromarray(gray.astype(np.int32))
    assert np.abs(decode_photo(encoded(whole, "TIFF"), "x") - expected[:, :, None]).max() <= 1
    for most in (1.0, 255.0):
        fractions = Image.fromarray((gray / 65535 * most).astype(np.float32))
        assert np.abs(decode_photo(encoded(fractions, "TIFF"), "x") - expected[:, :, None]).max() <= 1


@pytest.mark.parametrize("values", [(-1.0, 0.5), (0.0, 1e9)])
def test_numbers_that_are_not_brightness_are_named(values: tuple[float, float]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    with pytest.raises(DataError, match="Photo x holds numbers from"):
        decode_photo(encoded(image, "TIFF"), "x")


def test_sixteen_bits_and_sideways() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(np.full((8, 4), 32896, dtype=np.uint16)), "PNG", exif=exif)
    found = decode_photo(data, "x")
    assert found.shape == (4, 8, 3)
    assert np.unique(found).tolist() == [128]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_other_formats_that_pillow_reads(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    found = decode_photo(encoded(Image.fromarray(upright()), kind), "x")
    assert found.shape == (48, 32, 3)
    assert np.abs(found[4:20, 4:12].mean(axis=(0, 1)) - (250, 10, 10)).max() < 25


def test_of_a_stereo_camera_s_two_frames_the_first_is_read() -> None:
    second = Image.fromarray(np.full((48, 32, 3), 128, dtype=np.uint8))
    data = encoded(Image.fromarray(upright()), "MPO", save_all=True, append_images=[second])
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    found = decode_photo(data, "x")
    assert np.abs(found[4:20, 4:12].mean(axis=(0, 1)) - (250, 10, 10)).max() < 25


def test_heic_is_read_where_its_package_is() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = encoded(Image.fromarray(upright()), "HEIF", quality=95)
    assert is_heic(data)
    assert np.abs(decode_photo(data, "x")[4:20, 4:12].mean(axis=(0, 1)) - (250, 10, 10)).max() < 25


def test_heic_without_its_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "reads_heic", lambda: False)
    with pytest.raises(DataError, match="Photo x is HEIC, which needs pillow-heif") as caught:
        decode_photo(b"\0\0\0\x18ftypheic" + bytes(100), "x")
    assert "idbench[heic]" in caught.value.hint


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_upright_where_only_its_exif_says_so(orientation: int) -> None:
    """As converters write it: a telephone says it in the format's own words, too, which the decoder obeys."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x112] = orientation
    turned = Image.fromarray(upright())
    if orientation > 1:
        turned = turned.transpose(INVERSE[orientation])
    found = decode_photo(encoded(turned, "HEIF", quality=95, exif=exif), "x")
    assert found.shape == (48, 32, 3)
    assert np.abs(found[4:20, 4:12].mean(axis=(0, 1)) - (250, 10, 10)).max() < 25


INVERSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def test_avif_under_the_general_brand_is_not_heic() -> None:
    header = (28).to_bytes(4, "big") + b"ftypmif1\0\0\0\0mif1avifmiaf"
    assert not is_heic(header + bytes(100))
    assert is_heic(header.replace(b"avif", b"heic") + bytes(100))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["AVIF", "TIFF", "DDS", "GIF", "WEBP", "JPEG2000", "ICO", "JPEG", "HEIF"])
def test_no_damage_ends_in_anything_but_a_sentence(kind: str) -> None:
    """Decoders raise whatever they like: AVIF's a RuntimeError, DDS's a NotImplementedError."""
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    whole, rng, refused = encoded(Image.fromarray(upright()), kind), np.random.default_rng(0), 0
    for trial in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, min(len(data), 300 if trial % 2 else len(data)), 4):
            data[place] = rng.integers(256)
        try:
            decode_photo(bytes(data[: len(data) if trial % 3 else rng.integers(len(data))]), "x")
        except DataError:
            refused += 1
    assert refused


def test_postscript_starts_no_other_program() -> None:
    with pytest.raises(DataError, match="not a picture that can be opened"):
        decode_photo(encoded(Image.fromarray(upright()), "EPS"), "x")


@pytest.mark.parametrize("largest", [200, 60_000])
def test_sixteen_bits_are_scaled_by_their_format_and_not_by_their_darkness(largest: int) -> None:
    values = np.linspace(0, largest, 64).astype(">u2").reshape(8, 8)
    found = decode_photo(b"P5\n8 8\n65535\n" + values.tobytes(), "x")
    assert np.abs(found[..., 0] - values / 257.0).max() <= 1
