"""Walks over a tar file's members several times as fast as `tarfile`, for which a search through captions would wait.

Only names, sizes and contents are read (POSIX.1-2001 pax and ustar, GNU long names); whatever else a header says does
not matter here. Measured by benchmark/perf/search.py; that both see the same members is a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_BLOCK = 512
_EMPTY = bytes(_BLOCK)
_PIECE = 1 << 20
"""Bytes that are read at once where they are passed over and the stream cannot jump."""
_EXTENSION_LIMIT = 1 << 20
_REGULAR = (b"0", b"\0", b"7")
_PAX, _GNU_NAME = b"x", b"L"


class BrokenTar(Exception):
    """The file is not a tar file, or is damaged before its end."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file within a tar file.

    Args:
        name: with its folders.
        size: bytes of its content.
        offset: first byte of its content in the tar file.
    """

    name: str
    size: int
    offset: int

    @property
    def parts(self) -> tuple[str, str]:
        """Key and kind: the kind is all after the first dot of the file's name, in small letters, as in WebDataset."""
        folder, slash, file = self.name.rpartition("/")
        stem, _, kind = file.partition(".")
        return f"{folder}{slash}{stem}", kind.lower()


class TarWalker:
    """Goes over the members once, forward only.

    Args:
        file: at the beginning of the tar file; may be a stream that unpacks it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._place = 0  # of the next header
        self._at = 0  # where the file is

    def __iter__(self) -> Iterator[TarMember]:
        """Regular files in their order; `read` gives the content of the last one.

        Raises:
            BrokenTar: a header is damaged, or the end mark is missing.
        """
        name, size = None, None
        while (header := self._header()) != _EMPTY:
            kind, content = header[156:157], _number(header[124:136]) if size is None else size
            if content < 0:
                raise BrokenTar(f"the header before byte {self._at} gives no size")
            self._place = self._at + -(-content // _BLOCK) * _BLOCK
            if kind == _PAX:
                name, size = _pax(self._extension(content), name)
            elif kind == _GNU_NAME:
                name = _text(self._extension(content))
            else:
                if kind in _REGULAR:
                    yield TarMember(name or _name(header), content, self._at)
                name, size = None, None

    def read(self, member: TarMember) -> bytes:
        """The content of the member that was given last.

        Raises:
            BrokenTar: the file ends within it.
        """
        content = self._file.read(member.size)
        self._at += len(content)
        if len(content) < member.size:
            raise BrokenTar(f"it ends within its member {member.name!r}")
        return content

    def _header(self) -> bytes:
        if self._place != self._at:
            self._skip(self._place - self._at)
        header = self._file.read(_BLOCK)
        self._at = self._place + len(header)
        if len(header) < _BLOCK:
            raise BrokenTar(f"it ends at byte {self._at} without the end mark of a tar file")
        # The checksum is the sum of all bytes, its own field taken as eight blanks.
        if header != _EMPTY and sum(header) - sum(header[148:156]) + 256 != _number(header[148:156]):
            raise BrokenTar(f"byte {self._place} is neither a member nor the end of a tar file")
        return header

    def _skip(self, count: int) -> None:
        if self._file.seekable():
            self._file.seek(count, 1)
            return
        while count > 0 and (content := self._file.read(min(count, _PIECE))):
            count -= len(content)

    def _extension(self, size: int) -> bytes:
        if size > _EXTENSION_LIMIT:
            raise BrokenTar(f"the extended header before byte {self._place} has {size} bytes")
        return self.read(TarMember("extended header", size, self._at))


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary numbers for files of 8 GB and more; -1 for neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        return -1


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="surrogateescape")


def _pax(content: bytes, name: str | None) -> tuple[str | None, int | None]:
    """Name and size that a pax header gives to the next member: records of `length key=value\\n`."""
    size = None
    while content:
        digits, blank, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = content[len(digits) + 1 : length - 1]
        key, equals, value = record.partition(b"=")
        if not (blank and equals and len(digits) + 1 < length <= len(content)):
            raise BrokenTar("an extended header is damaged")
        if key == b"path":
            name = value.decode(errors="surrogateescape")
        elif key == b"size":
            size = _decimal(value)
        content = content[length:]
    return name, size


def _decimal(value: bytes) -> int:
    if not value.isdigit():
        raise BrokenTar("an extended header is damaged")
    return int(value)
