"""Which targets are registered, and the one of a name. No torch."""

from __future__ import annotations

from typing import Final

from idbench.errors import PluginError, UnknownNameError
from idbench.plugins import ObjectRegistry, Plugin
from idbench.strangers import ask
from idbench.targets.spec import TargetSpec


class TargetRegistry(ObjectRegistry[TargetSpec]):
    """All targets. They are plain data; strangers' are read in a process of their own all the same."""

    def stand_in(self, plugin: Plugin, patience: float) -> TargetSpec:
        """The target itself, as data."""
        found = ask(self.group, plugin, None, TargetSpec, patience)
        if found.name != plugin.name:
            raise PluginError(f"The target {plugin.name} calls itself {found.name!r}.", hint="Report it to its author.")
        return found


TARGETS: Final = TargetRegistry("idbench.targets", "target", TargetSpec)


def list_targets() -> list[TargetSpec]:
    """Every registered target that loads, sorted by name. `TARGETS.entries` names those that do not."""
    return [entry.value for entry in TARGETS.entries() if entry.value is not None]


def registered_target(name: str, *, hint: str = "") -> TargetSpec:
    """The registered target of a name.

    Args:
        name: as in its plug-in's entry point.
        hint: what to add to the nearest name, if this one is unknown.

    Raises:
        UnknownNameError: nothing is registered under the name.
        PluginError: what is registered cannot be used.
    """
    known = TARGETS.names()
    if name not in known:
        raise UnknownNameError("target", name, known, hint=hint)
    return TARGETS.load(name)
