"""Times shadow training: K models together (stacked parameters) against one after the other, with the same result.

python benchmark/perf/shadows.py [TARGET] [--models 8] [--pairs 512] [--epochs 2] [--device auto]

Training data are random pictures with random captions: the time of a step does not depend on what is on them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from idbench.storage import sha256_bytes
from idbench.targets import TargetSpec, resolve_target
from idbench.targets.shadow_store import ShadowData
from idbench.targets.stacked import train_stacked
from idbench.targets.train import Trained, train_target, trainable


def training_sets(spec: TargetSpec, models: int, pairs: int) -> list[ShadowData]:
    """Random pairs of the size that the target takes, others for each model."""
    _, config = trainable(spec)
    size = config["vision_cfg"]["image_size"]
    rng = np.random.default_rng(0)
    pool = rng.integers(0, 256, (models * pairs, size, size, 3), dtype=np.uint8)
    captions = [f"a photo of person {i} in a picture" for i in range(pairs)]
    return [
        ShadowData(pool, np.arange(k * pairs, (k + 1) * pairs), np.arange(pairs), captions, sha256_bytes(b"%d" % k))
        for k in range(models)
    ]


def specs_of(spec: TargetSpec, models: int, epochs: int, batch: int) -> list[TargetSpec]:
    """The target's recipe with as many seeds as models."""
    recipe, _ = trainable(spec)
    changed = {"epochs": epochs, "restarts": (), "batch_size": min(recipe.batch_size, batch), "warmup_steps": 2}
    return [
        spec.model_copy(update={"recipe": recipe.model_copy(update=changed | {"seed": seed}), "golden_sha256": None})
        for seed in range(models)
    ]


def largest_difference(one: Trained, other: Trained) -> float:
    """Norm of the difference of all weights, relative to their norm."""
    left, right = load_file(one.path), load_file(other.path)
    moved = torch.cat([(left[name].double() - right[name].double()).flatten() for name in left])
    return float(moved.norm() / torch.cat([tensor.double().flatten() for tensor in left.values()]).norm())


def main() -> None:
    """Print seconds and steps a second of both ways, and how far the models differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="avatars-a")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    spec = resolve_target(options.target)
    sets = training_sets(spec, options.models, options.pairs)
    specs = specs_of(spec, options.models, options.epochs, options.pairs)
    with tempfile.TemporaryDirectory() as name:
        outs = [Path(name) / f"{way}-{k}.safetensors" for way in ("alone", "stacked") for k in range(options.models)]
        alone_outs, stacked_outs = outs[: options.models], outs[options.models :]
        warm = Path(name) / "warm.safetensors"
        train_target(specs[0], sets[0], warm, device=device)  # kernels are chosen and compiled at the first step
        train_stacked(specs[:1], sets[:1], [warm], device)
        start, start_cpu = time.perf_counter(), time.process_time()
        alone = [train_target(s, d, o, device=device) for s, d, o in zip(specs, sets, alone_outs, strict=True)]
        middle, middle_cpu = time.perf_counter(), time.process_time()
        together = train_stacked(specs, sets, stacked_outs, device)
        end, end_cpu = time.perf_counter(), time.process_time()
        worst = max(largest_difference(one, other) for one, other in zip(alone, together, strict=True))
    steps = sum(one.steps for one in alone)
    ways = {
        "one after the other": (middle - start, middle_cpu - start_cpu),
        "together": (end - middle, end_cpu - middle_cpu),
    }
    print(f"{spec.name}, {options.models} models, {steps} steps in all, {device}, {torch.get_num_threads()} threads")
    for way, (seconds, cpu) in ways.items():
        print(f"{way:>20}: {seconds:7.2f} s, {steps / seconds:6.1f} steps/s, {cpu:7.2f} s of processor time")
    (first, first_cpu), (second, second_cpu) = ways.values()
    print(f"{'ratio':>20}: {first / second:7.2f}, of processor time {first_cpu / second_cpu:.2f}")
    print(f"{'weights differ by':>20}: {worst:.1e} of their norm")


if __name__ == "__main__":
    main()
