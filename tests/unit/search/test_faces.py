"""The face classifier learns drawn people, goes on after an interruption, and trusts no file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from idbench.api import Silent
from idbench.errors import DataError, StorageError
from idbench.search.faces.model import build_network, face_square, load_classifier
from idbench.search.faces.training import FaceRecipe, train_classifier
from idbench.splits import encode_png
from idbench.splits.avatars import TINY_SPEC
from idbench.splits.avatars.world import World
from idbench.splits.injected.people import list_people, name_of

RECIPE = FaceRecipe(arch="resnet18", image_size=32, crop="none", epochs=12, batch_size=18, held_out=0.25)
PEOPLE, PHOTOS = 4, 24


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a few avatars' pictures."""
    folder, world = tmp_path_factory.mktemp("album"), World(TINY_SPEC)
    for person in world.people[:PEOPLE]:
        pixels = world.attack([person], 0, PHOTOS).render(range(PHOTOS))
        place = folder / person.name.replace(" ", "_")
        place.mkdir()
        for number, picture in enumerate(pixels):
            (place / f"{number:02d}.png").write_bytes(encode_png(picture))
    return folder


@pytest.fixture(scope="module")
def trained(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "faces.safetensors"
    done = train_classifier(list_people(album).people, out, RECIPE)
    assert done.photos == PEOPLE * 18
    assert done.spec.held_out == PEOPLE * 6
    assert done.spec.accuracy >= 0.6, "chance is 0.25"
    assert done.left_out == ()
    assert [path.name for path in out.parent.iterdir()] == ["faces.safetensors"]
    return out


def test_names_the_people_it_was_trained_on(trained: Path, album: Path) -> None:
    classifier = load_classifier(trained)
    assert classifier.people == {name_of(path.name) for path in album.iterdir()}
    people = list_people(album).people
    photos = [path for person in people for path in person.photos]
    named = classifier.name([path.read_bytes() for path in photos])
    assert np.mean([name == name_of(path.parent.name) for name, path in zip(named, photos, strict=True)]) > 0.7
    assert classifier.name([b"no picture", photos[0].read_bytes(), b""])[::2] == [None, None]
    assert classifier.name([]) == []


class Interrupted(Silent):
    """Pulls the plug in the sixth epoch."""

    def update(self, done: float, total: float, description: str) -> None:
        if description.startswith("training") and done > 0.45 * total:
            raise KeyboardInterrupt


def test_goes_on_after_an_interruption_with_the_same_result(trained: Path, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_classifier(list_people(album).people, out, RECIPE, Interrupted(), keep_every=0.0)
    assert not out.exists()
    checkpoint = out.with_name("faces.safetensors.resume")
    assert torch.load(checkpoint, weights_only=True)["epochs_done"] == 5
    train_classifier(list_people(album).people, out, RECIPE)
    assert not checkpoint.exists()
    expected, found = load_file(trained), load_file(out)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_checkpoint_of_another_training_is_not_used(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.safetensors"
    (tmp_path / "faces.safetensors.resume").write_bytes(b"damaged")
    short = FaceRecipe(arch="resnet18", image_size=32, crop="none", epochs=1, batch_size=32)
    assert train_classifier(list_people(album).people, out, short).spec.accuracy <= 1
    assert load_classifier(out).spec.image_size == 32


def test_begins_from_weights(album: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for person in sorted(album.iterdir())[:2]:
        shutil.copytree(person, few / person.name, ignore=lambda _, names: sorted(names)[4:])
    network = build_network("resnet18", 1000)
    save_file(network.state_dict(), tmp_path / "start.safetensors")
    torch.save(network.state_dict(), tmp_path / "start.pth")
    fast = {"arch": "resnet18", "image_size": 32, "crop": "none", "epochs": 1, "learning_rate": 0.0}
    out = tmp_path / "faces.safetensors"
    for name in ("start.safetensors", "start.pth"):
        recipe = FaceRecipe(**fast, weights=tmp_path / name)  # type: ignore[arg-type]
        train_classifier(list_people(few).people, out, recipe)
        assert torch.equal(load_file(out)["conv1.weight"], network.state_dict()["conv1.weight"])
    (tmp_path / "other.safetensors").write_bytes(b"hello")
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "shape.safetensors")
    save_file(build_network("resnet34", 9).state_dict(), tmp_path / "resnet34.safetensors")
    for name in ("other", "shape", "resnet34"):
        recipe = FaceRecipe(**fast, weights=tmp_path / f"{name}.safetensors")  # type: ignore[arg-type]
        with pytest.raises(DataError, match=f"{name}.safetensors"):
            train_classifier(list_people(few).people, out, recipe)


def test_damaged_photos_are_left_out_and_too_few_are_told(album: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(album, tmp_path / "album"))
    (copy / "empty").mkdir()
    first, *_ = sorted(path for path in copy.iterdir() if path.name != "empty")
    (first / "00.png").write_bytes(b"broken")
    Path(os.fsdecode(os.fsencode(copy) + b"/J\xf6rn_Ek")).symlink_to(first)  # a name that is not UTF-8
    fast = FaceRecipe(arch="resnet18", image_size=32, crop="none", epochs=1)
    done = train_classifier(list_people(copy).people, tmp_path / "faces.safetensors", fast)
    assert {path.name for path in done.left_out} == {"00.png"}
    assert not any(name.endswith("Ek") for name in done.spec.people)  # nobody is called "J rn Ek"
    assert "1 folder has a name that is not UTF-8" in " ".join(list_people(copy).notes)
    for path in sorted(first.iterdir())[2:]:
        path.unlink()
    with pytest.raises(DataError, match="has 1 usable photos of 2"):
        train_classifier(list_people(copy).people, tmp_path / "faces.safetensors", fast)


def test_folders_without_people(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match="folder"):
            list_people(place)
    (tmp_path / "only").mkdir()
    for name in ("1.png", "2.png"):
        (tmp_path / "only" / name).write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(StorageError, match="is a folder"):
        train_classifier(list_people(tmp_path).people * 2, tmp_path, RECIPE)
    with pytest.raises(DataError, match="at least two people"):
        train_classifier(list_people(tmp_path).people, tmp_path / "x.safetensors", RECIPE)


@pytest.mark.parametrize("damage", ["cut", "other", "text"])
def test_damaged_classifiers(trained: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "faces.safetensors"
    content = {"cut": trained.read_bytes()[:-1000], "text": b"hello"}.get(damage)
    if content is None:
        save_file({"x": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"faces\.safetensors"):
        load_classifier(path)


def test_haar_finds_no_face_where_none_is() -> None:
    pytest.importorskip("cv2")
    grey = encode_png(np.full((80, 80, 3), 127, np.uint8))
    assert face_square(grey, "grey", 32, "haar") is None
    whole = face_square(grey, "grey", 32, "none")
    assert whole is not None
    assert whole.shape == (32, 32, 3)
