"""A small web and a folder of faces for the tests: drawn people, some pictures broken, served to this machine alone."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from idbench.api import Silent
from idbench.splits import Split
from idbench.splits.assembling import Address, Assembly, Claim, ListedPerson, write_assembly
from idbench.splits.avatars.names import FIRST_NAMES, LAST_NAMES
from idbench.splits.avatars.render import render
from idbench.splits.card import card_prose
from idbench.splits.injected.writing import SplitDescription
from idbench.splits.manifest import CorpusInfo

_FRAME = io.BytesIO()
Image.new("RGB", (90, 90), (238, 238, 240)).save(_FRAME, "JPEG", quality=60)
_PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
BAD = {"empty": b"", "page": b"<html>moved</html>", "frame": _FRAME.getvalue(), "pixel": _PIXEL}
CODES = {"gone": 404, "forbidden": 403, "broken": 500}


def picture(person: str, number: int, side: int = 48) -> bytes:
    """A JPEG of a fictional person."""
    return jpeg(render([person], [f"{person}/{number}"])[0], side)


def jpeg(pixels: NDArray[np.uint8], side: int = 48) -> bytes:
    """Pixels as a JPEG of another size."""
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=92)
    return out.getvalue()


def sideways() -> bytes:
    """A JPEG of 40 rows and 60 columns, upright with 60 rows, red above blue, as a telephone writes it."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0], pixels[:, 30:, 2] = 255, 255
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x112] = 6
    Image.fromarray(pixels).save(out, "JPEG", quality=92, exif=exif)
    return out.getvalue()


def telephone(kind: str) -> bytes:
    """Red above blue, as telephones and scanners write it: in HEIC, or as a PNG of 16 bits per colour or of gray."""
    pixels, out = np.zeros((60, 60, 3), np.uint8), io.BytesIO()
    pixels[:30, :, 0], pixels[30:, :, 2] = 200, 120
    if kind == "heic":
        from pillow_heif import from_pillow

        from_pillow(Image.fromarray(pixels)).save(out, quality=95)
        return out.getvalue()
    if kind == "deep-gray":
        Image.fromarray(pixels.max(axis=2).astype(np.uint16) * 257).save(out, "PNG")
        return out.getvalue()
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2") * 257)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 60, 60, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + sort + data + struct.pack(">I", zlib.crc32(sort + data)) for sort, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@dataclass(frozen=True)
class Web:
    """A server and how often each path was asked for."""

    address: str
    asked: dict[str, int]

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


class _Handler(BaseHTTPRequestHandler):
    asked: dict[str, int]

    def do_GET(self) -> None:
        path = unquote(self.path).lstrip("/")
        self.asked[path] = self.asked.get(path, 0) + 1
        kind, _, number = path.partition("/")
        if kind in CODES:
            self.send_error(CODES[kind])
            return
        if kind in ("drip", "drip-head"):
            self._drip(kind)
            return
        moved = {"loop": self.path, "to-file": "file:///etc/hosts", "nowhere": ""}
        if kind in moved:
            self.send_response(302)
            if moved[kind]:
                self.send_header("Location", moved[kind])
            self.end_headers()
            return
        if kind in ("garbage", "silence"):
            self.wfile.write(f"\x00\x01 invalid {path}\n".encode() if kind == "garbage" else b"")
            self.close_connection = True
            return
        person = f"web {number.partition('?')[0]}"
        known = {"sideways": sideways, "good": lambda: picture(person, 0), "cut": lambda: picture(person, 0)}
        known["packed"] = lambda: gzip.compress(picture(person, 0))
        known |= {each: lambda: telephone(kind) for each in ("heic", "deep", "deep-gray")}
        data = known[kind]() if kind in known else BAD[kind]
        data = data[: len(data) // 3] if kind == "cut" else data
        self.send_response(200)
        if kind == "packed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _drip(self, kind: str) -> None:
        """An answer that never ends, a byte at a time, until the other side has enough."""
        if kind == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b"H")
                self.wfile.flush()
                time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


@contextmanager
def serving() -> Iterator[Web]:
    """The web for as long as the block lasts."""
    asked: dict[str, int] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Web(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def split_of(web: Web, folder: Path, paths: dict[str, list[str]]) -> Split:
    """Two or more people with addresses and without photos; what begins with `=` is an address as it stands."""

    def address(path: str) -> Address:
        return Address(path[1:] if path.startswith("=") else web.url(path))

    people = tuple(
        ListedPerson(f"id{i}", name, "test", name, (), tuple(map(address, own)))
        for i, (name, own) in enumerate(paths.items())
    )
    labels = tuple(Claim(person.id, "c", i == 0, int(i == 0), "a test", 1.0) for i, person in enumerate(people))
    assembly = Assembly(people, labels, tuple(paths), ("{name}",))
    about = SplitDescription(
        name="webbed", version=1, title="t", license="other", description="d", source="s",
        corpora=(CorpusInfo(name="c", title="c", control=False),), parts=assembly.parts,
        photo_format=assembly.photo_format, prose=card_prose("private"),
    )  # fmt: skip
    folder.mkdir()
    write_assembly(folder, about, assembly, Silent())
    return Split(folder)


def write_faces(folder: Path, people: int, photos: int) -> Path:
    """A folder of fictional people, `First_Last/NN.jpg`."""
    for i in range(people):
        place = folder / f"{FIRST_NAMES[i % len(FIRST_NAMES)]}_{LAST_NAMES[i * 7 % len(LAST_NAMES)]}"
        place.mkdir(parents=True)
        for k, pixels in enumerate(render([f"face {i}"] * photos, [f"face {i}/{k}" for k in range(photos)])):
            (place / f"{k:02d}.jpg").write_bytes(jpeg(pixels))
    return folder


def write_tsv(path: Path, rows: list[tuple[str, str]], header: str = "") -> Path:
    """A list of pairs."""
    path.write_text(header + "".join(f"{caption}\t{url}\n" for caption, url in rows), encoding="utf-8")
    return path


def write_shard(path: Path, samples: list[dict[str, bytes]]) -> Path:
    """A WebDataset shard as img2dataset writes it, with its statistics."""
    with tarfile.open(path, "w") as tar:
        for i, sample in enumerate(samples):
            for kind, data in sample.items():
                member = tarfile.TarInfo(f"{i:09d}.{kind}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    stats = {"count": len(samples), "successes": len(samples), "status_dict": {"success": len(samples)}}
    path.with_name(f"{path.stem}_stats.json").write_text(json.dumps(stats))
    return path
