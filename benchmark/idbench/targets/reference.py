"""How targets are named: one grammar for every command, checked as far as possible without torch or network.

    WORDS      REFERENCE[,REFERENCE...]
    REFERENCE  all | PATTERN | NAME | open_clip:ARCH/TAG | file:PATH | hub:ORG/REPO@COMMIT | idia:ARCH/PICTURES
               references with a colon may continue: ?OPTION=VALUE[&OPTION=VALUE...]; a name, with
               ?precision=bfloat16|float16 alone

`all` and patterns (`avatars-*`, `idia:RN50/*`) choose among registered targets and the checkpoints of IDIA's authors.
A comma ends a reference, except in the numbers of `mean=` and `std=` and the names of `control_for=`, which continue
to the next reference with a colon. `%2C` is a comma, `%26` an ampersand, `%3F` a question mark, `%25` a per cent sign;
`+` is itself. Paths are relative to the current folder, and absolute in the specification.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

from pydantic import ValidationError

from idbench.errors import TargetError, UnknownNameError
from idbench.storage import expanded, sha256_bytes, sha256_file
from idbench.targets.catalogue import TARGETS, list_targets, registered_target
from idbench.targets.fetch import check_size
from idbench.targets.full_size.idia import missing_checkpoints, references, resolve_idia
from idbench.targets.public_models import PIXELS, architecture_names, check_architecture, read_config
from idbench.targets.spec import HubFile, LocalFile, Precision, Preprocessing, PretrainedTag, Stated, TargetSpec

_FORMS = (
    "Write a registered name (`bench list targets`), open_clip:ARCH/TAG, file:PATH?arch=ARCH, "
    "hub:ORG/REPO@COMMIT?file=FILE&arch=ARCH, or idia:ARCH/PICTURES."
)
CHECKPOINTS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
"""Endings of checkpoints; a word with one of them and without `file:` before it gets a hint."""

_COMMON = ("name", "corpus", "digest", "control_for", "sha256", "precision")
_COMPUTATION = ("quick_gelu", "mean", "std", "interpolation", "resize_mode")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "open_clip": (*_COMMON, *_COMPUTATION),
    "file": ("arch", "like", "tag", *_COMMON, *_COMPUTATION),
    "hub": ("file", "arch", "like", "tag", *_COMMON, *_COMPUTATION),
    "idia": ("sha256", "precision"),
    "name": ("precision",),
}
_LISTS = ("mean", "std", "control_for")  # options whose value may hold commas
_REPOSITORY = re.compile(r"(?:hf-hub:|https?://(?:huggingface\.co|hf\.co)/)([\w-][\w.-]*/[\w.-]+)(?:/.*)?")
"""How others write a repository of the Hugging Face Hub."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def targets_meant(words: str, among: Callable[[], Sequence[TargetSpec]] = list_targets) -> list[TargetSpec]:
    """The targets that the words name, each once, in the order in which they were written.

    Args:
        words: see the grammar above.
        among: lists the registered targets that `all` and patterns choose from; asked only where one is written. A name
            means any registered target, whether it is among these or not.

    Raises:
        UnknownNameError: nothing fits one of the words.
        TargetError: one cannot be understood, or two different targets would bear one name.
    """
    chosen: list[TargetSpec] = []
    for word in split_words(words):
        for spec in _meant(word, among):
            if spec not in chosen:
                _check_name(spec, chosen)
                chosen.append(spec)
    return chosen


def target_meant(word: str) -> TargetSpec:
    """The one target that a word names, where several make no sense.

    Raises:
        UnknownNameError: there is none.
        TargetError: the word cannot be understood, or means several.
    """
    found = targets_meant(word)
    if len(found) != 1:
        names = ", ".join(spec.name for spec in found[:3])
        raise TargetError(f"{word!r} means {len(found)} targets ({names}, ...).", hint="Name one of them.")
    return found[0]


def split_words(words: str) -> list[str]:
    """The references of a list with commas.

    Raises:
        TargetError: one of them is empty.
    """
    found: list[str] = []
    for part in words.split(","):
        if found and _goes_on(found[-1], part):
            found[-1] += f",{part}"
        else:
            found.append(part.strip())
    if not all(found):
        raise TargetError(
            f"{words!r} names no target between two commas." if any(found) else "The name of the target is empty.",
            hint=_FORMS,
        )
    return found


