"""Builds a target in memory: files checked, state dict strict, evaluation mode, nothing that can run code."""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from idbench.api.target import TargetInfo
from idbench.errors import TargetError
from idbench.storage import storage_errors
from idbench.targets.fetch import TargetFiles, fetch_target
from idbench.targets.spec import Preprocessing, TargetSpec
from idbench.targets.tokens import WordCache

Tokenizer = Callable[[Sequence[str]], torch.Tensor]


@dataclass(frozen=True, slots=True)
class LoadedTarget:
    """A target ready to be asked.

    Args:
        spec: with the hash of the weights that were really loaded.
        model: open_clip's, in evaluation mode, without gradients for the weights.
        tokenize: texts -> int64 (n, context_length), the end token at the end of each text.
        preprocessing: how photos become inputs.
        device: where the model is.
        info: what everybody may know.
    """

    spec: TargetSpec
    model: torch.nn.Module
    tokenize: Tokenizer
    preprocessing: Preprocessing
    device: torch.device
    info: TargetInfo

    @property
    def sha256(self) -> str:
        """Of the weights."""
        assert self.spec.sha256 is not None
        return self.spec.sha256


def load_target(spec: TargetSpec, device: str = "cpu") -> LoadedTarget:
    """Load a target.

    Args:
        spec: see `idbench.targets.resolve_target`.
        device: e.g. `cpu`, `cuda:0`.

    Raises:
        TargetError: a file is missing, damaged, of another hash or architecture, holds code or NaN; the activation is
            not the one that the weights were trained with; there is no such device.
    """
    files = fetch_target(spec)
    where = _device(device)
    model = build_model(files.config, spec.name)
    _load_weights(model, files.weights)
    tokenize = build_tokenizer(spec, files, model)
    model.requires_grad_(False)
    model.eval()
    model.to(where)
    pinned = spec.model_copy(update={"sha256": files.sha256})
    return LoadedTarget(pinned, model, tokenize, files.preprocessing, where, _info(pinned, files, model))


