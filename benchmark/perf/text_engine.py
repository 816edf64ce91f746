"""Times the engine: the text side of IDIA plain and by shared beginnings, photos, labels, and gradients by batch size.

python benchmark/perf/text_engine.py [TARGET] [--names 1000] [--photos 12000]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from idbench.api import Access, Photo, Silent
from idbench.targets import resolve_target
from idbench.targets.load import LoadedTarget, load_target
from idbench.targets.memory import Batches
from idbench.targets.texts import TextEncoder
from idbench.targets.view import View, cosine_gradient

PROMPTS = 21
FILLERS = ("{}", "a photo of {}", "a photo of a person named {}", "the name of the person is {}", "{} at a gala")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def texts_of(names: int) -> list[str]:
    """As many texts as IDIA asks for: PROMPTS templates of usual lengths for each name."""
    people = [f"Somebody{i % 40} Nobody{i}" for i in range(names)]
    return [
        f"{FILLERS[k % len(FILLERS)].format(name)}{' .' * (k // len(FILLERS))}"
        for k in range(PROMPTS)
        for name in people
    ]


@torch.no_grad()
def plain(target: LoadedTarget, texts: Sequence[str]) -> torch.Tensor:
    """open_clip's own path: every text at the full context."""
    model: Any = target.model
    return torch.cat([model.encode_text(target.tokenize(texts[i : i + 256])) for i in range(0, len(texts), 256)])


def report_texts(target: LoadedTarget, names: int) -> None:
    """The same embeddings both ways, with the largest difference."""
    texts = texts_of(names)
    results: dict[str, torch.Tensor] = {}
    slow = seconds(lambda: results.update(plain=plain(target, texts)))
    fast = seconds(lambda: results.update(cut=TextEncoder(target, Silent()).embed(texts)))
    difference = float((results["plain"] - results["cut"]).abs().max())
    print(f"{len(texts)} texts: full context {slow:.1f} s, by beginnings {fast:.1f} s, difference {difference:.1e}")


def report_photos(target: LoadedTarget, n: int, names: int) -> None:
    """Encoding, the second run that finds the embeddings on disk, and labels among `names` texts."""
    height, width = target.info.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    photos = [Photo(hashlib.sha256(p.tobytes()).hexdigest(), lambda p=p: p) for p in pixels]  # type: ignore[misc]
    texts = texts_of(names)[:names]
    with tempfile.TemporaryDirectory() as folder:
        view = View(target, ~Access.NONE, cache=Path(folder))
        first = seconds(lambda: view.embed_photos(photos))
        view.close()
        again = View(target, ~Access.NONE, cache=Path(folder))
        second = seconds(lambda: again.embed_photos(photos))
        again.embed_texts(texts)
        labels = seconds(lambda: again.labels(photos, texts))
    print(f"{n} photos: encoded {first:.1f} s, from the cache {second:.2f} s, labels of {names} texts {labels:.2f} s")


def report_gradients(target: LoadedTarget, images: int = 1024) -> None:
    """Milliseconds for the gradient of one image, by the size of the batch."""
    height, width = target.info.image_size
    pixels = torch.randn(images, 3, height, width)
    texts = torch.nn.functional.normalize(torch.randn(images, target.info.embedding_dim), dim=-1)

    def work(low: int, high: int) -> object:
        return cosine_gradient(target.model, pixels[low:high], texts[low:high])

    def walk(size: int) -> None:
        list(Batches(size).run(images, work))

    for size in (16, 32, 64, 128, 256, 512):
        walk(size)
        took = min(seconds(partial(walk, size)) for _ in range(3))
        print(f"batch {size}: {1000 * took / images:.3f} ms per image gradient")


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", default="avatars-a")
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--photos", type=int, default=12_000)
    arguments = parser.parse_args()
    target = load_target(resolve_target(arguments.target))
    print(f"{arguments.target}, {torch.get_num_threads()} threads")
    report_gradients(target)
    report_photos(target, arguments.photos, arguments.names)
    report_texts(target, arguments.names)


if __name__ == "__main__":
    main()
