"""What a worker is given: cases without labels, written by the parent and read by the worker.

The folder holds `request.json` and `photos.bin` (decoded pixels, one after the other, without names or metadata) with
`photos.npz` (where each photo begins, its size, its digest). Case ids and the order of the cases are drawn anew for
each run and do not depend on the labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.api import AuxiliaryPerson, Calibration, Case, Knowledge, Pair, Photo
from idbench.splits import Split, decode_photo
from idbench.splits.auxiliary import people_of
from idbench.splits.corpora import Corpus

REQUEST = "request.json"
PHOTOS = "photos.bin"
INDEX = "photos.npz"


@dataclass(frozen=True, slots=True)
class Request:
    """What the worker shall do. Plain JSON.

    Args:
        attack: where the class is, `package.module:Class`.
        params: its parameters.
        seed: non-negative.
        device: `auto`, `cpu`, `cuda:0`, ...
        cache: folder of the method's own.
        target: the target's specification as JSON text; None for a blind attack.
        cases: one per identity: id, name or None, indices of its photos or None.
        calibration: indices of the calibration cases.
        calibration_members: their labels, only if the attack declares CALIBRATION_LABELS.
        candidates: candidate names, only if declared.
        pairs: (photo index, caption), only if PUBLIC_PAIRS is declared.
        auxiliary: name, and (photo index, caption) of each pair, only if AUXILIARY_PEOPLE is declared.
    """

    attack: str
    params: dict[str, Any]
    seed: int
    device: str
    cache: str
    target: str | None
    cases: list[tuple[str, str | None, list[int] | None]]
    calibration: list[int]
    calibration_members: list[bool] | None
    candidates: list[str] | None
    pairs: list[tuple[int, str]] | None
    auxiliary: list[tuple[str, list[tuple[int, str]]]] | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a method is given: cases, calibration, and of the rest what it declared."""

    cases: list[Case]
    calibration: Calibration
    pairs: tuple[Pair, ...] | None
    auxiliary: tuple[AuxiliaryPerson, ...] | None


@dataclass(frozen=True, slots=True)
class CasePlan:
    """Which identity is behind which case; stays with the parent.

    Args:
        order: index of the split's identity behind each case, (n,).
        ids: the case ids, (n,).
    """

    order: NDArray[np.int64]
    ids: tuple[str, ...]


def plan_cases(split: Split, run_id: str, shuffle: int = 0) -> CasePlan:
    """Draw order and ids of the cases; they depend on the run alone (and `shuffle`), never on labels or parts."""
    rng = np.random.default_rng(np.random.SeedSequence([int(run_id, 16), shuffle]))
    n = len(split.identities)
    tokens = rng.choice(16**6, size=n, replace=False)
    return CasePlan(rng.permutation(n).astype(np.int64), tuple(f"case-{token:06x}" for token in tokens))


def write_bundle(
    folder: Path,
    split: Split,
    plan: CasePlan,
    knowledge: Knowledge,
    calibration_members: NDArray[np.bool_] | None,
    *,
    attack: str,
    params: dict[str, Any],
    seed: int,
    device: str,
    cache: Path,
    target: str | None,
    auxiliary: Corpus | None = None,
) -> Request:
    """Write everything that the worker gets, and nothing else.

    Args:
        folder: an empty folder.
        split: whose identities become cases.
        plan: from `plan_cases`.
        knowledge: what the attack may know; the rest is left out.
        calibration_members: labels aligned with the split's identities, or None.
        auxiliary: a corpus with owners, from `load_auxiliary`; only where the attack may know AUXILIARY_PEOPLE.

    Raises:
        DataError: a photo is empty or damaged.
        OSError: the disk refused.
    """
    identities = [split.identities[i] for i in plan.order]
    with_photos = Knowledge.PHOTOS in knowledge
    # Photos stand in the order of the split, in which they are read fastest; it does not depend on labels either.
    wanted = [photo for identity in split.identities for photo in identity.photos] if with_photos else []
    pairs = split.public_pairs if Knowledge.PUBLIC_PAIRS in knowledge else None
    position = _write_photos(folder, split, [*wanted, *(photo for photo, _ in pairs or ())], auxiliary)
    calibration = [i for i, identity in enumerate(identities) if identity.part == "calibration"]
    labelled = Knowledge.CALIBRATION_LABELS in knowledge and calibration_members is not None
    request = Request(
        attack=attack,
        params=params,
        seed=seed,
        device=device,
        cache=str(cache),
        target=target,
        cases=[
            (
                case,
                identity.name if Knowledge.NAME in knowledge else None,
                [position[photo] for photo in identity.photos] if with_photos else None,
            )
            for case, identity in zip(plan.ids, identities, strict=True)
        ],
        calibration=calibration,
        calibration_members=[bool(calibration_members[plan.order[i]]) for i in calibration]
        if labelled and calibration_members is not None
        else None,
        candidates=list(split.candidate_names) if Knowledge.CANDIDATE_NAMES in knowledge else None,
        pairs=None if pairs is None else [(position[photo], caption) for photo, caption in pairs],
        auxiliary=None if auxiliary is None else _auxiliary(auxiliary, len(position)),
    )
    (folder / REQUEST).write_text(json.dumps(asdict(request)), encoding="utf-8")
    return request


