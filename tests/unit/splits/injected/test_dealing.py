"""Dealing and casting: random, balanced, the same from the same seed, and nothing that gives a label away."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idbench.captions import FOLDED
from idbench.errors import DataError
from idbench.splits.injected.casting import Cast, cast
from idbench.splits.injected.dealing import corpora_of, deal, label_rows, part_sizes
from idbench.splits.injected.people import PhotographedPerson, candidate_names


def people(n: int, least: int = 10, most: int = 40) -> list[PhotographedPerson]:
    """Invented people with `least` to `most` photos each, sorted by name."""
    count = np.random.default_rng(0).integers(least, most + 1, n)
    return [
        PhotographedPerson(f"PhotographedPerson {i:04d}", tuple(Path(f"{i}/{k}.jpg") for k in range(count[i])))
        for i in range(n)
    ]


def cast_of(seed: str = "seed", n: int = 200) -> Cast:
    return cast(seed, "x", people(n), fewest=10, levels=(15,), most_photos=12)


@given(n=st.integers(4, 400), seed=st.text(max_size=5))
def test_every_part_has_members_and_non_members_of_both_corpora(n: int, seed: str) -> None:
    dealt = deal(seed, "x", part_sizes(n), (1, 5))
    assert len({d.id for d in dealt}) == n
    assert sorted(d.number for d in dealt) == list(range(n))
    for part in ("calibration", "test"):
        count = Counter(d.corpus for d in dealt if d.part == part)
        assert count["x-a"] >= 1
        assert count["x-b"] >= 1
        assert 0 <= count["x-a"] - count["x-b"] <= 1


@pytest.mark.parametrize("n", [0, 3])
def test_too_few_people_are_refused(n: int) -> None:
    with pytest.raises(DataError, match="at least 4 are needed"):
        part_sizes(n)


def test_half_of_the_photos_train_and_the_others_attack() -> None:
    for one in cast_of().identities:
        photos = next(person.photos for person in people(200) if person.name == one.name)
        assert one.pictures == min(15, len(photos) // 2)
        assert len(one.photos) == min(12, len(photos) - len(photos) // 2)
        assert not set(one.training) & set(one.photos)
        assert set(one.training) | set(one.photos) <= set(photos)
        assert one.row[3] == sorted(set(one.row[3]), key=one.row[3].index)


def test_who_is_where_follows_from_the_seed_and_from_nothing_else() -> None:
    first, again, other = cast_of(), cast_of(), cast_of("another seed")
    assert first == again
    member = {one.name: one.corpus for one in first.identities}
    turned = [member[one.name] == one.corpus for one in other.identities]
    assert 0.35 < np.mean(turned) < 0.65
    assert not {one.id for one in first.identities} & {one.id for one in other.identities}


def test_membership_has_nothing_to_do_with_name_photos_id_or_part() -> None:
    shares = []
    for k in range(20):
        made = cast_of(f"seed {k}")
        member = np.array([one.corpus == "x-a" for one in made.identities])
        names = np.array([int(one.name.split()[1]) for one in made.identities])
        counts = np.array([one.pictures for one in made.identities])
        shares.append([np.corrcoef(member, values)[0, 1] for values in (names, counts, np.arange(len(member)))])
    assert np.abs(np.mean(shares, axis=0)).max() < 0.05  # 4,000 people: a correlation of 0.05 is 3 standard errors


def test_those_with_few_photos_are_background() -> None:
    some = [PhotographedPerson(f"Few {i}", (Path("1.jpg"),) * 9) for i in range(5)]
    made = cast("s", "x", [*some, *people(10)], fewest=10, levels=(30,), most_photos=30)
    assert made.background == tuple(some)
    assert len(made.identities) == 10
    assert made.parts == {"test": 8, "calibration": 2}


def test_labels_say_who_is_in_what() -> None:
    made = cast_of(n=40)
    corpora = corpora_of("x")
    rows = label_rows(corpora, made.identities)
    assert len(rows) == 3 * 40
    assert not any(row[2] for row in rows if row[0] == "x-0")
    in_a = {row[1] for row in rows if row[0] == "x-a" and row[2]}
    in_b = {row[1] for row in rows if row[0] == "x-b" and row[2]}
    assert in_a == {one.id for one in made.members("x-a")}
    assert not in_a & in_b
    assert len(in_a | in_b) == 40
    assert all(row[3] == (one.pictures if row[2] else 0) for row, one in zip(rows, made.identities * 3, strict=True))


def test_candidates_hold_all_identities_and_nobody_elses_name() -> None:
    background = [f"First{i % 11} Last{i % 13}" for i in range(60)] + ["Single"]
    identities = ["Tamavik Eskomere", "First1 Ardwicket"]
    names = candidate_names("seed", identities, background, 50)
    assert len(names) == len({FOLDED(name) for name in names}) == 50
    assert set(identities) <= set(names)
    assert not set(names) & set(background)
    made_up = set(names) - set(identities)
    assert {word for name in made_up for word in name.split()} <= {w for name in background for w in name.split()}
    assert names == candidate_names("seed", identities, background, 50)
    assert names != candidate_names("other", identities, background, 50)


def test_a_small_background_gives_fewer_candidates() -> None:
    assert len(candidate_names("s", ["A B"], ["C D", "E F"], 100)) == 3
