"""Makes a split and its training sets out of a folder of faces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idbench.api import Progress
from idbench.errors import DataError
from idbench.splits.card import card_prose
from idbench.splits.corpora import Owners, read_corpus, write_corpus, write_pictures
from idbench.splits.injected.casting import Cast, cast
from idbench.splits.injected.chance import shuffled, stream
from idbench.splits.injected.dealing import corpora_of, label_rows, photo_id
from idbench.splits.injected.people import PhotographedPerson, candidate_names, read_people, read_pixels
from idbench.splits.injected.writing import SplitDescription, photo_batches, write_split
from idbench.splits.manifest import PhotoFormat
from idbench.splits.photos import encode_png
from idbench.splits.recipe import Sources
from idbench.splits.tables import ROWS_PER_GROUP, Row
from idbench.storage import sha256_bytes, storage_errors

PHOTO_SIZE = 112
"""Side of the photos of a split, in pixels; training pictures are made from these."""

_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class FacesSpec:
    """Sizes of a split made from faces; everything else follows from them, the faces and the seed.

    Args:
        name: of the split; its corpora are called NAME-a, NAME-b, NAME-0 and NAME-aux.
        version: counts from 1.
        title: one line for people.
        seed: the published label that seeds all random draws, unless a secret one is given.
        size: side of the training pictures, in pixels.
        templates: of the captions, with `{name}`; each person's pictures take them in turn.
        fewest: photos that a person must have to be put under test.
        levels: most training pictures of a member.
        most_photos: most attack photos of an identity.
        fewest_aux: photos that a background person must have to be in NAME-aux, from which shadow models draw people.
        n_candidates: names that an attacker considers possible.
        n_public: public pairs.
        card: the card's name.
        description: a sentence for the manifest.
    """

    name: str
    version: int
    title: str
    seed: str
    size: int
    templates: tuple[str, ...]
    fewest: int
    levels: tuple[int, ...]
    most_photos: int
    fewest_aux: int
    n_candidates: int
    n_public: int
    card: str
    description: str

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of the training sets."""
        return (*(corpus.name for corpus in corpora_of(self.name)), f"{self.name}-aux")


@dataclass(frozen=True, slots=True)
class CaptionedFiles:
    """Pictures with captions: files, labels from which ids and captions come, and captions; one entry each."""

    files: tuple[Path, ...]
    labels: tuple[str, ...]
    captions: tuple[str, ...]

    def __add__(self, other: CaptionedFiles) -> CaptionedFiles:
        return CaptionedFiles(self.files + other.files, self.labels + other.labels, self.captions + other.captions)

    def __len__(self) -> int:
        return len(self.files)


class FacesDesign:
    """Everything that is decided before the first picture is written.

    Args:
        spec: sizes.
        seed: seeds all random draws.
        people: everybody, sorted by name.

    Raises:
        DataError: too few people have enough photos.
    """

    def __init__(self, spec: FacesSpec, seed: str, people: Sequence[PhotographedPerson]) -> None:
        self.spec, self.seed = spec, seed
        self.cast: Cast = cast(
            seed, spec.name, people, fewest=spec.fewest, levels=spec.levels, most_photos=spec.most_photos
        )
        if not self.cast.background:
            raise DataError(
                f"Everybody has {spec.fewest} photos or more, so no people are left for the background.",
                hint="Add people with fewer photos: targets have to learn what faces and names are.",
            )
        self.background = self._pairs((f"{seed}/background/{j}", p.name, p.photos) for j, p in self._others())
        self.aux = [(j, person) for j, person in self._others() if len(person.photos) >= spec.fewest_aux]

    def training(self, corpus: str) -> CaptionedFiles:
        """The pairs of NAME-a, NAME-b or NAME-0, background first."""
        members = self.cast.members(corpus)
        return self.background + self._pairs((one.dealt.label, one.name, one.training) for one in members)

    def auxiliary(self) -> tuple[CaptionedFiles, Owners]:
        """The pairs of NAME-aux, and whose each is."""
        pairs = self._pairs((f"{self.seed}/background/{j}", person.name, person.photos) for j, person in self.aux)
        numbers = [owner for owner, (_, person) in enumerate(self.aux) for _ in person.photos]
        return pairs, Owners(np.array(numbers, dtype=np.int64), tuple(person.name for _, person in self.aux))

    def order(self, corpus: str, n: int) -> NDArray[np.int64]:
        """The order of a training set's pairs, which reveals nothing."""
        return shuffled(f"{self.seed}/{corpus}/order", n)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names that an attacker considers possible."""
        identities = [one.name for one in self.cast.identities]
        background = [person.name for person in self.cast.background]
        return candidate_names(self.seed, identities, background, self.spec.n_candidates)

    @property
    def public(self) -> list[int]:
        """Which background pairs everybody knows."""
        return [int(i) for i in shuffled(f"{self.seed}/public", len(self.background))[: self.spec.n_public]]

    def _others(self) -> Iterable[tuple[int, PhotographedPerson]]:
        return enumerate(self.cast.background)

    def _pairs(self, people: Iterable[tuple[str, str, Sequence[Path]]]) -> CaptionedFiles:
        rows = [(file, label, i, name) for label, name, files in people for i, file in enumerate(files)]
        return CaptionedFiles(
            tuple(file for file, _, _, _ in rows),
            tuple(f"{label}/train/{i}" for _, label, i, _ in rows),
            tuple(self._caption(label, i, name) for _, label, i, name in rows),
        )

    def _caption(self, label: str, i: int, name: str) -> str:
        """The caption of a person's picture number `i`: all templates in turn, beginning with any of them."""
        first = int.from_bytes(stream(f"{label}/wording", 4), "little")
        templates = self.spec.templates
        return templates[(first + i) % len(templates)].replace("{name}", name)


