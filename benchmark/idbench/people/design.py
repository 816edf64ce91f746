"""The split of an audit: the people under audit among reference people and members, all with equally many photos.

It lies in a temporary folder and nowhere else. Its test labels are withheld from everything that runs on it: the roles
stay with the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from idbench.captions import FOLDED
from idbench.errors import DataError, LabelsWithheld
from idbench.people.inputs import Portfolio
from idbench.splits.assembling import PHOTO_SIDE
from idbench.splits.avatars.names import FIRST_NAMES, LAST_NAMES
from idbench.splits.injected.chance import shuffled
from idbench.splits.injected.dealing import CONSTRUCTION, SALTED
from idbench.splits.injected.writing import SplitDescription, write_split
from idbench.splits.manifest import MANIFEST_FILE, CorpusInfo, Part, PhotoFormat, Withheld, manifest_text
from idbench.splits.photos import encode_png
from idbench.splits.split import Identity, Split
from idbench.splits.tables import ROWS_PER_GROUP, Row, digest_rows, read_rows
from idbench.storage import sha256_bytes, write_text

Role = Literal["audited", "reference", "member", "calibration"]

SEED: Final = "idbench/audit/1"
_UNKNOWN_CORPUS: Final = "unknown"


@dataclass(frozen=True, slots=True)
class ReferencePool:
    """Where reference people and members come from.

    Args:
        split: the people that idbench has: drawn ones, or those of a split that fits the target.
        corpus: the split's corpus that the target was trained on; None: nobody of the split has anything to do with it.
        given: photos of reference people whom the user brings, one folder each; empty: those of the split.
    """

    split: Split
    corpus: str | None
    given: tuple[Portfolio, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditPerson:
    """Somebody in the split of an audit."""

    id: str
    name: str
    role: Role
    photos: tuple[bytes, ...]
    member: bool = False


@dataclass(frozen=True, slots=True)
class Design:
    """Everybody in the split of an audit.

    Args:
        people: in any order.
        photos: photos of each.
        corpus: whose calibration labels it has; None without any.
        left_out: reference people and members with fewer photos, and namesakes of the audited, left out.
    """

    people: tuple[AuditPerson, ...]
    photos: int
    corpus: str | None
    left_out: int

    def of(self, role: Role) -> list[AuditPerson]:
        """Everybody with one role."""
        return [person for person in self.people if person.role == role]


def design(audited: Mapping[str, tuple[str, Portfolio]], pool: ReferencePool, most: int, most_members: int) -> Design:
    """Gather people who can be compared: as many photos of everybody as the audited have.

    Args:
        audited: name and photos by id; all have the same number of photos, or will be cut to the smallest.
        pool: where the others come from.
        most: reference people at most.
        most_members: members at most.

    Raises:
        DataError: no reference people are left.
    """
    source = pool.split
    known = certain(source, pool.corpus)
    sizes = [len(p.files) for p in pool.given] or [len(one.photos) for one in source.identities]
    # Nine in ten reference people have that many photos; the others are left out rather than all cut to the fewest.
    usual = int(np.quantile(sizes, 0.1, method="lower")) if sizes else 0
    count = min([len(portfolio.files) for _, portfolio in audited.values()] + [usual])
    names = {FOLDED(name) for name, _ in audited.values()}
    free = [one for one in source.identities if FOLDED(one.name) not in names and len(one.photos) >= count]
    out = len(source.identities) - len(free)
    own_format = source.manifest.photo_format if known is not None else PhotoFormat(encoding="png")
    people = [
        AuditPerson(who, name, "audited", tuple(prepared(p, own_format) for p in portfolio.pixels[:count]))
        for who, (name, portfolio) in audited.items()
    ]
    people += _calibration(source, free, known, count)
    tested = [one for one in free if one.part == "test"]
    if known is not None:
        members = [one for one in tested if known[one.id]]
        people += _drawn(source, members, "member", count, most_members)
    if pool.given:
        fit = [portfolio for portfolio in pool.given if len(portfolio.files) >= count]
        out += len(pool.given) - len(fit)
        people += _given(fit[:most], own_format, count, names | {FOLDED(name) for name in source.candidate_names})
    else:
        outsiders = [one for one in tested if known is None or not known[one.id]]
        people += _drawn(source, outsiders, "reference", count, most)
    found = Design(tuple(people), count, pool.corpus if known is not None else None, out)
    if not found.of("reference"):
        raise DataError(
            f"There are no reference people with {count} photos.", hint="Give more people, or more photos of each."
        )
    return found


def certain(source: Split, corpus: str | None) -> dict[str, bool] | None:
    """Who is a member, where that is known by construction; None where it is not."""
    if corpus is None:
        return None
    try:
        labels = source.labels(corpus)
    except LabelsWithheld:
        return None
    if not all(how == CONSTRUCTION or how.startswith(SALTED) for how in set(labels.how)):
        return None
    return {one.id: bool(member) for one, member in zip(source.identities, labels.member, strict=True)}


def _calibration(
    source: Split, free: Sequence[Identity], known: Mapping[str, bool] | None, count: int
) -> list[AuditPerson]:
    """Everybody of the calibration part, for attacks that prepare themselves on it."""
    people = [one for one in free if one.part == "calibration"]
    return [
        AuditPerson(one.id, one.name, "calibration", _stored(source, one, count), bool(known and known[one.id]))
        for one in people
    ]


def _drawn(source: Split, people: Sequence[Identity], role: Role, count: int, most: int) -> list[AuditPerson]:
    """Some of a split's people, the same for every audit."""
    chosen = sorted(int(i) for i in shuffled(f"{SEED}/{role}", len(people))[:most])
    return [AuditPerson(people[i].id, people[i].name, role, _stored(source, people[i], count)) for i in chosen]


