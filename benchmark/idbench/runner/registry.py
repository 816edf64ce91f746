"""Finds attacks, checks that they are what they say, and makes their parameters."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from idbench import plugins
from idbench.api import Attack, MethodCard, MethodParams, names_of
from idbench.errors import MethodError, UnknownNameError
from idbench.results import CardCopy, MethodRef, ParameterCopy
from idbench.runner.closure import code_hash


@dataclass(frozen=True, slots=True)
class AttackEntry:
    """One registered attack, usable or not.

    Args:
        name: as on the command line.
        distribution: who brings it.
        card: None if it cannot be used.
        reason: why it cannot be used; empty if it can.
    """

    name: str
    distribution: str
    card: MethodCard | None
    reason: str


@dataclass(frozen=True, slots=True)
class RegisteredAttack:
    """An attack that was found, imported and checked."""

    plugin: plugins.Plugin
    kind: type[Attack[Any]]

    @property
    def card(self) -> MethodCard:
        """What the attack says about itself."""
        return self.kind.card

    def reference(self, attack: Attack[Any]) -> MethodRef:
        """How a record refers to it, with the knowledge that its parameters need."""
        return MethodRef(
            name=self.card.name,
            version=self.card.version,
            title=self.card.title,
            distribution=self.plugin.distribution,
            code_sha256=code_hash(self.kind, self.plugin.distribution.partition(" ")[0]),
            access=tuple(names_of(self.card.access)),
            knowledge=tuple(names_of(attack.knowledge)),
            track=self.card.track.value,
            card=copy_card(self.card, self.kind.Params),
        )


def list_attacks() -> list[AttackEntry]:
    """Every registered attack; one that is broken is listed with its reason and breaks nothing else."""
    entries = []
    for name, plugin in plugins.find(plugins.ATTACKS).items():
        try:
            card: MethodCard | None = load_attack(name).card
            reason = ""
        except MethodError as error:
            card, reason = None, error.message
        entries.append(AttackEntry(name, plugin.distribution, card, reason))
    return entries


def blind_attacks() -> list[str]:
    """Names of the blind attacks that come with idbench, in alphabetical order: the baselines of every comparison.

    Those of other distributions are attacks like any other: one that hangs must not hold up everybody's runs.
    """
    found = plugins.find(plugins.ATTACKS)
    own = [name for name, plugin in found.items() if plugin.distribution.startswith("idbench ")]
    return [name for name in own if load_attack(name).card.blind]


def load_attack(name: str) -> RegisteredAttack:
    """The attack of that name.

    Raises:
        UnknownNameError: there is none.
        MethodError: it cannot be imported, is not an attack, or carries another name on its card.
    """
    return _checked(plugins.get(plugins.ATTACKS, name, "attack"))


def find_attack(name: str, value: str) -> RegisteredAttack:
    """The attack of that name, registered or an instrument of a study, which comes with idbench without being an entry.

    Args:
        name: as on its card.
        value: where its class is, `package.module:Class`.

    Raises:
        UnknownNameError: nothing is registered under the name.
        MethodError: it cannot be imported, is not an attack, or lies elsewhere than `value` says.
    """
    if name not in plugins.find(plugins.ATTACKS) and value.startswith("idbench_methods."):
        return _checked(plugins.Plugin(name, value, f"idbench {version('idbench')}"))
    found = load_attack(name)
    if found.plugin.value != value:
        raise MethodError(
            f"{name} is {found.plugin.value} here, and {value} in the plan.",
            hint="Install the same packages on every machine.",
        )
    return found


def _checked(plugin: plugins.Plugin) -> RegisteredAttack:
    """The class behind a plug-in if it is an attack of that name."""
    name = plugin.name
    kind = plugin.load()
    if not (inspect.isclass(kind) and issubclass(kind, Attack)):
        raise MethodError(f"{plugin.value} is not an attack.", hint="It must be a subclass of idbench.api.Attack.")
    if inspect.isabstract(kind):
        raise MethodError(
            f"{plugin.value} has no `score` method.", hint="Define `score(self, target, cases, context)`."
        )
    if kind.card.name != name:
        raise MethodError(
            f"{plugin.value} is registered as {name!r}, but its card says {kind.card.name!r}.",
            hint="Use the same name in pyproject.toml and on the card.",
        )
    return RegisteredAttack(plugin, kind)


def make_attack(
    registered: RegisteredAttack, preset: str | None = None, overrides: Mapping[str, object] | None = None
) -> Attack[Any]:
    """The attack with its parameters: defaults, then the preset, then what the user gives.

    Args:
        registered: from `load_attack`.
        preset: a name from the card's presets.
        overrides: values, or texts as typed on the command line (JSON is understood).

    Raises:
        UnknownNameError: no such preset or parameter.
        MethodError: a value does not fit.
    """
    card = registered.card
    values: dict[str, object] = {}
    if preset is not None:
        if preset not in card.presets:
            raise UnknownNameError(f"preset of {card.name}", preset, card.presets)
        values.update(card.presets[preset])
    fields = registered.kind.Params.model_fields
    for key, value in (overrides or {}).items():
        if key not in fields:
            raise UnknownNameError(
                f"parameter of {card.name}", key, fields, hint=f"`bench show {card.name}` lists them."
            )
        values[key] = _parsed(value)
    try:
        params = registered.kind.Params.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "parameters"
        raise MethodError(
            f"{where} of {card.name}: {first['msg']}.", hint=f"`bench show {card.name}` lists ranges and defaults."
        ) from error
    try:
        return registered.kind(params)
    except Exception as error:
        raise MethodError(f"{card.name} cannot be made: {type(error).__name__}: {error}.") from error


def params_dict(params: MethodParams) -> dict[str, Any]:
    """Parameters as plain JSON values."""
    return dict(params.model_dump(mode="json"))


def copy_card(card: MethodCard, params: type[MethodParams]) -> CardCopy:
    """A card with its parameters as plain data, for the record."""
    told = card.model_dump(mode="python", exclude={"access", "knowledge", "optional_knowledge"})
    return CardCopy(
        **told,
        access=tuple(names_of(card.access)),
        knowledge=tuple(names_of(card.knowledge)),
        optional_knowledge=tuple(names_of(card.optional_knowledge)),
        parameters=_copy_parameters(params),
    )


def _copy_parameters(params: type[MethodParams]) -> tuple[ParameterCopy, ...]:
    defaults = json.loads(params().model_dump_json())
    return tuple(
        ParameterCopy(
            name=name,
            type=str(field.annotation).replace("typing.", ""),
            default=defaults[name],
            description=field.description or "",
        )
        for name, field in params.model_fields.items()
    )


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
