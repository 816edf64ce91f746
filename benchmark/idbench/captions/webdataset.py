"""Captions from a WebDataset shard: the `.txt` members of a tar file, or the captions within its `.json` members."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idbench.captions.batches import (
    CAPTION_NAMES,
    ROWS,
    CaptionBatch,
    ReadOptions,
    as_bytes,
    as_text,
    damaged,
    first_line,
    unpacked,
)
from idbench.captions.tar import BrokenTar, TarMember, TarWalker
from idbench.errors import DataError
from idbench.storage import require_regular

_TEXT_LIMIT = 1 << 20
"""Longest text member, in bytes, that is accepted as a caption."""

_BUFFER = 1 << 16
_TEXT = "txt"


def read_webdataset(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of captions, one for each sample that has one; pictures are jumped over, not read.

    Without `column` the first sample that has one shows where captions are, and one that has none there may have it in
    its other member.

    Raises:
        DamagedShard: truncated, or not a tar file.
        DataError: no sample has a caption, or not where `column` says.
    """
    import pyarrow as pa

    first, waiting = 1, list[bytes]()
    try:
        require_regular(path)
        size, key = max(1, path.stat().st_size), _caption_key(path, options)
        with path.open("rb", buffering=_BUFFER) as raw:
            file = unpacked(raw)
            for caption in _captions(path, TarWalker(file), key, options):
                waiting.append(caption)
                if len(waiting) == ROWS:
                    texts, repaired = as_text(pa.array(waiting, pa.binary()), path, first, options)
                    yield CaptionBatch(first, texts, repaired, min(1.0, raw.tell() / size))
                    first += ROWS
                    waiting.clear()
            _require_nothing_more(path, file)
        texts, repaired = as_text(pa.array(waiting, pa.binary()), path, first, options)
        yield CaptionBatch(first, texts, repaired, 1.0)
    except (BrokenTar, EOFError, zlib.error, OSError) as error:
        raise damaged(path, first_line(error)) from error


def _caption_key(path: Path, options: ReadOptions) -> str:
    """Where captions are: `txt`, or the key within the json members. The first sample that has one shows it."""
    if options.column == _TEXT:
        return _TEXT
    names = CAPTION_NAMES if options.column is None else (options.column,)
    sample, known, keys = "", "", list[str]()
    with path.open("rb", buffering=_BUFFER) as raw:
        tar = TarWalker(unpacked(raw))
        for member in tar:
            key, extension = member.parts
            if known and key != sample:
                return known
            sample = key
            if extension == _TEXT and options.column is None:
                return _TEXT
            if extension == "json":
                fields = _json(path, tar, member)
                keys = keys or list(fields)
                known = next((name for name in names if name in fields), "")
    if known or not sample:
        return known or _TEXT  # a shard whose fetches all failed: no samples, no captions
    lacks = "neither a .txt member nor a known key" if options.column is None else f"no key {options.column!r}"
    raise DataError(
        f"{path} holds no captions where they are looked for: its samples have {lacks} in a .json member.",
        hint=f"Name it with --column; keys: {', '.join(keys) or 'none'}, or txt for .txt members.",
    )


def _captions(path: Path, tar: TarWalker, key: str, options: ReadOptions) -> Iterator[bytes]:
    """What a column was named for, or else of each sample its text, and the caption in its json where it has none."""
    sample = _Sample("")
    for member in tar:
        name, extension = member.parts
        if name != sample.name:
            yield from sample.caption(path, tar, key)
            sample = _Sample(name)
        if extension == _TEXT and (key == _TEXT or options.column is None):
            sample.text = _content(path, tar, member)
        elif extension == "json" and (key != _TEXT or options.column is None):
            sample.json = member
            if member.size <= _TEXT_LIMIT:
                sample.fields = tar.read(member)  # parsed only if it is needed
    yield from sample.caption(path, tar, key)


@dataclass(slots=True)
class _Sample:
    """Members of one name, which lie side by side."""

    name: str
    text: bytes | None = None
    json: TarMember | None = None
    fields: bytes = b""

    def caption(self, path: Path, tar: TarWalker, key: str) -> Iterator[bytes]:
        """One caption, or none if no member may hold one; empty if the member lacks it."""
        if self.text is not None and (key == _TEXT or self.json is None):
            yield self.text
        elif self.json is not None:
            content = self.fields if self.json.size <= _TEXT_LIMIT else _content(path, tar, self.json)
            fields = _parsed(path, self.json, content)
            names = CAPTION_NAMES if key == _TEXT else (key,)
            value = next((fields[name] for name in names if fields.get(name) is not None), None)
            if value is not None:
                yield as_bytes(value)
            elif self.text is not None:
                yield self.text
            elif key != _TEXT:
                yield b""


def _content(path: Path, tar: TarWalker, member: TarMember) -> bytes:
    if member.size > _TEXT_LIMIT:
        raise damaged(path, f"its member {member.name!r} has {member.size >> 20} MiB, too many for a caption")
    return tar.read(member)


def _json(path: Path, tar: TarWalker, member: TarMember) -> dict[str, Any]:
    return _parsed(path, member, _content(path, tar, member))


def _parsed(path: Path, member: TarMember, content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its member {member.name!r} is not JSON") from error
    if not isinstance(fields, dict):
        raise damaged(path, f"its member {member.name!r} is not a JSON object")
    return fields


def _require_nothing_more(path: Path, file: Any) -> None:
    """After the end mark come empty blocks only; a gzip stream proves with its checksum that it is whole."""
    if any(any(block) for block in iter(lambda: file.read(_BUFFER), b"")):
        raise damaged(path, "something follows the end mark of the tar file")