def _goes_on(before: str, part: str) -> bool:
    """Whether a part after a comma still belongs to the value of the last option of the reference before it."""
    _, mark, query = before.partition("?")
    name, sign, _ = query.rpartition("&")[2].partition("=")
    if not mark or not sign or name not in _LISTS:
        return False
    if name == "control_for":
        return ":" not in part.partition("?")[0]
    return bool(_NUMBER.fullmatch(part.partition("&")[0].strip()))


def _meant(word: str, among: Callable[[], Sequence[TargetSpec]]) -> list[TargetSpec]:
    if word == "all":
        if not (every := list(among())):
            raise TargetError("No registered target fits, so `all` means none.", hint=_FORMS)
        return every
    scheme, colon, rest = word.partition(":")
    if colon and scheme == "idia" and is_pattern(rest):
        return _idia_pattern(word)
    if is_pattern(word) and scheme not in _READERS:
        known = among()
        found = [spec for spec in known if fnmatch.fnmatchcase(spec.name, word)]
        if not found:
            raise UnknownNameError("target", word, [spec.name for spec in known])
        return found
    return [resolve_target(word)]


def is_pattern(word: str) -> bool:
    """Whether a reference stands for several names."""
    return any(sign in word for sign in "*[")


def _idia_pattern(word: str) -> list[TargetSpec]:
    """All checkpoints of IDIA's authors that a pattern means; none is left out because its file is not there."""
    found = [ref for ref in references() if fnmatch.fnmatchcase(ref, word)]
    if not found:
        raise UnknownNameError("checkpoint of the authors of IDIA", word, references())
    missing = missing_checkpoints(found)
    if missing and len(missing) < len(found):
        there = ",".join(ref for ref in found if ref not in missing)
        raise TargetError(
            f"Of the {len(found)} checkpoints that {word} means, {len(missing)} are not on this machine: "
            f"{', '.join(missing)}.",
            hint=f"Fetch them, or type what is there: {there}",
        )
    return [resolve_target(ref) for ref in found]


def _check_name(spec: TargetSpec, others: Iterable[TargetSpec]) -> None:
    if any(other.name == spec.name for other in others):
        raise TargetError(
            f"Two different targets would be called {spec.name}, and their results could not be told apart.",
            hint="Give each a name of its own: add &name=NAME, or ?name=NAME where there is no question mark yet.",
        )


def resolve_target(ref: str) -> TargetSpec:
    """The target that one reference means.

    Args:
        ref: a registered name; `open_clip:ARCH/TAG`; `file:PATH?arch=ARCH`, where ARCH is an open_clip model name or
            the path of a model configuration (JSON), or `file:PATH?like=NAME` for a checkpoint that shares
            architecture, tokenizer, preprocessing and activation with a registered target;
            `hub:ORG/REPO@COMMIT?file=FILE&arch=ARCH`. All but names take `name=NAME`, `corpus=NAME`, `digest=HEX` (of
            the corpus's build, as the split's manifest has it), `control_for=NAME,NAME`, `sha256=HEX`, and what the
            weights were trained with: `quick_gelu=true|false`, `mean=R,G,B`, `std=R,G,B`, `interpolation=`,
            `resize_mode=`; files also `tag=TAG` of a public model with the same. `idia:ARCH/PICTURES`, a public
            checkpoint of the authors of IDIA in the folder `BENCH_IDIA_CHECKPOINTS`, takes `sha256=HEX` alone. All
            take `precision=bfloat16|float16`: what the towers compute in, by autocast; without it float32.

    Raises:
        UnknownNameError: nothing is registered under the name, or an option or architecture does not exist.
        TargetError: the reference cannot be understood, or there is no such file.
    """
    scheme, colon, rest = ref.partition(":")
    if not colon or scheme not in _READERS:
        name, _, query = ref.partition("?")
        return _computed_in(_by_name(name if name in TARGETS.names() else ref), ref, _options(ref, "name", query))
    path, _, query = rest.partition("?")
    options = _options(ref, scheme, query)
    try:
        return _computed_in(_READERS[scheme](ref, unquote(path), options), ref, options)
    except ValidationError as error:
        reason = "; ".join(dict.fromkeys(_reason(item["loc"], item["msg"]) for item in error.errors()))
        wrong_pixels = any(item["loc"] and item["loc"][0] in _COMPUTATION for item in error.errors())
        hint = PIXELS if wrong_pixels else _FORMS
        raise TargetError(f"The target reference {ref!r} is wrong: {reason}.", hint=hint) from error


