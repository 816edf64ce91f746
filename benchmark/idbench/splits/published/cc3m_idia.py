"""`cc3m-idia`: the people of IDIA's CC3M experiments, with the authors' own labels for their 18 public checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from idbench.api import Progress, Silent
from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.assembling import Assembly, Claim, ListedPerson, drawn_photos, write_assembly
from idbench.splits.card import card_prose
from idbench.splits.cc3m.steps import LEVELS, Settings, from_environment
from idbench.splits.injected.chance import hex_id, shuffled
from idbench.splits.injected.dealing import part_sizes
from idbench.splits.injected.writing import SplitDescription
from idbench.splits.manifest import CorpusInfo, Part
from idbench.splits.published.candidates import PROMPTS, draw_candidates
from idbench.splits.published.facescrub import Material, find_material
from idbench.splits.published.injected_lists import FILES, Listed, Lists, read_lists
from idbench.splits.published.upstream import LISTS, open_upstream
from idbench.splits.recipe import Sources

NAME, VERSION = "cc3m-idia", 2
TITLE = "The people of IDIA's CC3M experiments, from the authors' lists; membership not random"
_SEED = "idbench/cc3m-idia/1"
_FEWEST = 4  # members, and non-members: two in each part

CORPORA = tuple(
    CorpusInfo(name=f"cc3m+{level}", title=f"CC3M and up to {level} LAION pictures of each member", control=False)
    for level in LEVELS
)
"""The training sets of the public checkpoints; all have the same members."""


def build(sources: Sources, split: Path, corpora: Path, progress: Progress) -> tuple[str, ...]:
    """Write the split (`SourcedRecipe.build`); there are no training sets, since nobody may pass them on.

    Raises:
        DataError: a list or the folder of photos cannot be used.
    """
    settings, seed = from_environment(), sources.seed or _SEED
    upstream = open_upstream(sources.source, progress)
    lists = read_lists(upstream.need(FILES[0]).parent)
    names = [one.name for one in lists.people]
    material = find_material(names, upstream, sources.faces, progress)
    wanted = settings.attack_photos if sources.faces is not None else 0
    people = _people(seed, lists, material, wanted)
    candidates = draw_candidates(upstream, [person.name for person in people], seed)
    assembly = _assembly(people, lists, candidates.names, material)
    write_assembly(split, _about(assembly), assembly, progress)
    return (
        *upstream.notes,
        lists.warning,
        candidates.note,
        *material.notes,
        *_left_out(lists, people, settings),
        *(() if sources.faces is not None else ("No photos: give a folder with --faces.",)),
    )


def plan(sources: Sources) -> tuple[str, ...]:
    """What `build` would do, a sentence for each step; only lists in a given folder are read, nothing is fetched.

    Raises:
        DataError: a list cannot be used.
    """
    if sources.source is None:
        return (f"1. fetch the lists of {LISTS.repository} at {LISTS.commit[:7]}, once", "2. write the split")
    lists = read_lists(open_upstream(sources.source, Silent()).need(FILES[0]).parent)
    photos = (
        f"{from_environment().attack_photos} photos of each of them from {sources.faces}; who has fewer is left out"
        if sources.faces is not None
        else "no photos"
    )
    return (
        f"1. take the labels of {len(lists.people)} people from the lists in {sources.source}",
        f"2. write the split with {photos}",
        lists.warning,
    )


def _people(seed: str, lists: Lists, material: Material, wanted: int) -> tuple[ListedPerson, ...]:
    """Everybody with that many photos; a fifth of members and non-members each, drawn at random, for calibration."""
    people = []
    for member in (True, False):
        able = [
            one for one in lists.people if one.member == member and len(material.photos.get(one.name, ())) >= wanted
        ]
        if len(able) < _FEWEST:
            raise DataError(
                f"Only {len(able)} {'members' if member else 'non-members'} of the lists have {wanted} photos.",
                hint="Add photos, or set BENCH_ATTACK_PHOTOS to a smaller number.",
            )
        order = [able[int(i)] for i in shuffled(f"{seed}/parts/{member}", len(able))]
        parts: list[Part] = [part for part, size in part_sizes(len(able)) for _ in range(size)]
        people += [_person(seed, one, part, material, wanted) for one, part in zip(order, parts, strict=True)]
    return tuple(sorted(people, key=lambda one: one.id))


def _person(seed: str, one: Listed, part: Part, material: Material, wanted: int) -> ListedPerson:
    label = f"{seed}/person/{FOLDED(one.name)}"
    photos = drawn_photos(label, material.photos.get(one.name, ()), wanted)
    return ListedPerson(hex_id(f"{label}/id", 12), one.name, part, label, photos, material.addresses.get(one.name, ()))


def _left_out(lists: Lists, people: Sequence[ListedPerson], settings: Settings) -> tuple[str, ...]:
    gone = len(lists.people) - len(people)
    if not gone:
        return ()
    return (f"{gone} of {len(lists.people)} people have fewer than {settings.attack_photos} photos, left out.",)


def _assembly(
    people: tuple[ListedPerson, ...], lists: Lists, candidates: tuple[str, ...], material: Material
) -> Assembly:
    listed = {one.name: one for one in lists.people}
    ids = {person.name: person.id for person in people}
    return Assembly(
        people=people,
        labels=tuple(
            Claim(
                person.id, corpus.name, member, level if member else 0, "author's list", listed[person.name].confidence
            )
            for corpus, level in zip(CORPORA, LEVELS, strict=True)
            for person in people
            for member in (listed[person.name].member,)
        ),
        candidates=candidates,
        prompts=PROMPTS,
        selection=tuple(
            (person.id, column, value)
            for person in people
            for column, value in sorted(listed[person.name].numbers.items())
        ),
        spellings=tuple((ids[s.name], s.spelling, s.source) for s in material.spellings if s.name in ids),
    )


def _about(assembly: Assembly) -> SplitDescription:
    return SplitDescription(
        name=NAME,
        version=VERSION,
        title=TITLE,
        license="other",
        description="Labels from the authors' lists; photos, if any, are the user's. Membership was not random.",
        source=f"lists of {LISTS.repository} at {LISTS.commit[:7]}; photos, if any, of the user's own",
        corpora=CORPORA,
        parts=assembly.parts,
        photo_format=assembly.photo_format,
        prose=card_prose(NAME),
    )
