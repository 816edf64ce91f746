"""Auxiliary people: in no corpus, under no test, with stored names, given only where a method may know them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from idbench.api import Access, Knowledge
from idbench.errors import DataError
from idbench.runner.bundle import Folders, plan_cases, read_given, read_request, write_bundle
from idbench.splits import load_corpus, load_split
from idbench.splits.auxiliary import load_auxiliary, people_of
from idbench.splits.avatars import SPEC, TINY_SPEC, WorldSpec
from idbench.splits.avatars.world import World, world_of

EVERYTHING = Knowledge.NAME | Knowledge.PHOTOS | Knowledge.AUXILIARY_PEOPLE


@pytest.mark.parametrize("spec", [SPEC, TINY_SPEC], ids=lambda spec: spec.name)
def test_auxiliary_people_are_nobody_else(spec: WorldSpec) -> None:
    world = world_of(spec)
    labels, names = set(world.auxiliary.people), set(world.auxiliary.names)
    assert len(labels) == len(names) == world.spec.n_auxiliary
    assert not names & {*world.naming.background, *world.naming.identities, *world.naming.nobody, *world.candidates}
    for corpus in world.corpora:
        training = world.training(corpus.name)
        assert not labels & set(training.people)
        assert not set(world.auxiliary.pictures) & set(training.pictures)


def test_their_names_recombine_the_pools_of_everybody() -> None:
    world = world_of(SPEC)
    first, last = ({name.split()[part] for name in world.naming.background} for part in (0, 1))
    assert all(name.split()[0] in first and name.split()[1] in last for name in world.naming.spare)


def test_more_people_than_names_are_refused() -> None:
    with pytest.raises(DataError, match="the pools have 20 left"):
        _ = World(replace(TINY_SPEC, n_auxiliary=21)).auxiliary


def test_the_corpus_says_who_is_who() -> None:
    corpus = load_corpus("avatars-tiny-aux")
    pictures = world_of(TINY_SPEC).auxiliary
    people = people_of(corpus)
    assert len(people) == TINY_SPEC.n_auxiliary
    assert sorted(int(i) for person in people for i in person.places) == list(range(len(corpus.images)))
    true = list(dict.fromkeys(pictures.names))
    assert [person.name for person in people] == true


def test_a_split_without_them_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="nowhere has no auxiliary people"):
        load_auxiliary("nowhere")
    monkeypatch.setattr("idbench.splits.auxiliary.load_corpus", lambda *_: load_corpus("avatars-tiny-0"))
    with pytest.raises(DataError, match="does not say who is on its pictures"):
        load_auxiliary("avatars-tiny")


def test_a_bundle_carries_them_only_where_they_may_be_known(tmp_path: Path) -> None:
    split = load_split("avatars-tiny")
    corpus = load_auxiliary("avatars-tiny")

    def write(name: str, knowledge: Knowledge) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        write_bundle(
            folder,
            split,
            plan_cases(split),
            knowledge,
            None,
            attack="x:X",
            access=Access.NONE,
            params={},
            seed=0,
            device="cpu",
            folders=Folders(*(str(tmp_path) for _ in range(5))),
            target=None,
            auxiliary=corpus if Knowledge.AUXILIARY_PEOPLE in knowledge else None,
        )
        return folder

    folder = write("with", EVERYTHING)
    given = read_given(folder, read_request(folder))
    assert given.auxiliary is not None
    assert len(given.auxiliary) == TINY_SPEC.n_auxiliary
    for person, owned in zip(given.auxiliary, people_of(corpus), strict=True):
        assert person.name == owned.name
        assert [pair.caption for pair in person.pairs] == [corpus.captions[corpus.caption_ids[i]] for i in owned.places]
        for pair, place in zip(person.pairs, owned.places, strict=True):
            np.testing.assert_array_equal(pair.photo.pixels(), corpus.images[place])
    photos = {photo.digest for case in given.cases for photo in case.photos}
    assert not photos & {pair.photo.digest for person in given.auxiliary for pair in person.pairs}
    without = write("without", Knowledge.NAME | Knowledge.PHOTOS)
    assert read_given(without, read_request(without)).auxiliary is None
    more = set(read_request(folder).pixels) - set(read_request(without).pixels)
    assert (
        sum(Path(file).stat().st_size for file in more)
        == len({p.tobytes() for p in corpus.images}) * corpus.images[0].size
    )
