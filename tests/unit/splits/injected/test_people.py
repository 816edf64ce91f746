"""Folders of people: what is read, what is left out and counted, what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from idbench.api import Silent
from idbench.errors import DataError
from idbench.splits import photos
from idbench.splits.injected.people import list_people, name_of, read_people, read_pixels, sorting_key
from idbench.splits.manifest import PHOTO_LIMIT


@pytest.fixture
def few(faces: Path, tmp_path: Path) -> Path:
    """A copy of three people's photos that a test may change."""
    for place in sorted(faces.iterdir())[:3]:
        shutil.copytree(place, tmp_path / "few" / place.name)
    return tmp_path / "few"


def test_everybody_is_read_with_all_photos(faces: Path) -> None:
    found = read_people(faces, Silent())
    assert not found.notes
    assert len(found.people) == 64
    assert sum(len(person.photos) for person in found.people) == len(list(faces.glob("*/*.jpg")))
    names = [person.name for person in found.people]
    assert names == sorted(names, key=sorting_key)
    assert not any("_" in name for name in names)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Tamavik_Eskomere", "Tamavik Eskomere"),
        (" Tamavik__van_der \tEskomere", "Tamavik van der Eskomere"),
        ("Élise_Ardwicket", "Élise Ardwicket"),
        ("{name}_{0}", "{name} {0}"),
        ("line\nbreak", "line break"),
        ("___", ""),
        ("...", ""),
    ],
)
def test_names_come_from_folders(folder: str, name: str) -> None:
    assert name_of(folder) == name


def test_photos_of_stereo_cameras_are_read(few: Path) -> None:
    a, b, _ = sorted(few.iterdir())
    for old in a.glob("*.jpg"):
        with Image.open(old) as first, Image.open(sorted(b.glob("*.jpg"))[0]) as second:
            first.save(old.with_suffix(".MPO"), "MPO", save_all=True, append_images=[second])
        old.unlink()
    found = read_people(few, Silent())
    assert not found.notes
    photos_of = {person.name: person.photos for person in found.people}[name_of(a.name)]
    assert photos_of == tuple(sorted(a.iterdir()))