def build_faces(spec: FacesSpec, sources: Sources, split: Path, corpora: Path, progress: Progress) -> tuple[str, ...]:
    """Build a split and its training sets from a folder of faces (`SourcedRecipe.build`).

    Raises:
        DataError: the folder cannot be used.
        StorageError: no space or no permission.
    """
    if sources.faces is None:
        raise DataError(f"{spec.name} is made from a folder of faces.", hint="Name it with --faces DIR.")
    found = read_people(sources.faces, progress)
    design = FacesDesign(spec, sources.seed or spec.seed, found.people)
    training = _write_corpora(design, corpora, progress)
    _write_folder(design, split, training, progress)
    return found.notes


def _write_corpora(design: FacesDesign, corpora: Path, progress: Progress) -> dict[str, str]:
    """Write all training sets; their digests by name."""
    names, size = design.spec.corpora, design.spec.size
    sets: dict[str, tuple[CaptionedFiles, Owners | None]] = {name: (design.training(name), None) for name in names[:3]}
    sets[names[3]] = design.auxiliary()
    files = list(dict.fromkeys(file for pairs, _ in sets.values() for file in pairs.files))
    with storage_errors(corpora), tempfile.TemporaryDirectory(prefix=".pictures-", dir=corpora) as place:
        pictures = _small_pictures(files, size, Path(place) / "pictures.npy", progress)
        row = {file: i for i, file in enumerate(files)}
        for name, (pairs, owners) in sets.items():
            order = design.order(name, len(pairs))
            rows = np.array([row[file] for file in pairs.files], dtype=np.int64)[order]
            batches = (pictures[rows[start : start + _AT_ONCE]] for start in range(0, len(rows), _AT_ONCE))
            captions = [pairs.captions[int(i)] for i in order]
            whose = None if owners is None else Owners(owners.numbers[order], owners.names)
            write_corpus(corpora / name, (len(pairs), size, size, 3), batches, captions, whose)
    return {name: read_corpus(name, corpora / name).digest for name in names}


def _small_pictures(files: Sequence[Path], size: int, store: Path, progress: Progress) -> NDArray[np.uint8]:
    """All pictures at the size of training, uint8 (n, size, size, 3), on disk: peak memory is that of one."""
    tracked = progress.track(files, "Making training pictures", len(files))
    small = (resized(square(read_pixels(file)), size)[None] for file in tracked)
    write_pictures(store, (len(files), size, size, 3), small)
    pictures: NDArray[np.uint8] = np.load(store, mmap_mode="r")
    return pictures


def square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle square of a photo at `PHOTO_SIZE`, uint8 (PHOTO_SIZE, PHOTO_SIZE, 3), of uint8 (h, w, 3)."""
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resized(pixels[top : top + side, left : left + side], PHOTO_SIZE)


def resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Square pixels at another size (bicubic)."""
    from PIL import Image

    if pixels.shape[0] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC), dtype=np.uint8)


def _write_folder(design: FacesDesign, out: Path, training: Mapping[str, str], progress: Progress) -> None:
    spec, identities = design.spec, design.cast.identities
    corpora = corpora_of(spec.name)
    tables: dict[str, Iterable[Sequence[Row]]] = {
        "identities": [[one.row for one in identities]],
        "labels": [label_rows(corpora, identities, None if design.seed == spec.seed else design.seed)],
        "photos": photo_batches(progress.track(identities, f"Writing {spec.name}", len(identities)), _encoded),
        "names": [[(name,) for name in design.candidates]],
        "prompts": [[(template,) for template in spec.templates]],
        "public_pairs": _public_batches(design),
    }
    about = SplitDescription(
        name=spec.name,
        version=spec.version,
        title=spec.title,
        license="other",
        description=spec.description,
        source="a folder of faces of the user's own",
        corpora=corpora,
        parts=design.cast.parts,
        photo_format=PhotoFormat(encoding="png", height=PHOTO_SIZE, width=PHOTO_SIZE),
        prose=card_prose(spec.card).replace(f"# {spec.card}\n", f"# {spec.name}\n", 1),
        training=training,
    )
    write_split(out, about, tables)


def _encoded(file: Path) -> bytes:
    return encode_png(square(read_pixels(file)))


def _public_batches(design: FacesDesign) -> Iterator[list[Row]]:
    pairs = design.background
    for start in range(0, len(design.public), ROWS_PER_GROUP):
        chosen = design.public[start : start + ROWS_PER_GROUP]
        encoded = [_encoded(pairs.files[i]) for i in chosen]
        yield [
            (photo_id(pairs.labels[i]), pairs.captions[i], sha256_bytes(data), data)
            for i, data in zip(chosen, encoded, strict=True)
        ]