def _computed_in(spec: TargetSpec, ref: str, options: Mapping[str, str]) -> TargetSpec:
    """The target in the precision that is asked for, under a name that says so unless it was given one."""
    wanted = options.get("precision", "float32")
    if wanted not in get_args(Precision):
        raise TargetError(
            f"precision in {ref!r} is none of {', '.join(get_args(Precision))}.", hint="Write precision=bfloat16."
        )
    if wanted == "float32":
        return spec
    name = spec.name if "name" in options else f"{spec.name}-{wanted}"
    title = f"{spec.title}, computed in {wanted}"
    return spec.model_copy(update={"precision": wanted, "name": name, "title": title, "golden_sha256": None})


def _reason(where: Sequence[int | str], message: str) -> str:
    """What is wrong with one option, by its name."""
    if message.startswith("Value error, "):
        return message.removeprefix("Value error, ")
    return f"{where[0]}: {message[:1].lower()}{message[1:]}"


def _by_name(word: str) -> TargetSpec:
    """A registered target, or an error with the best guess at what was meant."""
    names = TARGETS.names()
    if word not in names:
        if word.endswith(CHECKPOINTS) or (os.sep in word and expanded(Path(word)).is_file()):
            raise _meant_file(word)
        scheme, colon, rest = word.partition(":")
        near = difflib.get_close_matches(scheme.lower().replace("-", "_"), _READERS, n=1, cutoff=0.6)
        if colon and near and scheme != "hf-hub":
            raise TargetError(f"{scheme}: is not a kind of reference.", hint=f"Did you mean {near[0]}:{rest}? {_FORMS}")
        first, slash, tag = word.partition("/")
        if slash and first in architecture_names():
            raise UnknownNameError("target", word, names, hint=f"Type open_clip:{first}/{tag}. {_FORMS}")
        _check_repository(word)
    return registered_target(word, hint=_FORMS if ":" in word or "/" in word else "")


def _check_repository(word: str) -> None:
    """Refuse a repository of the Hugging Face Hub as open_clip or a browser writes it.

    Raises:
        TargetError: it says how to write it here.
    """
    found = _REPOSITORY.fullmatch(word)
    if found:
        raise TargetError(
            f"{word!r} looks like a repository of the Hugging Face Hub; no kind of reference begins like that.",
            hint=f"Type hub:{found[1]}@COMMIT with all 40 hexadecimal digits of the commit.",
        )


def _meant_file(word: str) -> TargetError:
    """Say how to refer to a checkpoint, with the architecture that its file name suggests."""
    guess = _architecture_like(Path(word).stem)
    example = f"file:{word}?arch={guess or 'ARCH'}"
    other = "" if guess else ", with ARCH one of open_clip's names (RN50, ViT-B-32, ...) or a model configuration.json"
    there = "" if expanded(Path(word)).is_file() else f" (there is no such file in {Path.cwd()}, though)"
    return TargetError(
        f"No target is registered as {word!r}; it looks like a checkpoint, and a checkpoint needs file: and its "
        f"architecture{there}.",
        hint=f"Type --target '{example}'{other}.",
    )


def _architecture_like(stem: str) -> str | None:
    """The architecture whose name is in the name of a file, or None."""
    plain = re.sub(r"[^a-z0-9]", "", stem.lower())
    names = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in sorted(architecture_names(), reverse=True)}
    found = [short for short in names if short in plain]
    return names[max(found, key=len)] if found else None


def _options(ref: str, scheme: str, query: str) -> dict[str, str]:
    """The options of a reference, decoded.

    Raises:
        UnknownNameError: one does not exist, or not for this kind of reference.
        TargetError: one has no value, or stands twice.
    """
    found: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, sign, value = item.partition("=")
        if name not in _OPTIONS[scheme]:
            if any(name in options for options in _OPTIONS.values()):
                raise TargetError(f"The target reference {ref!r} cannot have {name}=.", hint=_known_options(scheme))
            raise TargetError(f"The target reference {ref!r} has an unknown option: {name}.", hint=_near(name, scheme))
        if not sign or not value:
            raise TargetError(f"The option {name} in {ref!r} has no value.", hint=f"Write {name}=VALUE.")
        if name in found:
            raise TargetError(f"The option {name} stands twice in {ref!r}.", hint="Leave one of them out.")
        found[name] = unquote(value)
    return found


def _near(name: str, scheme: str) -> str:
    near = difflib.get_close_matches(name, _OPTIONS[scheme], n=1)
    return f"Did you mean {near[0]}? {_known_options(scheme)}" if near else _known_options(scheme)


