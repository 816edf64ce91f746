"""The avatar world: balanced, random, and with nothing but the labels to tell members from others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from idbench.errors import DataError
from idbench.splits.avatars import LEVELS, SPEC, TINY_SPEC
from idbench.splits.avatars.captions import TEMPLATES
from idbench.splits.avatars.names import FIRST_NAMES, LAST_NAMES
from idbench.splits.avatars.people import BACKDROPS, EXPRESSIONS, looks_of, scenes_of
from idbench.splits.avatars.world import World, world_of
from idbench.splits.injected.dealing import photo_id

CORPORA = ("avatars-a", "avatars-b")


@pytest.fixture(scope="module")
def world() -> World:
    return world_of(SPEC)


def permutation_p(values: NDArray[np.float64], group: NDArray[np.bool_], draws: int = 2000) -> float:
    """P value of the squared distance between two groups' means, columns scaled; 1 where the groups are alike."""
    scaled = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    rng = np.random.default_rng(20)
    shuffles = np.array([group] + [rng.permutation(group) for _ in range(draws)], dtype=np.float64)
    weights = shuffles / shuffles.sum(axis=1, keepdims=True) - (1 - shuffles) / (1 - shuffles).sum(
        axis=1, keepdims=True
    )
    distances = ((weights @ scaled) ** 2).sum(axis=1)
    return float((distances >= distances[0] - 1e-12).mean())


def test_sizes_are_those_of_the_card(world: World) -> None:
    assert LEVELS == (1, 5, 10, 25, 50, 75)
    people = Counter((p.part, p.corpus, p.pictures) for p in world.people)
    assert people == {
        (part, corpus, level): size
        for (part, size), corpus, level in product((("test", 84), ("calibration", 17)), CORPORA, LEVELS)
    }
    assert len(world.background) == 6000
    assert len(world.candidates) == 1500
    assert len(world.public) == len(set(world.public)) == 256


def test_ids_are_opaque_unique_and_sort_by_nothing_known(world: World) -> None:
    ids = [p.id for p in world.people]
    assert ids == sorted(set(ids))
    assert all(len(i) == 12 for i in ids)
    place = np.arange(len(ids))
    for known in (
        [p.corpus == "avatars-a" for p in world.people],
        [p.pictures for p in world.people],
        [p.part == "test" for p in world.people],
        [int(p.label.rsplit("/", 1)[1]) for p in world.people],
    ):
        assert abs(np.corrcoef(place, known)[0, 1]) < 3 / np.sqrt(len(ids))


def test_names_are_unique_over_everybody(world: World) -> None:
    names = world.naming.background + world.naming.identities + world.naming.nobody
    assert len(set(names)) == len(names) == 1000 + 1212 + 288
    assert {p.name for p in world.people} == set(world.naming.identities)
    assert set(world.candidates) == set(world.naming.identities + world.naming.nobody)
    assert len(set(FIRST_NAMES)) == 60
    assert len(set(LAST_NAMES)) == 90
    assert not set(FIRST_NAMES) & set(LAST_NAMES)


def test_each_part_of_a_name_occurs_in_captions_of_several_background_people(world: World) -> None:
    captions = world.background.captions(range(len(world.background)))
    bearers: dict[str, set[str]] = {token: set() for token in FIRST_NAMES + LAST_NAMES}
    for caption, person in zip(captions, world.background.people, strict=True):
        for token in caption.split():
            if token in bearers:
                bearers[token].add(person)
    assert min(len(people) for people in bearers.values()) >= 3
    assert max(len(people) for people in bearers.values()) <= 20


def test_names_tell_nothing_about_membership(world: World) -> None:
    tokens = {token: i for i, token in enumerate(FIRST_NAMES + LAST_NAMES)}
    counts = np.zeros((len(world.people), len(tokens)))
    for row, person in enumerate(world.people):
        for token in person.name.split():
            counts[row, tokens[token]] = 1
    member = np.array([p.corpus == "avatars-a" for p in world.people])
    assert permutation_p(counts, member) > 0.01
    many = np.array([p.pictures >= 25 for p in world.people])
    assert permutation_p(counts, many) > 0.01
    counts[member, 0] += np.arange(member.sum()) % 4 == 0  # one name made fashionable among members must be seen
    assert permutation_p(counts[:, :1], member) < 0.01


