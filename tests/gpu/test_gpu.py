"""What a GPU computes: the processor's answers, in batches that fit its memory, in whole runs and behind defenses.

Skipped where there is none. `BENCH_TEST_DEVICE=cpu` walks through most of them on the processor, on small targets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conftest import Bench
from tests.squares import VIT, pairs, spec
from tests.unit.targets.conftest import photo, random_model, spec_of, state_of

from idbench.api import Access, Silent
from idbench.targets import TargetSpec, resolve_target
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.stacked import train_stacked
from idbench.targets.texts import TextEncoder
from idbench.targets.train import train_target
from idbench.targets.view import View

DEVICE = os.environ.get("BENCH_TEST_DEVICE", "cuda")
ON_GPU = DEVICE == "cuda"
ALL = ~Access.NONE
TEXTS = [f"{start}{first} {last}" for start in ("", "a photo of ") for first in ("Ada", "Bo") for last in ("Xu", "Yu")]
TINY = ("--split", "avatars-tiny", "--corpus", "avatars-tiny-a", "--target", "avatars-a")

pytestmark = pytest.mark.skipif(ON_GPU and not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module", params=["avatars-a", "avatars-a-vit-b-16", *(["RN50", "ViT-B-32"] if ON_GPU else [])])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TargetSpec:
    """Shipped targets, and full-size ones of random weights."""
    if request.param.startswith("avatars"):
        return resolve_target(request.param)
    path = tmp_path_factory.mktemp("random") / "model.safetensors"
    config = open_clip.get_model_config(request.param)
    save_file(state_of(random_model(config)), path)
    return spec_of(path, config)


def view_of(target: LoadedTarget, tmp_path: Path) -> View:
    return View(target, ALL, cache=tmp_path / target.device.type, shadows=tmp_path / "shadows")


def photos_for(target: LoadedTarget, n: int) -> list[Any]:
    size = target.info.image_size[0]
    return [photo(np.random.default_rng(i).integers(0, 256, (size, size, 3), dtype=np.uint8)) for i in range(n)]


def turned(left: Any, right: Any) -> float:
    """Largest angle between rows, as 1 - cosine."""
    one, other = (torch.as_tensor(rows).double().cpu().flatten(1) for rows in (left, right))
    return float(1 - torch.nn.functional.cosine_similarity(one, other, dim=1).min())


def test_it_gives_the_answers_of_the_processor(model: TargetSpec, tmp_path: Path) -> None:
    here, there = (load_target(model, device) for device in ("cpu", DEVICE))
    photos = photos_for(here, 8)
    left, right = view_of(here, tmp_path), view_of(there, tmp_path)
    np.testing.assert_allclose(right.similarities(photos, TEXTS), left.similarities(photos, TEXTS), atol=1e-5)
    for ask in (lambda view: view.embed_photos(photos), lambda view: view.embed_texts(TEXTS)):
        wanted = ask(left)
        np.testing.assert_allclose(ask(right), wanted, atol=2e-5 * float(np.linalg.norm(wanted, axis=1).max()))
    pixels = left.preprocess(photos)
    (cosines, gradients), (own_cosines, own_gradients) = (
        view.similarity_gradients(pixels, TEXTS) for view in (left, right)
    )
    assert own_gradients.device.type == DEVICE
    torch.testing.assert_close(own_cosines.cpu(), cosines, rtol=0, atol=1e-5)
    assert turned(own_gradients, gradients) < 1e-5


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_shorter_numbers_give_nearly_the_same_answers(model: TargetSpec, tmp_path: Path, precision: str) -> None:
    if precision == "float16" and not ON_GPU:
        pytest.skip("processors are not asked for float16")
    exact = load_target(model, DEVICE)
    short = replace(exact, spec=exact.spec.model_copy(update={"precision": precision}))
    photos = photos_for(exact, 8)
    one, other = view_of(exact, tmp_path), view_of(short, tmp_path)
    coarse = 0.03 if precision == "bfloat16" else 0.004
    found, wanted = other.similarities(photos, TEXTS), one.similarities(photos, TEXTS)
    assert 0 < np.abs(found - wanted).max() < coarse
    pixels = one.preprocess(photos)
    (_, exact_gradients), (_, short_gradients) = (v.similarity_gradients(pixels, TEXTS) for v in (one, other))
    assert short_gradients.dtype == torch.float32
    assert turned(short_gradients, exact_gradients) < 4 * coarse
    assert (
        TextEncoder(short, Silent()).computes_beginnings_once == TextEncoder(exact, Silent()).computes_beginnings_once
    )


@pytest.fixture
def scarce() -> Iterator[Any]:
    """Leaves a GPU less memory than a usual batch takes; returns what sets the bytes."""

    def leave(more: int) -> None:
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / whole)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(not ON_GPU, reason="a processor's memory is not counted")
def test_where_memory_runs_out_batches_are_halved(tmp_path: Path, scarce: Any) -> None:
    path = tmp_path / "model.safetensors"
    config = open_clip.get_model_config("ViT-B-32")
    save_file(state_of(random_model(config)), path)
    target = load_target(spec_of(path, config), DEVICE)
    photos, texts = photos_for(target, 512), [f"a photo of number {i} with {i * i % 977} others" for i in range(4000)]
    roomy = view_of(target, tmp_path / "roomy")
    pixels, wanted = roomy.preprocess(photos[:64]), roomy.embed_texts(texts)
    embedded, slopes = roomy.embed_photos(photos), roomy.similarity_gradients(pixels, texts[:64])
    scarce(220 << 20)
    tight = view_of(target, tmp_path / "tight")
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(400 << 20, dtype=torch.uint8, device=DEVICE)
    for found, exact in ((tight.embed_photos(photos), embedded), (tight.embed_texts(texts), wanted)):
        assert turned(found, exact) < 1e-6
    before = torch.cuda.memory_stats()["num_ooms"]
    cosines, gradients = tight.similarity_gradients(pixels, texts[:64])
    torch.testing.assert_close(cosines, slopes[0], rtol=0, atol=1e-5)
    assert turned(gradients, slopes[1]) < 1e-5
    assert torch.cuda.memory_stats()["num_ooms"] > before > 1, "the memory was not scarce enough to show anything"


def test_models_trained_together_are_those_trained_one_by_one(tmp_path: Path) -> None:
    specs = [spec(VIT, seed=seed) for seed in range(3)]
    sets = [pairs(40, seed=seed) for seed in range(3)]
    alone = [tmp_path / f"alone-{k}.safetensors" for k in range(3)]
    together = [tmp_path / f"together-{k}.safetensors" for k in range(3)]
    for one, data, path in zip(specs, sets, alone, strict=True):
        train_target(one, data, path, device=DEVICE)
    train_stacked(specs, sets, together, DEVICE)
    for one_path, other_path in zip(alone, together, strict=True):
        left, right = load_file(one_path), load_file(other_path)
        norm = torch.cat([tensor.double().flatten() for tensor in left.values()]).norm()
        moved = torch.cat([(left[name].double() - right[name].double()).flatten() for name in left]).norm()
        assert float(moved / norm) < 1e-3


def run(bench: Bench, *arguments: str, device: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """The record and the scores of one run."""
    results = bench.cwd / device
    done = bench("run", *arguments, *TINY, "--device", device, "--results", str(results), "--json")
    assert done.returncode == 0, done.stderr
    (path,) = (one for one in results.rglob("run.json") if one.parent.name.startswith(arguments[1]))
    return json.loads(path.read_text()), pd.read_parquet(path.with_name("scores.parquet"))


@pytest.mark.parametrize("method", ["cosine", "idia", "binding", "tuni", "gradient", "batchnorm", "rmia"])
def test_a_run_finds_what_a_run_on_the_processor_finds(tmp_path: Path, method: str) -> None:
    options = {"rmia": ("-p", "epochs=0.1"), "tuni": ("-p", "steps=4")}.get(method, ())
    bench = Bench(tmp_path)
    record, scores = run(bench, "-m", method, *options, device=DEVICE)
    assert record["environment"]["device"] == DEVICE
    if ON_GPU:
        assert record["environment"]["device_model"] == torch.cuda.get_device_name()
    _, wanted = run(bench, "-m", method, *options, device="cpu")
    merged = scores.merge(wanted, on="identity", suffixes=("", "_cpu"))
    assert len(merged) == len(wanted)
    rank = merged["score"].corr(merged["score_cpu"], method="spearman")
    # Trained and optimized models drift apart from the first rounding on.
    assert rank > {"rmia": 0.5, "tuni": 0.5}.get(method, 0.999)


@pytest.mark.parametrize("defense", ["fine-tune", "noise"])
def test_defenses_are_made_and_kept_on_a_gpu_too(tmp_path: Path, defense: str) -> None:
    record, scores = run(Bench(tmp_path), "-m", "cosine", "--defense", defense, device=DEVICE)
    assert record["defense"]["name"] == defense
    assert scores["score"].notna().all()
