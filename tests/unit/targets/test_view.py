"""The view: nothing undeclared, everything counted, and the numbers that the model itself gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, spec_of, state_of

from idbench.api import Access, AccessViolation, MethodError, Photo, TargetView
from idbench.errors import TargetError
from idbench.targets import memory, resolve_target
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.memory import Batches, batch_for, gradient_bytes
from idbench.targets.view import QueryCounts, View, cosine_gradient

Photos = Callable[..., list[Photo]]
ALL = ~Access.NONE
TEXTS = ["a person", "somebody in a suit", "actor", "x"]

QUERIES: dict[str, tuple[Access, Callable[[View, list[Photo]], object]]] = {
    "similarities": (Access.SIMILARITY, lambda v, p: v.similarities(p, TEXTS)),
    "paired_similarities": (Access.SIMILARITY, lambda v, p: v.paired_similarities(p, TEXTS)),
    "embed_texts": (Access.TEXT_EMBEDDING, lambda v, p: v.embed_texts(TEXTS)),
    "embed_photos": (Access.IMAGE_EMBEDDING, lambda v, p: v.embed_photos(p)),
    "embed_images": (Access.IMAGE_EMBEDDING, lambda v, p: v.embed_images(v.preprocess(p))),
    "image_similarities": (Access.SIMILARITY, lambda v, p: v.image_similarities(v.preprocess(p), TEXTS)),
    "similarity_gradients": (Access.GRADIENT, lambda v, p: v.similarity_gradients(v.preprocess(p), TEXTS)),
    "weights": (Access.WEIGHTS, lambda v, p: v.weights()),
}


@pytest.fixture
def view(small: LoadedTarget) -> View:
    return View(small, ALL)


def reference(target: LoadedTarget, photos: list[Photo], texts: list[str]) -> torch.Tensor:
    """Cosines as a user of open_clip would compute them."""
    from PIL import Image

    model: Any = target.model
    from open_clip import image_transform

    transform = image_transform(target.info.image_size, is_train=False, mean=target.info.mean, std=target.info.std)
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(Image.fromarray(p.pixels())) for p in photos]))
        words = model.encode_text(target.tokenize(texts))
    cosines: torch.Tensor = torch.nn.functional.cosine_similarity(images[:, None], words[None], dim=-1)
    return cosines


def test_the_view_is_what_the_interface_promises(view: View) -> None:
    promised: TargetView = view  # checked by mypy
    assert promised.info.name == "probe"
    for name, member in inspect.getmembers(TargetView, inspect.isfunction):
        if not name.startswith("_"):
            assert (
                inspect.signature(getattr(View, name)).parameters.keys() == inspect.signature(member).parameters.keys()
            )


@pytest.mark.parametrize("query", QUERIES)
def test_undeclared_access_is_refused_and_names_the_flag(small: LoadedTarget, photos: Photos, query: str) -> None:
    flag, ask = QUERIES[query]
    rest = View(small, ALL & ~flag)
    with pytest.raises(AccessViolation, match=rf"asked the target for {query}.*Add Access\.{flag.name} to"):
        ask(rest, photos(4))
    assert rest.queries == QueryCounts(), "what is refused costs nothing"
    ask(View(small, flag), photos(4))


def test_labels_need_labels_or_similarities(small: LoadedTarget, photos: Photos) -> None:
    for enough in (Access.LABEL, Access.SIMILARITY):
        View(small, enough).labels(photos(2), TEXTS)
    with pytest.raises(AccessViolation, match=r"Add Access\.LABEL or Access\.SIMILARITY"):
        View(small, ALL & ~Access.LABEL & ~Access.SIMILARITY).labels(photos(2), TEXTS)
    View(small, Access.NONE).preprocess(photos(2))


def test_similarities_are_the_models(view: View, small: LoadedTarget, photos: Photos) -> None:
    batch = photos(6)
    expected = reference(small, batch, TEXTS).numpy()
    got = view.similarities(batch, TEXTS)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_array_equal(view.labels(batch, TEXTS), expected.argmax(axis=1))
    np.testing.assert_allclose(view.paired_similarities(batch[:4], TEXTS), np.diag(expected[:4]), atol=1e-5)
    pixels = view.preprocess(batch[:4])
    np.testing.assert_allclose(view.image_similarities(pixels, TEXTS).numpy(), np.diag(expected[:4]), atol=1e-5)
    np.testing.assert_allclose(view.embed_images(pixels).numpy(), view.embed_photos(batch[:4]), atol=1e-5)
    assert np.abs(view.similarities(batch, TEXTS)).max() <= 1


def test_the_first_of_equal_texts_is_the_label(view: View, photos: Photos) -> None:
    batch = photos(40)
    doubled = [text for text in TEXTS for _ in range(3)]
    np.testing.assert_array_equal(view.labels(batch, doubled), 3 * view.labels(batch, TEXTS))


def test_large_products_are_made_in_blocks(view: View, photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = photos(11)
    whole, labels = view.similarities(batch, TEXTS), view.labels(batch, TEXTS)
    monkeypatch.setattr("idbench.targets.view.LARGEST_MATRIX", 4 * len(TEXTS) * 2)
    np.testing.assert_allclose(view.similarities(batch, TEXTS), whole, atol=1e-6)
    np.testing.assert_array_equal(view.labels(batch, TEXTS), labels)


def test_gradients_are_those_of_the_cosine(small: LoadedTarget, view: View, photos: Photos) -> None:
    pixels = view.preprocess(photos(4))
    cosines, gradients = view.similarity_gradients(pixels, TEXTS)
    torch.testing.assert_close(cosines, view.image_similarities(pixels, TEXTS))
    assert gradients.shape == pixels.shape
    assert not gradients.requires_grad
    assert not cosines.requires_grad
    direction = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(3))
    step = 1e-2
    up = view.image_similarities(pixels + step * direction, TEXTS)
    down = view.image_similarities(pixels - step * direction, TEXTS)
    slope = (gradients * direction).sum(dim=(1, 2, 3))
    torch.testing.assert_close((up - down) / (2 * step), slope, rtol=2e-2, atol=1e-3)
    assert all(parameter.grad is None for parameter in small.model.parameters())
    alone = torch.cat([view.similarity_gradients(pixels[i : i + 1], TEXTS[i : i + 1])[1] for i in range(4)])
    torch.testing.assert_close(alone, gradients, rtol=1e-4, atol=1e-6)


def test_the_callers_image_is_left_as_it_was(view: View, photos: Photos) -> None:
    pixels = view.preprocess(photos(2)).requires_grad_(True)
    before = pixels.detach().clone()
    view.similarity_gradients(pixels, TEXTS[:2])
    assert pixels.grad is None
    assert torch.equal(pixels, before)


def test_ascending_the_gradient_raises_the_similarity(view: View) -> None:
    images = torch.zeros(2, 3, 16, 16)
    first, _ = view.similarity_gradients(images, TEXTS[:2])
    for _ in range(20):
        _, gradients = view.similarity_gradients(images, TEXTS[:2])
        images = images + 0.05 * gradients / gradients.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    last, _ = view.similarity_gradients(images, TEXTS[:2])
    assert (last > first + 0.01).all()
    assert view.queries == QueryCounts(texts=2, gradients=44)


def test_queries_are_counted_by_kind(view: View, photos: Photos) -> None:
    batch = photos(3)
    view.labels(batch + batch, TEXTS)
    assert view.queries == QueryCounts(texts=4, images=3, pairs=24)
    view.similarities(batch, TEXTS[:2])
    assert view.queries == QueryCounts(texts=4, images=3, pairs=30)
    view.paired_similarities(batch, TEXTS[:3])
    view.embed_texts(["new", "new"])
    view.embed_photos(photos(1, seed=9))
    assert view.queries == QueryCounts(texts=5, images=4, pairs=33)
    pixels = view.preprocess(batch)
    view.embed_images(pixels)
    view.image_similarities(pixels, TEXTS[:3])
    view.similarity_gradients(pixels, TEXTS[:3])
    assert view.queries == QueryCounts(texts=5, images=10, pairs=36, gradients=3)


def test_empty_questions(view: View) -> None:
    assert view.similarities([], TEXTS).shape == (0, 4)
    assert view.similarities([], []).shape == (0, 0)
    assert view.labels([], TEXTS).shape == (0,)
    assert view.embed_texts([]).shape == (0, 16)
    cosines, gradients = view.similarity_gradients(torch.empty(0, 3, 16, 16), [])
    assert (cosines.shape, gradients.shape) == ((0,), (0, 3, 16, 16))


def test_wrong_questions_are_answered_with_a_sentence(view: View, photos: Photos) -> None:
    images = torch.zeros(2, 3, 16, 16)
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("1 texts for 2 images", lambda: view.similarity_gradients(images, ["a"])),
        ("3 texts for 2 images", lambda: view.paired_similarities(photos(2), TEXTS[:3])),
        ("not a list of strings", lambda: view.embed_texts("a person")),
        ("not a list of strings", lambda: view.embed_texts([1, 2])),  # type: ignore[list-item]
        ("without giving texts", lambda: view.labels(photos(2), [])),
        (r"shape \(2, 3, 8, 8\); probe takes", lambda: view.embed_images(torch.zeros(2, 3, 8, 8))),
        ("shape ndarray", lambda: view.embed_images(np.zeros((2, 3, 16, 16)))),  # type: ignore[arg-type]
        ("NaN or infinite", lambda: view.similarity_gradients(images * torch.nan, ["a", "b"])),
        ("NaN or infinite", lambda: view.embed_images(images + torch.inf)),
    ]
    for says, ask in wrong:
        with pytest.raises(MethodError, match=says):
            ask()


def test_weights_are_a_copy(view: View, small: LoadedTarget) -> None:
    copied = view.weights()
    assert not copied.training
    assert all(parameter.requires_grad for parameter in copied.parameters())
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert not any(parameter.requires_grad for parameter in small.model.parameters())
    assert any(bool(parameter.any()) for parameter in small.model.parameters())


def test_embeddings_given_out_are_not_the_views_own(view: View, photos: Photos) -> None:
    batch = photos(2)
    first = view.embed_photos(batch).copy()
    view.embed_photos(batch)[:] = 0
    view.embed_texts(TEXTS)[:] = 0
    np.testing.assert_array_equal(view.embed_photos(batch), first)
    assert view.embed_texts(TEXTS).any()


def test_photos_are_kept_in_the_cache_when_the_view_closes(small: LoadedTarget, photos: Photos, tmp_path: Path) -> None:
    view = View(small, Access.IMAGE_EMBEDDING, cache=tmp_path / "here")
    view.embed_photos(photos(2))
    view.close()
    assert len(list((tmp_path / "here").rglob("*.safetensors"))) == 1


def test_the_batch_shrinks_until_the_device_can_hold_it() -> None:
    limit, tried = 3, []

    def work(low: int, high: int) -> int:
        tried.append(high - low)
        if high - low > limit:
            raise torch.OutOfMemoryError
        return high - low

    batches = Batches(16)
    done = list(batches.run(20, work))
    assert [stop for _, stop, _ in done] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert tried[:4] == [16, 8, 4, 2]
    assert max(tried[3:]) == 2, "the smaller batch stays"
    limit = 0
    with pytest.raises(TargetError, match="not enough memory for a single input"):
        list(batches.run(1, work))


def test_gradients_survive_a_device_that_runs_out_of_memory(
    small: LoadedTarget, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(small, ALL)
    pixels = view.preprocess(photos(4))
    expected = view.similarity_gradients(pixels, TEXTS)
    encode: Any = small.model.encode_image

    def scarce(images: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        if len(images) > 1:
            raise torch.OutOfMemoryError
        result: torch.Tensor = encode(images, normalize=normalize)
        return result

    monkeypatch.setattr(small.model, "encode_image", scarce)
    for got, wanted in zip(View(small, ALL).similarity_gradients(pixels, TEXTS), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


def test_gradients_in_shorter_numbers_point_the_same_way(small: LoadedTarget, small_file: Path, photos: Photos) -> None:
    short = View(load_target(spec_of(small_file, SMALL, precision="bfloat16")), ALL)
    pixels = short.preprocess(photos(3))
    (cosines, gradients), (wanted, exact) = (
        view.similarity_gradients(pixels, TEXTS[:1] * 3) for view in (short, View(small, ALL))
    )
    assert gradients.dtype == torch.float32
    assert not torch.equal(gradients, exact)
    torch.testing.assert_close(cosines, wanted, rtol=0, atol=0.02)
    assert float(torch.nn.functional.cosine_similarity(gradients.flatten(1), exact.flatten(1), dim=1).min()) > 0.99


def test_the_memory_of_a_gradient_is_counted_on_one_image() -> None:
    """What autograd keeps, counted apart: everything that is saved once for each image, weights left out."""
    counted = []
    for layers in (1, 4):
        config = SMALL | {"vision_cfg": SMALL["vision_cfg"] | {"layers": layers}}
        model: Any = random_model(config).requires_grad_(False)
        images, texts = torch.randn(3, 3, 16, 16), torch.randn(3, 16)
        weights = (*model.parameters(), *model.buffers())

        def work(n: int, one: Any = model, left: Any = images, right: Any = texts) -> Any:
            return lambda: cosine_gradient(one, left[:n], right[:n])

        single, triple = (gradient_bytes(work(n), weights) for n in (1, 3))
        assert 2.5 * single < triple < 3.5 * single
        counted.append(single)
    assert counted[1] > 2.5 * counted[0]  # a deeper model takes more: no guess from the image's size sees that


def test_large_gradients_go_in_small_batches(
    small: LoadedTarget, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(small, ALL)
    pixels = view.preprocess(photos(4))
    expected = view.similarity_gradients(pixels, TEXTS)
    sizes: list[int] = []
    encode: Any = small.model.encode_image

    def watched(images: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        sizes.append(len(images))
        result: torch.Tensor = encode(images, normalize=normalize)
        return result

    monkeypatch.setattr(small.model, "encode_image", watched)
    monkeypatch.setitem(memory._BUDGET, "cpu", 1)
    for got, wanted in zip(View(small, ALL).similarity_gradients(pixels, TEXTS), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)
    assert sizes == [1] * 5  # one to count with, then each


def test_batches_follow_the_memory() -> None:
    cpu = torch.device("cpu")
    assert batch_for(cpu, 1, 128) == 128
    assert batch_for(cpu, 1 << 40, 128) == 1
    assert batch_for(cpu, 128 << 20, 128) == 4
    assert batch_for(torch.device("cuda"), 128 << 20, 128) == 64


def small_of(name: str) -> dict[str, Any]:
    """An architecture of open_clip with its own kind of image tower, in small."""
    config = open_clip.get_model_config(name)
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_name"] = "test_vit"  # timm's own for tests: 160 pixels, 64 wide, with the pooling asked for
        config["embed_dim"] = 64
    elif name == "RN50":
        vision.update(image_size=32, layers=[1, 1, 1, 1], width=8)
    else:
        vision.update(image_size=32, patch_size=8, width=32, layers=2, head_width=16)
    vision["image_size"] = 160 if "timm_model_name" in vision else 32
    kept = {key: value for key, value in config["text_cfg"].items() if key in ("no_causal_mask", "pool_type")}
    text = SMALL["text_cfg"] | kept
    return {"embed_dim": config["embed_dim"], "vision_cfg": vision, "text_cfg": text}


@pytest.mark.parametrize("name", ["RN50", "ViT-B-32", "ViT-B-16-SigLIP", "avatars-a"])
def test_every_kind_of_tower_answers_in_batches_and_from_the_cache_as_photo_by_photo(
    name: str, photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "avatars-a":
        target = load_target(resolve_target(name))
    else:
        save_file(state_of(random_model(small_of(name))), tmp_path / "model.safetensors")
        target = load_target(spec_of(tmp_path / "model.safetensors", small_of(name)))
    batch = photos(7, target.info.image_size[0])
    plain = torch.cat([reference(target, [one], TEXTS) for one in batch]).numpy()
    monkeypatch.setattr("idbench.targets.view.LARGEST_MATRIX", 4 * len(TEXTS) * 3)
    for _ in range(2):  # the second view finds what the first one kept
        view = View(target, ALL, cache=tmp_path / "kept")
        np.testing.assert_allclose(view.similarities(batch, TEXTS), plain, atol=1e-5)
        assert view.labels(batch, TEXTS).tolist() == plain.argmax(axis=1).tolist()
        view.close()
    images = view.preprocess(batch[:4])
    _, together = view.similarity_gradients(images, TEXTS)
    for place, text in enumerate(TEXTS):
        image = images[place : place + 1].clone().requires_grad_(True)
        model: Any = target.model
        words = model.encode_text(target.tokenize([text])).detach()
        torch.nn.functional.cosine_similarity(model.encode_image(image), words).sum().backward()
        assert image.grad is not None
        torch.testing.assert_close(together[place], image.grad[0], rtol=1e-3, atol=1e-5 * float(image.grad.abs().max()))
