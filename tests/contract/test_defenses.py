"""The contract that every defense of weights keeps, on a real (tiny, random) CLIP: those shipped, and two samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from idbench.api import Case, Context, Knowledge, Pair, Photo, Silent, TargetDefense
from idbench.runner.registry import DEFENSES, RegisteredDefense, make_method
from idbench.storage import sha256_bytes
from idbench.targets import LocalFile, TargetSpec
from idbench.targets.avatars import MERGES
from idbench.targets.defended import defended_target
from idbench.targets.defending import defend_target
from idbench.targets.fetch import pin_target
from idbench.targets.load import build_model, load_target

CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 849, "width": 16, "heads": 2, "layers": 1},
}
NAMES = ["Mara Ohm", "José Ñandú", "李 雷", "Bo", "X" * 400, "{} {0} %s", "", "Mara Ohm-Veld", "ß 🙂"]
SHIPPED = [
    plugin.name
    for plugin in DEFENSES.plugins()
    if plugin.distribution.startswith("idbench ") and issubclass(DEFENSES.checked(plugin), TargetDefense)
]

State = dict[str, torch.Tensor]


def photos(n: int, seed: int) -> tuple[Photo, ...]:
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, 256, (20, 18, 3), dtype=np.uint8) for _ in range(n)]
    return tuple(Photo(hashlib.sha256(p.tobytes()).hexdigest(), lambda p=p: p) for p in drawn)


@pytest.fixture
def base(tmp_path: Path) -> TargetSpec:
    path = tmp_path / "random.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(CONFIG, "random")
    save_file({name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}, path)
    spec = TargetSpec(
        name="random",
        version="1",
        title="random weights",
        architecture=CONFIG,
        tokenizer=MERGES,
        weights=LocalFile(path=str(path)),
    )
    return pin_target(spec)


@pytest.fixture(params=[*SHIPPED, "sample-identity", "sample-noise"])
def defend(
    request: pytest.FixtureRequest, base: TargetSpec, tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., State]:
    plugin = DEFENSES.plugin(request.param)
    registered = RegisteredDefense(plugin, plugin.load())  # here, as its worker does: the samples are strangers'
    calls = iter(range(99))

    def go(people: Sequence[tuple[str, tuple[Photo, ...]]], *, seed: int = 0, prefix: str = "p") -> State:
        # Every call computes: what an earlier one left must not stand in for it.
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / f"cache-{next(calls)}"))
        # The contract holds for any budget; a few steps show it in seconds.
        few = {"steps": 3} if "steps" in registered.kind.Params.model_fields else {}
        defense = make_method(registered, None, few)
        assert isinstance(defense, TargetDefense)
        knows = defense.knowledge
        cases = [
            Case(
                f"{prefix}{i}",
                name if Knowledge.NAME in knows else None,
                own if Knowledge.PHOTOS in knows else None,
            )
            for i, (name, own) in enumerate(people)
        ]
        pairs = tuple(Pair(photo, "a photo of somebody") for photo in photos(4, 900))
        context = Context(
            seed, "cpu", tmp_path / "own", Silent(), pairs=pairs if Knowledge.PUBLIC_PAIRS in knows else None
        )
        spec = defended_target(base, registered.applied(defense, seed, sha256_bytes(b"given")))
        return load_target(defend_target(spec, defense, cases, context)).model.state_dict()

    return go


def everybody() -> list[tuple[str, tuple[Photo, ...]]]:
    return [(name, photos(3, seed)) for seed, name in enumerate(NAMES)]


def same(one: State, other: State, **tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **(tolerance or {"rtol": 0.0, "atol": 0.0}))


def test_deterministic_for_a_seed(defend: Callable[..., State]) -> None:
    same(defend(everybody(), seed=3), defend(everybody(), seed=3))


def test_the_order_of_the_protected_says_nothing(defend: Callable[..., State]) -> None:
    people = everybody()
    same(defend(people), defend(people[::-1]), rtol=1e-3, atol=1e-4)


def test_ids_say_nothing(defend: Callable[..., State]) -> None:
    same(defend(everybody()), defend(everybody(), prefix="another-"))


@pytest.mark.parametrize("people", [[], [("Mara Ohm", ())], [("Mara Ohm", photos(1, 0))] * 2], ids=["0", "1", "twice"])
def test_whoever_is_protected_the_weights_can_be_used(
    defend: Callable[..., State], base: TargetSpec, people: list[tuple[str, tuple[Photo, ...]]]
) -> None:
    assert defend(people).keys() == load_target(base).model.state_dict().keys()
