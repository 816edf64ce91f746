"""What a worker is given: cases without labels, written by the parent and read by the worker.

The folder holds `request.json` and `photos.npz`: where each photo begins in which file of pixels, its size, its digest.
The pixels themselves lie in stores that all runs share (`idbench.runner.pixels`); a worker gets only those whose
photos its method may know. Case ids and the order of the cases come from a secret of the run, which the parent draws
and keeps to itself: knowing the split is not enough to compute them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from idbench.api import (
    Access,
    AuxiliaryPerson,
    Calibration,
    Case,
    Context,
    Knowledge,
    Pair,
    Photo,
    Progress,
    Silent,
    names_of,
)
from idbench.errors import DataError
from idbench.runner.pixels import PixelStore, corpus_store, digest_of, pair_store, photo_store, photos_apart
from idbench.splits import Split
from idbench.splits.auxiliary import people_of
from idbench.splits.corpora import Corpus

REQUEST = "request.json"
INDEX = "photos.npz"
DEFENSE = "defense"
"""Folder within a bundle: what an `AnswerDefense` is given that stands before the target."""


ADAPTATION = "adaptation"
"""Folder within a bundle: what an `AnswerAdaptation` is given that stands between the attack and the target."""


@dataclass(frozen=True, slots=True)
class Folders:
    """What outlives a run: folders in which a method's process may write, and folders that it may only read.

    Args:
        cache: of the method's own.
        embeddings: where embeddings of photos go.
        kept_embeddings: where those lie that idbench's own methods left; the same folder for one of these.
        shadows: where shadow models go.
        kept_shadows: where those lie that idbench's own methods left; the same folder for one of these.
    """

    cache: str
    embeddings: str
    kept_embeddings: str
    shadows: str
    kept_shadows: str


@dataclass(frozen=True, slots=True)
class Request:
    """What the worker is to do, as plain JSON.

    Args:
        attack: where the class of the attack or defense is, `package.module:Class`.
        access: names of what it may ask of the target, from the card as the parent read it.
        answers: names of what a defense or an adaptation answers of an attack's questions, from the same card.
        params: its parameters.
        seed: non-negative.
        device: `auto`, `cpu`, `cuda:0`, ...
        folders: where the method's process may keep what outlives the run, and read what was kept before.
        target: the target's specification as JSON text; None for a blind attack.
        pixels: files of pixels that `photos.npz` refers to.
        cases: one per identity: id, name or None, indices of its photos or None.
        calibration: indices of the calibration cases.
        calibration_members: their labels, only if the attack declares CALIBRATION_LABELS.
        candidates: candidate names, only if declared.
        pairs: (photo index, caption), only if PUBLIC_PAIRS is declared.
        auxiliary: name, and (photo index, caption) of each pair, only if AUXILIARY_PEOPLE is declared.
        training: folder of the training set, only if TRAINING_SET is declared.
        defense: name of the defense or adaptation, if the method is one; empty for an attack.
    """

    attack: str
    access: list[str]
    answers: list[str]
    params: dict[str, Any]
    seed: int
    device: str
    folders: Folders
    target: str | None
    pixels: list[str]
    cases: list[tuple[str, str | None, list[int] | None]]
    calibration: list[int]
    calibration_members: list[bool] | None
    candidates: list[str] | None
    pairs: list[tuple[int, str]] | None
    auxiliary: list[tuple[str, list[tuple[int, str]]]] | None
    training: str | None = None
    defense: str = ""


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


def plan_cases(split: Split, secret: int | None = None) -> CasePlan:
    """Draw order and ids of the cases from a secret; they depend on nothing else, neither on labels nor on parts.

    Args:
        split: whose identities become cases.
        secret: non-negative, below 2**128; None draws one that is never stored.
    """
    rng = np.random.default_rng(np.random.SeedSequence(secrets.randbits(128) if secret is None else secret))
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
    access: Access,
    params: dict[str, Any],
    seed: int,
    device: str,
    folders: Folders,
    target: str | None,
    auxiliary: Corpus | None = None,
    training: Path | None = None,
    photos: PixelStore | None = None,
    answers: Access = Access.NONE,
    defense: str = "",
    progress: Progress | None = None,
) -> Request:
    """Write everything that the worker gets, and nothing else.

    Args:
        folder: an empty folder.
        split: whose identities become cases.
        plan: from `plan_cases`.
        knowledge: what the attack may know; the rest is left out.
        calibration_members: labels aligned with the split's identities, or None.
        attack: where the class is, `package.module:Class`.
        access: what it may ask of the target.
        params: its parameters.
        seed: non-negative.
        device: `auto`, `cpu`, `cuda:0`, ...
        folders: for what outlives the run.
        target: the target's specification as JSON text; None for a blind attack.
        auxiliary: a corpus with owners, from `load_auxiliary`; only where the attack may know AUXILIARY_PEOPLE.
        answers: what a defense or an adaptation answers of an attack's questions.
        defense: name of the defense or adaptation, if the method is one; empty for an attack.
        training: folder of the target's training set; only where a defense may know TRAINING_SET.
        photos: those of the cases, decoded; None: decoded here, and kept for other runs where everybody is a case.
        progress: receives a notice when another process decodes the same photos.

    Raises:
        DataError: a photo is empty or damaged.
        OSError: no space or no permission.
    """
    identities = [split.identities[i] for i in plan.order]
    pairs = split.public_pairs if Knowledge.PUBLIC_PAIRS in knowledge else None
    index = _Index()
    waiting = progress or Silent()
    seen = Knowledge.PHOTOS in knowledge
    of_people = index.add(photos or _photos_of(split, plan, folder, waiting)) if seen else None
    of_pairs = index.add(pair_store(split, waiting)) if pairs else {}
    of_corpus = {} if auxiliary is None else index.add(corpus_store(auxiliary, waiting))
    calibration = [i for i, identity in enumerate(identities) if identity.part == "calibration"]
    labelled = Knowledge.CALIBRATION_LABELS in knowledge and calibration_members is not None
    request = Request(
        attack=attack,
        access=names_of(access),
        answers=names_of(answers),
        params=params,
        seed=seed,
        device=device,
        folders=folders,
        target=target,
        pixels=index.files,
        cases=[
            (
                case,
                identity.name if Knowledge.NAME in knowledge else None,
                None if of_people is None else [of_people[photo] for photo in identity.photos],
            )
            for case, identity in zip(plan.ids, identities, strict=True)
        ],
        calibration=calibration,
        calibration_members=[bool(calibration_members[plan.order[i]]) for i in calibration]
        if labelled and calibration_members is not None
        else None,
        candidates=list(split.candidate_names) if Knowledge.CANDIDATE_NAMES in knowledge else None,
        pairs=None if pairs is None else [(of_pairs[photo], caption) for photo, caption in pairs],
        auxiliary=None if auxiliary is None else _auxiliary(auxiliary, of_corpus),
        training=None if training is None else str(training),
        defense=defense,
    )
    index.write(folder / INDEX)
    (folder / REQUEST).write_text(json.dumps(asdict(request)), encoding="utf-8")
    return request


def _photos_of(split: Split, plan: CasePlan, folder: Path, progress: Progress) -> PixelStore:
    """The photos of the cases: the store of all where everybody is a case, else a file with theirs alone."""
    if len(plan.order) == len(split.identities):
        return photo_store(split, progress)
    photos = [photo for i in np.sort(plan.order) for photo in split.identities[int(i)].photos]
    return photos_apart(split, photos, folder)


def read_request(folder: Path) -> Request:
    """The request in a bundle."""
    values = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    return Request(**(values | {"folders": Folders(**values["folders"])}))


def read_given(folder: Path, request: Request) -> Given:
    """What is in a bundle; pixels stay on disk until they are asked for."""
    photos = _read_photos(folder, request.pixels)
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


def context_of(request: Request, given: Given, device: str, progress: Progress) -> Context:
    """What a method is given besides its people; its folder is made.

    Args:
        request: of the bundle.
        given: the same bundle's content.
        device: where to compute.
        progress: receives progress reports.
    """
    cache = Path(request.folders.cache)
    cache.mkdir(parents=True, exist_ok=True)
    return Context(
        seed=request.seed,
        device=device,
        cache=cache,
        progress=progress,
        candidates=None if request.candidates is None else tuple(request.candidates),
        pairs=given.pairs,
        auxiliary=given.auxiliary,
    )


def _person(photos: Sequence[Photo], name: str, own: Sequence[tuple[int, str]]) -> AuxiliaryPerson:
    return AuxiliaryPerson(name, tuple(Pair(photos[i], caption) for i, caption in own))


def _auxiliary(corpus: Corpus, places: dict[str, int]) -> list[tuple[str, list[tuple[int, str]]]]:
    """The people of a corpus, each with the index of every picture and its caption."""
    captions = [corpus.captions[i] for i in corpus.caption_ids]
    return [(person.name, [(places[str(i)], captions[i]) for i in person.places]) for person in people_of(corpus)]


class _Index:
    """Where each photo of a bundle lies; photos are counted through all stores."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self._stores: list[PixelStore] = []

    def add(self, store: PixelStore) -> dict[str, int]:
        """Take in a store; returns the number of each of its photo ids."""
        first = sum(len(one.digests) for one in self._stores)
        self._stores.append(store)
        self.files.append(str(store.path))
        return {photo: first + place for photo, place in store.places.items()}

    def write(self, path: Path) -> None:
        """Write file number, offset, height, width and digest of each photo."""
        rows = [
            np.column_stack([np.full(len(store.sizes), number, dtype=np.int64), store.sizes])
            for number, store in enumerate(self._stores)
        ]
        digests = [store.digests for store in self._stores]
        np.savez(
            path,
            places=np.concatenate([np.empty((0, 4), dtype=np.int64), *rows]),
            digests=np.concatenate([np.empty(0, dtype="U64"), *digests]),
        )


def _read_photos(folder: Path, files: Sequence[str]) -> list[Photo]:
    with np.load(folder / INDEX, allow_pickle=False) as index:
        places, digests = index["places"], index["digests"]
    # A file without a byte cannot be mapped, and nothing is read from it.
    blobs = [
        np.memmap(file, dtype=np.uint8, mode="r") if Path(file).stat().st_size else np.empty(0, dtype=np.uint8)
        for file in files
    ]
    return [
        Photo(str(digest), _Pixels(blobs[number], int(offset), int(height), int(width), str(digest)))
        for (number, offset, height, width), digest in zip(places, digests, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Pixels:
    """Reads one photo from a file of many, and checks that it is the one that the parent chose."""

    blob: NDArray[np.uint8]
    offset: int
    height: int
    width: int
    digest: str

    def __call__(self) -> NDArray[np.uint8]:
        end = self.offset + self.height * self.width * 3
        flat = np.array(self.blob[self.offset : end])
        if flat.size == end - self.offset:
            pixels = flat.reshape(self.height, self.width, 3)
            if digest_of(pixels) == self.digest:
                return pixels
        raise DataError("The decoded photos were changed while a run read them.", hint="Repeat the command.")
