"""Finds what installed distributions register, loads and checks it when needed, and contains what is broken."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from idbench.errors import IdbenchError, PluginError, UnknownNameError

if TYPE_CHECKING:
    from idbench.api.method import Method

INSTRUMENTS = "idbench.instruments"
"""The entry-point group of attacks that studies use and nobody runs by name; idbench's own alone are looked at."""

PATIENCE = 180.0
"""Seconds that a command waits for the import of a plug-in which it names: torch takes a minute on a busy machine."""
GLANCE = 15.0
"""Seconds for one that is only listed: one that hangs must not keep everybody from the others."""

_AT_ONCE = 8  # strangers' plug-ins that are read side by side

T = TypeVar("T")
M = TypeVar("M", bound="Method[Any]")


@dataclass(frozen=True, slots=True)
class Plugin:
    """Something registered by an installed distribution; importing it is left until `load`.

    Args:
        name: what it is called on the command line.
        value: where it is, `package.module:object`.
        distribution: which distribution registers it, e.g. `idbench 0.1.0`.
        rivals: other distributions that register the same name; then none of them can be used.
    """

    name: str
    value: str
    distribution: str
    rivals: tuple[str, ...] = field(default=())

    def load(self) -> object:
        """The object itself.

        Raises:
            PluginError: it cannot be imported, or several distributions register the name.
        """
        if self.rivals:
            raise PluginError(
                f"{self.name!r} is registered more than once: by {', '.join((self.distribution, *self.rivals))}.",
                hint="Uninstall all but one of them.",
            )
        return load_object(self.value)


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registered name: what it stands for, or why that cannot be used.

    Args:
        plugin: where it comes from.
        value: what was loaded and checked; None if it cannot be used.
        reason: why it cannot be used, one sentence; empty if it can.
    """

    plugin: Plugin
    value: T | None
    reason: str

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.plugin.name

    @property
    def distribution(self) -> str:
        """Which distribution registers it."""
        return self.plugin.distribution


class Registry(ABC, Generic[T]):
    """Everything that is registered under one entry-point group. Nothing is kept: an installation shows at once.

    Args:
        group: the entry-point group, e.g. `idbench.attacks`.
        kind: what one of its plug-ins is called in messages, e.g. `attack`.
    """

    def __init__(self, group: str, kind: str) -> None:
        self.group = group
        self.kind = kind

    def plugins(self) -> list[Plugin]:
        """Where each plug-in comes from, sorted by name; nothing is imported."""
        return list(find(self.group).values())

    def names(self) -> list[str]:
        """All registered names, sorted; nothing is imported."""
        return list(find(self.group))

    def plugin(self, name: str) -> Plugin:
        """Where the plug-in of that name comes from; it is not imported.

        Raises:
            UnknownNameError: nothing is registered under the name; the message suggests the nearest one.
        """
        found = find(self.group)
        if name not in found:
            raise UnknownNameError(self.kind, name, found, hint=f"`bench list` shows every {self.kind}.")
        return found[name]

    def load(self, name: str) -> T:
        """The plug-in of that name, imported and checked.

        Raises:
            UnknownNameError: nothing is registered under the name.
            PluginError: it cannot be imported, is of the wrong type, carries another name than the one that it is
                registered under, or shares its name with the plug-in of another distribution.
        """
        return self.checked(self.plugin(name))

    def entries(self, patience: float = GLANCE) -> list[Entry[T]]:
        """Every registered name, sorted; a plug-in that is broken comes with the reason and breaks nothing else.

        Args:
            patience: seconds for the import of each, on a machine that is not busy.
        """
        plugins = self.plugins()
        # Each third-party plug-in is read by a process of its own.
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda plugin: (plugin.name, self._entry(plugin, patience)), filter(is_strange, plugins))
            strange = dict(found)
        return [strange.get(plugin.name) or self._entry(plugin, patience) for plugin in plugins]

    def own(self) -> list[T]:
        """What idbench's own code gives and can be used, sorted by name; nothing of strangers' is looked at."""
        entries = (self._entry(plugin, PATIENCE) for plugin in self.plugins() if not is_strange(plugin))
        return [entry.value for entry in entries if entry.value is not None]

    def checked(self, plugin: Plugin, patience: float = PATIENCE) -> T:
        """A plug-in of idbench's own, or what stands in for a stranger's; raises the `PluginError` of `load`."""
        return self.stand_in(plugin, patience) if is_strange(plugin) else self.imported(plugin)

    @abstractmethod
    def stand_in(self, plugin: Plugin, patience: float) -> T:
        """What stands in for a stranger's plug-in, made of what it says of itself; none of its code runs here.

        Args:
            plugin: of another distribution.
            patience: seconds for its import, on a machine that is not busy.

        Raises:
            PluginError: it cannot be used.
        """

    def imported(self, plugin: Plugin) -> T:
        """The plug-in itself, a stranger's too: for processes in which strangers' code may run.

        Raises:
            PluginError: as `load`.
        """
        value = self.accept(plugin, plugin.load())
        if self.name_of(value) != plugin.name:
            raise PluginError(
                f"{plugin.value} is registered as {plugin.name!r}, but calls itself {self.name_of(value)!r}.",
                hint="Use the same name in the package's pyproject.toml and in its code.",
            )
        return value

    @abstractmethod
    def accept(self, plugin: Plugin, found: object) -> T:
        """What was imported, if it is what the group is for.

        Raises:
            PluginError: it is not.
        """

    @abstractmethod
    def name_of(self, value: T) -> str:
        """What a plug-in calls itself; it must be registered under this name."""

    def _entry(self, plugin: Plugin, patience: float) -> Entry[T]:
        try:
            return Entry(plugin, self.checked(plugin, patience), "")
        except PluginError as error:
            return Entry(plugin, None, error.message)


class MethodRegistry(Registry[type[M]]):
    """A group whose plug-ins are classes: attacks or defenses.

    Args:
        group: the entry-point group.
        kind: what one of its plug-ins is called in messages.
        base: the class that all of them derive from.
    """

    def __init__(self, group: str, kind: str, base: type[Any]) -> None:
        super().__init__(group, kind)
        self._base = base

    def accept(self, plugin: Plugin, found: object) -> type[M]:
        """The class, if it derives from the base and nothing in it is left abstract."""
        if not (inspect.isclass(found) and issubclass(found, self._base)):
            raise _wrong_kind(plugin, self.kind, f"a subclass of idbench.api.{self._base.__name__}")
        kind = cast("type[M]", found)
        if inspect.isabstract(kind):
            missing = ", ".join(f"`{name}`" for name in sorted(getattr(kind, "__abstractmethods__", ())))
            raise PluginError(f"{plugin.value} does not define {missing}.", hint=f"Every {self.kind} needs it.")
        if not hasattr(kind, "card"):  # a base class of the interface itself
            raise PluginError(f"{plugin.value} has no card.", hint="Set `card` in the class.")
        return kind

    def name_of(self, value: type[M]) -> str:
        """The name on the card."""
        return value.card.name


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What it calls itself."""
        ...


