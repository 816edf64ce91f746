"""Turns what a spec says about its files into files on this disk, with their hashes checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idbench.errors import TargetError, UnknownNameError
from idbench.storage import cache_dir, sha256_file, storage_errors
from idbench.targets.catalogue import read_config
from idbench.targets.defended import defended_place, pin_defended
from idbench.targets.spec import (
    Defended,
    HubFile,
    LocalFile,
    Packaged,
    Preprocessing,
    PretrainedTag,
    TargetSpec,
    TrainedHere,
)
from idbench.targets.trained import trained_target, weights_place

WEIGHTS_DIR = Path(__file__).parent / "weights"
_HUB_CONFIG = "open_clip_config.json"


@dataclass(frozen=True, slots=True)
class TargetFiles:
    """Everything that loading a target needs, on this disk and checked.

    Args:
        weights: the checkpoint.
        sha256: of the checkpoint.
        config: the open_clip model configuration.
        preprocessing: how photos become inputs.
        merges: the tokenizer's merges file; None: open_clip's own tokenizer for the architecture.
    """

    weights: Path
    sha256: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    merges: Path | None


def pin_target(spec: TargetSpec) -> TargetSpec:
    """The same target with the SHA-256 of its weights filled in; fetches the weights where that is needed.

    The weights of targets that are trained or defended on this machine are not made here.

    Raises:
        TargetError: the weights cannot be had, or have another hash than the spec says.
    """
    if spec.sha256 is not None:
        return spec
    if isinstance(spec.weights, TrainedHere):
        return trained_target(spec)
    if isinstance(spec.weights, Defended):
        return pin_defended(spec, spec.weights)
    weights = _weights_file(spec)
    return spec.model_copy(update={"sha256": sha256_file(weights)})


def fetch_target(spec: TargetSpec) -> TargetFiles:
    """Find or download the target's files and check their hashes, before anything reads what is in them.

    Args:
        spec: what was trained or defended here is compared with the hash that was written down then.

    Raises:
        TargetError: a file is missing, cannot be fetched, or has another hash than the spec says; the architecture
            does not fit the tag.
    """
    spec = pin_target(spec) if isinstance(spec.weights, TrainedHere | Defended) else spec
    config, preprocessing = _configuration(spec.undefended)
    _check_activation(spec.undefended, config)
    weights = _weights_file(spec)
    digest = sha256_file(weights)
    if spec.sha256 not in (None, digest):
        raise TargetError(
            f"The weights of {spec.name} ({weights}) have SHA-256 {digest[:16]}..., not {str(spec.sha256)[:16]}....",
            hint=_repair(spec),
        )
    return TargetFiles(
        weights=weights,
        sha256=digest,
        config=config,
        preprocessing=spec.preprocessing or preprocessing,
        merges=_merges_file(spec),
    )


def _repair(spec: TargetSpec) -> str:
    if isinstance(spec.weights, TrainedHere):
        return f"It is damaged or was trained anew: repeat the command, or type bench target train {spec.name}."
    if isinstance(spec.weights, Defended):
        return "It is damaged: delete its folder and apply the defense again."
    return "The file is damaged or another one: fetch it again, or reinstall idbench if it came with it."


def packaged_file(name: str) -> Path:
    """A file that comes with idbench.

    Raises:
        TargetError: it is not there.
    """
    path = WEIGHTS_DIR / name
    if not path.is_file():
        raise TargetError(f"{name}, which comes with idbench, is not at {path}.", hint="Reinstall idbench.")
    return path


def _merges_file(spec: TargetSpec) -> Path | None:
    if spec.tokenizer is None:
        return None
    path = packaged_file(spec.tokenizer.file)
    digest = sha256_file(path)
    if digest != spec.tokenizer.sha256:
        raise TargetError(
            f"The tokenizer of {spec.name} ({path}) has SHA-256 {digest[:16]}..., not {spec.tokenizer.sha256[:16]}....",
            hint="The file is damaged: reinstall idbench.",
        )
    return path


def _weights_file(spec: TargetSpec) -> Path:
    weights = spec.weights
    if isinstance(weights, Packaged):
        return packaged_file(weights.file)
    if isinstance(weights, LocalFile):
        path = Path(weights.path).expanduser()
        if not path.is_file():
            raise TargetError(f"There is no checkpoint at {path}.", hint="Check the path; it must be a file.")
        return path
    if isinstance(weights, PretrainedTag):
        return _tag_file(spec, weights)
    if isinstance(weights, TrainedHere):
        return weights_place(spec)
    if isinstance(weights, Defended):
        return _defended_file(spec, weights)
    return _hub_file(weights, weights.file)


def _defended_file(spec: TargetSpec, weights: Defended) -> Path:
    path = defended_place(weights)
    if not path.is_file():
        pin_defended(spec, weights)  # says what is missing
    return path


def _tag_config(spec: TargetSpec, weights: PretrainedTag) -> dict[str, Any]:
    import open_clip

    if not isinstance(spec.architecture, str):
        raise TargetError(f"{spec.name} has a tag but no architecture of open_clip.", hint="Name the architecture.")
    _known_architecture(spec.architecture)
    config: dict[str, Any] = open_clip.get_pretrained_cfg(spec.architecture, weights.tag)
    if not config:
        known = open_clip.list_pretrained_tags_by_model(spec.architecture)
        raise UnknownNameError(f"tag of {spec.architecture}", weights.tag, known)
    return config


def _tag_file(spec: TargetSpec, weights: PretrainedTag) -> Path:
    from open_clip.pretrained import download_pretrained

    config = _tag_config(spec, weights)
    # Whatever fails in there (no network, no cache, a proxy, a moved file) asks the same of the user.
    try:
        return Path(download_pretrained(config, cache_dir=str(cache_dir("open_clip"))))
    except Exception as error:
        raise TargetError(
            f"The weights {weights.tag} of {spec.architecture} are not on this machine and could not be fetched "
            f"({type(error).__name__}).",
            hint="Connect to the network once, or download the file elsewhere and use file:PATH?arch="
            f"{spec.architecture}.",
        ) from error


def _hub_file(weights: HubFile, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(weights.repo, file, revision=weights.commit))
    except Exception as error:
        raise TargetError(
            f"{file} of {weights.repo} at {weights.commit[:12]} is not on this machine and could not be fetched "
            f"({type(error).__name__}).",
            hint="Check repository, commit and file name, log in if it is private, and connect to the network once.",
        ) from error


def _configuration(spec: TargetSpec) -> tuple[dict[str, Any], Preprocessing]:
    """The model configuration, and the preprocessing that comes with the weights."""
    import open_clip

    if isinstance(spec.architecture, dict):
        return json.loads(json.dumps(spec.architecture)), _clip_preprocessing({})
    if spec.architecture is None:
        return _hub_configuration(spec)
    _known_architecture(spec.architecture)
    config: dict[str, Any] = open_clip.get_model_config(spec.architecture)
    tag = _tag_config(spec, spec.weights) if isinstance(spec.weights, PretrainedTag) else {}
    return config, _clip_preprocessing(tag)


def _hub_configuration(spec: TargetSpec) -> tuple[dict[str, Any], Preprocessing]:
    if not isinstance(spec.weights, HubFile):
        raise TargetError(f"{spec.name} has no architecture.", hint="Name an open_clip model or a configuration.")
    path = _hub_file(spec.weights, _HUB_CONFIG)
    config = read_config(path)
    with storage_errors(path):
        extra = json.loads(path.read_text(encoding="utf-8")).get("preprocess_cfg", {})
    return config, _clip_preprocessing(extra)


def _clip_preprocessing(overlay: dict[str, Any]) -> Preprocessing:
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return Preprocessing(
        mean=overlay.get("mean") or OPENAI_DATASET_MEAN,
        std=overlay.get("std") or OPENAI_DATASET_STD,
        interpolation=overlay.get("interpolation") or "bicubic",
        resize_mode=overlay.get("resize_mode") or "shortest",
        fill_color=overlay.get("fill_color") or 0,
    )


def _known_architecture(name: str) -> None:
    import open_clip

    known = open_clip.list_models()
    if name not in known:
        raise UnknownNameError("open_clip architecture", name, known)


def _check_activation(spec: TargetSpec, config: dict[str, Any]) -> None:
    """Weights trained with QuickGELU load without complaint into a model with GELU and give wrong embeddings.

    What the spec says outweighs what open_clip says about a tag, for open_clip's table has gaps.
    """
    built = bool(config.get("quick_gelu", False))
    trained = spec.quick_gelu
    if trained is None and isinstance(spec.weights, PretrainedTag):
        trained = bool(_tag_config(spec, spec.weights).get("quick_gelu", False))
    if trained is None or trained == built:
        return
    name = spec.architecture if isinstance(spec.architecture, str) else "its configuration"
    raise TargetError(
        f"The weights of {spec.name} were trained with {_activation(trained)}, but {name} computes "
        f"{_activation(built)}: its embeddings would be wrong.",
        hint=_activation_hint(spec, trained),
    )


def _activation(quick: bool) -> str:
    return "QuickGELU" if quick else "GELU"


def _activation_hint(spec: TargetSpec, quick: bool) -> str:
    import open_clip

    if isinstance(spec.architecture, str):
        plain = spec.architecture.removesuffix("-quickgelu")
        other = f"{plain}-quickgelu" if quick else plain
        if other != spec.architecture and other in open_clip.list_models():
            return f"Use the architecture {other}."
    wanted, opposite = str(quick).lower(), str(not quick).lower()
    return (
        f"Use a configuration with quick_gelu {wanted}, or add ?quick_gelu={opposite} if you know that they were not."
    )
