"""Corpora of fictional captions in every kind of file, and how to damage them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Writer = Callable[[Path, Sequence[str]], Path]


def write_parquet(folder: Path, captions: Sequence[str], name: str = "00000.parquet") -> Path:
    path = folder / name
    pq.write_table(pa.table({"url": [f"http://x/{i}" for i in range(len(captions))], "TEXT": list(captions)}), path)
    return path


def write_tsv(folder: Path, captions: Sequence[str], name: str = "00000.tsv") -> Path:
    path = folder / name
    path.write_text("".join(f"{text}\thttp://x/{i}\n" for i, text in enumerate(captions)), encoding="utf-8")
    return path


def write_tsv_gz(folder: Path, captions: Sequence[str], name: str = "00000.tsv.gz") -> Path:
    path = folder / name
    lines = "".join(f"http://x/{i}\t{text}\n" for i, text in enumerate(captions))
    path.write_bytes(gzip.compress(f"url\tcaption\n{lines}".encode()))
    return path


def write_csv(folder: Path, captions: Sequence[str], name: str = "00000.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Image URL", "Caption"])
        writer.writerows((f"http://x/{i}?a,b", text) for i, text in enumerate(captions))
    return path


def write_csv_zst(folder: Path, captions: Sequence[str], name: str = "00000.csv.zst") -> Path:
    plain = write_csv(folder, captions, "plain").read_bytes()
    (folder / "plain").unlink()
    path = folder / name
    path.write_bytes(packed(plain))
    return path


def write_json_lines(folder: Path, captions: Sequence[str], name: str = "00000.jsonl") -> Path:
    path = folder / name
    rows = [
        json.dumps({"url": f"http://x/{i}", "TEXT": text}, ensure_ascii=bool(i % 2)) for i, text in enumerate(captions)
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_json_lines_zst(folder: Path, captions: Sequence[str], name: str = "00000.json.zst") -> Path:
    path = write_json_lines(folder, captions, name)
    path.write_bytes(packed(path.read_bytes()))
    return path


def packed(content: bytes) -> bytes:
    """Zstandard, in two frames, as parallel packers write it."""
    half = len(content) // 2
    return b"".join(pa.compress(part, "zstd", asbytes=True) for part in (content[:half], content[half:]))


def write_tar(folder: Path, captions: Sequence[str], name: str = "00000.tar") -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as tar:
        for i, text in enumerate(captions):
            add(tar, f"{i:05d}.jpg", bytes(700 + i % 50))
            add(tar, f"{i:05d}.json", json.dumps({"caption": "wrong: txt goes first", "key": i}).encode())
            add(tar, f"{i:05d}.txt", text.encode())
    return path


def write_json_tar(folder: Path, captions: Sequence[str], name: str = "00000.tar.gz") -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as tar:
        for i, text in enumerate(captions):
            add(tar, f"a/{i:05d}.jpg", bytes(300))
            add(tar, f"a/{i:05d}.json", json.dumps({"caption": text}).encode())
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


WRITERS: tuple[Writer, ...] = (
    write_parquet,
    write_tsv,
    write_tsv_gz,
    write_csv,
    write_csv_zst,
    write_json_lines,
    write_json_lines_zst,
    write_tar,
    write_json_tar,
)
