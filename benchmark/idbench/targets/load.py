"""Builds a target in memory: files checked, state dict strict, evaluation mode, nothing that can run code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from idbench.api.target import TargetInfo
from idbench.errors import TargetError
from idbench.targets.checkpoints import Checkpoint, divided, is_part, read_checkpoint_file
from idbench.targets.fetch import TargetFiles, fetch_target
from idbench.targets.spec import Preprocessing, TargetSpec
from idbench.targets.tokenizing import Tokenizer, build_tokenizer
from idbench.wording import counted


@dataclass(frozen=True, slots=True)
class LoadedTarget:
    """A target ready to be asked.

    Args:
        spec: settled, with the hash of the weights that were really loaded.
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
        """SHA-256 of the weights."""
        assert self.spec.sha256 is not None
        return self.spec.sha256

    @property
    def half(self) -> torch.dtype | None:
        """The shorter type that answers are computed in by autocast; None: float32 throughout."""
        return None if self.spec.precision == "float32" else getattr(torch, self.spec.precision)

    def computing(self) -> AbstractContextManager[object]:
        """Within it, the model computes in the target's precision."""
        return nullcontext() if self.half is None else torch.autocast(self.device.type, self.half)


def load_target(spec: TargetSpec, device: str = "cpu") -> LoadedTarget:
    """Load a target.

    Args:
        spec: see `idbench.targets.resolve_target`.
        device: e.g. `cpu`, `cuda:0`.

    Raises:
        TargetError: a file is missing, damaged, of another hash or architecture, holds code or NaN; what its weights
            were trained with is not known; there is no such device.
    """
    where = _device(device)
    if spec.precision == "float16" and where.type == "cpu":
        raise TargetError(
            f"{spec.name} is to be computed in float16, which is for GPUs.",
            hint="Use precision=bfloat16, or a GPU (--device cuda).",
        )
    if where.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # cuDNN shortens what it convolves by itself; matrix products do not
    files = fetch_target(spec)
    checkpoint = read_checkpoint_file(files.weights)
    config = _fitting(files, checkpoint)
    model = build_model(config, spec.name)
    _load_weights(model, checkpoint.tensors, files.weights)
    tokenize = build_tokenizer(files.spec, config["text_cfg"], files.merges, getattr(model, "vocab_size", None))
    model.requires_grad_(False)
    model.eval()
    model.to(where)
    return LoadedTarget(files.spec, model, tokenize, files.preprocessing, where, _info(files, model))


