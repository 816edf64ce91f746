"""Photos: open_clip's own preprocessing, each distinct one encoded once, kept on disk and never trusted blindly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.api import Photo, Silent
from idbench.errors import DataError, TargetError
from idbench.targets import Preprocessing
from idbench.targets.images import PhotoEncoder, Preprocessor
from idbench.targets.load import LoadedTarget, load_target

Photos = Callable[..., list[Photo]]


class Counter:
    """Counts images that go through a model's image tower."""

    def __init__(self, model: Any) -> None:
        self.images = 0
        self._handle = model.visual.register_forward_pre_hook(self._count)

    def _count(self, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.images += len(inputs[0])

    def close(self) -> None:
        self._handle.remove()


@pytest.fixture
def counter(small: LoadedTarget) -> Any:
    counter = Counter(small.model)
    yield counter
    counter.close()


@pytest.mark.parametrize("size", [16, 40, 7])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_preprocessing_is_open_clips(small_file: Path, photos: Photos, size: int, mode: Any) -> None:
    given = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), interpolation="bilinear", resize_mode=mode)
    target = load_target(spec_of(small_file, SMALL, preprocessing=given))
    batch = photos(3, size)
    reference = image_transform_v2(
        PreprocessCfg(size=16, mean=given.mean, std=given.std, interpolation="bilinear", resize_mode=mode),
        is_train=False,
    )
    expected = torch.stack([reference(Image.fromarray(p.pixels())) for p in batch])
    assert torch.equal(Preprocessor(target)(batch), expected)


def test_photos_of_several_sizes_in_one_batch(small: LoadedTarget, photos: Photos) -> None:
    mixed = [*photos(2, 16), *photos(2, 31)]
    together = Preprocessor(small)(mixed)
    assert torch.equal(together, torch.cat([Preprocessor(small)([photo]) for photo in mixed]))
    assert Preprocessor(small)([]).shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((16, 16), np.uint8),
        np.zeros((16, 16, 4), np.uint8),
        np.zeros((16, 16, 3)),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_pixels_of_another_kind_are_refused(small: LoadedTarget, pixels: Any) -> None:
    with pytest.raises(DataError, match="instead of uint8"):
        Preprocessor(small)([Photo("ab" * 32, lambda: pixels)])


def test_each_distinct_photo_is_encoded_once(
    small: LoadedTarget, photos: Photos, tmp_path: Path, counter: Counter
) -> None:
    encoder = PhotoEncoder(small, tmp_path, Silent())
    batch = photos(5)
    first = encoder.embed(batch + batch[:2])
    assert (counter.images, len(encoder)) == (5, 5)
    np.testing.assert_array_equal(first[5:], first[:2])
    np.testing.assert_array_equal(encoder.embed(batch[::-1]), first[4::-1])
    assert counter.images == 5
    assert encoder.embed([]).shape == (0, 16)
    model: Any = small.model
    with torch.no_grad():
        expected = model.encode_image(encoder.preprocess(batch)).numpy()
    np.testing.assert_allclose(first[:5], expected, atol=1e-6)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many embeddings from disk are computed again: fewer than the tests have photos."""
    monkeypatch.setattr("idbench.targets.images.SAMPLES", 2)
    return 2


def test_a_later_run_finds_the_embeddings_on_disk(
    small: LoadedTarget, photos: Photos, tmp_path: Path, counter: Counter, few: int
) -> None:
    encoder = PhotoEncoder(small, tmp_path, Silent())
    first = encoder.embed(photos(5))
    encoder.save()
    later = PhotoEncoder(small, tmp_path, Silent())
    np.testing.assert_array_equal(later.embed(photos(5)), first)
    np.testing.assert_array_equal(later.embed(photos(5)), first)
    assert counter.images == 5 + few, "beside a sample, nothing is computed again"
    assert len(later) == 5, "queries are the method's, whatever the cache holds"
    later.embed(photos(2, seed=1))
    later.save()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    assert not list(tmp_path.rglob("*.tmp"))
    assert PhotoEncoder(small, tmp_path, Silent()).embed(photos(5) + photos(2, seed=1)).shape == (7, 16)
    assert counter.images == 7 + 2 * few


@pytest.mark.parametrize("writable", [True, False])
def test_forged_embeddings_are_noticed_and_made_anew(
    small: LoadedTarget, photos: Photos, tmp_path: Path, writable: bool
) -> None:
    """The file is intact and bears its right name; only its numbers are another's."""
    batch = photos(40)
    encoder = PhotoEncoder(small, tmp_path / "kept", Silent())
    honest = encoder.embed(batch)
    digests = [photo.digest for photo in batch]
    forged = honest.copy()
    forged[::2] *= -1
    encoder.shards.write(digests, forged)
    own = tmp_path / ("kept" if writable else "own")
    reader = PhotoEncoder(small, own, Silent(), tmp_path / "kept")
    np.testing.assert_allclose(reader.embed(batch), honest, atol=1e-6)
    reader.save()
    assert len(list((tmp_path / "kept").rglob("*.safetensors"))) == 1, "the other folder is only read"
    np.testing.assert_allclose(PhotoEncoder(small, own, Silent()).embed(batch), honest, atol=1e-6)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "renamed"])
