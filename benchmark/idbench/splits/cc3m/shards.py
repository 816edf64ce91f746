"""Writes a training set as WebDataset shards: shuffled, deterministic byte for byte, shard by shard."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.injected.chance import shuffled
from idbench.storage import atomic_path, make_dir, sha256_file, storage_errors, write_text

SIZES_FILE, ABOUT_FILE = "sizes.json", "corpus.json"
EncodedPair = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class Shards:
    """A training set on disk.

    Args:
        name: e.g. `cc3m-injected-a`.
        pairs: in all shards together.
        shards: how many there are, named 00000.tar and so on.
        digest: SHA-256 over the shards' own SHA-256.
    """

    name: str
    pairs: int
    shards: int
    digest: str


def write_shards(
    folder: Path,
    name: str,
    n_pairs: int,
    read: Callable[[Sequence[int]], list[EncodedPair]],
    *,
    seed: str,
    shard_pairs: int,
    progress: Progress,
) -> Shards:
    """Write what is not there yet; a shard appears only when it is complete.

    Shards are as equal in size as can be, at most `shard_pairs`, because trainers give each worker whole shards.

    Args:
        folder: where; belongs to this training set, these pairs and this seed alone.
        name: of the training set.
        n_pairs: how many pairs there are.
        read: encoded JPEG pictures and captions of some pairs, by number.
        seed: label that decides the order.
        shard_pairs: most pairs in a shard.
        progress: receives the number of written shards.
    """
    order = shuffled(f"{seed}/{name}/order", n_pairs)
    count = ceil(n_pairs / shard_pairs)
    bounds = [n_pairs * i // count for i in range(count + 1)]
    make_dir(folder)
    for i in progress.track(range(count), f"writing {name}", count):
        path = folder / f"{i:05d}.tar"
        if not path.exists():
            _write_shard(path, bounds[i], read(order[bounds[i] : bounds[i + 1]].tolist()))
    sizes = {f"{i:05d}.tar": bounds[i + 1] - bounds[i] for i in range(count)}
    write_text(folder / SIZES_FILE, json.dumps(sizes, indent=1) + "\n")
    shards = Shards(name, n_pairs, count, _digest([folder / file for file in sizes]))
    write_text(folder / ABOUT_FILE, json.dumps(asdict(shards), indent=2) + "\n")
    return shards


def read_shards(folder: Path) -> Shards:
    """What `write_shards` wrote, without opening the shards.

    Raises:
        DataError: missing, incomplete or damaged.
    """
    try:
        shards = Shards(**json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8")))
        sizes = json.loads((folder / SIZES_FILE).read_text(encoding="utf-8"))
        missing = [file for file in sizes if not (folder / file).is_file()]
        fits = len(sizes) == shards.shards and sum(sizes.values()) == shards.pairs
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} is not a training set of shards.", hint="`bench data build` writes them.") from error
    if missing or not fits:
        what = f"lacks {missing[0]}" if missing else "does not fit together"
        raise DataError(f"The training set in {folder} {what}.", hint="Remove the folder and build it again.")
    return shards


def _write_shard(path: Path, first: int, pairs: Sequence[EncodedPair]) -> None:
    with atomic_path(path) as temporary, storage_errors(path), tarfile.open(temporary, "w") as tar:
        for number, (picture, caption) in enumerate(pairs, start=first):
            # The key says where the pair is and nothing about who is on the picture.
            for kind, data in (("jpg", picture), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{number:09d}.{kind}")  # owner, time and mode are constants
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256("\n".join(sha256_file(path) for path in paths).encode()).hexdigest()
