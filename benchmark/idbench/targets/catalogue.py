"""Which targets exist and what a reference on the command line means. No torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from pydantic import ValidationError

from idbench.errors import TargetError, UnknownNameError
from idbench.plugins import ObjectRegistry
from idbench.storage import storage_errors
from idbench.targets.full_size.idia import resolve_idia
from idbench.targets.spec import HubFile, LocalFile, PretrainedTag, TargetSpec

TARGETS: Final = ObjectRegistry[TargetSpec]("idbench.targets", "target", TargetSpec)

_FORMS = (
    "Write a registered name, open_clip:ARCH/TAG, file:PATH?arch=ARCH, hub:ORG/REPO@COMMIT?file=FILE&arch=ARCH, "
    "or idia:ARCH/PICTURES."
)
_OPTIONS = {"arch", "like", "name", "corpus", "digest", "control_for", "sha256", "file", "quick_gelu"}


def list_targets() -> list[TargetSpec]:
    """Every registered target that loads, sorted by name. A broken plug-in is left out; `broken_targets` names it."""
    return [entry.value for entry in TARGETS.entries() if entry.value is not None]


def broken_targets() -> dict[str, str]:
    """Registered targets that cannot be read, with the reason."""
    return {entry.name: entry.reason for entry in TARGETS.entries() if entry.value is None}


def resolve_target(ref: str) -> TargetSpec:
    """The target that a reference means.

    Args:
        ref: a registered name; `open_clip:ARCH/TAG`; `file:PATH?arch=ARCH`, where ARCH is an open_clip model name
            or the path of a model configuration (JSON), or `file:PATH?like=NAME` for a checkpoint that shares
            architecture and tokenizer with a registered target; `hub:ORG/REPO@COMMIT?file=FILE&arch=ARCH`. All but
            names take `name=NAME`, `corpus=NAME`, `digest=HEX` (of the corpus's build, as the split's manifest has it),
            `control_for=NAME,NAME`, `sha256=HEX` and `quick_gelu=true|false` too. `idia:ARCH/PICTURES`, a public
            checkpoint of the authors of IDIA in the folder `BENCH_IDIA_CHECKPOINTS`, takes `sha256=HEX` alone.

    Raises:
        UnknownNameError: nothing is registered under the name.
        PluginError: what is registered under the name cannot be used.
        TargetError: the reference cannot be understood.
    """
    scheme, colon, rest = ref.partition(":")
    if colon and scheme in _READERS:
        path, _, query = rest.partition("?")
        options = _options(ref, query)
        try:
            return _READERS[scheme](ref, path, options)
        except ValidationError as error:
            reason = "; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
            raise TargetError(f"The target reference {ref!r} is wrong: {reason}.", hint=_FORMS) from error
    return _by_name(ref)


def _by_name(name: str) -> TargetSpec:
    known = TARGETS.names()
    if name not in known:
        raise UnknownNameError("target", name, known, hint=_FORMS if ":" in name or "/" in name else "")
    return TARGETS.load(name)


def _options(ref: str, query: str) -> dict[str, str]:
    parsed = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
    unknown = sorted(parsed.keys() - _OPTIONS)
    if unknown:
        raise TargetError(
            f"The target reference {ref!r} has an unknown option: {', '.join(unknown)}.",
            hint=f"Known: {', '.join(sorted(_OPTIONS))}.",
        )
    if parsed.get("quick_gelu", "true") not in ("true", "false"):
        raise TargetError(f"quick_gelu in {ref!r} is neither true nor false.", hint="Write quick_gelu=true.")
    return parsed


def _common(options: dict[str, str]) -> dict[str, Any]:
    quick_gelu = options.get("quick_gelu")
    return {
        "version": "1",
        "corpus": options.get("corpus"),
        "control_for": tuple(name for name in options.get("control_for", "").split(",") if name),
        "sha256": options.get("sha256"),
        "corpus_digest": options.get("digest"),
        "quick_gelu": None if quick_gelu is None else quick_gelu == "true",
    }


def _open_clip(ref: str, path: str, options: dict[str, str]) -> TargetSpec:
    architecture, slash, tag = path.rpartition("/")
    if not slash or not architecture or not tag:
        raise TargetError(f"The target reference {ref!r} names no architecture and tag.", hint=_FORMS)
    return TargetSpec(
        name=_slug(options.get("name") or f"open_clip-{architecture}-{tag}"),
        title=f"open_clip {architecture}, weights {tag}",
        architecture=architecture,
        weights=PretrainedTag(tag=tag),
        **_common(options),
    )


def _file(ref: str, path: str, options: dict[str, str]) -> TargetSpec:
    common = _common(options) | {
        "name": _slug(options.get("name") or f"file-{Path(path).stem}"),
        "title": f"local checkpoint {Path(path).name}",
        "weights": LocalFile(path=path),
    }
    if "like" in options:
        model = _by_name(options["like"])
        return TargetSpec(
            architecture=model.architecture,
            tokenizer=model.tokenizer,
            preprocessing=model.preprocessing,
            **common,
        )
    if "arch" not in options:
        raise TargetError(
            f"The target reference {ref!r} does not say which architecture the checkpoint has.",
            hint="Add ?arch=ARCH (an open_clip model name or the path of a model configuration) or ?like=NAME.",
        )
    return TargetSpec(architecture=_architecture(options["arch"]), **common)


def _hub(ref: str, path: str, options: dict[str, str]) -> TargetSpec:
    repo, at, commit = path.partition("@")
    if not at:
        raise TargetError(
            f"The target reference {ref!r} names no commit, so what it means could change.",
            hint="Write hub:ORG/REPO@COMMIT with all 40 hexadecimal digits of the commit.",
        )
    file = {"file": options["file"]} if "file" in options else {}
    return TargetSpec(
        name=_slug(options.get("name") or f"hub-{repo}-{commit[:12]}"),
        title=f"{repo} at {commit[:12]}",
        architecture=_architecture(options["arch"]) if "arch" in options else None,
        weights=HubFile(repo=repo, commit=commit, **file),
        **_common(options),
    )


def _idia(ref: str, path: str, options: dict[str, str]) -> TargetSpec:
    if beside := sorted(options.keys() - {"sha256"}):
        raise TargetError(f"The target reference {ref!r} cannot have {beside[0]}=.", hint="Only sha256 may follow.")
    return resolve_idia(path, sha256=options.get("sha256"))


_READERS = {"open_clip": _open_clip, "file": _file, "hub": _hub, "idia": _idia}


def _architecture(value: str) -> str | dict[str, Any]:
    return read_config(Path(value)) if value.endswith(".json") else value


def read_config(path: Path) -> dict[str, Any]:
    """An open_clip model configuration from a JSON file, bare or inside `model_cfg`.

    Raises:
        TargetError: not JSON, or no model configuration.
    """
    with storage_errors(path):
        text = path.read_text(encoding="utf-8")
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise TargetError(f"{path} is not valid JSON ({error}).", hint="Correct the model configuration.") from error
    inner = config.get("model_cfg", config) if isinstance(config, dict) else None
    if not isinstance(inner, dict):
        raise TargetError(
            f"{path} holds no model configuration.", hint="It needs embed_dim, vision_cfg and text_cfg, as open_clip's."
        )
    return inner


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)
