"""The card of a third-party method, as plain data: read once, in a process of its own, and kept.

Importing a plug-in runs its code, and code that runs in the process which writes records can change what they hold. So
the parent asks a short-lived process, `idbench.runner.card_reader`, for the card and the parameters, and for the
parameters of a run with the knowledge that they need. Answers are closed schemas of bounded size. They are kept below
the cache by the hash of the plug-in's code, so that each is given once and is the same for everybody. In the parent a
*stand-in* takes the place of the class: it has the card and the parameters, and none of the third party's code.

idbench's own methods are imported where they are needed: anybody who can change them can change everything else too.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import platform
import subprocess
import sys
from abc import ABCMeta
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from idbench.api import Access, Attack, Knowledge, MethodCard, MethodParams, Scores
from idbench.errors import IdbenchError, MethodError, PluginError
from idbench.plugins import Plugin
from idbench.runner.process import end, worker_environment
from idbench.storage import cache_dir, read_regular, sha256_bytes, write_text
from idbench.version import __version__
from idbench.workplace import workplace

QUESTION, ANSWER = "question.json", "answer.json"

_LIMIT = 1 << 20  # bytes of an answer
_PATIENCE = 60.0  # seconds: torch imported at the top of a module takes some
_AT_ONCE = 4

F = TypeVar("F", Access, Knowledge)
A = TypeVar("A", bound="_Answer")

Names = tuple[Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")], ...]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Refusal(_Answer):
    """Why a plug-in cannot be used: an error's message and hint."""

    message: Annotated[str, Field(max_length=2000)]
    hint: Annotated[str, Field(max_length=2000)]


class Parameter(_Answer):
    """One parameter: its name, its type as Python writes it, its default as JSON, what it means."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,99}$")]
    type: Annotated[str, Field(max_length=500)]
    default: Any
    description: Annotated[str, Field(max_length=2000)]


class Description(_Answer):
    """A card and the parameters that belong to it.

    Args:
        facts: the card without access and knowledge.
        access: names of `Access`.
        knowledge: names of `Knowledge`.
        optional_knowledge: names of `Knowledge`.
        fields: the parameters, in order.
        parameters: JSON schema of the parameters.
    """

    facts: dict[str, Any]
    access: Names
    knowledge: Names
    optional_knowledge: Names
    fields: tuple[Parameter, ...]
    parameters: dict[str, Any]

    @property
    def card(self) -> MethodCard:
        """The card itself.

        Raises:
            MethodError: it is not one.
        """
        try:
            return MethodCard(
                **self.facts,
                access=_flags(Access, self.access),
                knowledge=_flags(Knowledge, self.knowledge),
                optional_knowledge=_flags(Knowledge, self.optional_knowledge),
            )
        except (ValidationError, TypeError, KeyError) as error:
            raise MethodError("The card of a method is not a card.", hint="Use idbench.api.MethodCard.") from error


class Setting(_Answer):
    """The parameters of a run, defaults included, and the knowledge that they need."""

    parameters: dict[str, Any]
    knowledge: Names


def describe_all(plugins: Sequence[Plugin]) -> list[Description | PluginError]:
    """The cards of several methods, read side by side; an error in place of a card that cannot be read."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_description_or_error, plugins))


def _description_or_error(plugin: Plugin) -> Description | PluginError:
    try:
        return describe(plugin)
    except PluginError as error:
        return error


def describe(plugin: Plugin) -> Description:
    """The card of a method, as plain data.

    Raises:
        PluginError: it cannot be imported or is not a method; the message says why.
    """
    try:
        found = _asked(plugin, Description, None)
        name = found.card.name
    except MethodError as error:
        raise PluginError(error.message, hint=error.hint) from error
    if name != plugin.name:
        raise PluginError(f"The card of {plugin.name} is another method's.", hint="Report this to its author.")
    return found


def stand_in(plugin: Plugin, found: Description) -> type[Attack[Any]]:
    """A class with a third-party method's card and parameters, and none of its code; it cannot score.

    Raises:
        PluginError: the parameters have names that no class can have.
    """
    return _stand_in(plugin, found.model_dump_json())


@lru_cache(maxsize=256)
def _stand_in(plugin: Plugin, description: str) -> type[Attack[Any]]:
    """One class for one description, however often it is asked for, as with a class that is imported."""
    found = Description.model_validate_json(description)
    params = _stand_in_params(found)

    def init(self: Any, given: StandInParams | None = None) -> None:
        values = {} if given is None else given.model_dump(mode="json", exclude_unset=True)
        setting = settle(plugin, values)
        self.params = params.model_construct(**setting.parameters)
        self._knowledge = _flags(Knowledge, setting.knowledge)

    def score(*_: object) -> Scores:
        raise MethodError(f"{plugin.name} runs in a worker alone.")

    members: dict[str, Any] = {
        "card": found.card,
        "Params": params,
        "__init__": init,
        "__module__": plugin.value.partition(":")[0],
        "knowledge": property(lambda self: self._knowledge),
        "score": score,
    }
    kind: Any = ABCMeta("StandIn", (Attack,), members)
    return cast("type[Attack[Any]]", kind)