def test_what_cannot_be_used_is_left_out_and_counted(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = sorted(few.iterdir())
    kept = sorted(a.glob("*.jpg"))
    (a / "broken.jpg").write_bytes(kept[0].read_bytes()[:200])
    (a / "empty.jpg").touch()
    (a / "text.jpg").write_text("no picture")
    with (a / "huge.jpg").open("wb") as file:
        file.truncate(PHOTO_LIMIT + 1)
    (a / "notes.txt").write_text("not looked at")
    (b / "film.mp4").write_bytes(b"not looked at")
    (a / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    monkeypatch.setattr(photos, "reads_heic", lambda: False)
    Image.new("RGB", (64, 64), (90, 90, 90)).save(a / "pocket.jpg")
    shutil.copy(kept[0], a / "zz_again.jpg")
    shutil.copy(sorted(b.glob("*.jpg"))[0], c / "zz_of_b.jpg")
    (few / "Nobody_Here").mkdir()
    (few / "Only_Broken").mkdir()
    (few / "Only_Broken" / "1.jpg").write_bytes(b"\xff\xd8")
    (few / "___").mkdir()
    (few / "___" / "1.jpg").write_bytes(kept[0].read_bytes())
    before = {person.name: len(person.photos) for person in list_people(few).people}
    found = read_people(few, Silent())
    after = {person.name: len(person.photos) for person in found.people}
    names = [name_of(place.name) for place in (a, b, c)]
    assert [before[n] - after[n] for n in names] == [7, 1, 1]
    assert set(after) == set(names)
    printed = " ".join(found.notes)
    for words in (
        "1 folder has no name of a person (___)",
        "1 folder holds no photo (Nobody_Here)",
        "5 photos cannot be opened",
        "2 files are not photos by their endings",
        f"1 photo is of one colour throughout ({a.name}/pocket.jpg)",
        "1 photo is HEIC, which needs pillow-heif",
        "1 photo is nearly the same as another one of the same person",
        "2 photos are nearly the same as one of somebody else",
        "1 person has no photo that can be used (Only Broken)",
    ):
        assert words in printed, (words, printed)


def test_somebody_whose_photos_are_all_somebody_else_s_is_said_to_have_lost_them(few: Path) -> None:
    a, b, c = sorted(few.iterdir())
    for photo in b.iterdir():
        photo.unlink()
    for number in (1, 2):
        shutil.copy(sorted(a.glob("*.jpg"))[number], b / f"{number}.jpg")
    found = read_people(few, Silent())
    assert [person.name for person in found.people] == [name_of(a.name), name_of(c.name)]
    assert found.notes == (
        "4 photos are nearly the same as one of somebody else.",
        "1 person has no photo left, for what is nearly the same as somebody else's photo is left out for both "
        f"({name_of(b.name)}).",
    )


def test_whatever_lies_in_the_way_is_named(few: Path) -> None:
    a, b, _ = sorted(few.iterdir())
    picture = sorted(a.glob("*.jpg"))[0]
    (a / "more").mkdir()
    shutil.copy(picture, a / "more" / "1.jpg")
    (a / "gone.jpg").symlink_to(few / "nowhere.jpg")
    shutil.copy(picture, few / "loose.jpg")
    strange = few / os.fsdecode(b"J\xf6rn_Oskamere")
    try:
        strange.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    shutil.copy(sorted(b.glob("*.jpg"))[0], strange / "1.jpg")
    before = {person.name for person in list_people(few).people}
    assert not any("Oskamere" in name for name in before)  # not "J rn Oskamere"
    printed = " ".join(list_people(few).notes)
    for words in (
        f"1 folder lies within a person's folder and is not read ({a.name}/more)",
        f"1 link leads nowhere, or is not a regular file ({a.name}/gone.jpg)",
        "1 photo lies in no person's folder (loose.jpg)",
        "1 folder has a name that is not UTF-8 (J\\udcf6rn_Oskamere)",
    ):
        assert words in printed, (words, printed)


def test_two_folders_for_one_name_are_refused(few: Path) -> None:
    place = sorted(few.iterdir())[0]
    shutil.copytree(place, few / place.name.upper().replace("_", " "))
    with pytest.raises(DataError, match="Two folders stand for one name") as caught:
        read_people(few, Silent())
    assert place.name in caught.value.message
    assert "middle name" in caught.value.hint


@pytest.mark.parametrize("state", ["missing", "file", "empty", "loose"])
def test_folders_that_hold_nobody_are_refused(tmp_path: Path, state: str) -> None:
    folder = tmp_path / "faces"
    if state == "file":
        folder.write_text("")
    elif state != "missing":
        folder.mkdir()
    if state == "loose":
        Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(folder / "1.jpg")
    with pytest.raises(DataError) as caught:
        read_people(folder, Silent())
    assert "one folder per person" in caught.value.hint


def test_a_folder_without_any_good_photo_says_why(tmp_path: Path) -> None:
    (tmp_path / "Tamavik_Eskomere").mkdir()
    (tmp_path / "Tamavik_Eskomere" / "1.jpg").write_text("?")
    with pytest.raises(DataError, match="1 photo cannot be opened"):
        read_people(tmp_path, Silent())


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(DataError, match="pixels"):
        read_pixels(path)


def test_photos_of_other_endings_and_sideways_ones_are_read(few: Path) -> None:
    place = sorted(few.iterdir())[0]
    rng = np.random.default_rng(3)
    for suffix in (".gif", ".tif", ".bmp", ".JFIF"):
        noise = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((100, 120), Image.Resampling.BILINEAR)
        image.save(place / f"more{suffix}", {".JFIF": "JPEG"}.get(suffix))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(place / "sideways.jpg", exif=exif)
    before = len(list(place.glob("*")))
    (person,) = [one for one in read_people(few, Silent()).people if one.photos[0].parent == place]
    assert len(person.photos) == before
    assert read_pixels(place / "sideways.jpg").shape == (100, 120, 3)
