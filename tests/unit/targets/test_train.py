"""Training: learns, repeats itself to the byte, survives interruption, and leaves nothing half-written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.squares import RECIPE, RESNET, VIT, Pairs, Recorder, pairs, spec

from idbench.api import Access, Photo
from idbench.errors import DataError, StorageError, TargetError
from idbench.storage import sha256_file
from idbench.targets import LocalFile, resolve_target
from idbench.targets.load import load_target
from idbench.targets.train import Trained, train_target
from idbench.targets.view import View


def train(out: Path, progress: Recorder | None = None, corpus: Pairs | None = None, **recipe: Any) -> Trained:
    """Train in a fraction of a second."""
    return train_target(spec(**recipe), corpus or pairs(), out, progress)


def test_a_trained_target_knows_what_it_was_shown(tmp_path: Path) -> None:
    trained = train(tmp_path / "t.safetensors", corpus=pairs(320), epochs=12)
    assert trained.steps == 12 * 20
    assert trained.sha256 == sha256_file(trained.path)
    target = load_target(spec().model_copy(update={"weights": LocalFile(path=str(trained.path))}))
    fresh = pairs(40, seed=1)
    photos = [Photo(f"{i:064x}", lambda i=i: fresh.images[i]) for i in range(40)]  # type: ignore[misc]
    labels = View(target, Access.LABEL).labels(photos, fresh.captions)
    assert (labels == fresh.caption_ids).mean() > 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = train(tmp_path / "1.safetensors")
    torch.manual_seed(2)
    assert train(tmp_path / "2.safetensors").sha256 == first.sha256
    assert train(tmp_path / "3.safetensors", seed=8).sha256 != first.sha256


def test_training_leaves_the_callers_chance_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tmp_path / "t.safetensors", epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("tower", [VIT, VIT | {"patch_dropout": 0.5}, RESNET], ids=["vit", "dropout", "resnet"])
def test_an_interrupted_training_goes_on_with_the_same_result(tmp_path: Path, tower: dict[str, Any]) -> None:
    whole = train(tmp_path / "whole.safetensors", tower=tower)
    out = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(out, Recorder(stop_at=14), tower=tower)  # 6 steps an epoch: in the middle of the third
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.safetensors.resume", "whole.safetensors"]
    second = Recorder()
    assert train(out, second, tower=tower).sha256 == whole.sha256
    assert [second.updates[0], second.updates[-1]] == [(13, 18), (18, 18)]
    assert not out.with_name("cut.safetensors.resume").exists()


@pytest.mark.parametrize("damage", ["cut", "other", "text", "pickle"])
def test_a_checkpoint_that_is_damaged_or_anothers_is_not_used(tmp_path: Path, damage: str) -> None:
    whole = train(tmp_path / "whole.safetensors")
    out = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(out, Recorder(stop_at=8), learning_rate=1e-3 if damage == "other" else RECIPE.learning_rate)
    checkpoint = out.with_name("cut.safetensors.resume")
    data = checkpoint.read_bytes()
    checkpoint.write_bytes({"cut": data[:-50], "other": data, "text": b"?", "pickle": b"\x80\x02."}[damage])
    recorder = Recorder()
    assert train(out, recorder).sha256 == whole.sha256
    assert recorder.updates[0] == (1, 18)


def test_an_older_file_stays_until_training_has_finished(tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    out.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        train(out, Recorder(stop_at=17))
    assert out.read_bytes() == b"older"


def test_the_corpus_may_be_mapped_from_disk(tmp_path: Path) -> None:
    corpus = pairs()
    np.save(tmp_path / "images.npy", corpus.images)
    mapped = replace(corpus, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert train(tmp_path / "1.safetensors", corpus=mapped).sha256 == train(tmp_path / "2.safetensors").sha256


@pytest.mark.parametrize(
    ("corpus", "says"),
    [
        (pairs(size=16), r"shape \(16, 16, 3\)"),
        (pairs(10), "fewer than one batch"),
        (replace(pairs(), caption_ids=np.full(100, 9)), "do not fit"),
        (replace(pairs(), caption_ids=np.zeros(3, np.int64)), "do not fit"),
    ],
)
def test_a_corpus_that_does_not_fit_is_refused(tmp_path: Path, corpus: Pairs, says: str) -> None:
    with pytest.raises(DataError, match=says):
        train(tmp_path / "t.safetensors", corpus=corpus)
    assert not list(tmp_path.iterdir())


def test_a_diverging_training_says_so(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="diverged at step"):
        train(tmp_path / "t.safetensors", learning_rate=1e30, warmup_steps=0)
    assert not (tmp_path / "t.safetensors").exists()


def test_weights_that_only_the_last_step_ruined_are_not_kept(tmp_path: Path) -> None:
    """The loss of the last step is of the weights before it."""
    with pytest.raises(TargetError, match="its weights are NaN or infinite"):
        train(tmp_path / "t.safetensors", corpus=pairs(16), epochs=1, weight_decay=1e300, warmup_steps=0)
    assert not list(tmp_path.iterdir())


def test_a_corpus_that_copies_its_pictures_is_asked_for_them_once_in_a_training(tmp_path: Path) -> None:
    class Copying(Pairs):
        asked = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "images":
                Copying.asked += 1
            return super().__getattribute__(name)

    data = pairs()
    train(tmp_path / "t.safetensors", corpus=Copying(data.images, data.caption_ids, data.captions))
    assert Copying.asked <= 2  # the check of its shape, and the training


def test_targets_without_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no recipe"):
        train_target(resolve_target("open_clip:ViT-B-32/openai"), pairs(), tmp_path / "t.safetensors")


def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path) -> None:
    right = spec()
    assert isinstance(right.architecture, dict)
    text = right.architecture["text_cfg"] | {"vocab_size": 700}
    wrong = right.model_copy(update={"architecture": right.architecture | {"text_cfg": text}})
    with pytest.raises(TargetError, match="its model 700"):
        train_target(wrong, pairs(), tmp_path / "t.safetensors")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        train(tmp_path / "file" / "t.safetensors", epochs=1)
