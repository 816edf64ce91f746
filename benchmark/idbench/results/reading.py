"""Reads untrusted files: regular files of bounded size, and JSON that is safe to use."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final

from idbench.errors import RecordError
from idbench.storage import read_bounded

LARGEST_JSON: Final = 1 << 20
"""Bytes of a record, an attestation or derived metrics; real ones have some thousand."""
DEEPEST: Final = 32
"""Brackets around a value; parameters and cards need five."""
LONGEST: Final = 20_000
"""Characters of one text."""

_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)|([\[\]{}])', re.DOTALL)
"""Brackets outside of texts. A text that never ends reaches to the end of the file: looking for one at each of its
quotes would take hours."""
_GREATEST: Final = (1 << 63) - 1


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file.

    A pipe or a device would keep the reader waiting or never end, and a link leads out of the folder that was handed
    in: none of them is opened for reading.

    Args:
        path: the file.
        limit: bytes that it may have.

    Raises:
        StorageError: it is missing, cannot be read, is not a regular file, or is larger.
        RecordError: it is a link.
    """
    if path.is_symlink():
        raise RecordError(f"{path} is a link, not a regular file.", hint="Put the file itself in its place.")
    return read_bounded(path, limit)


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not JSON in UTF-8; nested deeper than `DEEPEST`; a key twice; NaN or an infinity; a whole number
            that 64 bits do not hold; a text over `LONGEST` characters, or with half of a surrogate pair. The message
            completes a sentence that begins with the name of the file.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not JSON (byte {error.start} is not UTF-8)") from error
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON (line {error.lineno})") from error
    except RecursionError as error:
        raise ValueError("is nested too deep") from error
    # Without an escaped code in it, text that was UTF-8 has no half of a surrogate pair.
    if len(text) > LONGEST or "\\u" in text:
        _check_texts(value)
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for sign in _BRACKETS.findall(text):
        if sign in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"is nested deeper than {DEEPEST} levels")
        elif sign:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {shortened(double)!r} twice")
    return found


def _whole(digits: str) -> int:
    # Python refuses to read some thousand digits with an error of its own; nothing here needs more than twenty.
    value = int(digits) if len(digits) <= 20 else None
    if value is None or not -_GREATEST - 1 <= value <= _GREATEST:
        raise ValueError(f"holds a whole number that 64 bits do not: {shortened(digits)}")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"holds a number that is too large: {shortened(digits)}")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is not a number")


def _check_texts(value: Any) -> None:
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise ValueError(f"holds a text of {len(value):,} characters; the limit is {LONGEST:,}")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError("holds a text that is not Unicode (half of a surrogate pair)") from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def shortened(text: str, length: int = 60) -> str:
    """A text from an untrusted file, for the inside of a message: bounded, and fit to be encoded."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= length else shown[: length - 1] + "…"