def build_model(config: Mapping[str, Any], name: str) -> torch.nn.Module:
    """A model of open_clip's own classes with random weights.

    Args:
        config: open_clip model configuration.
        name: of the target, for messages.

    Raises:
        TargetError: open_clip does not accept the configuration.
    """
    from open_clip import CLIP, CoCa, CustomTextCLIP

    options = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    custom = bool(options.pop("custom_text", False)) or "hf_model_name" in options["text_cfg"]
    # The towers' own pretrained weights would be fetched and then overwritten.
    if "timm_model_name" in options["vision_cfg"]:
        options["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in options["text_cfg"]:
        options["text_cfg"]["hf_model_pretrained"] = False
    kind = CLIP if not custom else CoCa if "multimodal_cfg" in options else CustomTextCLIP
    try:
        model: torch.nn.Module = kind(**options)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TargetError(
            f"open_clip cannot build the model of {name}: {reason}.", hint="Check the model configuration."
        ) from error
    return model


def build_tokenizer(spec: TargetSpec, files: TargetFiles, model: torch.nn.Module) -> Tokenizer:
    """The tokenizer that belongs to the model.

    Raises:
        TargetError: it cannot be had, or its vocabulary is larger than the model's.
    """
    text = files.config["text_cfg"]
    length = int(text.get("context_length", 77))
    if files.merges is not None:
        tokenizer = merges_tokenizer(files.merges, length)
    else:
        tokenizer = open_clip_tokenizer(spec, text, length)
    if WordCache.fits(tokenizer):
        tokenizer = WordCache(tokenizer)
    ids, places = getattr(tokenizer, "vocab_size", None), getattr(model, "vocab_size", None)
    if isinstance(ids, int) and isinstance(places, int) and ids > places:
        raise TargetError(
            f"The tokenizer of {spec.name} has {ids} tokens, its model only {places}.",
            hint="Tokenizer and model do not belong together: check the architecture.",
        )
    return lambda texts: torch.as_tensor(tokenizer(list(texts)), dtype=torch.int64)


def merges_tokenizer(path: Path, context_length: int) -> Any:
    """open_clip's byte-pair tokenizer with the merges of a file."""
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(bpe_path=str(path), context_length=context_length)


def open_clip_tokenizer(spec: TargetSpec, text: Mapping[str, Any], length: int) -> Any:
    """The tokenizer that open_clip gives an architecture.

    Args:
        spec: of the target.
        text: `text_cfg` of its model configuration.
        length: context length, in tokens, where a configuration decides.

    Raises:
        TargetError: it has to be fetched and cannot be.
    """
    from open_clip import SimpleTokenizer, get_tokenizer
    from open_clip.tokenizer import HFTokenizer

    try:
        if isinstance(spec.architecture, str):
            return get_tokenizer(spec.architecture)
        name = text.get("hf_tokenizer_name")
        if not name:
            return SimpleTokenizer(context_length=length)
        return HFTokenizer(name, context_length=length, **(text.get("tokenizer_kwargs") or {}))
    except Exception as error:
        raise TargetError(
            f"The tokenizer of {spec.name} is not on this machine and could not be fetched ({type(error).__name__}).",
            hint="Connect to the network once.",
        ) from error


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, on the CPU; open_clip's wrapping and `module.` prefixes are removed.

    Raises:
        TargetError: damaged, holds code, holds anything but a state dict, or holds NaN.
    """
    with storage_errors(path):
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping) or not inner or not all(isinstance(v, torch.Tensor) for v in inner.values()):
        raise TargetError(f"{path} holds no state dict.", hint="Save model.state_dict() and use that file.")
    state = {str(name).removeprefix("module."): tensor for name, tensor in inner.items()}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TargetError(
                f"{path} holds NaN or infinite weights (first in {name}).", hint="Its training failed: use another one."
            )
    return state


def _read_safetensors(path: Path) -> Mapping[str, object]:
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError) as error:
        raise _damaged(path) from error


def _read_torch(path: Path) -> object:
    try:
        with _numbers_allowed():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "weights only" in str(error).lower():
            raise TargetError(
                f"{path} holds more than weights: opening it could run code, so it is refused.",
                hint="Save the state dict alone, best as safetensors.",
            ) from error
        raise _damaged(path) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        if "torchscript" in str(error).lower():
            raise TargetError(
                f"{path} is a TorchScript archive, which is code, so it is refused.",
                hint="Save its state dict alone, best as safetensors.",
            ) from error
        raise _damaged(path) from error


def _numbers_allowed() -> AbstractContextManager[None]:
    """Let numpy's numbers be read beside tensors: they are data.

    open_clip left learning rates as such in the optimizer's state until 2023, and torch refuses the whole file then.
    """
    if not hasattr(torch.serialization, "safe_globals"):  # torch before 2.5 refuses them
        return nullcontext()
    scalar: Any = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]  # numpy 1 and 2
    allowed: AbstractContextManager[None] = torch.serialization.safe_globals([*names, np.dtype, *kinds, codecs.encode])
    return allowed


def _damaged(path: Path) -> TargetError:
    return TargetError(f"{path} is damaged or no checkpoint.", hint="Fetch or save it again.")


def _load_weights(model: torch.nn.Module, path: Path) -> None:
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    own = model.state_dict()
    state: dict[str, torch.Tensor] = convert_state_dict(model, read_state_dict(path))
    if "positional_embedding" in state and "positional_embedding" not in own:
        state = convert_to_custom_text_state_dict(state)
    for scalar in ("logit_scale", "logit_bias"):  # saved as () by some versions of open_clip, as (1,) by others
        if scalar in state and scalar in own and state[scalar].numel() == own[scalar].numel():
            state[scalar] = state[scalar].reshape(own[scalar].shape)
    problem = _difference(own, state)
    if problem:
        raise TargetError(
            f"{path} does not fit the architecture: {problem}.", hint="Name the architecture that it was trained with."
        )
    model.load_state_dict(state, strict=True)


def _difference(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """What keeps a state dict from fitting, or an empty string. Nothing is interpolated or left out to make it fit."""
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    parts = []
    if missing:
        parts.append(f"{len(missing)} tensors are missing (first {missing[0]})")
    if extra:
        parts.append(f"{len(extra)} are unknown (first {extra[0]})")
    if shapes:
        name = shapes[0]
        parts.append(
            f"{len(shapes)} have another shape (first {name}: {tuple(state[name].shape)} instead of "
            f"{tuple(own[name].shape)})"
        )
    return ", ".join(parts)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TargetError(f"There is no device {name!r} here.", hint="Use --device cpu.") from error
    return device


def _info(spec: TargetSpec, files: TargetFiles, model: torch.nn.Module) -> TargetInfo:
    size: Any = getattr(model.visual, "image_size", files.config["vision_cfg"].get("image_size", 224))
    height, width = (size, size) if isinstance(size, int) else size
    return TargetInfo(
        name=spec.name,
        architecture=spec.architecture_name,
        image_size=(int(height), int(width)),
        mean=files.preprocessing.mean,
        std=files.preprocessing.std,
        embedding_dim=int(files.config["embed_dim"]),
    )
