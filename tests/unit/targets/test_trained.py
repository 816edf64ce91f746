"""Targets that are trained on the user's machine: not there, training, cut short, there, stale, damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.squares import RECIPE, VIT, Pairs, Recorder, pairs

from idbench.errors import StorageError, TargetError, UnknownNameError
from idbench.runner import training
from idbench.runner.training import HowToTrain, targets_to_train, train_one
from idbench.splits import SourcedRecipe, find_recipe
from idbench.targets import TargetSpec, TrainedHere, is_ready, list_targets, resolve_target
from idbench.targets.fetch import fetch_target, pin_target
from idbench.targets.lfw import LARGE_RN, LARGE_VIT, SMALL
from idbench.targets.load import build_model, load_target
from idbench.targets.trained import read_note, weights_place

CPU = HowToTrain()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Pairs:
    made = pairs(64)
    monkeypatch.setattr(training, "load_corpus", lambda name, progress: made)
    return made


def small(**recipe: int) -> TargetSpec:
    """A target with open_clip's own tokenizer that trains in a second."""
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return resolve_target("lfw-injected-a").model_copy(
        update={
            "name": "squares",
            "architecture": {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": text},
            "recipe": RECIPE.model_copy(update=recipe),
        }
    )


def test_trained_then_found_then_used(corpus: Pairs) -> None:
    spec = small()
    assert not is_ready(spec)
    with pytest.raises(TargetError, match="not trained on this machine yet") as caught:
        pin_target(spec)
    assert "bench target train lfw-injected" in caught.value.hint
    done = train_one(spec, CPU, Recorder())
    assert not done.reused
    assert is_ready(spec)
    pinned = pin_target(spec)
    assert (pinned.sha256, pinned.corpus_digest) == (done.note.sha256, corpus.digest)
    assert load_target(pinned).sha256 == load_target(spec).sha256 == done.note.sha256
    again = train_one(spec, CPU, Recorder())
    assert again.reused
    assert again.note == done.note
    assert not train_one(spec, HowToTrain(force=True), Recorder()).reused


def test_an_interrupted_training_goes_on(corpus: Pairs) -> None:
    whole = train_one(small(), CPU, Recorder()).note.sha256
    weights_place(small()).unlink()
    with pytest.raises(KeyboardInterrupt):
        train_one(small(), CPU, Recorder(stop_at=10))  # 4 steps an epoch: in the middle of the third
    assert not is_ready(small())
    done = train_one(small(), CPU, Recorder())
    assert done.resumed == 2
    assert done.note.sha256 == whole


def test_a_disk_that_takes_no_more_is_told_and_what_is_done_is_kept(corpus: Pairs) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole = train_one(small(), CPU, Recorder()).note.sha256
    weights_place(small()).unlink()
    with pytest.raises(KeyboardInterrupt):
        train_one(small(), CPU, Recorder(stop_at=6))  # 4 steps an epoch: in the middle of the second
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a real refusal by the system, as of a full disk
        with pytest.raises(StorageError, match="Cannot use"):
            train_one(small(), CPU, Recorder())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = train_one(small(), CPU, Recorder())
    assert done.resumed == 1
    assert done.note.sha256 == whole


def test_another_recipe_or_corpus_asks_for_another_training(corpus: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train_one(small(), CPU, Recorder())
    assert read_note(small(seed=8)) is None
    other = Pairs(corpus.images, corpus.caption_ids, corpus.captions, "e" * 64)
    monkeypatch.setattr(training, "load_corpus", lambda name, progress: other)
    second = train_one(small(), CPU, Recorder())
    assert not second.reused
    assert second.note.corpus_digest != first.note.corpus_digest


@pytest.mark.parametrize("damage", ["weights", "note", "no note"])
def test_what_is_damaged_is_found_and_trained_again(corpus: Pairs, damage: str) -> None:
    done = train_one(small(), CPU, Recorder())
    note = done.path.with_name("trained.json")
    pinned = pin_target(small())
    if damage == "weights":
        done.path.write_bytes(b"?" * 100)
        with pytest.raises(TargetError, match="SHA-256") as caught:
            fetch_target(pinned)
        assert "bench target train squares" in caught.value.hint
    elif damage == "note":
        note.write_text("{")
        assert not is_ready(small())
    else:
        note.unlink()
        assert not is_ready(small())
    again = train_one(small(), CPU, Recorder())
    assert not again.reused
    assert again.note.sha256 == done.note.sha256


def test_words_mean_targets() -> None:
    names = [spec.name for spec in targets_to_train("lfw-injected")]
    assert names == ["lfw-injected-a", "lfw-injected-b", "lfw-injected-0"]
    assert [spec.name for spec in targets_to_train("lfw-injected-b")] == ["lfw-injected-b"]
    assert [spec.name for spec in targets_to_train("lfw-injected-112-rn-[ab]")] == [
        "lfw-injected-112-rn-a",
        "lfw-injected-112-rn-b",
    ]
    assert len(targets_to_train("lfw-injected-112")) == 6
    with pytest.raises(UnknownNameError):
        targets_to_train("lfw-injekted")
    with pytest.raises(TargetError, match="has no recipe"):
        targets_to_train("open_clip:ViT-B-32/laion400m_e32")


def test_every_target_belongs_to_a_corpus_of_its_split() -> None:
    trained = [spec for spec in list_targets() if isinstance(spec.weights, TrainedHere)]
    assert len(trained) >= 9
    for spec in trained:
        assert isinstance(spec.weights, TrainedHere)
        recipe = find_recipe(spec.weights.group)
        assert isinstance(recipe, SourcedRecipe)
        assert spec.corpus in recipe.corpora
        assert set(spec.control_for) <= set(recipe.corpora)
        assert bool(spec.control_for) == spec.name.endswith("-0")


@pytest.mark.parametrize("architecture", [SMALL, LARGE_VIT, LARGE_RN], ids=["48 px", "ViT 112 px", "RN 112 px"])
def test_open_clip_builds_the_architectures(architecture: dict[str, object]) -> None:
    import torch

    model = build_model(architecture, "x").eval()
    size = architecture["vision_cfg"]["image_size"]  # type: ignore[index]
    with torch.no_grad():
        features = model.encode_image(torch.zeros(1, 3, size, size))  # type: ignore[operator]
    assert features.shape == (1, architecture["embed_dim"])
    assert np.isfinite(features.numpy()).all()


@pytest.mark.parametrize("name", ["weights.pt", "weights", "folder.safetensors"])
def test_a_place_that_holds_no_weights_is_refused_before_the_training(tmp_path: Path, name: str) -> None:
    """Under another ending the file could be written, but never read again."""
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(TargetError, match="cannot hold weights") as caught:
        train_one(small(), CPU, Recorder(), tmp_path / name)
    assert ".safetensors" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["folder.safetensors"]


def test_a_full_disk_is_found_before_the_corpus_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room for the weights, really full; the corpus of the target is never asked for."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")

    def never(*_: object) -> None:
        raise AssertionError("the corpus was opened")

    monkeypatch.setattr(training, "load_corpus", never)
    try:
        with pytest.raises(StorageError, match="No space left on the disk") as caught:
            train_one(resolve_target("avatars-a"), CPU, Recorder(), disk / "out.safetensors")
        assert "MiB are needed" in caught.value.hint
        assert "--out" in caught.value.hint
        assert [path.name for path in disk.iterdir()] == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_words_for_what_shall_be_trained() -> None:
    def names(words: str) -> list[str]:
        return [spec.name for spec in targets_to_train(words)]

    assert names("avatars-b,avatars-a") == ["avatars-a", "avatars-b"]
    assert names("lfw-injected,avatars-a") == ["avatars-a", "lfw-injected-a", "lfw-injected-b", "lfw-injected-0"]
    assert names("lfw-injected-112-vit-[ab]") == ["lfw-injected-112-vit-a", "lfw-injected-112-vit-b"]
    assert set(names("all")) == {spec.name for spec in list_targets() if spec.recipe is not None}
