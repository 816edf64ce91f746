"""Whom a defense protects, and what it is given of them: decided by the holder of the labels, which no defense is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from idbench.api import Knowledge, Progress
from idbench.captions.names import read_names
from idbench.errors import DataError
from idbench.runner.bundle import CasePlan
from idbench.splits import Split
from idbench.splits.auxiliary import load_auxiliary
from idbench.splits.injected.dealing import SALTED
from idbench.storage import sha256_bytes


def draw_half(strata: Sequence[Hashable], seed: int) -> NDArray[np.bool_]:
    """Draw half of the people, and half of each stratum; nothing but `strata` and `seed` decides.

    Args:
        strata: one for each of n people, e.g. whether and how often each was trained on.
        seed: non-negative.

    Returns:
        bool (n,): exactly n // 2 are True; in each stratum half of its people, one more or less where it is odd.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, *b"protected"]))
    drawn = np.zeros(len(strata), dtype=np.bool_)
    of = {stratum: i for i, stratum in enumerate(sorted(set(strata), key=repr))}
    numbers = np.array([of[stratum] for stratum in strata], dtype=np.int64)
    odd: list[int] = []
    for number in range(len(of)):
        places = rng.permutation(np.flatnonzero(numbers == number))
        half = len(places) // 2
        drawn[places[:half]] = True
        odd.extend(int(place) for place in places[2 * half :])
    left = rng.permutation(np.array(odd, dtype=np.int64))
    drawn[left[: len(odd) // 2]] = True
    return drawn


def protected_people(split: Split, seed: int) -> tuple[int, ...]:
    """The protected people of a run: half of the test part, balanced over membership and numbers of training pictures.

    They are the same for every target of the split. Where labels follow from a secret seed, some may hold a copy of the
    split without those of the test part. There nothing can be balanced, so that for every copy half of the test people
    are drawn from all of them alike: one and the same run protects the same people, whoever carries it out.

    Args:
        split: the run's.
        seed: the run's.

    Returns:
        places in `split.identities`, in an order that says nothing, see `in_order`.
    """
    test = [i for i, identity in enumerate(split.identities) if identity.part == "test"]
    labels = [] if split.manifest.withheld is not None else [split.labels(corpus) for corpus in split.corpora]
    if all(how.startswith(SALTED) for one in labels for how in one.how):
        labels = []
    strata = [tuple((bool(one.member[i]), int(one.occurrences[i])) for one in labels) for i in test]
    drawn = draw_half(strata, seed)
    return in_order(split, [i for i, chosen in zip(test, drawn, strict=True) if chosen])


def in_order(split: Split, people: Sequence[int]) -> tuple[int, ...]:
    """People in the order of a hash of their names, which says nothing and is the same for the same people."""
    return tuple(sorted(people, key=lambda i: (sha256_bytes(split.identities[i].name.encode()), i)))


def listed_people(split: Split, path: Path) -> tuple[int, ...]:
    """The people whom a file lists, for `bench defend`.

    Args:
        split: knows them, with their photos.
        path: a list as `idbench.captions.names.read_names` reads it: a name per line, or CSV with a column `name`.

    Raises:
        StorageError: the file cannot be read.
        DataError: it is not such a list, lists nobody, somebody twice, or a name that nobody of the split bears.
    """
    names = [spelling for person in read_names(path) for spelling in person.spellings]
    bearers: dict[str, list[int]] = {}
    for i, identity in enumerate(split.identities):
        bearers.setdefault(identity.name, []).append(i)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{path} lists {twice[0]!r} more than once.", hint="List each person once.")
    unknown = [name for name in names if name not in bearers]
    if unknown:
        more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise DataError(
            f"{path} lists {unknown[0]!r}{more}, but nobody in {split.manifest.name} bears that name.",
            hint="Write names as the split does (case and spaces count), or name its split with --split; people of no "
            "split become one with bench data new.",
        )
    return in_order(split, [place for name in names for place in bearers[name]])


def cases_of(people: Sequence[int]) -> CasePlan:
    """The protected as cases; ids follow from the order, so that a defense does the same for the same people."""
    return CasePlan(np.array(people, dtype=np.int64), tuple(f"person-{i:06d}" for i in range(len(people))))


def given_sha256(split: Split, people: Sequence[int], knowledge: Knowledge, progress: Progress) -> str:
    """Hash over everything that a defense is given besides the target, its parameters and the seed.

    Args:
        split: has the people, and whatever else is given.
        people: places of the protected, in order.
        knowledge: what the defense declares; what it is not given does not count.
        progress: receives progress reports.
    """
    identities = [split.identities[i] for i in people]
    given: dict[str, object] = {
        "people": [
            [
                identity.name if Knowledge.NAME in knowledge else None,
                [split.photo_sha256(p) for p in identity.photos] if Knowledge.PHOTOS in knowledge else None,
            ]
            for identity in identities
        ]
    }
    if Knowledge.PUBLIC_PAIRS in knowledge:
        given["pairs"] = [[split.photo_sha256(photo), caption] for photo, caption in split.public_pairs]
    if Knowledge.CANDIDATE_NAMES in knowledge:
        given["candidates"] = list(split.candidate_names)
    if Knowledge.AUXILIARY_PEOPLE in knowledge:
        given["auxiliary"] = load_auxiliary(split.manifest.name, progress).digest
    return sha256_bytes(json.dumps(given, sort_keys=True).encode())
