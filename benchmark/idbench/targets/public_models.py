"""What open_clip's public models compute, and what a checkpoint computes that does not say it: settled before loading.

Two checkpoints of one architecture may want different pixels (mean, standard deviation, interpolation, resizing) and
another activation. Neither is in the weights, and neither makes loading fail: the embeddings are wrong, no more. So
both come from a configuration, from a tag of open_clip, or from a person who knows; nothing is guessed where public
models disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

from idbench.errors import TargetError, UnknownNameError
from idbench.storage import require_regular, storage_errors
from idbench.targets.spec import (
    CLIP_MEAN,
    CLIP_STD,
    HubFile,
    Interpolation,
    LocalFile,
    Preprocessing,
    PretrainedTag,
    ResizeMode,
    Stated,
    TargetSpec,
)

QUICK: Final = "-quickgelu"
"""What open_clip appends to the name of an architecture for its twin with QuickGELU; the weights have equal shapes."""

PIXELS: Final = (
    "mean and std are three numbers for colours from 0 to 1, interpolation is one of "
    f"{', '.join(get_args(Interpolation))}, resize_mode is one of {', '.join(get_args(ResizeMode))}."
)
"""What the values of preprocessing are."""

_SHOWN = 6  # ways to answer that one hint lists


@dataclass(frozen=True, slots=True)
class Computation:
    """What decides a public model's outputs besides its weights.

    Args:
        preprocessing: how a photo becomes its input.
        quick_gelu: whether it was trained with QuickGELU; None: open_clip's tables contradict each other.
    """

    preprocessing: Preprocessing
    quick_gelu: bool | None

    def __str__(self) -> str:
        """In a few words, as a hint says it."""
        activation = {True: "QuickGELU", False: "GELU", None: "activation unknown"}[self.quick_gelu]
        return f"{described(self.preprocessing)}, {activation}"


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model configuration of the user's own.

    Args:
        model: `embed_dim`, `vision_cfg`, `text_cfg` and so on, as open_clip has it.
        preprocessing: from `preprocess_cfg`; None: the file has none.
    """

    model: dict[str, Any]
    preprocessing: Preprocessing | None


def described(preprocessing: Preprocessing) -> str:
    """Preprocessing in a few words."""
    own = preprocessing.mean == CLIP_MEAN and preprocessing.std == CLIP_STD
    colours = "CLIP's mean" if own else f"mean {_numbers(preprocessing.mean)} std {_numbers(preprocessing.std)}"
    return f"{colours}, {preprocessing.interpolation}, {preprocessing.resize_mode}"


