"""Splits made from another split for one study: more photos of each person, or fewer people."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from idbench.api import Progress
from idbench.errors import DataError
from idbench.escaping import markdown
from idbench.splits import Split
from idbench.splits.avatars import SPEC, TINY_SPEC, WorldSpec, build_world
from idbench.splits.building import get_or_build
from idbench.splits.manifest import MANIFEST_FILE, Manifest, read_manifest
from idbench.splits.subsets import kept_rows
from idbench.splits.tables import write_table
from idbench.storage import atomic_dir, cache_dir, write_text

_WORLDS: dict[str, WorldSpec] = {spec.name: spec for spec in (SPEC, TINY_SPEC)}


@dataclass(frozen=True, slots=True)
class Derived:
    """A split that a study runs on, made on first use and kept in the cache.

    Args:
        base: what it is made from.
        name: what it is called in records; the base's own name where nothing has to be made.
        write: writes its folder into an empty one; None: the base is used as it is.
    """

    base: Split
    name: str
    write: Callable[[Path, Progress], None] | None = None

    @property
    def path(self) -> Path:
        """Where it is kept. A change of the base, retractions included, makes another place."""
        return cache_dir("studies", f"{self.name}-{self.base.digest[:16]}")

    @property
    def ready(self) -> bool:
        """Whether opening it makes nothing."""
        return self.write is None or (self.path / MANIFEST_FILE).exists()

    def open(self, progress: Progress) -> Split:
        """The split; made if it is missing or damaged.

        Raises:
            StorageError: no space or no permission in the cache.
        """
        write = self.write
        if write is None:
            return self.base

        def build(path: Path) -> None:
            with atomic_dir(path) as folder:
                write(folder, progress)

        return get_or_build(self.path, _open_good, build, f"split {self.name!r}", progress)


def more_photos(split: Split, count: int) -> Derived:
    """The same people with `count` attack photos each, of which the first are the split's own.

    Identities, names, labels and candidate names are equal; no photo is in any training set. Where photos cannot be
    made (they are not drawn by the renderer), or the split has as many, it is used as it is.

    Args:
        split: any split.
        count: photos per person.
    """
    spec = _WORLDS.get(split.manifest.name)
    if spec is None or spec.n_photos >= count:
        return Derived(split, split.manifest.name)
    name = f"{split.manifest.name}-{count}"

    def write(folder: Path, progress: Progress) -> None:
        build_world(replace(spec, n_photos=count), folder, progress)
        made = read_manifest(folder)
        _describe(folder, split, made, name, f"{made.title}; {count} attack photos each")

    return Derived(split, name, write)


def fewer_people(split: Split, count: int) -> Derived:
    """At most `count` people of the test part, taken evenly over membership and number of training pictures.

    Who is taken follows from the opaque ids alone. A split with no more people in its test part is used as it is.

    Args:
        split: any split.
        count: people to keep.
    """
    if sum(identity.part == "test" for identity in split.identities) <= count:
        return Derived(split, split.manifest.name)
    name = f"{split.manifest.name}-{count}-people"
    return _some(split, name, f"{count} people of its test part", lambda: _chosen(split, count))


def most_seen_people(split: Split, each: int) -> Derived:
    """Of the people of the test part with the most training pictures, at most `each` members of every corpus.

    Where two corpora are each other's non-members, every one of them is a member once and a non-member once. Who is
    taken follows from the opaque ids alone. A split with no more people in its test part is used as it is.

    Args:
        split: any split.
        each: people to keep of each corpus.
    """
    kept = _most_seen(split, each)
    if sum(identity.part == "test" for identity in split.identities) <= len(kept):
        return Derived(split, split.manifest.name)
    words = f"{len(kept)} people of its test part, those with the most training pictures"
    return _some(split, f"{split.manifest.name}-{each}-most-seen", words, lambda: kept)


def _some(split: Split, name: str, words: str, choose: Callable[[], list[str]]) -> Derived:
    """The split with some of its people: ids from `choose`, called when the folder is written."""

    def write(folder: Path, progress: Progress) -> None:
        kept = frozenset(choose())
        tables = {
            table: write_table(folder, table, kept_rows(split, table, kept, progress)) for table in split.manifest.rows
        }
        made = split.manifest.model_copy(
            update={
                "parts": {"test": len(kept), "calibration": 0},
                "rows": {table: rows for table, (rows, _) in tables.items()},
                "digests": {table: digest for table, (_, digest) in tables.items()},
            }
        )
        _describe(folder, split, made, name, f"{made.title}; {words}")

    return Derived(split, name, write)


def _open_good(path: Path) -> Split | None:
    try:
        return Split(path, on_damage=lambda: (path / MANIFEST_FILE).unlink(missing_ok=True))
    except DataError:
        return None


def _describe(folder: Path, split: Split, made: Manifest, name: str, title: str) -> None:
    """Write manifest and card of a derived split; who was retracted from the original stays so."""
    manifest = made.model_copy(
        update={
            "name": name,
            "version": split.manifest.version,
            "title": title,
            "source": f"made from {split.manifest.name} v{split.manifest.version} ({split.digest}) for a study",
            "retracted": tuple(sorted(split.retracted)),
        }
    )
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    write_text(folder / "README.md", f"# {markdown(name)}\n\n{markdown(title)}. {markdown(manifest.source)}.\n")


def _chosen(split: Split, count: int) -> list[str]:
    """Ids of the people to keep: from each cell in turn, in an order that follows from the ids."""
    cells: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    labels = [split.labels(corpus) for corpus in split.corpora]
    for i, identity in enumerate(split.identities):
        if identity.part == "test":
            cells[tuple(int(own.occurrences[i]) if own.member[i] else 0 for own in labels)].append(identity.id)
    queues = [sorted(cells[cell], key=_lot) for cell in sorted(cells)]
    in_turn = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return in_turn[:count]


def _most_seen(split: Split, each: int) -> list[str]:
    """Ids of the test part's members with the most training pictures, corpus by corpus."""
    kept: list[str] = []
    for corpus in split.corpora:
        labels = split.labels(corpus)
        seen = [
            (int(labels.occurrences[i]), identity.id)
            for i, identity in enumerate(split.identities)
            if identity.part == "test" and labels.member[i] and identity.id not in kept
        ]
        seen.sort(key=lambda person: (-person[0], _lot(person[1])))
        kept += [identity for _, identity in seen[:each]]
    return kept


def _lot(identity: str) -> str:
    return hashlib.sha256(f"idbench/study/{identity}".encode()).hexdigest()
