"""Speed, measured: every claim against the straightforward way in the same process, with the largest difference.

`bench perf` runs each claim in a process of its own, so that its peak memory is its own: `python -m idbench.performance
CLAIM [--full] [--device cuda]`. On a processor, processor seconds are compared, on one thread: a busy machine stretches
the clock, not them. On a GPU it is the clock, from an idle GPU to an idle GPU, and the peak is the GPU's own memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from idbench.errors import IdbenchError


@dataclass(frozen=True, slots=True)
class MeasuredClaim:
    """One claim, measured.

    Args:
        claim: what was done, with its size.
        plain: seconds of the straightforward way, as `Conditions.timed` counts them, scaled where it was done on a part
            (`scaled`).
        fast: seconds of idbench's way; None where there is nothing to compare.
        difference: largest difference of the results; None where nothing is compared.
        scaled: which part of the work the straightforward way was timed on; 1 for all.
        peak_mb: on a processor the largest resident memory of the process, in MiB, the model's and the libraries'
            included; on a GPU the most that torch held of its memory.
        hardware: what computed: a GPU's own name, or `cpu`.
    """

    claim: str
    plain: float | None
    fast: float
    difference: float | None
    scaled: float
    peak_mb: float
    hardware: str = "cpu"

    @property
    def ratio(self) -> float | None:
        """How many times less idbench's way takes."""
        return None if self.plain is None else self.plain / self.fast


@dataclass(frozen=True, slots=True)
class ClaimTiming:
    """What a claim's function measures; see `MeasuredClaim`."""

    claim: str
    plain: float | None
    fast: float
    difference: float | None
    scaled: float = 1.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a claim is measured.

    Args:
        full: at full size.
        device: `cpu`, `cuda`, `cuda:1`, ...
    """

    full: bool
    device: str = "cpu"

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.device.startswith("cuda")

    def timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """What `work` returns, and the seconds that it took: of the processor, or by the clock where a GPU computes."""
        if not self.on_gpu:
            begin = time.process_time()
            result = work()
            return result, time.process_time() - begin
        import torch

        torch.cuda.synchronize()
        begin = time.perf_counter()
        result = work()
        torch.cuda.synchronize()  # what was asked of a GPU is finished later than it is asked
        return result, time.perf_counter() - begin


def texts(how: Conditions) -> ClaimTiming:
    """IDIA's prompts on ViT-B-32 with random weights: the trie against `encode_text` at the full context."""
    import torch

    from idbench.api import Silent
    from idbench.targets.texts import TextEncoder

    target = _random_target("ViT-B-32", how.device)
    prompts = _prompts(1000 if how.full else 100)
    every = 40 if how.full else 20
    rows = list(range(0, len(prompts), every))
    model: Any = target.model
    with torch.no_grad():
        model.encode_text(target.tokenize(prompts[:8]).to(target.device))
        parts = [target.tokenize([prompts[i] for i in part]).to(target.device) for part in _parts(rows, 64)]
        plain, slow = how.timed(lambda: torch.cat([model.encode_text(part) for part in parts]))
    found, fast = how.timed(lambda: TextEncoder(target, Silent()).embed(prompts))
    difference = float((found[rows] - plain).abs().max())
    return ClaimTiming(f"{len(prompts):,} prompts, ViT-B-32", slow * every, fast, difference, 1 / every)


def photos(how: Conditions) -> ClaimTiming:
    """Photos decoded, checked, resized and encoded, against the bare encoder on tensors that are there."""
    import torch

    from idbench.api import Silent
    from idbench.targets.images import PhotoEncoder, encode_images

    target = _random_target("ViT-B-32", how.device)
    given = _photos(512 if how.full else 96, 256)
    ordered = sorted(given, key=lambda photo: photo.digest)
    with tempfile.TemporaryDirectory() as folder:
        encoder = PhotoEncoder(target, Path(folder), Silent())
        pixels = encoder.preprocess(ordered)
        encode_images(target, pixels[:8])
        size = encoder.batch_size
        bare, slow = how.timed(lambda: torch.cat([encode_images(target, part) for part in torch.split(pixels, size)]))
        found, fast = how.timed(lambda: encoder.embed(ordered))
    difference = float(np.abs(found - bare.cpu().numpy()).max())
    return ClaimTiming(f"{len(given)} photos, ViT-B-32: over the bare encoder", slow, fast, difference)


