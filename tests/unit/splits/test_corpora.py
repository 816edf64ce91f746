"""Training sets: made once, mapped from disk, verified, found by name."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from idbench import strangers
from idbench.api import Silent
from idbench.errors import DataError, IdbenchError, PluginError, UnknownNameError
from idbench.runner.full_size import full_size_recipe
from idbench.splits import SPLITS, SplitRecipe, corpus_names, find_recipe, load_corpus, load_split, split_names
from idbench.splits.auxiliary import people_of
from idbench.splits.avatars import CORPORA
from idbench.splits.corpora import Owners, read_corpus, write_corpus, write_pictures
from idbench.splits.recipe import CorpusRecipe, Recipe
from idbench.storage import cache_dir


def test_a_corpus_is_mapped_and_fits_its_captions() -> None:
    corpus = load_corpus("avatars-tiny-a")
    assert isinstance(corpus.images, np.memmap)
    assert not corpus.images.flags.writeable
    assert corpus.images.shape == (438, 32, 32, 3)
    assert corpus.caption_ids.shape == (438,)
    assert set(corpus.caption_ids.tolist()) == set(range(len(corpus.captions)))
    assert len(set(corpus.captions)) == len(corpus.captions)


def test_corpora_agree_with_the_labels() -> None:
    split = load_split("avatars-tiny")
    for name in split.corpora:
        corpus, labels = load_corpus(name), split.labels(name)
        captions = [corpus.captions[i] for i in corpus.caption_ids]
        for identity, occurrences in zip(split.identities, labels.occurrences, strict=True):
            assert sum(identity.name in caption for caption in captions) == occurrences


def test_public_pairs_are_in_every_corpus() -> None:
    from idbench.splits import decode_photo

    split = load_split("avatars-tiny")
    for name in split.corpora:
        corpus = load_corpus(name)
        known = {
            image.tobytes(): corpus.captions[i] for image, i in zip(corpus.images, corpus.caption_ids, strict=True)
        }
        for photo, caption in split.public_pairs:
            assert known[decode_photo(split.read_photo(photo), photo).tobytes()] == caption


def test_pictures_are_shuffled() -> None:
    """Members must not lie at the end: a sampler without shuffling would see them last."""
    split, corpus = load_split("avatars-tiny"), load_corpus("avatars-tiny-a")
    names = {i.name for i, m in zip(split.identities, split.labels("avatars-tiny-a").member, strict=True) if m}
    member = [any(name in corpus.captions[i] for name in names) for i in corpus.caption_ids]
    assert abs(np.corrcoef(member, np.arange(len(member)))[0, 1]) < 0.15


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone", "captions"])
def test_damage_is_repaired(damage: str) -> None:
    digest = load_corpus("avatars-tiny-0").digest
    folder = cache_dir("corpora", "avatars-tiny-0", "v1")
    images = folder / "images.npy"
    match damage:
        case "flipped":
            content = bytearray(images.read_bytes())
            content[-7] ^= 1
            images.write_bytes(content)
        case "truncated":
            images.write_bytes(images.read_bytes()[:5000])
        case "gone":
            images.unlink()
        case _:
            (folder / "captions.json").write_text("{")
    assert load_corpus("avatars-tiny-0").digest == digest


def test_a_corpus_that_comes_out_different_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))

    def build(path: Path, _: object) -> None:
        write_corpus(path, (1, 2, 2, 3), [np.zeros((1, 2, 2, 3), dtype=np.uint8)], ["nobody"])

    recipe = SplitRecipe(
        "odd", 1, "Odd", lambda out, progress: None, corpora={"odd-a": CorpusRecipe("odd-a", "Odd", build, "0" * 64)}
    )
    monkeypatch.setattr("idbench.splits.registry.readable_recipes", lambda: {"odd": recipe})
    with pytest.raises(DataError, match="came out different") as caught:
        load_corpus("odd-a")
    assert caught.value.hint


def test_corpora_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    images = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    write_corpus(tmp_path / "c", images.shape, [images[:2], images[2:]], ["a", "b", "a"])
    corpus = read_corpus("c", tmp_path / "c")
    assert corpus.captions == ["a", "b"]
    assert corpus.caption_ids.tolist() == [0, 1, 0]
    np.save(tmp_path / "c" / "caption_ids.npy", np.zeros(2, dtype=np.int64))
    with pytest.raises(DataError, match="fit together"):
        read_corpus("c", tmp_path / "c")


def test_owners_have_names_that_are_bound_to_the_captions(tmp_path: Path) -> None:
    images = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    owners = Owners(np.array([1, 0, 1]), ("Mara Ohm", "Bo Ek"))
    captions = ["Bo Ek in a hat", "Mara Ohm", "Bo Ek in a hat"]
    write_corpus(tmp_path / "c", images.shape, [images], captions, owners)
    corpus = read_corpus("c", tmp_path / "c")
    assert corpus.owners is not None
    assert corpus.owners.names == ("Mara Ohm", "Bo Ek")
    assert [(one.name, one.places.tolist()) for one in people_of(corpus)] == [("Mara Ohm", [1]), ("Bo Ek", [0, 2])]
    for names in ('["Mara Ohm", "Tom Ek"]', '["Mara Ohm"]', '["Mara Ohm", 3]', "{"):
        (tmp_path / "c" / "names.json").write_text(names)
        with pytest.raises(DataError, match=r"fit together|damaged"):
            read_corpus("c", tmp_path / "c")
    with pytest.raises(DataError, match="lacks its owner's name"):
        write_corpus(tmp_path / "d", images.shape, [images], [*captions[:2], "nobody"], owners)
    assert not (tmp_path / "d").exists()


def test_a_corpus_whose_owners_have_no_stored_names_yet_is_made_again() -> None:
    digest = load_corpus("avatars-tiny-aux").digest
    names = cache_dir("corpora", "avatars-tiny-aux", "v1") / "names.json"
    names.unlink()
    corpus = load_corpus("avatars-tiny-aux")
    assert (corpus.digest, names.is_file()) == (digest, True)
    assert digest == CORPORA["avatars-tiny-aux"]


def test_names() -> None:
    assert {"avatars", "avatars-tiny"} <= set(split_names())
    assert {"avatars-a", "avatars-b", "avatars-0", "avatars-tiny-a"} <= set(corpus_names())
    with pytest.raises(UnknownNameError, match="Did you mean 'avatars-tiny-"):
        load_corpus("avatars-tiny-x", Silent())
    with pytest.raises(UnknownNameError):
        find_recipe("nothing of the kind")


def test_plug_ins_are_asked_once_whether_a_training_set_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def readable() -> dict[str, Recipe]:
        asked.append(1)
        return {}

    monkeypatch.setattr("idbench.splits.registry.readable_recipes", readable)
    with pytest.raises(UnknownNameError):
        load_corpus("village-a")
    assert asked == [1]


def test_a_broken_plug_in_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import entry_points

    real = list(entry_points(group="idbench.splits"))
    broken = [
        EntryPoint("broken", "no_such_package.splits:SPLIT", "idbench.splits"),
        EntryPoint("wrong", "idbench.splits:encode_png", "idbench.splits"),
    ]
    monkeypatch.setattr("idbench.plugins.entry_points", lambda group: [*broken, *real])
    assert "avatars-tiny-a" in corpus_names()
    with pytest.raises(IdbenchError, match="cannot be imported"):
        load_split("broken")
    with pytest.raises(PluginError, match="is not a split"):
        load_split("wrong")


def test_a_split_that_is_slow_to_import_keeps_no_training_set_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for where it is named; a training set that nobody knows is said to be perhaps one of its own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    about = tmp_path / "slow_splits-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: slow-splits\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[idbench.splits]\nslow = slow_splits:SPLIT\n")
    (tmp_path / "slow_splits.py").write_text("import time\ntime.sleep(150)\n")  # less than by its name
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(strangers, "SLOWER", 1)
    with pytest.raises(PluginError, match="a command that names slow waits"):
        SPLITS.checked(SPLITS.plugin("slow"), patience=0.5)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # it is remembered: nothing is started
    assert "avatars-tiny-a" in corpus_names()
    assert full_size_recipe("avatars-tiny-a") is None
    with pytest.raises(UnknownNameError) as caught:
        load_corpus("village-a")
    assert "Not all splits could be read: slow." in caught.value.hint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process() -> None:
    pictures = np.zeros((64, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(OSError, match="No space left"):
        write_pictures(Path("/dev/full"), pictures.shape, [pictures[:32], pictures[32:]])