def test_a_damaged_cache_file_is_ignored_and_made_anew(
    small: LoadedTarget, photos: Photos, tmp_path: Path, counter: Counter, damage: str, few: int
) -> None:
    encoder = PhotoEncoder(small, tmp_path, Silent())
    first = encoder.embed(photos(5))
    encoder.save()
    (path,) = tmp_path.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-3] ^= 0x40
    contents = {"cut": bytes(data[:-9]), "empty": b"", "text": b"not safetensors"}
    path.write_bytes(contents.get(damage, bytes(data)))
    if damage == "renamed":
        path.rename(path.with_name("0" * 32 + ".safetensors"))
    later = PhotoEncoder(small, tmp_path, Silent())
    np.testing.assert_allclose(later.embed(photos(5)), first, atol=1e-6)
    assert counter.images == 10
    later.save()
    assert [file.name for file in tmp_path.rglob("*.safetensors")] == [path.name]
    PhotoEncoder(small, tmp_path, Silent()).embed(photos(5))
    assert counter.images == 10 + few


def test_other_weights_and_other_preprocessing_share_nothing(
    small: LoadedTarget, small_file: Path, photos: Photos, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file(state_of(random_model(SMALL, seed=1)), path)
    grey = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    targets = [
        small,
        load_target(spec_of(path, SMALL)),
        load_target(spec_of(small_file, SMALL, preprocessing=grey)),
        load_target(spec_of(small_file, SMALL, precision="bfloat16")),
    ]
    results = []
    for target in targets:
        encoder = PhotoEncoder(target, tmp_path / "cache", Silent())
        results.append(encoder.embed(photos(2)))
        encoder.save()
    assert len(list((tmp_path / "cache").iterdir())) == 4
    assert not np.allclose(results[0], results[1])
    assert not np.allclose(results[0], results[2])
    assert not np.array_equal(results[0], results[3])
    np.testing.assert_allclose(results[3], results[0], atol=0.03 * float(np.abs(results[0]).max()))


@pytest.mark.parametrize(
    ("precision", "off", "believed"),
    [("float32", 5e-4, True), ("float32", 2e-2, False), ("bfloat16", 2e-2, True), ("bfloat16", 2e-1, False)],
)
def test_embeddings_on_disk_may_differ_by_the_rounding_of_their_precision(
    small_file: Path, photos: Photos, tmp_path: Path, precision: str, off: float, believed: bool
) -> None:
    target, given = load_target(spec_of(small_file, SMALL, precision=precision)), photos(60)
    encoder = PhotoEncoder(target, tmp_path, Silent())
    exact = encoder.embed(given)
    moved = np.random.default_rng(0).normal(size=exact.shape).astype(np.float32)
    moved *= off * np.linalg.norm(exact, axis=1, keepdims=True) / np.linalg.norm(moved, axis=1, keepdims=True)
    encoder.shards.write([photo.digest for photo in given], exact + moved)
    found = PhotoEncoder(target, tmp_path, Silent()).embed(given)
    np.testing.assert_array_equal(found, exact + moved if believed else exact)


def test_float16_is_not_asked_of_a_processor(small_file: Path) -> None:
    with pytest.raises(TargetError, match="float16"):
        load_target(spec_of(small_file, SMALL, precision="float16"))


def test_a_disk_that_refuses_does_not_stop_the_run(small: LoadedTarget, photos: Photos, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    encoder = PhotoEncoder(small, tmp_path / "file", Silent())
    assert encoder.embed(photos(2)).shape == (2, 16)
    encoder.save()


def test_photos_asked_for_one_by_one_make_few_files(
    small: LoadedTarget, photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idbench.targets.images.SAVE_AT_ONCE", 8)
    encoder = PhotoEncoder(small, tmp_path, Silent())
    for photo in photos(20):
        encoder.embed([photo])
    encoder.save()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