def _known_options(scheme: str) -> str:
    what = "A registered name" if scheme == "name" else f"{scheme}:"
    return f"{what} takes {', '.join(sorted(_OPTIONS[scheme]))}."


def _common(ref: str, options: Mapping[str, str]) -> dict[str, Any]:
    quick = options.get("quick_gelu")
    if quick not in (None, "true", "false"):
        raise TargetError(f"quick_gelu in {ref!r} is neither true nor false.", hint="Write quick_gelu=true.")
    stated = Stated(
        tag=options.get("tag"),
        mean=_numbers(ref, "mean", options),
        std=_numbers(ref, "std", options),
        interpolation=options.get("interpolation"),
        resize_mode=options.get("resize_mode"),
    )
    return {
        "version": "1",
        "corpus": options.get("corpus"),
        "control_for": tuple(name for name in options.get("control_for", "").split(",") if name),
        "sha256": options.get("sha256"),
        "corpus_digest": options.get("digest"),
        "quick_gelu": None if quick is None else quick == "true",
        "stated": None if stated == Stated() else stated,
    }


def _numbers(ref: str, name: str, options: Mapping[str, str]) -> tuple[float, float, float] | None:
    """Three numbers, or one for all three colours."""
    if name not in options:
        return None
    parts = options[name].split(",")
    if len(parts) not in (1, 3) or not all(_NUMBER.fullmatch(part.strip()) for part in parts):
        raise TargetError(
            f"{name} in {ref!r} is not three numbers.", hint=f"Write {name}=0.5,0.5,0.5, or {name}=0.5 for all three."
        )
    first, second, third = map(float, parts * (3 // len(parts)))
    return first, second, third


def _open_clip(ref: str, path: str, options: Mapping[str, str]) -> TargetSpec:
    if path.startswith("hf-hub:"):
        _check_repository(path)
    architecture, slash, tag = path.rpartition("/")
    if not slash or not architecture or not tag:
        raise TargetError(
            f"The target reference {ref!r} does not name both an architecture and a tag.",
            hint="Write open_clip:ARCH/TAG, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k.",
        )
    check_architecture(architecture)
    spec = TargetSpec(
        name="unnamed",
        title=f"open_clip {architecture}, weights {tag}",
        architecture=architecture,
        weights=PretrainedTag(tag=tag),
        **_common(ref, options),
    )
    return _named(spec, options, f"open_clip-{architecture}-{tag}", apart=_decides(options))


def _file(ref: str, path: str, options: Mapping[str, str]) -> TargetSpec:
    place = _existing(path)
    common = _common(ref, options) | {
        "name": "unnamed",
        "title": f"local checkpoint {place.name}",
        "weights": LocalFile(path=str(place)),
    }
    if common["sha256"] is None:
        common["sha256"] = _content_hash(place)
    if "like" not in options and "arch" not in options:
        configuration = place.with_name("open_clip_config.json")
        known = str(configuration) if configuration.is_file() else (_architecture_like(place.stem) or "ARCH")
        raise TargetError(
            f"The target reference {ref!r} does not say which architecture the checkpoint has.",
            hint=f"Type 'file:{path}?arch={known}', with an open_clip model name or the path of a model configuration, "
            "or add ?like=NAME for one that was trained like a registered target.",
        )
    return _named(_built(ref, options, common), options, f"file-{place.stem}", apart=True)


def _hub(ref: str, path: str, options: Mapping[str, str]) -> TargetSpec:
    repo, at, commit = path.partition("@")
    if not at:
        raise TargetError(
            f"The target reference {ref!r} names no commit, so what it means could change.",
            hint="Write hub:ORG/REPO@COMMIT with all 40 hexadecimal digits of the commit.",
        )
    file = {"file": options["file"]} if "file" in options else {}
    common = _common(ref, options) | {
        "name": "unnamed",
        "title": f"{repo} at {commit[:12]}",
        "weights": HubFile(repo=repo, commit=commit, **file),
    }
    own = "arch" not in options and "like" not in options
    spec = TargetSpec(architecture=None, **common) if own else _built(ref, options, common)
    return _named(spec, options, f"hub-{repo}-{commit[:12]}", apart=_decides(options))


def _built(ref: str, options: Mapping[str, str], common: dict[str, Any]) -> TargetSpec:
    """A checkpoint of the architecture that `arch=` or `like=` names."""
    if "like" in options:
        if "arch" in options or "tag" in options:
            raise TargetError(
                f"The target reference {ref!r} has like= together with arch= or tag=.",
                hint="like=NAME implies them: leave them out.",
            )
        return _like(registered_target(options["like"]), common)
    value = options["arch"]
    if value.startswith("hf-hub:"):
        _check_repository(value)
    if not value.endswith(".json"):
        check_architecture(value)
        return TargetSpec(architecture=value, **common)
    if "tag" in options:
        raise TargetError(
            f"The target reference {ref!r} has tag= together with a configuration.",
            hint="Say what differs from it: quick_gelu=, mean=, std=, interpolation=, resize_mode=.",
        )
    config = read_config(expanded(Path(value)).absolute())
    return TargetSpec(architecture=config.model, preprocessing=config.preprocessing, **common)


def _like(model: TargetSpec, common: dict[str, Any]) -> TargetSpec:
    """A checkpoint that shares everything but the weights with a registered target."""
    stated: Stated | None = common["stated"]
    preprocessing = model.preprocessing
    if isinstance(model.weights, PretrainedTag):
        own = (stated or Stated()).model_dump(exclude={"tag"})
        stated = Stated(tag=model.weights.tag, **own)
    elif preprocessing is None and isinstance(model.architecture, dict):
        preprocessing = Preprocessing()
    quick = model.quick_gelu if common["quick_gelu"] is None else common["quick_gelu"]
    return TargetSpec(
        architecture=model.architecture,
        tokenizer=model.tokenizer,
        preprocessing=preprocessing,
        **common | {"stated": stated, "quick_gelu": quick},
    )


def _idia(ref: str, path: str, options: Mapping[str, str]) -> TargetSpec:
    return resolve_idia(path, sha256=options.get("sha256"))


_READERS: Mapping[str, Callable[[str, str, Mapping[str, str]], TargetSpec]] = {
    "open_clip": _open_clip,
    "file": _file,
    "hub": _hub,
    "idia": _idia,
}


def _existing(path: str) -> Path:
    """The file of a checkpoint, absolute.

    Raises:
        TargetError: there is none.
    """
    place = expanded(Path(path)).absolute()
    if place.is_dir():
        inside = sorted(file.name for file in place.iterdir() if file.suffix in CHECKPOINTS)
        listed = f" It holds {', '.join(inside[:5])}." if inside else ""
        raise TargetError(f"There is no checkpoint at {place}: it is a folder.", hint=f"Name a file in it.{listed}")
    if place.exists() and not place.is_file():
        raise TargetError(f"There is no checkpoint at {place}: it is not a regular file.", hint="Name a file.")
    if not place.is_file():
        near = difflib.get_close_matches(place.name, [p.name for p in place.parent.glob("*")], n=1)
        patterns = " Patterns are for registered names and idia: only; give files one by one, with commas between them."
        hint = f"Did you mean {near[0]}?" if near else "Check the path; it must be a file."
        raise TargetError(f"There is no checkpoint at {place}.", hint=hint + (patterns if is_pattern(path) else ""))
    check_size(place)
    return place


def _content_hash(place: Path) -> str:
    """SHA-256 of a file, computed once for as long as it does not change."""
    about = place.stat()
    return _hash_once(place, about.st_size, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=64)
def _hash_once(place: Path, size: int, modified: int, node: int) -> str:
    return sha256_file(place)


def _decides(options: Mapping[str, str]) -> bool:
    """Whether options change what a public model computes, or which file of a repository it is."""
    return bool(options.keys() & {*_COMPUTATION, "tag", "arch", "like", "file"})


def _named(spec: TargetSpec, options: Mapping[str, str], name: str, *, apart: bool) -> TargetSpec:
    """The target under its own name, or one that no other weights and no other use of them have.

    Args:
        spec: with any name.
        options: as written.
        name: its name, unless the reference gives one.
        apart: whether the name alone does not tell it from others.
    """
    if "name" in options:
        chosen = options["name"]
    elif apart:
        content = spec.model_dump_json(
            include={"sha256", "architecture", "weights", "tokenizer", "preprocessing", "stated", "quick_gelu"},
            exclude={"weights": {"path"}},  # a checkpoint that moves remains the same target
        )
        chosen = f"{name}-{sha256_bytes(json.dumps(content).encode())[:8]}"
    else:
        chosen = name
    return TargetSpec.model_validate(spec.model_dump() | {"name": re.sub(r"[^A-Za-z0-9._-]+", "-", chosen)})
