"""Small and real architectures with random weights, on disk as users have them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from idbench.api import Photo
from idbench.targets import LocalFile, TargetSpec
from idbench.targets.load import LoadedTarget, build_model, load_target

SMALL: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever tries to reach the network fails at once, as on a machine without one."""
    import socket

    from huggingface_hub import constants

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def random_model(config: dict[str, Any], seed: int = 0) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_model(config, "test").eval()


def state_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}


def spec_of(path: Path, architecture: str | dict[str, Any], **more: Any) -> TargetSpec:
    return TargetSpec(
        name="probe",
        version="1",
        title="for tests",
        architecture=architecture,
        weights=LocalFile(path=str(path)),
        **more,
    )


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_file(state_of(random_model(SMALL)), path)
    return path


@pytest.fixture(scope="session")
def small(small_file: Path) -> LoadedTarget:
    return load_target(spec_of(small_file, SMALL))


def photo(pixels: NDArray[np.uint8]) -> Photo:
    return Photo(hashlib.sha256(pixels.tobytes()).hexdigest(), lambda: pixels)


@pytest.fixture
def photos() -> Callable[..., list[Photo]]:
    def make(n: int, size: int = 16, seed: int = 0) -> list[Photo]:
        rng = np.random.default_rng(seed)
        return [photo(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(n)]

    return make
