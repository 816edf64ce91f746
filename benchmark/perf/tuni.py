"""Times TUNI's optimization: all texts and runs in one batch against one image at a time, with the same numbers.

python benchmark/perf/tuni.py [TARGET] [--texts 64] [--runs 4] [--steps 10]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from idbench.api import Context, Silent
from idbench.targets import resolve_target
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.view import View
from idbench_methods.attacks.tuni import CARD, TuniParams
from idbench_methods.attacks.tuni.features import features_of, spread
from idbench_methods.attacks.tuni.gibberish import ALPHABET, gibberish
from idbench_methods.attacks.tuni.starts import beginnings

Rows = dict[str, tuple[float, float]]
"""Similarity and spread of each text."""


def batched(view: View, texts: list[str], params: TuniParams, context: Context) -> Rows:
    """As the method does it."""
    found = features_of(view, texts, params, context, what="")
    return {features.text: (features.similarity, features.spread) for features in found}


def one_by_one(
    target: LoadedTarget, view: View, texts: list[str], params: TuniParams, context: Context
) -> Iterator[tuple[str, tuple[float, float]]]:
    """As the paper's code was described: one text, one run, one step after the other, the text encoded at each step."""
    begin = beginnings(view, params, context)
    for text in texts:
        start = begin(text)
        ends = []
        for run in range(params.runs):
            rows, columns = start.crops.rows[run], start.crops.columns[run]
            ends.append(_optimized(target, text, start.images[run : run + 1], rows, columns, params))
        embeddings = np.stack([embedding for _, embedding in ends])
        yield text, (float(np.mean([cosine for cosine, _ in ends])), float(spread(embeddings)))


def _optimized(
    target: LoadedTarget, text: str, start: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, params: TuniParams
) -> tuple[float, NDArray[np.float32]]:
    """Final cosine and raw embedding of one run, by torch's own optimizer and autograd."""
    model: Any = target.model
    pixels = start.clone().requires_grad_(True)
    kind = torch.optim.Adam if params.optimizer == "adam" else torch.optim.SGD
    optimizer = kind([pixels], lr=params.learning_rate, maximize=True)

    def cosine() -> tuple[torch.Tensor, torch.Tensor]:
        wanted = model.encode_text(target.tokenize([text]))
        seen = model.encode_image(rows @ pixels @ columns.T)
        return torch.nn.functional.cosine_similarity(seen, wanted)[0], seen[0]

    for _ in range(params.steps):
        optimizer.zero_grad()
        cosine()[0].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        similarity, embedding = cosine()
    return float(similarity), embedding.numpy()


def main() -> None:
    """Time both, compare the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", default="avatars-a")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--slow-texts", type=int, default=8, help="texts of the slow way")
    parser.add_argument("--runs", type=int, default=TuniParams().runs)
    parser.add_argument("--steps", type=int, default=TuniParams().steps)
    parser.add_argument("--slots", type=int, default=TuniParams().slots)
    given = parser.parse_args()
    target = load_target(resolve_target(given.target))
    params = TuniParams(runs=given.runs, steps=given.steps, slots=given.slots, start="noise", tolerance=0.0)
    texts = gibberish(given.texts, (6, 16), ALPHABET, avoid=(), rng=np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        context = Context(seed=0, device="cpu", cache=Path(folder), progress=Silent())
        view = View(target, CARD.access, cache=Path(folder))
        batched(view, texts[:8], params, context)
        begun = time.perf_counter()
        fast = batched(view, texts, params, context)
        fast_each = (time.perf_counter() - begun) / len(texts) / params.runs / params.steps
        begun = time.perf_counter()
        slow = dict(one_by_one(target, view, texts[: given.slow_texts], params, context))
        slow_each = (time.perf_counter() - begun) / len(slow) / params.runs / params.steps
    difference = np.abs(np.array([fast[text] for text in slow]) - np.array(list(slow.values()))).max(axis=0)
    print(f"{given.target}, {torch.get_num_threads()} threads, {params.runs} runs of {params.steps} steps")
    print(f"batched, {len(texts)} texts: {1000 * fast_each:.3f} ms per image gradient")
    print(f"one by one, {len(slow)} texts: {1000 * slow_each:.3f} ms per image gradient, {slow_each / fast_each:.1f} x")
    print(f"largest difference: similarity {difference[0]:.1e}, spread {difference[1]:.1e}")


if __name__ == "__main__":
    main()
