"""The colours and the drawing of every figure: Vega-Lite through altair, without a browser."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from idbench.errors import DataError
from idbench.escaping import terminal
from idbench.storage import read_bounded

# Okabe and Ito's colours: told apart by colour-blind readers, and legible on white and on black.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#2E86D0", "#E69F00", "#009E73", "#CC79A7", "#8A8A8A"
MEMBER, NONMEMBER = "#D55E00", "#56B4E9"
"""Members and non-members have these colours in every figure, and nothing else has."""

Kind = Literal["png", "svg", "pdf"]
KINDS: Final[tuple[Kind, ...]] = ("png", "svg", "pdf")

_SIGNATURE: Final = b"drawn by idbench"
_LARGEST: Final = 1 << 28  # bytes of a picture


def draw(spec: Mapping[str, Any], kind: Kind) -> bytes:
    """A Vega-Lite specification as a picture; the same specification gives the same bytes, PDF's date apart.

    The picture says inside, where no viewer shows it, that it was drawn here (`is_drawn`). A process of its own draws
    it: the drawing engine holds more memory than the rest of idbench, and gives none back.

    Args:
        spec: with its data in it.
        kind: of the picture; PNG has two pixels for each of the specification.

    Raises:
        DataError: the chart cannot be drawn.
    """
    command = [sys.executable, "-m", "idbench.figures", kind]
    content = json.dumps(_visible(spec)).encode()
    done = subprocess.run(command, input=content, capture_output=True, check=False)  # noqa: S603  our own module
    if done.returncode or not done.stdout:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no picture came back"]
        raise DataError(f"The chart cannot be drawn: {last[0]}.", hint="Use another format, or the numbers as CSV.")
    return _signed(done.stdout, kind)


def _visible(value: Any) -> Any:
    """A specification, or a part of it, with control characters in its texts shown: an SVG that has them is none."""
    if isinstance(value, str):
        return terminal(value)
    if isinstance(value, Mapping):
        return {name: _visible(each) for name, each in value.items()}
    return [_visible(each) for each in value] if isinstance(value, list | tuple) else value


def is_drawn(path: Path) -> bool:
    """Whether a file is a picture that `draw` made.

    Raises:
        StorageError: it cannot be read.
    """
    return _SIGNATURE in read_bounded(path, _LARGEST)


def _signed(picture: bytes, kind: Kind) -> bytes:
    if kind == "svg":
        return picture + b"<!-- " + _SIGNATURE + b" -->"
    if kind == "pdf":
        return picture + b"%" + _SIGNATURE + b"\n"
    text = b"tEXtSoftware\0" + _SIGNATURE
    end = picture.rindex(b"IEND") - 4  # the last chunk begins with its length
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return picture[:end] + chunk + picture[end:]


def main() -> None:
    """Read a specification from standard input and write a picture: `python -m idbench.figures png < FILE > FILE`."""
    import vl_convert

    spec = sys.stdin.read()
    # Nothing that a chart names is fetched: its data are in it.
    local: dict[str, Any] = {"allowed_base_urls": []}
    match sys.argv[1:]:
        case ["png"]:
            sys.stdout.buffer.write(vl_convert.vegalite_to_png(spec, scale=2, **local))
        case ["svg"]:
            sys.stdout.buffer.write(vl_convert.vegalite_to_svg(spec, **local).encode())
        case ["pdf"]:
            sys.stdout.buffer.write(vl_convert.vegalite_to_pdf(spec, **local))
        case _:
            sys.exit("give png, svg or pdf")


if __name__ == "__main__":
    main()
