"""What the options of a training make of its target: carried into the reference, or rejected before the training.

open_clip's trainer takes options that change the model (its activation, the size of its pictures, its text tower) or
the pixels that it sees. A checkpoint says nothing of that, so the target's reference and configuration must. Options
that would leave the training data unknown are rejected.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from idbench.errors import TargetError
from idbench.targets.public_models import check_architecture, preprocessing_of, read_config
from idbench.targets.spec import Preprocessing

DECIDES: Final = (
    *("epochs", "lr", "wd", "beta1", "beta2", "eps", "momentum", "opt", "seed", "grad_clip_norm"),
    *("lr_scheduler", "skip_scheduler", "epochs_cooldown", "lr_cooldown_end", "lr_cooldown_power"),
    *("siglip", "force_quick_gelu", "force_custom_text", "force_image_size", "force_context_length"),
    *("force_patch_dropout", "image_mean", "image_std", "image_interpolation", "image_resize_mode", "aug_cfg"),
    *("lock_image", "lock_text", "lock_image_unlocked_groups", "lock_text_unlocked_layers", "train_num_samples"),
    *("coca_caption_loss_weight", "coca_contrastive_loss_weight"),
)
"""Arguments that may not change between the calls of one training; how many machines share the work may, and so the
batch and the warm-up that follows from it."""

_UNKNOWN_DATA = "so the target's training data would be unknown"
_REFUSED: Mapping[str, str] = {
    "pretrained": f"starts from weights that other data trained, {_UNKNOWN_DATA}",
    "pretrained_image": f"starts from an image tower that other data trained, {_UNKNOWN_DATA}",
    "distill_model": f"learns from a model that other data trained, {_UNKNOWN_DATA}",
    "dataset_resampled": "draws shards with replacement, so some members might never be seen",
    "train_data_upsampling_factors": "changes how often members are seen, which the labels say",
    "use_bnb_linear": "makes weights that open_clip itself cannot open",
    "torchscript": "saves code with the weights, which is rejected when the target is opened",
    "trace": "is for evaluation alone: nothing would be trained",
    "remote_sync": "copies the training to another machine, and cannot go on with what idbench saves last",
    "copy_codebase": "runs another copy of the trainer, whose checkpoint would not be found",
}
_OURS = ("logs", "name", "model", "train_data", "train_num_samples", "dataset_type", "resume")


@dataclass(frozen=True, slots=True)
class ResultingTarget:
    """The target that a training ends in.

    Args:
        config: its open_clip model configuration.
        preprocessing: of the photos that it is asked about.
        renamed: whether the configuration is no longer the one that its architecture's name stands for.
    """

    config: dict[str, Any]
    preprocessing: Preprocessing
    renamed: bool

    @property
    def quick_gelu(self) -> bool:
        """Whether it is trained with QuickGELU."""
        return bool(self.config.get("quick_gelu", False))


def check_options(options: Namespace, ours: Namespace) -> None:
    """Reject options that end in a target other than its reference describes.

    Args:
        options: what the trainer is given.
        ours: the same without what a person added.

    Raises:
        TargetError: one of them does.
    """
    for name in _OURS:
        if getattr(options, name) != getattr(ours, name):
            raise TargetError(
                f"{_dashed(name)} is set by idbench.", hint="Use --out or --arch of `bench target train`."
            )
    for name, reason in _REFUSED.items():
        if getattr(options, name):
            raise TargetError(f"{_dashed(name)} {reason}.", hint="Leave it out.")
    for name in ("epochs", "batch_size", "accum_freq"):
        if getattr(options, name) < 1:
            raise TargetError(f"{_dashed(name)} must be at least 1.", hint="Give a larger number.")


def outcome_of(architecture: str, options: Namespace) -> ResultingTarget:
    """The target that the trainer makes of an architecture with its options.

    Args:
        architecture: a name that open_clip knows, or the path of a model configuration (JSON).
        options: as the trainer parses them.

    Raises:
        UnknownNameError: open_clip knows no such architecture.
        TargetError: the configuration is not one, or an option does not fit.
    """
    if architecture.endswith(".json"):
        own = read_config(Path(architecture))
        base, preprocessing = own.model, own.preprocessing or Preprocessing()
    else:
        import open_clip

        check_architecture(architecture)
        base, preprocessing = open_clip.get_model_config(architecture), Preprocessing()
    config = deepcopy(base)
    for name, change in _CHANGES.items():
        value = getattr(options, name)
        if value not in (None, False):
            change(config, value)
    renamed = {k: v for k, v in config.items() if k not in ("quick_gelu", "custom_text")} != {
        k: v for k, v in base.items() if k not in ("quick_gelu", "custom_text")
    }
    return ResultingTarget(config, _preprocessing(preprocessing, options), renamed)


def _preprocessing(own: Preprocessing, options: Namespace) -> Preprocessing:
    for name in ("image_mean", "image_std"):
        if len(getattr(options, name) or ()) not in (0, 1, 3):
            raise TargetError(f"{_dashed(name)} takes one number or three.", hint=f"Write {_dashed(name)} R G B.")
    # "random" is for training pictures: the trainer itself evaluates with bicubic then.
    interpolation = "bicubic" if options.image_interpolation == "random" else options.image_interpolation
    given = {
        "mean": options.image_mean,
        "std": options.image_std,
        "interpolation": interpolation,
        "resize_mode": options.image_resize_mode,
    }
    stated = {name: value for name, value in given.items() if value is not None}
    return preprocessing_of(own.model_dump() | stated, "the arguments of the trainer")


def _image_size(config: dict[str, Any], value: list[int]) -> None:
    if len(value) > 2:
        raise TargetError("--force-image-size takes one number, or height and width.", hint="Write one or two numbers.")
    config["vision_cfg"]["image_size"] = value[0] if len(value) == 1 else list(value)


def _context_length(config: dict[str, Any], value: int) -> None:
    config["text_cfg"]["context_length"] = value


def _patch_dropout(config: dict[str, Any], value: float) -> None:
    config["vision_cfg"]["patch_dropout"] = value


def _quick_gelu(config: dict[str, Any], _: bool) -> None:
    config["quick_gelu"] = True


def _custom_text(config: dict[str, Any], _: bool) -> None:
    config["custom_text"] = True


_CHANGES: Mapping[str, Callable[[dict[str, Any], Any], None]] = {
    "force_quick_gelu": _quick_gelu,
    "force_custom_text": _custom_text,
    "force_image_size": _image_size,
    "force_context_length": _context_length,
    "force_patch_dropout": _patch_dropout,
}


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
