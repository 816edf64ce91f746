"""What every reader of captions gives: batches of text columns, checked once for UTF-8, and what went wrong."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from idbench.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

ROWS = 32_768
"""Captions that are held at once."""

CAPTION_NAMES = ("caption", "captions", "text", "title", "alt_text", "alt", "description")
"""Column names that mean captions, compared without case; the first that a table has is used."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How captions are found in their files.

    Args:
        column: name of the caption column, or its number from 1 in a TSV or CSV file without header; a key of JSON
            lines; in a WebDataset shard the extension of the member (`txt`) or the key within the `json` member.
            None: guessed.
        header: whether TSV and CSV files begin with the columns' names. None: they do if the first line has one.
        replace_invalid: read bytes that are not UTF-8 as U+FFFD and count the captions that have some, instead of
            rejecting the file.
    """

    column: str | None = None
    header: bool | None = None
    replace_invalid: bool = False


@dataclass(frozen=True, slots=True)
class CaptionBatch:
    """Consecutive captions of a shard.

    Args:
        first: row of the first, counted from 1 within the shard (the sample's number in a WebDataset shard).
        captions: strings without nulls; a missing caption is empty.
        repaired: how many of them held bytes that are not UTF-8.
        done: share of the shard that is read, 0 to 1.
    """

    first: int
    captions: pa.Array
    repaired: int
    done: float


class DamagedShard(DataError):
    """A file of a corpus that cannot be read to its end."""


def damaged(path: Path, reason: str) -> DamagedShard:
    """The error for a damaged file: its name, and how to continue without it."""
    return DamagedShard(
        f"{path} is damaged: {reason.rstrip('.')}.", hint="Fetch it again, or leave it out with --skip-damaged."
    )


def as_text(column: pa.Array, path: Path, first: int, options: ReadOptions) -> tuple[pa.Array, int]:
    """A column as valid UTF-8 strings without nulls, and how many had to be repaired.

    Raises:
        DamagedShard: a caption is not UTF-8, unless that is to be repaired.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    binary = column.cast(pa.binary()).fill_null(b"")
    try:
        return binary.cast(pa.string()), 0  # this cast validates; files that claim to hold strings need not
    except pa.ArrowInvalid:
        repaired, texts = 0, []
        for row, content in enumerate(binary.to_pylist(), start=first):
            try:
                texts.append(content.decode())
            except UnicodeDecodeError as error:
                if not options.replace_invalid:
                    raise DamagedShard(
                        f"{path}, row {row}: the caption is not UTF-8.",
                        hint="Convert the file, or pass --replace-invalid, or --skip-damaged to leave the file out.",
                    ) from error
                repaired += 1
                texts.append(content.decode(errors="replace"))
        return pa.array(texts, pa.string()), repaired


def as_bytes(value: object) -> bytes:
    """A caption out of JSON: a text, a number as it is written, or a list of texts, one on each line."""
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.encode(errors="surrogatepass")


def unpacked(raw: Any) -> Any:
    """A file's content, unpacked where its first bytes say that gzip or zstd packed it, whatever it is called.

    Args:
        raw: opened for reading bytes, with Python's buffer. Reading the result raises EOFError, zlib.error or OSError
            where it is truncated or damaged.
    """
    beginning = raw.peek(4)[:4]
    if beginning[:2] == _GZIP:
        return gzip.GzipFile(fileobj=raw)
    if beginning == _ZSTD:
        import pyarrow as pa

        return io.BufferedReader(_Zstd(pa.CompressedInputStream(pa.PythonFile(_Lent(raw), "r"), "zstd")))
    return raw


def is_packed(path: Path) -> bool:
    """Whether a file's first bytes say that gzip or zstd packed it, whatever it is called."""
    with path.open("rb") as file:
        beginning = file.read(4)
    return beginning[:2] == _GZIP or beginning == _ZSTD


class _Lent:
    """A file that pyarrow reads and, when it is done, does not close."""

    closed = False

    def __init__(self, raw: Any) -> None:
        self.read = raw.read

    def close(self) -> None:
        """Its owner closes it."""


class _Zstd(io.RawIOBase):
    """A stream of pyarrow's, which knows no lines, as a raw file that Python's buffer reads."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, room: Any) -> int:
        """The next bytes into `room`; their number, 0 at the end."""
        content = self._stream.read(len(room))
        room[: len(content)] = content
        return len(content)


def utf8(captions: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Where each caption starts and the last one ends, and the bytes of all captions, without copying them."""
    _, starts, content = captions.buffers()
    if not len(captions):
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    places = np.frombuffer(starts, np.int32)[captions.offset : captions.offset + len(captions) + 1]
    if content is None:
        return places, np.zeros(0, np.uint8)
    return places - places[0], np.frombuffer(content, np.uint8)[places[0] : places[-1]]


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