def kept(how: Conditions) -> ClaimTiming:
    """Photos whose embeddings another run kept, 48 of them computed again, against encoding them all."""
    from idbench.api import Silent
    from idbench.targets import resolve_target
    from idbench.targets.images import PhotoEncoder
    from idbench.targets.load import load_target

    target = load_target(resolve_target("avatars-a"), how.device)
    given = _photos(12_000 if how.full else 4_000, target.info.image_size[0])
    with tempfile.TemporaryDirectory() as folder:
        first = PhotoEncoder(target, Path(folder), Silent())
        plain, slow = how.timed(lambda: first.embed(given))
        first.save()
        found, fast = how.timed(lambda: PhotoEncoder(target, Path(folder), Silent()).embed(given))
    return ClaimTiming(
        f"{len(given):,} photos from the cache, avatars-a", slow, fast, float(np.abs(found - plain).max())
    )


def labels(how: Conditions) -> ClaimTiming:
    """Labels of photos among 1000 names, in blocks, against one matrix of all similarities."""
    import torch

    from idbench.api import Access
    from idbench.targets import resolve_target
    from idbench.targets.load import load_target
    from idbench.targets.view import View

    target = load_target(resolve_target("avatars-a"), how.device)
    given = _photos(20_000 if how.full else 5_000, target.info.image_size[0])
    names = [f"Somebody Nobody{i}" for i in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        view = View(target, Access.LABEL | Access.TEXT_EMBEDDING | Access.IMAGE_EMBEDDING, cache=Path(folder))
        both = (
            torch.from_numpy(rows).to(target.device) for rows in (view.embed_photos(given), view.embed_texts(names))
        )
        left, right = (torch.nn.functional.normalize(rows, dim=1) for rows in both)
        plain, slow = how.timed(lambda: (left @ right.T).argmax(dim=1).cpu().numpy())
        found, fast = how.timed(lambda: view.labels(given, names))
    return ClaimTiming(f"labels of {len(given):,} photos x 1,000 names", slow, fast, float((found != plain).mean()))


def bootstrap(how: Conditions) -> ClaimTiming:
    """Bootstrap of AUC and TPR at three rates over 10,000 people, against a loop over scikit-learn."""
    from sklearn.metrics import roc_auc_score, roc_curve

    from idbench import metrics

    rng = np.random.default_rng(0)
    members = rng.permutation(np.arange(10_000) < 5_000)
    scores = rng.normal(size=10_000) + 0.5 * members
    draws, few = (10_000, 40) if how.full else (10_000, 10)

    def plain() -> list[float]:
        found = []
        inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
        for _ in range(few):
            chosen = np.concatenate([rng.choice(inside, inside.size), rng.choice(outside, outside.size)])
            fpr, tpr, _thresholds = roc_curve(members[chosen], scores[chosen], drop_intermediate=False)
            found.append(float(roc_auc_score(members[chosen], scores[chosen])))
            found += [float(tpr[fpr <= rate].max()) for rate in (0.1, 0.01, 0.001)]
        return found

    _, slow = how.timed(plain)
    _, fast = how.timed(lambda: metrics.bootstrap(scores, members, (0.1, 0.01, 0.001), draws=draws))
    return ClaimTiming(f"{draws:,} bootstrap draws, 10,000 people", slow * draws / few, fast, None, few / draws)


def people(how: Conditions, n: int) -> ClaimTiming:
    """IDIA itself on synthetic people with 10 photos each, pools of 1000 names: seconds for each thousand people."""
    from idbench.api import Case, Context, Silent
    from idbench.runner.registry import load_attack, make_method
    from idbench.targets.view import View

    target = _synthetic_target(how.device)
    attack: Any = make_method(load_attack("idia"), None, {"templates": ("{}",), "pool_size": 1000})
    given = _tiny_photos(10 * n)
    cases = [Case(f"case-{i:06x}", f"somebody {i:06d}", given[10 * i : 10 * i + 10]) for i in range(n)]
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            seed=0,
            device=how.device,
            cache=Path(folder),
            progress=Silent(),
            candidates=tuple(f"nobody {i:04d}" for i in range(1000)),
        )
        view = View(target, attack.card.access, cache=Path(folder))
        _, fast = how.timed(lambda: attack.score(view, cases, context))
    return ClaimTiming(f"{n:,} people x 10 photos x 1,000 names, 512 wide", None, fast, None)