def _given(portfolios: Sequence[Portfolio], how: PhotoFormat, count: int, taken: set[str]) -> list[AuditPerson]:
    """People whom the user brings, under invented names: nobody can have been trained on under one of these."""
    every = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    names = (every[int(i)] for i in shuffled(f"{SEED}/names", len(every)) if FOLDED(every[int(i)]) not in taken)
    return [
        AuditPerson(f"given-{i}", next(names), "reference", tuple(prepared(p, how) for p in one.pixels[:count]))
        for i, one in enumerate(portfolios)
    ]


def _stored(source: Split, one: Identity, count: int) -> tuple[bytes, ...]:
    return tuple(source.read_photos(one.photos[:count]))


def prepared(pixels: NDArray[np.uint8], how: PhotoFormat) -> bytes:
    """A photo as those of the other people are stored: the middle in their size, or its shorter side within bounds."""
    from PIL import Image

    height, width, _ = pixels.shape
    if how.height is not None and how.width is not None:
        scale = min(height / how.height, width / how.width)
        high, wide = round(how.height * scale), round(how.width * scale)
        top, left = (height - high) // 2, (width - wide) // 2
        pixels, size = pixels[top : top + high, left : left + wide], (how.width, how.height)
    else:
        shrink = min(1.0, PHOTO_SIDE / min(height, width))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    if size == (pixels.shape[1], pixels.shape[0]):
        return encode_png(pixels)
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC)
    return encode_png(np.asarray(resized, dtype=np.uint8))


def write_design(found: Design, source: Split, out: Path) -> Split:
    """Write the split of an audit and open it.

    Args:
        found: everybody.
        source: gives candidate names, prompts and public pairs.
        out: an empty folder.

    Raises:
        StorageError: no space or no permission.
    """
    corpus = found.corpus or _UNKNOWN_CORPUS
    calibration = found.of("calibration")
    labels: list[Row] = [
        (corpus, one.id, one.member, None, CONSTRUCTION, 1.0) for one in calibration if found.corpus is not None
    ]
    candidates = dict.fromkeys((*source.candidate_names, *(person.name for person in found.people)))
    ordered = [found.people[int(i)] for i in shuffled(f"{SEED}/order", len(found.people))]
    tables = {
        "identities": [[(p.id, _part(p), p.name, _photo_ids(p)) for p in ordered]],
        "labels": [labels],
        "photos": _photo_batches(ordered),
        "names": [[(name,) for name in candidates]],
        "prompts": [[(template,) for template in source.prompts]],
    }
    if source.public_pairs:
        tables["public_pairs"] = _pair_batches(source)
    about = SplitDescription(
        name=source.manifest.name,  # whose auxiliary people, where it has some, may train shadow models
        version=source.manifest.version,
        title="People under audit",
        license="other",
        description="Made for one audit, and removed with it.",
        source="the people who are audited, and " + source.manifest.name,
        corpora=(CorpusInfo(name=corpus, title="of the target", control=False),),
        parts={"test": len(ordered) - len(calibration), "calibration": len(calibration)},
        photo_format=PhotoFormat(encoding="png"),
        prose="---\nlicense: other\n---\n# People under audit\n",
    )
    manifest = write_split(out, about, tables)
    withheld = Withheld(part="test", rows=len(labels), digest=digest_rows(read_rows(out, "labels")))
    write_text(out / MANIFEST_FILE, manifest_text(manifest.model_copy(update={"withheld": withheld})))
    return Split(out)


def _part(person: AuditPerson) -> Part:
    return "calibration" if person.role == "calibration" else "test"


def _photo_ids(person: AuditPerson) -> list[str]:
    return [f"{person.id}-{i}" for i in range(len(person.photos))]


def _photo_batches(people: Sequence[AuditPerson]) -> Iterator[list[Row]]:
    for person in people:
        yield [
            (photo, person.id, sha256_bytes(data), data)
            for photo, data in zip(_photo_ids(person), person.photos, strict=True)
        ]


def _pair_batches(source: Split) -> Iterator[list[Row]]:
    pairs = source.public_pairs
    for start in range(0, len(pairs), ROWS_PER_GROUP):
        chosen = pairs[start : start + ROWS_PER_GROUP]
        pictures = list(source.read_photos(photo for photo, _ in chosen))
        yield [
            (photo, caption, sha256_bytes(data), data) for (photo, caption), data in zip(chosen, pictures, strict=True)
        ]
