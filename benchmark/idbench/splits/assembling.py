"""Writes the folder of a split of real people from what is known of each: photos, addresses, labels, where from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from idbench.api import Progress
from idbench.splits.cc3m.people import encode_jpeg
from idbench.splits.injected.chance import shuffled
from idbench.splits.injected.dealing import CALIBRATION_SHARE, photo_id
from idbench.splits.injected.writing import SplitDescription, photo_batches, write_split
from idbench.splits.manifest import Manifest, Part, PhotoFormat
from idbench.splits.tables import Row

UNKNOWN = -1
"""Stands for an unknown number of occurrences."""

UNIDENTIFIED = "not-identified"
"""Stands for a person whom a source is known to list, without saying which one."""

FEWEST_TO_DIVIDE = 25
"""Fewest members and non-members for a fifth of each to be set aside for calibration; with fewer, all are tested."""

PHOTO_SIDE = 288
"""Upper limit of the shorter side of a stored photo, in pixels: what the largest common encoder needs."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a photo was published.

    Args:
        url: as the list has it.
        sha256: of the stored photo, once it was fetched; before, of the published file, where the list has it.
        phash: of the stored photo; empty before.
        outcome: what came of fetching it; empty before.
    """

    url: str
    sha256: str = ""
    phash: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """One identity of a split of real people.

    Args:
        id: opaque.
        name: full name.
        part: `calibration` or `test`.
        label: seeds all random draws about the person.
        photos: files of the attack photos.
        urls: where photos were published.
    """

    id: str
    name: str
    part: Part
    label: str
    photos: tuple[Path, ...] = ()
    urls: tuple[Address, ...] = ()

    @property
    def attack_labels(self) -> tuple[str, ...]:
        """Labels from which the ids of the photos are derived."""
        return tuple(f"{self.label}/attack/{i}" for i in range(len(self.photos)))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a source says about one person and one corpus.

    Args:
        identity: whom it is about.
        corpus: name of the training set.
        member: whether the person is in it.
        occurrences: how often; `UNKNOWN` where nobody counted.
        how: how it is known.
        confidence: how sure it is, 0..1.
        source: who says so.
    """

    identity: str
    corpus: str
    member: bool
    occurrences: int
    how: str
    confidence: float
    source: str = ""

    @property
    def label_row(self) -> Row:
        """As a row of `labels`."""
        return self.corpus, self.identity, self.member, self.occurrences, self.how, self.confidence

    @property
    def source_row(self) -> Row:
        """As a row of `label_sources`."""
        claim = (self.member, self.occurrences, self.how, self.confidence)
        return self.identity, self.corpus, self.source, *claim


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that goes into a split of real people.

    Args:
        people: the identities.
        labels: one claim for each identity and corpus.
        candidates: names that an attacker considers possible.
        prompts: templates with `{name}`.
        claims: of every source; empty where there is one source only.
        bins: rows of the table of that name; the other tables likewise.
    """

    people: tuple[ListedPerson, ...]
    labels: tuple[Claim, ...]
    candidates: tuple[str, ...]
    prompts: tuple[str, ...]
    claims: tuple[Claim, ...] = ()
    bins: tuple[Row, ...] = ()
    selection: tuple[Row, ...] = ()
    subsets: tuple[Row, ...] = ()
    spellings: tuple[Row, ...] = ()

    @property
    def parts(self) -> dict[Part, int]:
        """Identities in each part."""
        sizes: dict[Part, int] = {"test": 0, "calibration": 0}
        for person in self.people:
            sizes[person.part] += 1
        return sizes

    @property
    def photo_format(self) -> PhotoFormat:
        """How photos are stored."""
        return PhotoFormat(encoding="jpeg")


def write_assembly(out: Path, about: SplitDescription, assembly: Assembly, progress: Progress) -> Manifest:
    """Write the folder of a split.

    Args:
        out: an existing folder without a split.
        about: what the manifest says.
        assembly: what goes in.
        progress: shows how far the photos are.

    Raises:
        DataError: a photo cannot be opened any more.
        StorageError: no space or no permission.
    """
    people = assembly.people
    encode: Callable[[Path], bytes] = partial(encode_jpeg, side=PHOTO_SIDE)
    tables: dict[str, Iterable[Sequence[Row]]] = {
        "identities": [[(p.id, p.part, p.name, [photo_id(label) for label in p.attack_labels]) for p in people]],
        "labels": [[claim.label_row for claim in assembly.labels]],
        "photos": photo_batches(progress.track(people, f"Writing {about.name}", len(people)), encode),
        "names": [[(name,) for name in assembly.candidates]],
        "prompts": [[(template,) for template in assembly.prompts]],
    }
    more: dict[str, Sequence[Row]] = {
        "urls": [(p.id, one.url, one.sha256, one.phash, one.outcome) for p in people for one in p.urls],
        "label_sources": [claim.source_row for claim in assembly.claims],
        "bins": assembly.bins,
        "selection": assembly.selection,
        "subsets": assembly.subsets,
        "spellings": assembly.spellings,
    }
    return write_split(out, about, tables | {table: [rows] for table, rows in more.items() if rows})


def parts_of(seed: str, members: Sequence[bool]) -> tuple[Part, ...]:
    """The part of each identity: a fifth of the members and of the non-members, drawn at random, is for calibration.

    Where either are fewer than `FEWEST_TO_DIVIDE`, all are under test: too few to be divided.

    Args:
        seed: seeds all random draws.
        members: whether each is a member of the first corpus.
    """
    parts: list[Part] = ["test"] * len(members)
    sides = [[i for i, member in enumerate(members) if member == side] for side in (True, False)]
    if min(len(side) for side in sides) < FEWEST_TO_DIVIDE:
        return tuple(parts)
    for number, side in enumerate(sides):
        for k in shuffled(f"{seed}/parts/{number}", len(side))[: round(len(side) * CALIBRATION_SHARE)]:
            parts[side[int(k)]] = "calibration"
    return tuple(parts)


def drawn_photos(label: str, photos: Sequence[Path], most: int) -> tuple[Path, ...]:
    """At most that many of a person's photos, drawn at random."""
    return tuple(photos[int(i)] for i in shuffled(f"{label}/photos", len(photos))[:most])