class StandInParams(MethodParams):
    """Parameters that are not checked here; the process that knows them does that."""

    described: ClassVar[Description]

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The schema of the parameters that are stood in for."""
        return dict(cls.described.parameters)


def _stand_in_params(found: Description) -> type[StandInParams]:
    fields: dict[str, Any] = {one.name: (Any, Field(one.default, description=one.description)) for one in found.fields}
    try:
        made: type[StandInParams] = create_model("Params", __base__=StandInParams, **fields)
    except Exception as error:
        raise PluginError("The names of a method's parameters cannot be used.", hint="Choose other names.") from error
    made.described = found
    return made


def settle(plugin: Plugin, values: Mapping[str, object]) -> Setting:
    """The parameters of a run, checked and with all defaults, and the knowledge that they need.

    Args:
        plugin: of a method.
        values: by name, as JSON.

    Raises:
        MethodError: a value does not fit.
    """
    return _asked(plugin, Setting, dict(values))


def locate(module: str) -> Path | None:
    """The file of a module, found without importing anything; None where it cannot be determined."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for depth, _ in enumerate(rest, 1):
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = ".".join([top, *rest[:depth]])
            spec = importlib.machinery.PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError, AttributeError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _asked(plugin: Plugin, kind: type[A], question: object) -> A:
    """An answer that was kept, or that a process gives now."""
    text = json.dumps(question, sort_keys=True, default=str)
    key = _key(plugin, text)
    path = None if key is None else cache_dir("cards", f"{key}.json")
    kept = None if path is None else _kept(path, kind)
    if kept is not None:
        return kept
    answer = _read(_ask(plugin, text), kind, plugin)
    if isinstance(answer, Refusal):
        raise MethodError(answer.message, hint=answer.hint)
    if path is not None:
        with suppress(IdbenchError):  # a cache that cannot be written costs the next reader a second
            write_text(path, answer.model_dump_json())
    return answer


def _kept(path: Path, kind: type[A]) -> A | None:
    try:
        return kind.model_validate_json(read_regular(path, _LIMIT))
    except (OSError, ValueError):
        return None


def _key(plugin: Plugin, question: str) -> str | None:
    """What an answer depends on: the code of the plug-in's top package, idbench, Python, the question."""
    module = plugin.value.partition(":")[0]
    top = locate(module.partition(".")[0])
    if top is None or locate(module) is None:
        return None
    files = sorted(top.parent.rglob("*.py")) if top.name == "__init__.py" else [top]
    digest = hashlib.sha256()
    for path in files:
        try:
            data = path.read_bytes()
        except OSError:
            return None
        digest.update(f"{path.relative_to(top.parent).as_posix()}\0{len(data)}\0".encode() + data)
    parts = [digest.hexdigest(), plugin.name, plugin.value, plugin.distribution, question]
    parts += [__version__, platform.python_version(), str(_own_code())]
    return sha256_bytes(json.dumps(parts).encode())[:32]


def _own_code() -> int:
    """Changes with this module and the interface, whose answers another version must not read."""
    here = Path(__file__)
    return max(path.stat().st_mtime_ns for path in (here, here.with_name("registry.py"), *_api().glob("*.py")))


def _api() -> Path:
    return Path(__file__).parents[1] / "api"


def _ask(plugin: Plugin, question: str) -> bytes:
    """Start a process, give it the question, and read no more of its answer than an answer may have."""
    with workplace() as folder:
        asked, answer = folder / QUESTION, folder / ANSWER
        asked.write_text(question, encoding="utf-8")
        command = [sys.executable, "-P", "-m", "idbench.runner.supervisor", "idbench.runner.card_reader", str(folder)]
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [*command, "--", plugin.name, plugin.value, plugin.distribution],
            env=worker_environment(folder),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise MethodError(
                f"{plugin.value} took more than {_PATIENCE:g} seconds to be imported.",
                hint=f"Try `python -c 'import {plugin.value.partition(':')[0]}'` to see what it does.",
            ) from error
        finally:
            end(process)
        try:
            return read_regular(answer, _LIMIT)
        except (OSError, ValueError) as error:
            raise MethodError(
                f"{plugin.value} ended the process that imported it.",
                hint=f"Try `python -c 'import {plugin.value.partition(':')[0]}'` to see where.",
            ) from error


def _read(data: bytes, kind: type[A], plugin: Plugin) -> A | Refusal:
    for wanted in (kind, Refusal):
        try:
            return wanted.model_validate_json(data)
        except ValueError:
            continue
    raise MethodError(f"{plugin.value} has no readable card.", hint="Use idbench.api.MethodCard.")


def _flags(kind: type[F], names: Names) -> F:
    return reduce(or_, (kind[name] for name in names), kind(0))