def _fitting(files: TargetFiles, checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration with what the names of the weights decide: a text tower of its own, a bias of the logits.

    Raises:
        TargetError: OpenAI's code wrote the checkpoint, and the reference does not state the activation.
    """
    config, names = dict(files.config), checkpoint.tensors.keys()
    if checkpoint.by_openai and files.spec.quick_gelu is None and "quick_gelu" not in config:
        raise TargetError(
            f"{files.weights} was written by OpenAI's code, whose models have QuickGELU, and the configuration of "
            f"{files.spec.name} does not name an activation.",
            hint="Add quick_gelu=true, or quick_gelu=false if you know that it was trained with GELU.",
        )
    if any(name.startswith("text.") or ".text." in name for name in names):
        config["custom_text"] = True  # as open_clip's trainer saves it after --force-custom-text
    if any(name.rpartition(".")[2] == "logit_bias" for name in names) and config.get("init_logit_bias") is None:
        config["init_logit_bias"] = 0.0  # as it saves it after --siglip; replaced by the checkpoint's own
    return config


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


def _load_weights(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    if any(name.startswith(("text_model.", "vision_model.")) for name in tensors):
        raise TargetError(
            f"{path} is a checkpoint of the transformers library, whose tensors have other names than open_clip's.",
            hint="Use open_clip's own file of the model (open_clip_model.safetensors on the Hub).",
        )
    own = model.state_dict()
    state: dict[str, torch.Tensor] = convert_state_dict(model, _under_own_names(own, tensors))
    if "positional_embedding" in state and "positional_embedding" not in own:
        state = convert_to_custom_text_state_dict(state)
    for scalar in ("logit_scale", "logit_bias"):  # saved as () by some versions of open_clip, as (1,) by others
        if scalar in state and scalar in own and state[scalar].numel() == own[scalar].numel():
            state[scalar] = state[scalar].reshape(own[scalar].shape)
    for name in _COMPUTED:
        if name not in own:
            state.pop(name, None)
    _check_fractions(own, state, path)
    problem = _difference(own, state)
    if problem:
        raise _does_not_fit(path, own, state, problem)
    model.load_state_dict(state, strict=True)


def _under_own_names(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without prefixes that only some names have, or that nobody knows, and without an average beside.

    Names stay as they are where something else is left over, or is there twice with different numbers.
    """
    trained = _sources(own, (name for name in tensors if not _AVERAGE.match(name)))
    held = {name.removeprefix("text.") for name in trained}
    whole = all(name.removeprefix("text.") in held for name in own)
    sources = trained if whole else _sources(own, tensors)
    if "" in sources or _conflict(tensors, sources):
        return dict(tensors)
    return {name: tensors[found[0]] for name, found in sources.items()}


_AVERAGE = re.compile(r"(?:\w+_)?ema(?:_\w+)?\.")
"""What names of a moving average begin with beside the trained weights; those are read, as of two state dicts."""


def _sources(own: Mapping[str, torch.Tensor], names: Iterable[str]) -> dict[str, list[str]]:
    """Which names end with each name of the model, the longest that fits; under an empty string those that do not."""
    known = {*own, *(name.removeprefix("text.") for name in own), *_COMPUTED}
    modules = {name.partition(".")[0] for name in known}  # what is within one of these is no prefix
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        most = next((place for place, part in enumerate(parts) if part in modules), -1)
        ends = (".".join(parts[start:]) for start in range(most + 1))
        found.setdefault(next((end for end in ends if end in known), ""), []).append(name)
    return found


def _conflict(tensors: Mapping[str, torch.Tensor], sources: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Two names of one tensor of the model that have different numbers, or none."""
    pairs = ((found[0], other) for name, found in sources.items() if name for other in found[1:])
    return next(((a, b) for a, b in pairs if not _same(tensors[a], tensors[b])), ())


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


_COMPUTED = ("text.transformer.embeddings.position_ids",)
"""What older versions of the transformers library saved beside the weights of a text tower: 0, 1, 2, ..."""


def _check_fractions(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse whole numbers where weights are fractions: they would be copied, and every embedding would be wrong."""
    whole = [n for n, t in own.items() if n in state and t.is_floating_point() and not state[n].is_floating_point()]
    if whole:
        raise TargetError(
            f"{path} holds whole numbers instead of weights, as quantizing leaves them, in {len(whole)} tensors (first "
            f"{whole[0]}).",
            hint="Use the model's weights as they were before that.",
        )


def _does_not_fit(
    path: Path, own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], problem: str
) -> TargetError:
    """Why a state dict is not the model's, with what to do: it may hold the model beside something else."""
    anchor = next(iter(own))
    prefixes = [name.removesuffix(anchor) for name in state if name == anchor or name.endswith(f".{anchor}")]
    whole = [prefix for prefix in prefixes if all(f"{prefix}{name}" in state for name in own)]
    if len(whole) == 1 and whole[0]:
        others = [name for name in state if name.removeprefix(whole[0]) not in own]
        return TargetError(
            f"{path} holds more than the model: its tensors are there, called {whole[0]}*, beside {len(others)} more "
            f"(first {others[0]}).",
            hint=f"Save those called {whole[0]}* alone, if the others change nothing in what the model computes.",
        )
    if len(whole) > 1:
        called = " and ".join(f"{prefix}*" if prefix else "without a prefix" for prefix in whole)
        return TargetError(
            f"{path} holds {len(whole)} models, called {called}.", hint="Save the one that is meant alone."
        )
    sources = _sources(own, state)
    twice = _conflict(state, sources)
    if twice:
        return TargetError(
            f"{path} holds tensors of the model twice, with different numbers (first {twice[0]} and {twice[1]}).",
            hint="Save those that are meant alone.",
        )
    if own.keys() <= sources.keys() and "" in sources:
        return TargetError(
            f"{path} holds more than the model: its tensors are there, beside {len(sources[''])} more (first "
            f"{sources[''][0]}).",
            hint="Save the model's alone, if the others change nothing in what it computes.",
        )
    return _lacks(path, own, state, sources, problem)


def _lacks(
    path: Path,
    own: Mapping[str, torch.Tensor],
    state: Mapping[str, torch.Tensor],
    sources: Iterable[str],
    problem: str,
) -> TargetError:
    """Why a state dict that lacks some of the model, or has it in other shapes, does not fit."""
    if is_part(path):
        return divided(path)
    if any(".lora_" in name for name in state):
        beside = any(".base_layer." in name for name in state)
        how = "that are not merged into the model's weights" if beside else "without the model's weights"
        return TargetError(
            f"{path} holds LoRA adapters {how}.",
            hint="Merge them (merge_and_unload of PEFT), and save the model's state dict.",
        )
    tower = _lacking_tower(own, sources)
    if tower:
        return TargetError(
            f"{path} lacks the {tower} tower: it holds none of its tensors. Both towers are needed.",
            hint="Give the file of the whole model, pictures and texts.",
        )
    fits = all(name in own and own[name].shape == tensor.shape for name, tensor in state.items())
    hint = "Save the whole state dict, or name" if fits else "Name"
    return TargetError(
        f"{path} does not fit the architecture: {problem}.", hint=f"{hint} the architecture that it was trained with."
    )


def _lacking_tower(own: Iterable[str], state: Iterable[str]) -> str:
    """The tower of which a state dict's names hold nothing while they hold the other: `image`, `text`, or empty."""
    sides = {name: "image" if name.startswith("visual.") else "text" for name in own if not name.startswith("logit_")}
    names = frozenset(state)
    held = {side for name, side in sides.items() if name in names}
    lacking = set(sides.values()) - held
    return lacking.pop() if len(lacking) == 1 and len(held) == 1 else ""


def _difference(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """What keeps a state dict from fitting, or an empty string. Nothing is interpolated or left out to make it fit."""
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    parts = []
    if missing:
        parts.append(f"{counted(len(missing), 'tensor is', 'tensors are')} missing (first {missing[0]})")
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


def _info(files: TargetFiles, model: torch.nn.Module) -> TargetInfo:
    size: Any = getattr(model.visual, "image_size", files.config["vision_cfg"].get("image_size", 224))
    height, width = (size, size) if isinstance(size, int) else size
    return TargetInfo(
        name=files.spec.name,
        architecture=files.spec.architecture_name,
        image_size=(int(height), int(width)),
        mean=files.preprocessing.mean,
        std=files.preprocessing.std,
        embedding_dim=int(files.config["embed_dim"]),
    )