def half_texts(how: Conditions) -> ClaimTiming:
    """IDIA's prompts by their beginnings, computed in bfloat16 against float32."""
    prompts = _prompts(1000 if how.full else 20)
    return _half_encoded(how, f"{len(prompts):,} prompts", lambda target: _texts_of(target, prompts))


def half_photos(how: Conditions) -> ClaimTiming:
    """Photos that are ready on the device, computed in bfloat16 against float32."""
    import torch

    n = 4096 if how.full else 64
    pixels = torch.rand(n, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(how.device)
    return _half_encoded(how, f"{n:,} photos", lambda target: _images_of(target, pixels))


def half_gradients(how: Conditions) -> ClaimTiming:
    """Gradients of cosines by pixels, as TUNI asks for them, computed in bfloat16 against float32."""
    import torch

    from idbench.targets.view import cosine_gradient

    n = 512 if how.full else 16
    generator = torch.Generator().manual_seed(0)
    target = _random_target("ViT-B-32", how.device)
    pixels = torch.rand(n, 3, 224, 224, generator=generator).to(how.device)
    texts = torch.nn.functional.normalize(torch.rand(n, 512, generator=generator).to(how.device), dim=1)

    def gradients(half: torch.dtype | None) -> torch.Tensor:
        parts = zip(torch.split(pixels, 64), torch.split(texts, 64), strict=True)
        return torch.cat([cosine_gradient(target.model, *part, half)[1].flatten(1) for part in parts])

    for half in (None, torch.bfloat16) if how.on_gpu else ():
        cosine_gradient(target.model, pixels[:64], texts[:64], half)  # kernels are chosen at the first call
    exact, slow = how.timed(lambda: gradients(None))
    rounded, fast = how.timed(lambda: gradients(torch.bfloat16))
    turned = float(1 - torch.nn.functional.cosine_similarity(exact, rounded, dim=1).min())
    return ClaimTiming(f"{n} gradients, ViT-B-32, bfloat16: 1 - cosine with float32's", slow, fast, turned)


def _half_encoded(how: Conditions, what: str, encode: Callable[[Any], Any]) -> ClaimTiming:
    """Seconds in both precisions, and the largest change of a cosine with the embeddings of fifty names."""
    from torch.nn.functional import normalize

    exact = _random_target("ViT-B-32", how.device)
    short = replace(exact, spec=exact.spec.model_copy(update={"precision": "bfloat16"}))
    names = [f"Somebody Nobody{i}" for i in range(50)]
    ends = [normalize(_texts_of(target, names), dim=1) for target in (exact, short)]
    for target in (exact, short) if how.on_gpu else ():
        encode(target)  # kernels are chosen at the first call
    plain, slow = how.timed(lambda: encode(exact))
    found, fast = how.timed(lambda: encode(short))
    cosines = [normalize(rows, dim=1) @ end.T for rows, end in zip((plain, found), ends, strict=True)]
    moved = float((cosines[0] - cosines[1]).abs().max())
    return ClaimTiming(f"{what}, ViT-B-32, bfloat16 against float32: change of a cosine", slow, fast, moved)


def _texts_of(target: Any, texts: list[str]) -> Any:
    from idbench.api import Silent
    from idbench.targets.texts import TextEncoder

    return TextEncoder(target, Silent()).embed(texts)


def _images_of(target: Any, pixels: Any) -> Any:
    import torch

    from idbench.targets.images import encode_images

    return torch.cat([encode_images(target, part) for part in torch.split(pixels, 256)])


CLAIMS: Final[dict[str, Callable[[Conditions], ClaimTiming]]] = {
    "texts": texts,
    "photos": photos,
    "kept": kept,
    "labels": labels,
    "bootstrap": bootstrap,
    "people-1000": partial(people, n=1_000),
    "people-10000": partial(people, n=10_000),
    "people-100000": partial(people, n=100_000),
    "half-texts": half_texts,
    "half-photos": half_photos,
    "half-gradients": half_gradients,
}
SLOW: Final = {"people-100000"}
"""Claims that are measured with `--full` alone."""

_HALF: Final = {"half-texts", "half-photos", "half-gradients"}


def usual_claims(how: Conditions) -> list[str]:
    """What is measured where no claim is named: shorter numbers on a GPU alone, what no GPU computes on a processor."""
    left_out = {"bootstrap"} if how.on_gpu else _HALF
    return [name for name in CLAIMS if name not in left_out and (how.full or name not in SLOW)]


def measure(name: str, how: Conditions) -> MeasuredClaim:
    """Measure a claim in a process of its own.

    Raises:
        IdbenchError: it failed.
    """
    command = [sys.executable, "-m", "idbench.performance", name, "--device", how.device]
    if how.full:
        command.append("--full")
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own module
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise IdbenchError(f"The measurement of {name} failed: {reason}")
    return MeasuredClaim(**json.loads(done.stdout.splitlines()[-1]))


def table(rows: Sequence[MeasuredClaim]) -> list[tuple[str, str, str, str, str, str]]:
    """Rows as text: claim, straightforward, idbench, ratio, largest difference, peak memory."""
    shown = []
    for row in rows:
        plain = (
            "" if row.plain is None else f"{row.plain:.2f} s{'' if row.scaled == 1 else f' (from {row.scaled:.1%})'}"
        )
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x" if row.ratio < 10 else f"{row.ratio:.0f}x"
        off = "" if row.difference is None else f"{row.difference:.1e}" if row.difference else "0"
        shown.append((row.claim, plain, f"{row.fast:.2f} s", ratio, off, f"{row.peak_mb:,.0f} MiB"))
    return shown


def _random_target(architecture: str, device: str) -> Any:
    """A target of an architecture with random weights."""
    import open_clip

    return _loaded(open_clip.get_model_config(architecture), device)


def _synthetic_target(device: str) -> Any:
    """A target of real size in its embeddings and none in its towers: photos are four pixels, projected."""
    return _loaded(
        {
            "embed_dim": 512,
            "vision_cfg": {"image_size": 2, "layers": 1, "width": 16, "head_width": 16, "patch_size": 2},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        },
        device,
    )


def _loaded(config: dict[str, Any], device: str) -> Any:
    import torch
    from safetensors.torch import save_file

    from idbench.targets import LocalFile, TargetSpec
    from idbench.targets.load import build_model, load_target

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        weights = build_model(config, "random").state_dict()
        save_file({name: value.contiguous() for name, value in weights.items()}, path)
        return load_target(
            TargetSpec(
                name="random", version="1", title="random", architecture=config, weights=LocalFile(path=str(path))
            ),
            device,
        )


def _prompts(names: int) -> list[str]:
    """IDIA's templates around the first names of `avatars`."""
    from idbench.api import Silent
    from idbench.runner.registry import load_attack
    from idbench.runner.spec import plan_method
    from idbench.splits import load_split

    templates = plan_method(load_attack("idia")).parameters["templates"]
    people = load_split("avatars", Silent()).candidate_names[:names]
    return [template.replace("{}", name) for template in templates for name in people]


def _photos(n: int, side: int) -> list[Any]:
    from idbench.api import Photo

    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return [Photo(f"{i:064x}", partial(_row, pixels, i)) for i in range(n)]


def _row(pixels: NDArray[np.uint8], i: int) -> NDArray[np.uint8]:
    one: NDArray[np.uint8] = pixels[i]
    return one


def _tiny_photos(n: int) -> list[Any]:
    from idbench.api import Photo

    values = np.random.default_rng(0).integers(0, 256, (n, 2, 2, 3), dtype=np.uint8)
    return [Photo(f"{i:064x}", partial(_row, values, i)) for i in range(n)]


def _parts(rows: list[int], size: int) -> list[list[int]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def main() -> None:
    """Measure one claim and print it as JSON."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("claim", choices=list(CLAIMS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    how = Conditions(given.full, given.device)
    if how.on_gpu:
        torch.cuda.set_device(torch.device(given.device).index or 0)
    else:
        torch.set_num_threads(1)
    found = CLAIMS[given.claim](how)
    if how.on_gpu:
        peak, hardware = torch.cuda.max_memory_allocated() / 2**20, torch.cuda.get_device_name()
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak, hardware = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, "cpu"
    measured = MeasuredClaim(**asdict(found), peak_mb=peak, hardware=hardware)
    sys.stdout.write(json.dumps(asdict(measured)) + "\n")


if __name__ == "__main__":
    main()