N = TypeVar("N", bound=Named)


class ObjectRegistry(Registry[N]):
    """A group whose plug-ins are objects: splits or targets.

    Args:
        group: the entry-point group.
        kind: what one of its plug-ins is called in messages.
        types: what a plug-in must be an instance of, any of them.
    """

    def __init__(self, group: str, kind: str, *types: type[N]) -> None:
        super().__init__(group, kind)
        self._types = types

    def accept(self, plugin: Plugin, found: object) -> N:
        """The object, if it is of one of the types."""
        if not isinstance(found, self._types):
            raise _wrong_kind(plugin, self.kind, " or ".join(f"a {one.__name__}" for one in self._types))
        return found

    def name_of(self, value: N) -> str:
        """Its name."""
        return value.name


def _wrong_kind(plugin: Plugin, kind: str, wanted: str) -> PluginError:
    article = "an" if kind[0] in "aeiou" else "a"
    return PluginError(
        f"{plugin.value} is not {article} {kind}.", hint=f"It must be {wanted}: correct {plugin.distribution}."
    )


def is_strange(plugin: Plugin) -> bool:
    """Whether the code of a plug-in is a stranger's, which must not run in the process that writes records."""
    return not (plugin.rivals or is_own(plugin.value))


def is_own(value: str) -> bool:
    """Whether a plug-in is idbench's own: the installed idbench registers it, and its file is one of idbench's.

    What a distribution calls itself does not count, nor which package a module claims to be in.

    Args:
        value: where it is, `package.module:object`.
    """
    if value not in _own_values():
        return False
    file = locate(value.partition(":")[0])
    return file is not None and any(file.is_relative_to(folder) for folder in _own_folders())


@cache
def _own_values() -> frozenset[str]:
    # Distributions are found by the names of their folders, of which an environment has one each.
    try:
        return frozenset(point.value for point in distribution("idbench").entry_points)
    except PackageNotFoundError:
        return frozenset()


@cache
def _own_folders() -> tuple[Path, ...]:
    """This package and that of the methods: side by side where idbench is installed, in two folders of a checkout."""
    here = Path(__file__).parent
    beside, checkout = here.parent / "idbench_methods", here.parents[1] / "methods" / "idbench_methods"
    return (here, beside if beside.is_dir() else checkout)


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


def load_object(value: str) -> object:
    """Import `package.module:object`.

    Raises:
        PluginError: anything at all went wrong on the way, for the code is somebody else's.
    """
    module, _, attribute = value.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except IdbenchError as error:
        raise PluginError(f"{value} cannot be used: {error.message}", hint=error.hint) from error
    except BaseException as error:  # a plug-in may raise anything, SystemExit included
        reason = " ".join(str(error).split()).rstrip(".")
        raise PluginError(
            f"{value} cannot be imported: {type(error).__name__}{': ' if reason else ''}{reason}.",
            hint=f"Try `python -c 'import {module}'` to see where it fails.",
        ) from error
    return found


def find(group: str) -> Mapping[str, Plugin]:
    """Everything registered under a group, by name, in alphabetical order; nothing is imported."""
    found: dict[str, Plugin] = {}
    owners: dict[object, str] = {None: "unknown"}
    for entry in sorted(entry_points(group=group), key=lambda e: (e.name, e.value)):
        if entry.dist is not None and entry.dist not in owners:
            # Once for each distribution: the file that both are read from is parsed anew each time.
            owners[entry.dist] = f"{entry.dist.name} {entry.dist.version}"
        owner = owners[entry.dist]
        first = found.get(entry.name)
        if first is None:
            found[entry.name] = Plugin(entry.name, entry.value, owner)
        elif first.value != entry.value:
            found[entry.name] = Plugin(first.name, first.value, first.distribution, (*first.rivals, owner))
    return found
