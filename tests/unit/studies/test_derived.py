"""Splits made for a study: the same people, more photos or fewer of them, nothing else changed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from idbench.api import Silent
from idbench.splits import Split, lint, load_split
from idbench.studies.derived import fewer_people, more_photos, most_seen_people


@pytest.fixture(scope="module")
def tiny() -> Split:
    return load_split("avatars-tiny")


@pytest.fixture(scope="module")
def deep(tiny: Split) -> Split:
    return more_photos(tiny, 5).open(Silent())


@pytest.fixture(scope="module")
def small(tiny: Split) -> Split:
    return fewer_people(tiny, 24).open(Silent())


def test_more_photos_begin_with_the_splits_own(tiny: Split, deep: Split) -> None:
    assert deep.manifest.name == "avatars-tiny-5"
    assert deep.digest != tiny.digest
    for before, after in zip(tiny.identities, deep.identities, strict=True):
        assert (before.id, before.name, before.part) == (after.id, after.name, after.part)
        assert after.photos[:3] == before.photos
        assert len(after.photos) == 5
    first = tiny.identities[0].photos
    assert list(tiny.read_photos(first)) == list(deep.read_photos(first))
    assert deep.candidate_names == tiny.candidate_names


def test_more_photos_keep_the_labels(tiny: Split, deep: Split) -> None:
    assert deep.corpora == tiny.corpora
    for corpus in tiny.corpora:
        np.testing.assert_array_equal(deep.labels(corpus).member, tiny.labels(corpus).member)
        np.testing.assert_array_equal(deep.labels(corpus).occurrences, tiny.labels(corpus).occurrences)


def test_added_photos_are_new_ones(tiny: Split, deep: Split) -> None:
    sha = [deep.photo_sha256(photo) for identity in deep.identities for photo in identity.photos]
    assert len(set(sha)) == len(sha)


def test_fewer_people_are_taken_evenly(tiny: Split, small: Split) -> None:
    assert small.manifest.name == "avatars-tiny-24-people"
    assert {identity.part for identity in small.identities} == {"test"}
    by_id = {identity.id: identity for identity in tiny.identities}
    assert all(by_id[identity.id] == identity for identity in small.identities)
    for corpus in small.corpora[:2]:
        assert Counter(small.labels(corpus).occurrences.tolist()) == {0: 12, **dict.fromkeys((1, 2, 4, 8, 12, 16), 2)}
    assert small.candidate_names == tiny.candidate_names
    assert small.read_photo(small.identities[0].photos[0]) == tiny.read_photo(small.identities[0].photos[0])


def test_the_most_seen_people_are_members_once_and_nonmembers_once(tiny: Split) -> None:
    few = most_seen_people(tiny, 3).open(Silent())
    assert few.manifest.name == "avatars-tiny-3-most-seen"
    a, b = (few.labels(corpus) for corpus in few.corpora[:2])
    assert sorted(a.occurrences.tolist()) == sorted(b.occurrences.tolist()) == [0, 0, 0, 16, 16, 16]
    np.testing.assert_array_equal(a.member, ~b.member)
    assert {identity.part for identity in few.identities} == {"test"}
    assert most_seen_people(tiny, 1000).open(Silent()) is tiny


def test_derived_splits_have_no_errors(deep: Split, small: Split) -> None:
    for split in (deep, small):
        errors = [finding for finding in lint(split.folder) if finding.severity == "error"]
        assert [finding for finding in errors if finding.where != "README.md"] == []


def test_nothing_is_made_where_nothing_is_missing(tiny: Split) -> None:
    for derived in (more_photos(tiny, 2), fewer_people(tiny, 48)):
        assert derived.ready
        assert derived.open(Silent()) is tiny


def test_a_damaged_one_is_made_anew(tiny: Split) -> None:
    derived = fewer_people(tiny, 12)
    before, digest = derived.ready, derived.open(Silent()).digest
    table = derived.path / "data" / "labels.parquet"
    table.write_bytes(table.read_bytes()[:100])
    assert (before, derived.ready) == (False, True)
    assert derived.open(Silent()).digest == digest


def test_who_was_retracted_stays_so(tiny: Split) -> None:
    gone = tiny.identities[0].id
    base = Split(tiny.folder)
    base.retracted = frozenset({gone})
    derived = more_photos(base, 4)
    assert derived.path != more_photos(tiny, 4).path
    assert gone not in {identity.id for identity in derived.open(Silent()).identities}
