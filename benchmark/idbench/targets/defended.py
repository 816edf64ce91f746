"""Defended targets: how they follow from a target and a defense, and where their weights lie. No torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idbench.errors import TargetError
from idbench.privacy import Guarantee
from idbench.storage import atomic_path, cache_dir, storage_errors, write_text
from idbench.targets.spec import AppliedDefense, Defended, Sha256, TargetSpec

_NOTE = "defended.json"


class DefenseNote(BaseModel):
    """What is stored next to a defended target's weights, once they are complete."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lineage: Sha256 = Field(description="of the target, in full")
    sha256: Sha256 = Field(description="of the weights")
    seconds: float = Field(ge=0, description="wall time of the defense, without loading the target")
    steps: int = Field(ge=0, description="optimizer steps, counted")
    device: str = Field(description="where it was computed, e.g. `cpu`")
    guarantees: tuple[Guarantee, ...] = Field(default=(), description="about privacy, as the defense states them")


def defended_target(base: TargetSpec, defense: AppliedDefense) -> TargetSpec:
    """A target after a defense, on paper: nothing is computed.

    Args:
        base: pinned (`idbench.targets.fetch.pin_target`); may be defended itself.
        defense: with parameters, seed and code hash.

    Returns:
        a target that has everything but name, title and weights from its base; the name ends in the first eight digits
        of its lineage.

    Raises:
        TargetError: the base is not pinned.
    """
    if base.sha256 is None:
        raise TargetError(f"{base.name} is not pinned, so what is defended is not certain.", hint="Pin it first.")
    weights = Defended(base=base, defense=defense)
    inherited = base.model_dump(exclude={"name", "title", "weights", "sha256", "golden_sha256"})
    return TargetSpec(
        name=f"{base.name}.{defense.name}-{weights.lineage[:8]}",
        title=f"{base.title}, after the defense {defense.name}",
        weights=weights,
        **inherited,
    )


def check_retrainable(spec: TargetSpec) -> None:
    """Refuse a target that no defense before the training can be applied to.

    Raises:
        TargetError: its recipe or its training set is not known.
    """
    if spec.recipe is None or not isinstance(spec.architecture, dict):
        raise TargetError(
            f"{spec.name} cannot be trained again: the recipe that it was trained by is not known.",
            hint="Use a defense of weights or of answers, or a target with a recipe: `bench list targets`.",
        )
    if spec.corpus is None or spec.corpus_digest is None:
        raise TargetError(
            f"{spec.name} cannot be trained again: what it was trained on is not known exactly.",
            hint="Use a defense of weights or of answers, or a target that was trained here.",
        )


def defended_place(weights: Defended) -> Path:
    """Where the weights lie, or will lie: by lineage, whatever the target is called."""
    return cache_dir("defended", weights.lineage[:32]) / "weights.safetensors"


def keep_weights(file: Path, weights: Defended) -> None:
    """Put weights that a worker wrote into the cache; they count once the note is written.

    Raises:
        TargetError: there is no such file.
        StorageError: no space or no permission.
    """
    if file.is_symlink() or not file.is_file():
        raise TargetError(f"{weights.defense.name} left no weights.", hint="Report it to the defense's authors.")
    with atomic_path(defended_place(weights)) as place:
        shutil.copyfile(file, place)


def write_defense_note(weights: Defended, note: DefenseNote) -> None:
    """Declare the weights complete."""
    write_text(defended_place(weights).with_name(_NOTE), note.model_dump_json(indent=2) + "\n")


def read_defense_note(weights: Defended) -> DefenseNote | None:
    """What is known of the weights; None if they are not there, or if the note is damaged or of another lineage."""
    place = defended_place(weights)
    path = place.with_name(_NOTE)
    if not place.is_file() or not path.is_file():
        return None
    with storage_errors(path):
        text = path.read_bytes()
    try:
        note = DefenseNote.model_validate_json(text)
    except ValidationError:
        return None
    return note if note.lineage == weights.lineage else None


def pin_defended(spec: TargetSpec, weights: Defended) -> TargetSpec:
    """The target with the hash of its weights filled in.

    Args:
        spec: a defended target.
        weights: its weights.

    Raises:
        TargetError: the defense was not applied on this machine yet.
    """
    note = read_defense_note(weights)
    if note is None:
        raise TargetError(
            f"{spec.name} is not on this machine: {weights.defense.name} was not applied to {weights.base.name} here.",
            hint="Apply the defense: `idbench.targets.defending.defend_target`.",
        )
    return spec.model_copy(update={"sha256": note.sha256})
