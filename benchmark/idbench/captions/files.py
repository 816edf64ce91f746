"""The files of a corpus: found below folders and patterns, told apart by their ending, opened by the right reader."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from idbench.captions.batches import CaptionBatch, ReadOptions
from idbench.captions.tables import is_parquet, read_parquet
from idbench.captions.text import is_json_lines, read_csv, read_json_lines, read_tsv
from idbench.captions.webdataset import read_webdataset
from idbench.errors import DataError
from idbench.storage import expanded

_PLAIN = {
    ".parquet": read_parquet,
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".tar": read_webdataset,
}
_READERS = {kind + packed: reader for kind, reader in _PLAIN.items() for packed in ("", ".gz", ".zst")} | {
    ".tgz": read_webdataset
}
_AMBIGUOUS = (".json", ".json.gz", ".json.zst")
"""Endings of configurations too."""
_STATISTICS = "_stats.json"
"""What img2dataset counts beside each shard."""
_KINDS = "A corpus is made of .parquet, .tar, .tsv, .csv, .jsonl or .json files; .gz or .zst may follow."


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of a corpus.

    Args:
        shards: in the order of the arguments, sorted within each folder or pattern.
        next_to_tar: parquet files left out for a tar file of the same name next to them: img2dataset writes both,
            and the parquet lists pictures that could not be fetched too.
        not_read: other files in its folders, which may hold captions too, and links that lead nowhere.
    """

    shards: tuple[Path, ...]
    next_to_tar: tuple[Path, ...]
    not_read: tuple[Path, ...] = ()


def find_shards(places: Sequence[str]) -> CorpusFiles:
    """All shards of a corpus.

    Args:
        places: files, folders (searched with all below them), or glob patterns.

    Raises:
        DataError: nothing there, a file of another kind, or a file given twice.
    """
    shards: list[Path] = []
    next_to_tar: list[Path] = []
    not_read: list[Path] = []
    for place in places:
        found = _below(place)
        shards += found.shards
        next_to_tar += found.next_to_tar
        not_read += found.not_read
    seen: set[Path] = set()
    for shard in shards:
        if shard.resolve() in seen:
            raise DataError(f"{shard} is given twice.", hint="Its captions would count twice: give it once.")
        seen.add(shard.resolve())
    return CorpusFiles(tuple(shards), tuple(next_to_tar), tuple(not_read))


def read_shard(path: Path, options: ReadOptions) -> Iterator[CaptionBatch]:
    """Batches of a shard's captions, in order, a few thousand at a time; parquet under any name.

    Raises:
        DamagedShard: it cannot be read to its end.
        DataError: it holds no captions where they are looked for.
    """
    return (read_parquet if is_parquet(path) else _READERS[_kind(path)])(path, options)


def _kind(path: Path) -> str:
    """The ending that decides how a file is read; empty for other files."""
    name = path.name.lower()
    return next((kind for kind in sorted(_READERS, key=len, reverse=True) if name.endswith(kind)), "")


def _below(place: str) -> CorpusFiles:
    path = expanded(Path(place))
    if path.is_file():
        if not _kind(path):
            raise DataError(f"{path} has an unknown format.", hint=_KINDS)
        return CorpusFiles((path,), ())
    matches = [str(path)] if path.is_dir() else glob.glob(str(path), recursive=True)  # noqa: PTH207  also absolute
    met = {file for match in matches for file in _files(Path(match))}
    files = {file for file in met if file.is_file()}
    dead = {file for file in met if file.is_symlink() and not file.exists()}
    counts = {file for file in files if file.name.endswith(_STATISTICS)}
    shards = sorted(file for file in files - counts if _kind(file) and not _is_other_json(file))
    if not shards:
        what = "holds no captions" if path.is_dir() else "does not exist"
        raise DataError(f"{place} {what}.", hint=_KINDS)
    tars = {file.parent / _stem(file) for file in shards if _READERS[_kind(file)] is read_webdataset}
    next_to_tar = [file for file in shards if _kind(file) == ".parquet" and file.parent / _stem(file) in tars]
    not_read = sorted(files.difference(shards, counts))
    read = (file for file in shards if file not in set(next_to_tar))
    return CorpusFiles(tuple(read), tuple(next_to_tar), (*not_read, *sorted(dead)))


def _files(path: Path) -> Iterator[Path]:
    """A file or a link that leads nowhere, or all of them below a folder, linked folders included, each once."""
    if not path.is_dir():
        yield path
        return
    seen = {path.resolve()}
    for folder, inner, names in os.walk(path, followlinks=True):
        # The other way around, so that of several names of one folder the first stays. A link may lead back up.
        names_of = {Path(folder, one).resolve(): one for one in sorted(inner, reverse=True) if one[0] != "."}
        inner[:] = [name for place, name in names_of.items() if place not in seen]
        seen.update(names_of)
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _is_other_json(path: Path) -> bool:
    """Whether a file called JSON is something else than JSON lines, a configuration for example."""
    return _kind(path) in _AMBIGUOUS and not is_json_lines(path)


def _stem(path: Path) -> str:
    return path.name[: -len(_kind(path))]
