"""The files of a corpus: found below folders and patterns, told apart by their ending, opened by the right reader."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from idbench.captions.batches import Batch, ReadOptions
from idbench.captions.tables import read_parquet, read_tsv
from idbench.captions.webdataset import read_webdataset
from idbench.errors import DataError
from idbench.storage import expanded

_READERS = {
    ".parquet": read_parquet,
    ".tsv": read_tsv,
    ".tsv.gz": read_tsv,
    ".tar": read_webdataset,
    ".tar.gz": read_webdataset,
    ".tgz": read_webdataset,
}
_KINDS = "A corpus is made of .parquet, .tsv, .tsv.gz, .tar, .tar.gz or .tgz files."


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files of a corpus.

    Args:
        shards: in the order of the arguments, sorted within each folder or pattern.
        next_to_tar: parquet files left out for a tar file of the same name next to them: img2dataset writes both,
            and the parquet lists pictures that could not be fetched too.
    """

    shards: tuple[Path, ...]
    next_to_tar: tuple[Path, ...]


def find_shards(places: Sequence[str]) -> CorpusFiles:
    """All shards of a corpus.

    Args:
        places: files, folders (searched with all below them), or glob patterns.

    Raises:
        DataError: nothing there, a file of another kind, or a file given twice.
    """
    shards: list[Path] = []
    next_to_tar: list[Path] = []
    for place in places:
        found, left_out = _below(place)
        shards += found
        next_to_tar += left_out
    seen: set[Path] = set()
    for shard in shards:
        if shard.resolve() in seen:
            raise DataError(f"{shard} is given twice.", hint="Its captions would count twice: give it once.")
        seen.add(shard.resolve())
    return CorpusFiles(tuple(shards), tuple(next_to_tar))


def read_shard(path: Path, options: ReadOptions) -> Iterator[Batch]:
    """Batches of a shard's captions, in order, a few thousand at a time.

    Raises:
        DamagedShard: it cannot be read to its end.
        DataError: it holds no captions where they are looked for.
    """
    return _READERS[_kind(path)](path, options)


def _kind(path: Path) -> str:
    """The ending that decides how a file is read; empty for other files."""
    name = path.name.lower()
    return next((kind for kind in sorted(_READERS, key=len, reverse=True) if name.endswith(kind)), "")


def _below(place: str) -> tuple[list[Path], list[Path]]:
    path = expanded(Path(place))
    if path.is_file():
        if not _kind(path):
            raise DataError(f"{path} is of no known kind.", hint=_KINDS)
        return [path], []
    matches = [str(path)] if path.is_dir() else glob.glob(str(path), recursive=True)  # noqa: PTH207  also absolute
    files = {file for match in matches for file in _files(Path(match))}
    shards = sorted(file for file in files if _kind(file))
    if not shards:
        what = "holds no captions" if path.is_dir() else "does not exist"
        raise DataError(f"{place} {what}.", hint=_KINDS)
    tars = {file.parent / _stem(file) for file in shards if _READERS[_kind(file)] is read_webdataset}
    next_to_tar = [file for file in shards if _kind(file) == ".parquet" and file.parent / _stem(file) in tars]
    return [file for file in shards if file not in set(next_to_tar)], next_to_tar


def _files(path: Path) -> Iterator[Path]:
    """A file, or all below a folder; nothing for a link that leads nowhere."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))


def _stem(path: Path) -> str:
    return path.name[: -len(_kind(path))]
