"""The models under audit: catalogue, loading with pinned hashes, the view that methods get, training. No torch here."""

from idbench.targets.catalogue import TARGETS, broken_targets, list_targets, resolve_target
from idbench.targets.spec import (
    AppliedDefense,
    Defended,
    HubFile,
    LocalFile,
    Merges,
    Packaged,
    Preprocessing,
    PretrainedTag,
    TargetSpec,
    TrainedHere,
    TrainingRecipe,
)
from idbench.targets.trained import is_ready

__all__ = [
    "TARGETS",
    "AppliedDefense",
    "Defended",
    "HubFile",
    "LocalFile",
    "Merges",
    "Packaged",
    "Preprocessing",
    "PretrainedTag",
    "TargetSpec",
    "TrainedHere",
    "TrainingRecipe",
    "broken_targets",
    "is_ready",
    "list_targets",
    "resolve_target",
]
