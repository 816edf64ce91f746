"""Targets that are trained on this machine: where their weights lie, and what their training recorded. No torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idbench.errors import TargetError
from idbench.storage import cache_dir, sha256_bytes, storage_errors, write_text
from idbench.targets.defended import read_defense_note
from idbench.targets.spec import Defended, Sha256, TargetSpec, TrainedHere

_NOTE = "trained.json"


class TrainingNote(BaseModel):
    """What a training stores next to the weights, once they are complete."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    spec: Sha256 = Field(description="of the target's specification: another one asks for another training")
    sha256: Sha256 = Field(description="of the weights")
    corpus_digest: str = Field(description="of what they were trained on")
    steps: int = Field(ge=0, description="optimizer steps")
    loss: float = Field(description="mean over the last epoch")
    seconds: float = Field(ge=0, description="wall time of the last call, which may have resumed an earlier one")
    cpu_seconds: float = Field(ge=0, description="processor time of the last call")
    device: str = Field(description="e.g. `cpu`")


def weights_place(spec: TargetSpec) -> Path:
    """Where the weights lie, or will lie."""
    return cache_dir("targets", spec.name, f"v{spec.version}") / "weights.safetensors"


def write_note(spec: TargetSpec, note: TrainingNote) -> None:
    """Declare the weights of a target complete."""
    write_text(weights_place(spec).with_name(_NOTE), note.model_dump_json(indent=2) + "\n")


def read_note(spec: TargetSpec) -> TrainingNote | None:
    """The note of the training; None where it is missing, damaged, or of another specification."""
    weights = weights_place(spec)
    path = weights.with_name(_NOTE)
    if not weights.is_file() or not path.is_file():
        return None
    with storage_errors(path):
        text = path.read_bytes()
    try:
        note = TrainingNote.model_validate_json(text)
    except ValidationError:
        return None
    return note if note.spec == spec_sha256(spec) else None


def spec_sha256(spec: TargetSpec) -> str:
    """Hash of what decides the weights: neither the title nor what is pinned after training."""
    outside = {"title", "license", "sha256", "corpus_digest", "golden_sha256", "control_for", "stated"}
    return sha256_bytes(spec.model_dump_json(exclude=outside).encode())


def is_ready(spec: TargetSpec) -> bool:
    """Whether the target can be used without training or defending it first."""
    if isinstance(spec.weights, Defended):
        return read_defense_note(spec.weights) is not None
    return not isinstance(spec.weights, TrainedHere) or read_note(spec) is not None


def trained_target(spec: TargetSpec) -> TargetSpec:
    """The target with the hashes of its weights and of their training set filled in.

    Raises:
        TargetError: it is not trained yet.
    """
    note = read_note(spec)
    if note is None:
        assert isinstance(spec.weights, TrainedHere)
        raise TargetError(
            f"{spec.name} is not trained on this machine yet.",
            hint=f"Type: bench target train {spec.weights.group}",
        )
    return spec.model_copy(update={"sha256": note.sha256, "corpus_digest": note.corpus_digest})