def read_request(folder: Path) -> Request:
    """The request in a bundle."""
    return Request(**json.loads((folder / REQUEST).read_text(encoding="utf-8")))


def read_given(folder: Path, request: Request) -> Given:
    """What is in a bundle; pixels stay on disk until they are asked for."""
    photos = _read_photos(folder)
    cases = [
        Case(case, name, None if indices is None else [photos[i] for i in indices])
        for case, name, indices in request.cases
    ]
    members = request.calibration_members
    calibration = Calibration(
        [cases[i] for i in request.calibration], None if members is None else np.array(members, dtype=np.bool_)
    )
    pairs = None if request.pairs is None else tuple(Pair(photos[i], caption) for i, caption in request.pairs)
    people = request.auxiliary
    auxiliary = None if people is None else tuple(_person(photos, name, own) for name, own in people)
    return Given(cases, calibration, pairs, auxiliary)


def _person(photos: Sequence[Photo], name: str, own: Sequence[tuple[int, str]]) -> AuxiliaryPerson:
    return AuxiliaryPerson(name, tuple(Pair(photos[i], caption) for i, caption in own))


def _auxiliary(corpus: Corpus, first: int) -> list[tuple[str, list[tuple[int, str]]]]:
    """The people of a corpus whose pictures stand in the index from `first` on."""
    captions = [corpus.captions[i] for i in corpus.caption_ids]
    return [(person.name, [(first + int(i), captions[i]) for i in person.places]) for person in people_of(corpus)]


def _decoded(split: Split, ids: Sequence[str], more: Corpus | None) -> Iterator[NDArray[np.uint8]]:
    for name, data in zip(ids, split.read_photos(ids), strict=True):
        yield decode_photo(data, name)
    if more is not None:
        yield from more.images


def _write_photos(folder: Path, split: Split, ids: Sequence[str], more: Corpus | None) -> dict[str, int]:
    """Decode photos into one file, a corpus's pictures after them; where each photo id stands in the index."""
    unique = list(dict.fromkeys(ids))
    sizes: list[tuple[int, int, int]] = []
    digests: list[str] = []
    offset = 0
    with (folder / PHOTOS).open("wb") as file:
        for pixels in _decoded(split, unique, more):
            raw = pixels.tobytes()
            height, width, _ = pixels.shape
            sizes.append((offset, height, width))
            digests.append(hashlib.sha256(f"{height}x{width}:".encode() + raw).hexdigest())
            file.write(raw)
            offset += len(raw)
    np.savez(
        folder / INDEX,
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 3),
        digests=np.array(digests, dtype="U64"),
    )
    return {name: i for i, name in enumerate(unique)}


def _read_photos(folder: Path) -> list[Photo]:
    with np.load(folder / INDEX, allow_pickle=False) as index:
        sizes, digests = index["sizes"], index["digests"]
    if not len(sizes):
        return []
    blob = np.memmap(folder / PHOTOS, dtype=np.uint8, mode="r")
    return [
        Photo(str(digest), _Pixels(blob, int(offset), int(height), int(width)))
        for (offset, height, width), digest in zip(sizes, digests, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Pixels:
    """Reads one photo from the file of all photos."""

    blob: NDArray[np.uint8]
    offset: int
    height: int
    width: int

    def __call__(self) -> NDArray[np.uint8]:
        end = self.offset + self.height * self.width * 3
        return np.array(self.blob[self.offset : end]).reshape(self.height, self.width, 3)