def _numbers(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ",".join(f"{value:g}" for value in values)


@cache
def architecture_names() -> frozenset[str]:
    """Every architecture that open_clip has a configuration of, read from its files: importing it takes seconds."""
    found = find_spec("open_clip")
    places = found.submodule_search_locations if found is not None else None
    if not places:
        raise TargetError("open_clip is not installed.", hint="Run: pip install open_clip_torch")
    return frozenset(file.stem for file in (Path(next(iter(places))) / "model_configs").glob("*.json"))


def check_architecture(name: str) -> None:
    """Refuse an architecture that open_clip does not know.

    Raises:
        UnknownNameError: open_clip does not know it.
    """
    if name not in architecture_names():
        hint = "A configuration of your own is given as a path that ends in .json."
        raise UnknownNameError("open_clip architecture", name, architecture_names(), hint=hint)


def read_config(path: Path) -> ModelConfig:
    """An open_clip model configuration from a JSON file, bare or inside `model_cfg` with `preprocess_cfg` next to it.

    Raises:
        TargetError: not JSON, not a model configuration, or preprocessing that open_clip does not have.
    """
    with storage_errors(path):
        require_regular(path)
        data = path.read_bytes()
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TargetError(f"{path} is not UTF-8.", hint="Save the model configuration as UTF-8.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise TargetError(f"{path} is not valid JSON ({error}).", hint="Correct the model configuration.") from error
    inner = content.get("model_cfg", content) if isinstance(content, dict) else None
    if not isinstance(inner, dict):
        raise TargetError(f"{path} holds no model configuration.", hint=_CONFIGURATION)
    given = content.get("preprocess_cfg")
    model = {name: value for name, value in inner.items() if name != "preprocess_cfg"}
    _check_model(model, path)
    return ModelConfig(model, _given_preprocessing(given, path) if given else None)


_CONFIGURATION = "It needs embed_dim, vision_cfg and text_cfg, as open_clip's."
_PREPROCESS_KEYS = {*Preprocessing.model_fields, "size", "mode"}


def _check_model(model: Mapping[str, Any], path: Path) -> None:
    missing = sorted({"embed_dim", "vision_cfg", "text_cfg"} - model.keys())
    if missing and ("text_config" in model or "vision_config" in model or "architectures" in model):
        raise TargetError(
            f"{path} is a configuration of the transformers library.",
            hint="Use open_clip's own (open_clip_config.json on the Hub), or the architecture's name.",
        )
    if missing:
        raise TargetError(f"{path} is not a model configuration: it lacks {', '.join(missing)}.", hint=_CONFIGURATION)
    for name in ("vision_cfg", "text_cfg"):
        if not isinstance(model[name], dict):
            raise TargetError(f"{name} in {path} is not an object.", hint=_CONFIGURATION)
    if not isinstance(model.get("quick_gelu", False), bool):
        raise TargetError(f"quick_gelu in {path} is neither true nor false.", hint="Write it without quotes.")


def _given_preprocessing(given: object, path: Path) -> Preprocessing:
    """What `preprocess_cfg` says. open_clip passes over keys that it does not have; here that would be a guess."""
    if not isinstance(given, dict):
        raise TargetError(f"preprocess_cfg in {path} is not an object.", hint="Write it as open_clip does.")
    strange = sorted(given.keys() - _PREPROCESS_KEYS)
    if strange:
        raise TargetError(
            f"preprocess_cfg in {path} has keys that open_clip does not have: {', '.join(strange)}.",
            hint=f"Its keys are {', '.join(sorted(_PREPROCESS_KEYS))}: say with them what is meant, and remove others.",
        )
    if given.get("mode") not in (None, "RGB"):
        raise TargetError(
            f"preprocess_cfg in {path} has mode {given['mode']!r}; photos are RGB here.",
            hint="Remove it if it is wrong.",
        )
    return preprocessing_of(given, str(path))


def preprocessing_of(given: Mapping[str, Any], where: str) -> Preprocessing:
    """Preprocessing from `preprocess_cfg`, as open_clip reads it: what is missing is CLIP's own.

    Args:
        given: with any of `mean`, `std`, `interpolation`, `resize_mode`, `fill_color`; the rest is ignored.
        where: it stands, for the error's text.

    Raises:
        TargetError: a value that open_clip does not have.
    """
    values: dict[str, Any] = {name: given[name] for name in Preprocessing.model_fields if given.get(name) is not None}
    for name in ("mean", "std"):
        value = values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            values[name] = (value,) * 3
        elif isinstance(value, list | tuple) and len(value) == 1:
            values[name] = tuple(value) * 3
    if values.get("interpolation") == "random":  # of training pictures; open_clip's evaluation takes bicubic then
        values["interpolation"] = "bicubic"
    try:
        return Preprocessing.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise TargetError(
            f"The preprocessing in {where} has a wrong {first['loc'][0]}: {first['msg']}.",
            hint=PIXELS,
        ) from error


def tag_config(architecture: str, tag: str) -> dict[str, Any]:
    """What open_clip records about a tag: where the weights are, preprocessing, activation.

    Raises:
        UnknownNameError: no such architecture or tag.
    """
    import open_clip

    check_architecture(architecture)
    config: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not config:
        known = open_clip.list_pretrained_tags_by_model(architecture)
        raise UnknownNameError(f"tag of {architecture}", tag, known)
    return config


def public_computation(architecture: str, tag: str) -> Computation:
    """What the public model of an architecture and a tag computes.

    The activation is QuickGELU where the tag says so, and GELU where neither tag nor architecture says anything. Where
    the architecture has QuickGELU and the tag is silent, open_clip's tables contradict each other.

    Raises:
        UnknownNameError: no such architecture or tag.
    """
    import open_clip

    config = tag_config(architecture, tag)
    trained: bool | None = bool(config.get("quick_gelu", False))
    if not trained and open_clip.get_model_config(architecture).get("quick_gelu", False):
        trained = None
    return Computation(preprocessing_of(config, f"open_clip's tag {tag}"), trained)


def family(architecture: str) -> dict[str, Computation]:
    """What each public model computes whose weights have the shapes of an architecture, by tag.

    An architecture and its twin with QuickGELU are one family. The twin's own name decides the activation.
    """
    import open_clip

    base = architecture.removesuffix(QUICK)
    found: dict[str, Computation] = {}
    for name in (base, f"{base}{QUICK}"):
        for tag in open_clip.list_pretrained_tags_by_model(name):
            found.setdefault(tag, public_computation(name, tag))
    if architecture.endswith(QUICK):
        return {tag: one for tag, one in found.items() if one.quick_gelu}
    return found


def settle_target(spec: TargetSpec) -> TargetSpec:
    """The target with preprocessing and activation filled in, from configuration, tag, or what was stated.

    Nothing is fetched. Targets that come with idbench or are trained by it say everything already, and so does what a
    Hub repository's own configuration decides once it is there.

    Raises:
        UnknownNameError: open_clip knows no such architecture or tag.
        TargetError: the architecture's public models disagree, and the reference does not choose one; what
            was stated contradicts the architecture; a package is missing.
    """
    if not isinstance(spec.weights, LocalFile | HubFile | PretrainedTag) or spec.architecture is None:
        return spec
    if isinstance(spec.weights, PretrainedTag) and not isinstance(spec.architecture, str):
        raise TargetError(f"{spec.name} has a tag but no architecture of open_clip.", hint="Name the architecture.")
    if isinstance(spec.architecture, str):
        check_architecture(spec.architecture)
        settled = _settle_named(spec, spec.architecture)
    else:
        settled = _settled(spec, Computation(spec.preprocessing or Preprocessing(), spec.quick_gelu))
    check_packages(settled.name, model_config(settled))
    return settled


def _settle_named(spec: TargetSpec, architecture: str) -> TargetSpec:
    """Settle a target of one of open_clip's architectures."""
    stated = spec.stated or Stated()
    if isinstance(spec.weights, PretrainedTag):
        public = public_computation(architecture, spec.weights.tag)
        if public.quick_gelu is None and spec.quick_gelu is None:
            raise _activation_unknown(spec, f"weights {spec.weights.tag}")
        return _settled(spec, public)
    everything = family(architecture)
    if stated.tag is not None:
        tag = stated.tag.lower().replace("-", "_")  # as open_clip itself reads tags
        if tag not in everything:
            raise UnknownNameError(f"tag of {architecture}", stated.tag, everything)
        if everything[tag].quick_gelu is None and spec.quick_gelu is None:
            raise _activation_unknown(spec, f"weights {tag}")
        return _settled(spec, everything[tag])
    if spec.preprocessing is not None and spec.quick_gelu is not None:
        return _settled(spec, Computation(spec.preprocessing, spec.quick_gelu))
    return _settled(spec, _agreed(spec, architecture, everything))


def _settled(spec: TargetSpec, public: Computation) -> TargetSpec:
    """The target with what was stated, and what a public model computes where nothing was."""
    own = spec.stated or Stated()
    stated = {name: value for name, value in own.model_dump(exclude={"tag"}).items() if value is not None}
    preprocessing = (spec.preprocessing or public.preprocessing).model_copy(update=stated)
    quick = public.quick_gelu if spec.quick_gelu is None else spec.quick_gelu
    return spec.model_copy(update={"preprocessing": preprocessing, "quick_gelu": quick, "stated": None})


def _agreed(spec: TargetSpec, architecture: str, everything: Mapping[str, Computation]) -> Computation:
    """What all public models of an architecture agree on that are like what was stated.

    The architecture's own configuration counts for the activation: every public RN50 has QuickGELU, and anybody who
    trains an RN50 gets GELU.

    Raises:
        TargetError: they disagree on something that was not stated.
    """
    stated = _stated_fields(spec)
    built = bool(_config_of(architecture).get("quick_gelu", False))
    like = {tag: one for tag, one in everything.items() if stated.items() <= _fields(one).items()} or everything
    if not like:  # there are no published weights: open_clip's own defaults, and the architecture's activation
        return Computation(Preprocessing(), built if spec.quick_gelu is None else spec.quick_gelu)
    found = [_fields(one) for one in like.values()]
    if all(one["quick_gelu"] is None for one in found) and spec.quick_gelu is None:
        raise _activation_unknown(spec, f"checkpoints of {architecture}")
    values = {name: {one[name] for one in found} for name in found[0]}
    values["quick_gelu"].add(built)
    questions = [name for name, several in values.items() if name not in stated and len(several) > 1]
    if questions:
        raise _disagreement(spec, architecture, like, questions)
    return next(iter(like.values()))


def _fields(one: Computation) -> dict[str, Any]:
    return one.preprocessing.model_dump(exclude={"fill_color"}) | {"quick_gelu": one.quick_gelu}


def _stated_fields(spec: TargetSpec) -> dict[str, Any]:
    """What is known of the computation without any table."""
    fields: dict[str, Any] = {} if spec.stated is None else spec.stated.model_dump(exclude={"tag"})
    if spec.preprocessing is not None:
        fields = spec.preprocessing.model_dump(exclude={"fill_color"}) | {k: v for k, v in fields.items() if v}
    fields["quick_gelu"] = spec.quick_gelu
    return {name: value for name, value in fields.items() if value is not None}


def _disagreement(
    spec: TargetSpec, architecture: str, like: Mapping[str, Computation], questions: Sequence[str]
) -> TargetError:
    """Ask which public model a checkpoint is like, with exactly what to type."""
    by_kind: dict[Computation, list[str]] = {}
    for tag, one in like.items():
        by_kind.setdefault(one, []).append(tag)
    ways = [
        f"&tag={tags[0]} ({kind}{f'; so have {len(tags) - 1} more' if len(tags) > 1 else ''})"
        for kind, tags in by_kind.items()
    ]
    listed = ", or ".join(ways[:_SHOWN]) + (f", or another of {len(ways)} kinds" if len(ways) > _SHOWN else "")
    example = next(iter(by_kind.values()))[0]
    words = {"quick_gelu": "quick_gelu=true or false", "mean": "mean=R,G,B", "std": "std=R,G,B"}
    own = " and ".join("&" + words.get(question, f"{question}=...") for question in questions)
    return TargetError(
        f"Checkpoints of {architecture} differ in {' and '.join(questions)}, and the reference does not say how "
        f"{spec.name} was trained: a wrong guess would silently give wrong embeddings.",
        hint=f"Type '{_reference(spec, architecture)}&tag={example}' if it was trained like open_clip's {example}. "
        f"Public models: {listed}; or say it yourself: {own}.",
    )


def _activation_unknown(spec: TargetSpec, what: str) -> TargetError:
    return TargetError(
        f"open_clip's tables contradict each other on the activation of {what} ({spec.architecture}): the architecture "
        "has QuickGELU, the tag does not.",
        hint="Add quick_gelu=true if you know that the weights were trained with QuickGELU, quick_gelu=false if not.",
    )


def _reference(spec: TargetSpec, architecture: str) -> str:
    """How to write such a target on the command line."""
    if isinstance(spec.weights, HubFile):
        return f"hub:{spec.weights.repo}@{spec.weights.commit}?file={spec.weights.file}&arch={architecture}"
    path = spec.weights.path if isinstance(spec.weights, LocalFile) else "PATH"
    return f"file:{path}?arch={architecture}"


def _config_of(architecture: str) -> dict[str, Any]:
    import open_clip

    config: dict[str, Any] = open_clip.get_model_config(architecture)
    return config


def model_config(spec: TargetSpec) -> dict[str, Any]:
    """The open_clip model configuration that a target is built from, with the activation of its weights.

    Raises:
        UnknownNameError: open_clip knows no such architecture.
        TargetError: there is no architecture, or it contradicts the activation that the weights were trained with.
    """
    if spec.architecture is None:
        raise TargetError(f"{spec.name} has no architecture.", hint="Name an open_clip model or a configuration.")
    if isinstance(spec.architecture, str):
        check_architecture(spec.architecture)
        config = _config_of(spec.architecture)
        contradicted = spec.quick_gelu is False and spec.architecture.endswith(QUICK)
    else:
        config = json.loads(json.dumps(spec.architecture))
        has = config.get("quick_gelu")
        contradicted = has is not None and spec.quick_gelu is not None and bool(has) != spec.quick_gelu
    if contradicted:
        raise _contradiction(spec, config)
    if spec.quick_gelu is not None and bool(config.get("quick_gelu", False)) != spec.quick_gelu:
        config["quick_gelu"] = spec.quick_gelu
    return config


def _contradiction(spec: TargetSpec, config: Mapping[str, Any]) -> TargetError:
    built = bool(config.get("quick_gelu", False))
    if isinstance(spec.architecture, str):
        name, hint = spec.architecture, f"Use the architecture {spec.architecture.removesuffix(QUICK)}."
    else:
        name, hint = "its configuration", "Correct quick_gelu in the configuration, or leave the option out."
    return TargetError(
        f"The weights of {spec.name} were trained with {_activation(not built)}, but {name} computes "
        f"{_activation(built)}: its embeddings would be wrong.",
        hint=hint,
    )


def _activation(quick: bool) -> str:
    return "QuickGELU" if quick else "GELU"


def check_packages(name: str, config: Mapping[str, Any]) -> None:
    """Refuse an architecture that needs a package that is not installed, before anything is fetched for it.

    Args:
        name: of the target, for the error's text.
        config: open_clip model configuration.

    Raises:
        TargetError: it names the package and the extra that brings it.
    """
    text, vision = config.get("text_cfg") or {}, config.get("vision_cfg") or {}
    needs = {}
    if text.get("hf_tokenizer_name") or text.get("hf_model_name"):
        part = "tokenizer" if not text.get("hf_model_name") else "text tower"
        needs["transformers"] = (part, "pip install 'idbench[transformers]'")
    if vision.get("timm_model_name"):
        needs["timm"] = ("image tower", "pip install timm")
    for package, (part, command) in needs.items():
        if find_spec(package) is None:
            raise TargetError(
                f"The {part} of {name} needs the package {package}, which is not installed.",
                hint=f"Run: {command}",
            )
