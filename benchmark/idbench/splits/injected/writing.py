"""Writes the folder of a split: tables, manifest and card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from idbench.splits.card import complete_card
from idbench.splits.injected.dealing import photo_id
from idbench.splits.manifest import MANIFEST_FILE, CorpusInfo, Manifest, Part, PhotoFormat, manifest_text
from idbench.splits.tables import Row, write_table
from idbench.storage import sha256_bytes, write_text


@dataclass(frozen=True, slots=True)
class SplitDescription:
    """What describes a split besides its tables.

    Args:
        name: of the split.
        version: counts from 1.
        title: one line for people.
        license: identifier as the Hugging Face Hub spells it.
        description: a sentence.
        source: where the data come from.
        corpora: training sets that the split has labels for.
        parts: identities in each part.
        photo_format: how photos are stored.
        prose: the card's text (`card.card_prose`).
        training: `Corpus.digest` of the training sets, where they are known.
    """

    name: str
    version: int
    title: str
    license: str
    description: str
    source: str
    corpora: tuple[CorpusInfo, ...]
    parts: Mapping[Part, int]
    photo_format: PhotoFormat
    prose: str
    training: Mapping[str, str] = field(default_factory=dict)


class PhotographedIdentity(Protocol):
    """An identity as the table `photos` needs it."""

    @property
    def id(self) -> str:
        """Opaque."""
        ...

    @property
    def photos(self) -> Sequence[Path]:
        """Files of the attack photos."""
        ...

    @property
    def attack_labels(self) -> Sequence[str]:
        """Labels of the attack photos, from which their ids come."""
        ...


def photo_batches(people: Iterable[PhotographedIdentity], encode: Callable[[Path], bytes]) -> Iterator[list[Row]]:
    """Rows of the table `photos`, one batch for each identity.

    Args:
        people: the identities, in the table's order.
        encode: makes the stored picture of a file.

    Raises:
        DataError: a photo cannot be opened any more.
    """
    for one in people:
        encoded = [encode(file) for file in one.photos]
        yield [
            (photo_id(label), one.id, sha256_bytes(data), data)
            for label, data in zip(one.attack_labels, encoded, strict=True)
        ]


def write_split(out: Path, about: SplitDescription, tables: Mapping[str, Iterable[Sequence[Row]]]) -> Manifest:
    """Write a split's folder, laid out as the Hugging Face Hub wants it.

    Args:
        out: an existing folder without a split.
        about: what the manifest says.
        tables: row groups of each table, in the order of the manifest; consumed one after the other.
    """
    written = {table: write_table(out, table, batches) for table, batches in tables.items()}
    manifest = Manifest(
        name=about.name,
        version=about.version,
        title=about.title,
        license=about.license,
        description=about.description,
        source=about.source,
        corpora=about.corpora,
        parts=dict(about.parts),
        photo_format=about.photo_format,
        rows={table: rows for table, (rows, _) in written.items()},
        digests={table: digest for table, (_, digest) in written.items()},
        training=dict(about.training),
    )
    write_text(out / "README.md", complete_card(about.prose, manifest, out))
    write_text(out / MANIFEST_FILE, manifest_text(manifest))
    return manifest
