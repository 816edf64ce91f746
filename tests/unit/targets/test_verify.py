"""The shipped targets are what they claim to be, and verification notices when they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from idbench.cli.target import app
from idbench.errors import TargetError
from idbench.storage import sha256_file
from idbench.targets import Packaged, fetch, resolve_target, verify
from idbench.targets.fetch import WEIGHTS_DIR, packaged_file
from idbench.targets.load import load_target
from idbench.targets.verify import GOLDEN_TOLERANCE, verify_target, write_golden

SHIPPED = ("avatars-a", "avatars-b", "avatars-0")
RELATIVES = tuple(f"avatars-a-{of}" for of in ("rn101", "rn50x4", "vit-b-32", "vit-b-16", "vit-l-14"))


@pytest.fixture
def weights_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped files that a test may damage."""
    copy = tmp_path / "weights"
    copy.mkdir()
    for path in WEIGHTS_DIR.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(fetch, "WEIGHTS_DIR", copy)
    return copy


@pytest.mark.parametrize("name", [*SHIPPED, *RELATIVES])
def test_shipped_targets_verify(name: str) -> None:
    spec = resolve_target(name)
    verified = verify_target(spec)
    assert verified.pinned
    assert verified.sha256 == spec.sha256
    assert verified.largest_difference is not None
    assert verified.largest_difference <= GOLDEN_TOLERANCE


def test_a_file_of_the_users_own_is_not_said_to_be_published() -> None:
    verified = verify_target(resolve_target(f"file:{packaged_file('avatars-a.safetensors')}?like=avatars-a"))
    assert (verified.pinned, len(verified.sha256)) == (False, 64)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_small_and_of_one_recipe(name: str) -> None:
    spec = resolve_target(name)
    assert isinstance(spec.weights, Packaged)
    assert packaged_file(spec.weights.file).stat().st_size <= 8 << 20
    first = resolve_target(SHIPPED[0])
    assert (spec.recipe, spec.architecture, spec.tokenizer) == (first.recipe, first.architecture, first.tokenizer)
    assert spec.corpus == name
    assert spec.corpus_digest is not None


def test_the_relatives_differ_from_target_a_in_the_image_tower_alone() -> None:
    first = resolve_target("avatars-a")
    assert isinstance(first.architecture, dict)
    for name in RELATIVES:
        spec = resolve_target(name)
        assert isinstance(spec.architecture, dict)
        assert isinstance(spec.weights, Packaged)
        assert packaged_file(spec.weights.file).stat().st_size <= 10 << 20
        assert (spec.recipe, spec.tokenizer, spec.corpus) == (first.recipe, first.tokenizer, "avatars-a")
        assert spec.architecture | {"vision_cfg": first.architecture["vision_cfg"]} == first.architecture
        assert spec.architecture["vision_cfg"] != first.architecture["vision_cfg"]
    assert len({resolve_target(name).sha256 for name in (*SHIPPED, *RELATIVES)}) == 8


def test_the_three_targets_differ() -> None:
    assert len({resolve_target(name).sha256 for name in SHIPPED}) == 3
    assert len({resolve_target(name).corpus_digest for name in SHIPPED}) == 3


def test_a_changed_byte_is_noticed(weights_copy: Path) -> None:
    for name in ("avatars-a.safetensors", "avatars.bpe.txt.gz", "avatars-a.golden.json"):
        path = weights_copy / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(TargetError, match=r"SHA-256|damaged"):
            verify_target(resolve_target("avatars-a"))
        path.write_bytes(data)
    verify_target(resolve_target("avatars-a"))


def test_a_missing_file_is_noticed(weights_copy: Path) -> None:
    (weights_copy / "avatars-b.safetensors").unlink()
    with pytest.raises(TargetError, match="Reinstall idbench"):
        verify_target(resolve_target("avatars-b"))


def test_weights_that_compute_something_else_are_noticed(weights_copy: Path) -> None:
    """As if torch or open_clip had changed what the same weights mean."""
    path = weights_copy / "avatars-a.safetensors"
    state = load_file(path)
    state["text_projection"] = state["text_projection"] + 1e-3 * torch.randn_like(state["text_projection"])
    save_file(state, path)
    spec = resolve_target("avatars-a").model_copy(update={"sha256": sha256_file(path)})
    with pytest.raises(TargetError, match="embeddings differ from the published ones"):
        verify_target(spec)


def test_golden_numbers_are_written_so_that_they_verify(weights_copy: Path) -> None:
    spec = resolve_target("avatars-b")
    digest = write_golden(load_target(spec), weights_copy / "avatars-b.golden.json")
    assert sha256_file(weights_copy / "avatars-b.golden.json") == digest
    verified = verify_target(spec.model_copy(update={"golden_sha256": digest}))
    assert verified.largest_difference is not None
    assert verified.largest_difference < 1e-6
    golden = json.loads((weights_copy / "avatars-b.golden.json").read_text())
    assert len(golden["texts"]) == len(verify.GOLDEN_TEXTS)


def test_a_target_without_golden_numbers_is_verified_by_hash_alone() -> None:
    spec = resolve_target("avatars-0").model_copy(update={"golden_sha256": None})
    assert verify_target(spec).largest_difference is None


def test_what_was_verified_is_said_in_words() -> None:
    done = CliRunner().invoke(app, ["verify", "avatars-[ab]", "avatars-x", "--json"])
    assert done.exit_code == 1
    rows = {row["target"]: row for row in json.loads(done.stdout)}
    assert rows["avatars-a"]["found"].startswith("SHA-256 67cb7a5f475903a3..., as published; CLIP's mean, bicubic, ")
    assert "GELU; embeddings differ from the published ones by " in rows["avatars-b"]["found"]
    assert "Verified(" not in done.stdout
    assert (rows["avatars-x"]["ok"], rows["avatars-a"]["quick_gelu"]) == (False, False)
