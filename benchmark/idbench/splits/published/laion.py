"""`laion-facescrub` and `german-celebrities`: whose names stand in LAION-400M's captions, by the authors' counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from idbench.api import Progress
from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.assembling import (
    UNIDENTIFIED,
    UNKNOWN,
    Assembly,
    Claim,
    ListedPerson,
    drawn_photos,
    parts_of,
    write_assembly,
)
from idbench.splits.card import card_prose
from idbench.splits.injected.chance import hex_id
from idbench.splits.injected.people import name_of
from idbench.splits.injected.writing import SplitDescription
from idbench.splits.manifest import CorpusInfo
from idbench.splits.published.candidates import PROMPTS, draw_candidates
from idbench.splits.published.facescrub import (
    Material,
    digest_of_name,
    find_material,
    names_in,
    people_in,
    read_fixes,
)
from idbench.splits.published.upstream import COUNTS, EUROPEANS, FIRST_GENERATION, LISTS, Upstream, open_upstream
from idbench.splits.recipe import Sources
from idbench.storage import storage_errors

CORPUS: Final = CorpusInfo(name="laion400m", title="LAION-400M, 400 million captions and pictures", control=False)
FEW_CAPTIONS: Final = 300
"""The papers use people with fewer captions than this."""

PHOTOS: Final = 30
"""And with at least this many photos, which is how many are kept of each."""

BY_CAPTIONS, BY_RETRIEVAL = "caption search (second version)", "image retrieval (first version)"
_HOW = {
    BY_CAPTIONS: "authors' caption search: captions of LAION-400M that hold the full name, letter by letter; "
    "no picture was looked at",
    BY_RETRIEVAL: "authors' image retrieval: the person was not found among LAION's pictures nearest to their photos",
}
_NAMESAKE, _CAPTION, _NAMED = 0.05, 0.7, 0.5  # what `bench data search` assumes, too; none was measured


@dataclass(frozen=True, slots=True)
class LaionSplit:
    """A split of these: name, version, title."""

    name: str
    version: int
    title: str
    description: str

    @property
    def seed(self) -> str:
        """Seeds all random draws, unless the user gives a secret."""
        return f"idbench/{self.name}/{self.version}"


FACESCRUB = LaionSplit(
    "laion-facescrub",
    1,
    "FaceScrub's people and European celebrities in LAION-400M, labelled by caption counts",
    "Labels from the authors' caption search; eight non-members.",
)
GERMAN = LaionSplit(
    "german-celebrities",
    1,
    "European celebrities in LAION-400M: two generations of labels that disagree",
    "Labels from the authors' caption search, beside those of the first version of the paper.",
)


@dataclass(frozen=True, slots=True)
class Counted:
    """One row of the list of counts.

    Args:
        name: full name.
        count: captions that hold it.
        member: as listed.
        bin: of the count, as published.
    """

    name: str
    count: int
    member: bool
    bin: str

    @property
    def confidence(self) -> float:
        """How far to believe the label, 0..1: of n captions with the name, that one shows the person."""
        return round((1 - _NAMESAKE) * (1 - (1 - _CAPTION) ** self.count), 4) if self.member else _NAMED


def build_facescrub(sources: Sources, split: Path, corpora: Path, progress: Progress) -> tuple[str, ...]:
    """Write `laion-facescrub` (`SourcedRecipe.build`): everybody on the list.

    Raises:
        DataError: a list or the folder of photos cannot be used.
    """
    upstream = open_upstream(sources.source, progress)
    return _build(FACESCRUB, read_counts(upstream.need(COUNTS)), upstream, sources, split, progress)


def build_german(sources: Sources, split: Path, corpora: Path, progress: Progress) -> tuple[str, ...]:
    """Write `german-celebrities`: those on the list of whom there are addresses of the Europeans.

    Raises:
        DataError: a list or the folder of photos cannot be used.
    """
    upstream = open_upstream(sources.source, progress)
    europeans = {FOLDED(name) for name in names_in(upstream.need(EUROPEANS))}
    counted = [one for one in read_counts(upstream.need(COUNTS)) if FOLDED(one.name) in europeans]
    if not counted:
        raise DataError(f"Nobody in {COUNTS} is in {EUROPEANS}.", hint="Give both as the authors published them.")
    return _build(GERMAN, counted, upstream, sources, split, progress)


def plan(sources: Sources) -> tuple[str, ...]:
    """What a build would do; nothing is fetched or written.

    Raises:
        DataError: the folder of photos cannot be used.
    """
    lists = f"the lists in {sources.source}" if sources.source else f"the lists of {LISTS.repository}, fetched once"
    photos = f"photos of {people_in(sources.faces)} people in {sources.faces}" if sources.faces else "no photos"
    return (f"would build labels and addresses from {lists}, with {photos}",)


def read_counts(path: Path) -> list[Counted]:
    """The list of counts, sorted by name.

    Raises:
        DataError: no CSV, a column is missing, a row contradicts itself, or two have one name.
    """
    import pandas as pd

    hint = "Fetch the list again."
    try:
        with storage_errors(path):
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a list of counts: {str(error).splitlines()[0]}.", hint=hint) from error
    for column in ("name", "count", "membership", "bin"):
        if column not in frame.columns:
            raise DataError(f"{path} lacks the column {column}.", hint=hint)
    rows = zip(frame["name"], frame["count"], frame["membership"], frame["bin"], strict=True)
    counted = [_counted(path, number, *row) for number, row in enumerate(rows, start=2)]
    folded = [FOLDED(one.name) for one in counted]
    if len(set(folded)) < len(folded):
        again = next(number for number, name in enumerate(folded, start=2) if name in folded[: number - 2])
        raise DataError(f"{path}, line {again}: the name stands on an earlier line, too.", hint=hint)
    if not any(one.member for one in counted) or all(one.member for one in counted):
        raise DataError(f"{path} needs members and non-members.", hint=hint)
    return sorted(counted, key=lambda one: one.name)


def _counted(path: Path, line: int, name: str, count: str, membership: str, bin_: str) -> Counted:
    clean = name_of(name)
    if not clean or not count.isascii() or not count.isdigit() or membership not in ("member", "non_member"):
        raise DataError(f"{path}, line {line}: no name, no count or no membership.", hint="Fetch the list again.")
    if (int(count) > 0) != (membership == "member"):
        raise DataError(f"{path}, line {line}: the membership contradicts the count.", hint="Fetch the list again.")
    return Counted(clean, int(count), membership == "member", bin_)


def _build(
    about: LaionSplit, counted: Sequence[Counted], upstream: Upstream, sources: Sources, split: Path, progress: Progress
) -> tuple[str, ...]:
    seed = sources.seed or about.seed
    names = [one.name for one in counted]
    material = find_material(names, upstream, sources.faces, progress)
    candidates = draw_candidates(upstream, names, seed)
    people = _people(seed, counted, material)
    labels = tuple(_label(person.id, one) for person, one in _paired(people, counted))
    old = _first_generation(seed, upstream, counted, {person.name: person.id for person in people})
    assembly = Assembly(
        people=people,
        labels=labels,
        candidates=candidates.names,
        prompts=PROMPTS,
        claims=(*old, *(labels if old else ())),
        bins=tuple((CORPUS.name, person.id, one.bin) for person, one in _paired(people, counted)),
        subsets=_subsets(people, counted, material),
        spellings=tuple(
            (person.id, spelt.spelling, spelt.source)
            for spelt in material.spellings
            for person in people
            if person.name == spelt.name
        ),
    )
    write_assembly(
        split,
        SplitDescription(
            name=about.name,
            version=about.version,
            title=about.title,
            license="other",
            description=about.description,
            source=f"lists of {LISTS.repository} at {LISTS.commit[:7]}; photos, if any, of the user's own",
            corpora=(CORPUS,),
            parts=assembly.parts,
            photo_format=assembly.photo_format,
            prose=card_prose(about.name),
        ),
        assembly,
        progress,
    )
    return (*upstream.notes, candidates.note, *material.notes, *_remarks(people, counted, material))


def _people(seed: str, counted: Sequence[Counted], material: Material) -> tuple[ListedPerson, ...]:
    parts = parts_of(seed, [one.member for one in counted])
    people = []
    for one, part in zip(counted, parts, strict=True):
        label = f"{seed}/person/{FOLDED(one.name)}"
        photos = drawn_photos(label, material.photos.get(one.name, ()), PHOTOS)
        people.append(_person(label, one.name, part, photos, material))
    return tuple(sorted(people, key=lambda person: person.id))


def _person(label: str, name: str, part: str, photos: tuple[Path, ...], material: Material) -> ListedPerson:
    return ListedPerson(
        id=hex_id(f"{label}/id", 12),
        name=name,
        part="calibration" if part == "calibration" else "test",
        label=label,
        photos=photos,
        urls=material.addresses.get(name, ()),
    )


def _paired(people: Sequence[ListedPerson], counted: Sequence[Counted]) -> list[tuple[ListedPerson, Counted]]:
    by_name = {one.name: one for one in counted}
    return [(person, by_name[person.name]) for person in people]


def _label(identity: str, one: Counted) -> Claim:
    return Claim(identity, CORPUS.name, one.member, one.count, _HOW[BY_CAPTIONS], one.confidence, BY_CAPTIONS)


def _first_generation(
    seed: str, upstream: Upstream, counted: Sequence[Counted], ids: dict[str, str]
) -> tuple[Claim, ...]:
    """What the first version of the paper said: all whom it listed were non-members.

    Where its list is not at hand, those of them are known by the digests that come with idbench.
    """
    folder = upstream.find(FIRST_GENERATION)
    if folder is not None:
        by_fold = {FOLDED(name): identity for name, identity in ids.items()}
        listed = [by_fold.get(FOLDED(n)) or hex_id(f"{seed}/person/{FOLDED(n)}/id", 12) for n in names_in(folder)]
    else:
        by_digest = {digest_of_name(one.name): ids[one.name] for one in counted}
        known = read_fixes().first_generation
        if not set(known) & set(by_digest):
            return ()
        listed = [by_digest.get(digest) or hex_id(f"{seed}/digest/{digest}/id", 12) for digest in known]
        listed.append(UNIDENTIFIED)  # the sixteenth stayed a non-member; who that is follows from nothing at hand
    how = _HOW[BY_RETRIEVAL]
    return tuple(Claim(one, CORPUS.name, False, UNKNOWN, how, 0.5, BY_RETRIEVAL) for one in sorted(listed))


def _subsets(
    people: Sequence[ListedPerson], counted: Sequence[Counted], material: Material
) -> tuple[tuple[str, str], ...]:
    few = [person for person, one in _paired(people, counted) if one.count < FEW_CAPTIONS]
    used = [person for person in few if len(material.photos.get(person.name, ())) >= PHOTOS]
    return tuple(("few-captions", p.id) for p in few) + tuple(("papers", p.id) for p in used)


def _remarks(people: Sequence[ListedPerson], counted: Sequence[Counted], material: Material) -> tuple[str, ...]:
    few = sum(one.count < FEW_CAPTIONS for one in counted)
    remarks = [f"{few} people have fewer than {FEW_CAPTIONS} captions: subset few-captions."]
    if not any(person.photos for person in people):
        return (*remarks, "No photos: give a folder with --faces, then the subset papers is those with 30 of them.")
    enough = sum(subset == "papers" for subset, _ in _subsets(people, counted, material))
    without = sum(not person.photos for person in people)
    return (*remarks, f"{enough} of them have {PHOTOS} photos: subset papers. {without} people have no photo.")