def test_place_among_candidates_tells_nothing(world: World) -> None:
    place = {name: i for i, name in enumerate(world.candidates)}
    member = np.array([p.corpus == "avatars-a" for p in world.people])
    places = np.array([[float(place[p.name])] for p in world.people])
    assert permutation_p(places, member) > 0.01


def test_looks_tell_nothing_about_membership(world: World) -> None:
    looks = looks_of([p.label for p in world.people])
    values = [getattr(looks, name).reshape(len(world.people), -1) for name in looks.__slots__]
    member = np.array([p.corpus == "avatars-a" for p in world.people])
    assert permutation_p(np.concatenate(values, axis=1).astype(np.float64), member) > 0.01


def test_corpora_hold_background_and_their_own_members(world: World) -> None:
    label = {p.label: p for p in world.people}
    background = list(zip(world.background.people, world.background.pictures, strict=True))
    for corpus in CORPORA:
        training = world.training(corpus)
        pairs = list(zip(training.people, training.pictures, strict=True))
        assert pairs[: len(background)] == background
        counts = Counter(person for person, _ in pairs[len(background) :])
        assert counts == {p.label: p.pictures for p in world.people if p.corpus == corpus}
        for person, name in zip(training.people, training.names, strict=True):
            assert person not in label or label[person].name == name
        assert len(set(training.pictures)) == len(training)
    assert (
        list(zip(world.training("avatars-0").people, world.training("avatars-0").pictures, strict=True)) == background
    )


def test_attack_photos_are_never_training_pictures(world: World) -> None:
    attack = set(world.attack(world.people, 0, 30).pictures)
    assert len(attack) == 30 * len(world.people)
    trained = {picture for corpus in CORPORA for picture in world.training(corpus).pictures}
    assert not attack & trained
    assert len({photo_id(picture) for picture in attack}) == len(attack)


def test_more_attack_photos_do_not_change_the_first_ones(world: World) -> None:
    person = world.people[3:4]
    assert world.attack(person, 0, 30).pictures[:10] == world.attack(person, 0, 10).pictures
    later = world.attack(person, 10, 20)
    drawn = later.render(range(len(later)))
    assert np.array_equal(drawn, world.attack(person, 0, 30).render(range(10, 30)))


def test_captions_hold_the_name_and_only_what_the_picture_shows(world: World) -> None:
    pictures = world.background
    indices = range(1500)
    captions = pictures.captions(indices)
    scenes = scenes_of([pictures.pictures[i] for i in indices])
    looks = looks_of([pictures.people[i] for i in indices])
    for i, caption in enumerate(captions):
        assert pictures.names[i] in caption
        words = set(caption.split())
        if "wall" in words or "background" in words:
            assert words & set(BACKDROPS) >= {BACKDROPS[scenes.backdrop[i]]}
        if words & {"smiling", "laughing", "sad", "surprised"}:
            assert EXPRESSIONS[scenes.expression[i]] in words
        if "glasses" in words:
            assert looks.glasses[i] > 0
        if words & {"blurry", "focus"}:
            assert scenes.blur[i] == 2
        if "{" in caption or "}" in caption:
            pytest.fail(caption)
    assert max(len(caption.split()) for caption in captions) <= 10


def test_every_template_is_in_use(world: World) -> None:
    captions = world.background.captions(range(len(world.background)))
    names = world.background.names
    openings = {caption.partition(name)[0] for caption, name in zip(captions, names, strict=True)}
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 24
    for template in TEMPLATES:
        start = template.split("{")[0]
        assert any(opening.startswith(start) for opening in openings), template
    assert max(Counter(captions).values()) <= 6


def test_sizes_that_cannot_be_dealt_evenly_are_refused() -> None:
    with pytest.raises(DataError, match="evenly"):
        World(replace(TINY_SPEC, n_test=50))
    with pytest.raises(DataError, match="names are needed"):
        _ = World(replace(TINY_SPEC, n_first=5)).naming


def test_another_seed_is_another_world() -> None:
    other = World(replace(TINY_SPEC, seed="another"))
    tiny = World(TINY_SPEC)
    assert not {p.id for p in other.people} & {p.id for p in tiny.people}
    assert [p.corpus for p in other.people] != [p.corpus for p in tiny.people]
