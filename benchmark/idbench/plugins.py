"""Finds what is registered under an entry-point group, loads it when needed, and contains what is broken."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from idbench.errors import IdbenchError, MethodError, UnknownNameError

ATTACKS = "idbench.attacks"
SPLITS = "idbench.splits"
TARGETS = "idbench.targets"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Something registered by an installed distribution; importing it is left until `load`.

    Args:
        name: what it is called on the command line.
        value: where it is, `package.module:object`.
        distribution: who brings it, e.g. `idbench 0.1.0`.
        rivals: other distributions that register the same name; then none of them can be used.
    """

    name: str
    value: str
    distribution: str
    rivals: tuple[str, ...] = field(default=())

    def load(self) -> object:
        """The object itself.

        Raises:
            MethodError: it cannot be imported; the message says why.
        """
        if self.rivals:
            raise MethodError(
                f"{self.name!r} is registered more than once: by {', '.join((self.distribution, *self.rivals))}.",
                hint="Uninstall all but one of them.",
            )
        return load_object(self.value)


def load_object(value: str) -> object:
    """Import `package.module:object`.

    Raises:
        MethodError: anything at all went wrong on the way: the code is a stranger's.
    """
    module, _, attribute = value.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except IdbenchError as error:
        raise MethodError(f"{value} cannot be used: {error.message}", hint=error.hint) from error
    except BaseException as error:  # a plug-in may raise anything, SystemExit included
        raise MethodError(
            f"{value} cannot be imported: {type(error).__name__}: {error}.",
            hint=f"Try `python -c 'import {module}'` to see where it fails.",
        ) from error
    return found


def find(group: str) -> Mapping[str, Plugin]:
    """Everything registered under a group, by name, in alphabetical order; nothing is imported."""
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=group), key=lambda e: (e.name, e.value)):
        owner = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
        first = found.get(entry.name)
        if first is None:
            found[entry.name] = Plugin(entry.name, entry.value, owner)
        elif first.value != entry.value:
            found[entry.name] = Plugin(first.name, first.value, first.distribution, (*first.rivals, owner))
    return found


def get(group: str, name: str, kind: str) -> Plugin:
    """The plug-in of that name.

    Args:
        group: an entry-point group.
        name: as on the command line.
        kind: what it is called in messages, e.g. "attack".

    Raises:
        UnknownNameError: nothing is registered under the name.
    """
    plugins = find(group)
    if name not in plugins:
        raise UnknownNameError(kind, name, plugins, hint=f"`bench list` shows every {kind}.")
    return plugins[name]
