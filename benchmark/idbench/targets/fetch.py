"""Turns what a spec says about its files into files on this disk, with their hashes checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idbench.errors import TargetError
from idbench.storage import cache_dir, expanded, restored, sha256_file
from idbench.targets.defended import defended_place, pin_defended
from idbench.targets.download import cached_hub_file, hub_file
from idbench.targets.public_models import model_config, public_computation, read_config, settle_target, tag_config
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
from idbench.targets.trained import is_ready, trained_target, weights_place

WEIGHTS_DIR = Path(__file__).parent / "weights"
_HUB_CONFIG = "open_clip_config.json"
_HUB_WEIGHTS = "open_clip_pytorch_model.bin"

_LARGEST = 64 << 30  # bytes of weights; five billion of them take 20 GiB


def check_size(path: Path) -> None:
    """Refuse a file that is too large for weights: hashing it would take forever.

    Raises:
        TargetError: the file is too large.
    """
    if path.stat().st_size > _LARGEST:
        raise TargetError(
            f"{path} is larger than {_LARGEST >> 30} GiB, which no checkpoint is.", hint="Check the file."
        )


@dataclass(frozen=True, slots=True)
class TargetFiles:
    """Everything that loading a target needs, on this disk and checked.

    Args:
        spec: with everything that was settled on the way.
        weights: the checkpoint.
        sha256: of the checkpoint.
        config: the open_clip model configuration, with the activation of the weights.
        preprocessing: how photos become inputs.
        merges: the tokenizer's merges file; None: open_clip's own tokenizer for the architecture.
    """

    spec: TargetSpec
    weights: Path
    sha256: str
    config: dict[str, Any]
    preprocessing: Preprocessing
    merges: Path | None


def pin_target(spec: TargetSpec) -> TargetSpec:
    """The same target with the SHA-256 of its weights, its preprocessing and its activation filled in.

    What can be wrong on paper is found first; the weights are fetched after that, where their hash is not known. Those
    of targets that are trained or defended on this machine are not made here.

    Raises:
        UnknownNameError: open_clip knows no such architecture or tag.
        TargetError: what the weights compute is not known, or they cannot be had.
    """
    if isinstance(spec.weights, TrainedHere):
        return spec if spec.sha256 is not None else trained_target(spec)
    if isinstance(spec.weights, Defended):
        return spec if spec.sha256 is not None else pin_defended(spec, spec.weights)
    settled = _with_configuration(settle_target(spec))
    if settled.sha256 is not None:
        return settled
    return settled.model_copy(update={"sha256": sha256_file(_weights_file(settled))})


def fetch_target(spec: TargetSpec) -> TargetFiles:
    """Find or download the target's files and check their hashes, before anything reads what is in them.

    Args:
        spec: what was trained or defended here is compared with the hash that was written down then.

    Raises:
        UnknownNameError: open_clip knows no such architecture or tag.
        TargetError: a file is missing, cannot be fetched, or has another hash than the spec says; what the weights
            compute is not known, or contradicts the architecture.
    """
    spec = _settled(pin_target(spec) if isinstance(spec.weights, TrainedHere | Defended) else spec)
    config = model_config(spec)
    weights = _weights_file(spec)
    digest = sha256_file(weights)
    if spec.sha256 not in (None, digest):
        raise TargetError(
            f"The weights of {spec.name} ({weights}) have SHA-256 {digest[:16]}..., not {str(spec.sha256)[:16]}....",
            hint=_repair(spec),
        )
    return TargetFiles(
        spec=spec.model_copy(update={"sha256": digest}),
        weights=weights,
        sha256=digest,
        config=config,
        preprocessing=spec.preprocessing or Preprocessing(),
        merges=_merges_file(spec),
    )


def _repair(spec: TargetSpec) -> str:
    if isinstance(spec.weights, Defended):
        return "It is damaged: delete its folder and apply the defense again."
    if isinstance(spec.weights, TrainedHere):
        return f"It is damaged or was trained again: repeat the command, or run bench target train {spec.name}."
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
        path = expanded(Path(weights.path))
        path = restored(path.parent) / path.name
        if not path.is_file():
            raise TargetError(f"There is no checkpoint at {path}.", hint="Check the path; it must be a file.")
        check_size(path)
        return path
    if isinstance(weights, PretrainedTag):
        return _tag_file(spec, weights)
    if isinstance(weights, TrainedHere):
        return weights_place(spec)
    if isinstance(weights, Defended):
        return _defended_file(spec, weights)
    return hub_file(
        weights.repo,
        (weights.file,),
        revision=weights.commit,
        instead="download it elsewhere and type file:PATH instead of "
        f"hub:{weights.repo}@{weights.commit}, with the same options but file=",
    )


def is_at_hand(spec: TargetSpec) -> bool:
    """Whether the weights lie on this machine: nothing is trained, defended or downloaded to find out.

    Raises:
        TargetError: open_clip does not know the target's tag.
    """
    weights = spec.weights
    if isinstance(weights, PretrainedTag):
        assert isinstance(spec.architecture, str)
        config = tag_config(spec.architecture, weights.tag)
        if "file" in config:
            return Path(config["file"]).is_file()
        repo, files = _tag_repository(config)
        return cached_hub_file(repo, files, cache=cache_dir("open_clip")) is not None
    if isinstance(weights, HubFile):
        return cached_hub_file(weights.repo, (weights.file,), revision=weights.commit) is not None
    return is_ready(spec)


def _defended_file(spec: TargetSpec, weights: Defended) -> Path:
    path = defended_place(weights)
    if not path.is_file():
        pin_defended(spec, weights)  # says what is missing
    return path


def _settled(spec: TargetSpec) -> TargetSpec:
    """A target with everything filled in that decides its answers; a defended one computes as what it was made from."""
    base = _with_configuration(settle_target(spec.undefended))
    return spec.model_copy(
        update={
            "architecture": base.architecture,
            "preprocessing": base.preprocessing,
            "quick_gelu": base.quick_gelu,
            "stated": None,
        }
    )


def _tag_file(spec: TargetSpec, weights: PretrainedTag) -> Path:
    """The weights of one of open_clip's tags; all of them are on the Hub."""
    assert isinstance(spec.architecture, str)
    config = tag_config(spec.architecture, weights.tag)
    if "file" in config:
        return Path(config["file"])
    repo, files = _tag_repository(config)
    return hub_file(
        repo,
        files,
        cache=cache_dir("open_clip"),
        instead=f"download it elsewhere and type 'file:PATH?{'&'.join(_typed_options(spec, weights.tag))}'",
    )


