"""The models under audit: catalogue, loading with pinned hashes, the view that methods get, training. No torch here."""

from idbench.targets.catalogue import TARGETS, list_targets, registered_target
from idbench.targets.reference import resolve_target, split_words, target_meant, targets_meant
from idbench.targets.spec import (
    AppliedDefense,
    Defended,
    HubFile,
    LocalFile,
    Merges,
    Packaged,
    Preprocessing,
    PretrainedTag,
    Stated,
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
    "Stated",
    "TargetSpec",
    "TrainedHere",
    "TrainingRecipe",
    "is_ready",
    "list_targets",
    "registered_target",
    "resolve_target",
    "split_words",
    "target_meant",
    "targets_meant",
]
