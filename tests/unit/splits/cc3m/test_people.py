"""Who is injected, with which captions and pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.web import picture, write_faces

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits.cc3m.people import CAPTIONS, captions_of, cast_people
from idbench.splits.injected.people import PhotographedPerson, read_people


def crowd(n: int, photos: int) -> list[PhotographedPerson]:
    return [
        PhotographedPerson(f"PhotographedPerson {i:03d}", tuple(Path(f"{i}/{k}.jpg") for k in range(photos)))
        for i in range(n)
    ]


def test_levels_are_dealt_evenly_and_attack_photos_never_train() -> None:
    cast = cast_people("seed", "cc3m-injected", crowd(120, 110), levels=(1, 5, 10, 25, 50, 75), attack_photos=30)
    assert len(cast.identities) == 120
    assert Counter(one.corpus for one in cast.identities) == {"cc3m-injected-a": 60, "cc3m-injected-b": 60}
    assert Counter(one.pictures for one in cast.identities) == dict.fromkeys((1, 5, 10, 25, 50, 75), 20)
    for one in cast.identities:
        assert len(one.photos) == 30
        assert not set(one.photos) & set(one.training)
        assert len({*one.photos, *one.training}) == 30 + one.pictures


def test_a_level_without_enough_photos_becomes_the_next_smaller_one() -> None:
    cast = cast_people("seed", "c", crowd(24, 42), levels=(1, 5, 10, 25, 50, 75), attack_photos=30)
    assert set(Counter(one.pictures for one in cast.identities)) == {1, 5, 10}
    cast = cast_people("seed", "c", crowd(24, 32), levels=(5, 10), attack_photos=30)
    assert {one.pictures for one in cast.identities} == {2}  # below the smallest level: what is left


def test_people_with_too_few_photos_are_left_out() -> None:
    few = [PhotographedPerson("Few Photos", (Path("few.jpg"),))]
    cast = cast_people("seed", "c", [*crowd(8, 5), *few], levels=(1,), attack_photos=2)
    assert [person.name for person in cast.background] == ["Few Photos"]
    with pytest.raises(DataError, match="at least 4"):
        cast_people("seed", "c", crowd(3, 5), levels=(1,), attack_photos=2)


def test_the_seed_decides_everything() -> None:
    def dealt(seed: str) -> list[tuple[str, str, int]]:
        cast = cast_people(seed, "c", crowd(40, 40), levels=(1, 5), attack_photos=3)
        return sorted((one.name, one.corpus, one.pictures) for one in cast.identities)

    assert dealt("one") == dealt("one")
    assert dealt("one") != dealt("two")


def test_captions_hold_the_name_and_use_every_template() -> None:
    cast = cast_people("seed", "c", crowd(8, 40), levels=(25,), attack_photos=3)
    captions = captions_of(cast.identities[0])
    assert len(captions) == 25
    assert len(set(captions)) == len(CAPTIONS)
    assert all(cast.identities[0].name in caption for caption in captions)


def test_two_people_of_one_name_are_refused(tmp_path: Path) -> None:
    write_faces(tmp_path, 5, 2)
    twin = next(tmp_path.iterdir())
    (tmp_path / twin.name.replace("_", " ").upper()).mkdir()
    (tmp_path / twin.name.replace("_", " ").upper() / "1.jpg").write_bytes(picture("twin", 1))
    with pytest.raises(DataError, match="Two folders stand for one name"):
        read_people(tmp_path, Silent())


def test_a_person_without_photos_is_left_out_and_named(tmp_path: Path) -> None:
    write_faces(tmp_path, 5, 2)
    (tmp_path / "Nobody_Seen").mkdir()
    found = read_people(tmp_path, Silent())
    assert len(found.people) == 5
    assert any("Nobody_Seen" in note for note in found.notes)