def _typed_options(spec: TargetSpec, tag: str) -> Iterator[str]:
    """What names the same target where its file is given: tag and corpus, and whatever is not as the tag has it."""
    assert isinstance(spec.architecture, str)
    yield from (f"arch={spec.architecture}", f"tag={tag}")
    if spec.corpus is not None:
        yield f"corpus={spec.corpus}"
    public = public_computation(spec.architecture, tag)
    if spec.quick_gelu != public.quick_gelu:
        yield f"quick_gelu={str(spec.quick_gelu).lower()}"
    own = (spec.preprocessing or public.preprocessing).model_dump()
    for name, value in public.preprocessing.model_dump().items():
        if own[name] != value:
            yield f"{name}={','.join(map(str, own[name])) if isinstance(value, tuple) else own[name]}"


def _tag_repository(config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The Hub's repository of a tag, and the names that its weights may have."""
    repo, _, file = str(config["hf_hub"]).rpartition("/")
    return repo, _alternatives(file or _HUB_WEIGHTS)


def _alternatives(file: str) -> tuple[str, ...]:
    """The names that open_clip itself looks for, weights that cannot hold code first."""
    if file == _HUB_WEIGHTS:
        return ("open_clip_model.safetensors", file)
    if file.endswith((".bin", ".pth")):
        return (f"{file[:-4]}.safetensors", file)
    return (file,)


def _with_configuration(spec: TargetSpec) -> TargetSpec:
    """A target of a Hub repository's own configuration, with that filled in; any other as it is."""
    if spec.architecture is not None:
        return spec
    if not isinstance(spec.weights, HubFile):
        raise TargetError(f"{spec.name} has no architecture.", hint="Name an open_clip model or a configuration.")
    instead = "name the architecture with arch=ARCH if the repository has no configuration for open_clip"
    path = hub_file(spec.weights.repo, (_HUB_CONFIG,), revision=spec.weights.commit, instead=instead)
    config = read_config(path)
    preprocessing = spec.preprocessing or config.preprocessing
    return settle_target(spec.model_copy(update={"architecture": config.model, "preprocessing": preprocessing}))
