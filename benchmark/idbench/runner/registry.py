"""Attacks, defenses and adaptations: finds them, makes them with parameters, and says how records refer to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, cast

from pydantic import ValidationError

from idbench.api import (
    Adaptation,
    AnswerCard,
    AskingCard,
    Attack,
    Card,
    CorpusCard,
    Defense,
    DefenseCard,
    Method,
    MethodCard,
    MethodParams,
    names_of,
)
from idbench.api.words import track_of
from idbench.errors import MethodError, PluginError, UnknownNameError
from idbench.plugins import INSTRUMENTS, M, MethodRegistry, Plugin, find, is_own, is_strange, locate
from idbench.results import AdaptationRef, CardCopy, DefenseCost, DefenseRef, MethodRef, ParameterCopy
from idbench.runner.cards import StandInParams, stand_in
from idbench.runner.closure import code_hash, code_hash_of
from idbench.targets import AppliedDefense


class Methods(MethodRegistry[M]):
    """All attacks, defenses or adaptations. Strangers' come as stand-ins: their code does not run in this process."""

    def stand_in(self, plugin: Plugin, patience: float) -> type[M]:
        """A class with the card and the parameters of a stranger's method, and none of its code."""
        return cast("type[M]", stand_in(self.group, plugin, patience))


ATTACKS: Final = Methods[Attack[Any]]("idbench.attacks", "attack", Attack)
DEFENSES: Final = Methods[Defense[Any]]("idbench.defenses", "defense", Defense)
ADAPTATIONS: Final = Methods[Adaptation[Any]]("idbench.adaptations", "adaptation", Adaptation)


def group_of(name: str) -> str:
    """The entry-point group of a method's name; that of attacks where several groups know it.

    Raises:
        UnknownNameError: it is neither an attack nor a defense nor an adaptation.
    """
    found = [registry.group for registry in (ATTACKS, DEFENSES, ADAPTATIONS) if name in registry.names()]
    if not found:
        ATTACKS.plugin(name)
    return found[0]


@dataclass(frozen=True, slots=True)
class Registered(Generic[M]):
    """A method that was found, imported and checked.

    Args:
        plugin: where it comes from.
        kind: its class.
    """

    plugin: Plugin
    kind: type[M]


@dataclass(frozen=True, slots=True)
class RegisteredAttack(Registered[Attack[Any]]):
    """An attack that was found, imported and checked."""

    @property
    def card(self) -> MethodCard:
        """What the attack says about itself."""
        return self.kind.card

    @property
    def code_sha256(self) -> str:
        """Over its import closure."""
        return _hash_of(self.plugin, self.kind)

    def reference(self, attack: Attack[Any]) -> MethodRef:
        """How a record refers to it, with the knowledge that its parameters need."""
        return MethodRef(
            name=self.card.name,
            version=self.card.version,
            title=self.card.title,
            distribution=self.plugin.distribution,
            code_sha256=self.code_sha256,
            access=tuple(names_of(self.card.access)),
            knowledge=tuple(names_of(attack.knowledge)),
            track=track_of(self.card.access, attack.knowledge).value,
            card=copy_card(self.card, self.kind.Params, names_of(self.card.access)),
        )


@dataclass(frozen=True, slots=True)
class RegisteredDefense(Registered[Defense[Any]]):
    """A defense that was found, imported and checked."""

    def applied(self, defense: Defense[Any], seed: int, given: str) -> AppliedDefense:
        """How a defended target refers to it.

        Args:
            defense: with its parameters.
            seed: non-negative.
            given: SHA-256 over whom it protects and whatever else it is given; see `AppliedDefense`.
        """
        return _applied(self, defense, seed, given)

    def reference(
        self,
        defense: Defense[Any],
        applied: AppliedDefense,
        *,
        protected: Sequence[str],
        lineage: str | None,
        weights_sha256: str | None,
        cost: DefenseCost | None,
    ) -> DefenseRef:
        """How a record refers to it; the arguments are what `DefenseRef` says."""
        card = self.kind.card
        answers = tuple(names_of(card.answers)) if isinstance(card, AnswerCard) else ()
        return DefenseRef(
            **_described(self, defense, applied, answers),
            track=_track(card),
            seed=applied.seed,
            given_sha256=applied.given_sha256,
            protected=tuple(protected),
            lineage=lineage,
            weights_sha256=weights_sha256,
            cost=cost,
        )


@dataclass(frozen=True, slots=True)
class RegisteredAdaptation(Registered[Adaptation[Any]]):
    """An adaptation that was found, imported and checked."""

    def applied(self, adaptation: Adaptation[Any], seed: int, given: str) -> AppliedDefense:
        """How adapted weights refer to it: they follow from a target as defended ones do."""
        return _applied(self, adaptation, seed, given)

    def reference(
        self,
        adaptation: Adaptation[Any],
        applied: AppliedDefense,
        *,
        lineage: str | None,
        weights_sha256: str | None,
        cost: DefenseCost | None,
    ) -> AdaptationRef:
        """How a record refers to it; the arguments are what `AdaptationRef` says."""
        card = self.kind.card
        asks = tuple(names_of(card.access)) if isinstance(card, AskingCard) else ("WEIGHTS",)
        return AdaptationRef(
            **_described(self, adaptation, applied, asks),
            track="questions" if isinstance(card, AskingCard) else "weights",
            lineage=lineage,
            weights_sha256=weights_sha256,
            cost=cost,
        )


def _applied(registered: Registered[Any], method: Method[Any], seed: int, given: str) -> AppliedDefense:
    card = registered.kind.card
    return AppliedDefense(
        name=card.name,
        version=card.version,
        distribution=registered.plugin.distribution,
        code_sha256=_hash_of(registered.plugin, registered.kind),
        parameters=params_dict(method.params),
        seed=seed,
        given_sha256=given,
    )


def _described(
    registered: Registered[Any], method: Method[Any], applied: AppliedDefense, access: tuple[str, ...]
) -> dict[str, Any]:
    """What a record says alike of a defense and of an adaptation: fields of `DefenseRef` and `AdaptationRef`."""
    card = registered.kind.card
    return {
        "name": card.name,
        "version": card.version,
        "title": card.title,
        "distribution": applied.distribution,
        "code_sha256": applied.code_sha256,
        "access": access,
        "knowledge": tuple(names_of(method.knowledge)),
        "card": copy_card(card, registered.kind.Params, access),
        "parameters": applied.parameters,
    }


def load_adaptation(name: str) -> RegisteredAdaptation:
    """The adaptation of that name; raises what `Registry.load` raises."""
    plugin = ADAPTATIONS.plugin(name)
    return RegisteredAdaptation(plugin, ADAPTATIONS.checked(plugin))


def _track(card: DefenseCard) -> str:
    """Where a defense stands."""
    if isinstance(card, AnswerCard):
        return "answers"
    return "corpus" if isinstance(card, CorpusCard) else "weights"


def blind_attacks() -> list[str]:
    """Names of the blind attacks that come with idbench, in alphabetical order: the baselines of every comparison.

    Those of other distributions are attacks like any other: one that hangs must not hold up everybody's runs.
    """
    own = [plugin for plugin in ATTACKS.plugins() if is_own(plugin.value) and not plugin.rivals]
    return [plugin.name for plugin in own if ATTACKS.checked(plugin).card.blind]


def load_attack(name: str) -> RegisteredAttack:
    """The attack of that name; raises what `Registry.load` raises."""
    plugin = ATTACKS.plugin(name)
    return RegisteredAttack(plugin, ATTACKS.checked(plugin))


def find_attack(name: str, value: str) -> RegisteredAttack:
    """The attack of that name, registered or an instrument of a study, which comes with idbench without being an entry.

    Args:
        name: as on its card.
        value: where its class is, `package.module:Class`.

    Raises:
        UnknownNameError: nothing is registered under the name.
        PluginError: it cannot be imported, or is not an attack of that name.
        MethodError: it lies elsewhere than `value` says.
    """
    instrument = find(INSTRUMENTS).get(name)
    if instrument is not None and instrument.value == value and is_own(value):
        return RegisteredAttack(instrument, ATTACKS.checked(instrument))
    found = load_attack(name)
    if found.plugin.value != value:
        raise MethodError(
            f"{name} is {found.plugin.value} here, and {value} in the plan.",
            hint="Install the same packages on every machine.",
        )
    return found


def load_defense(name: str) -> RegisteredDefense:
    """The defense of that name; raises what `Registry.load` raises."""
    plugin = DEFENSES.plugin(name)
    return RegisteredDefense(plugin, DEFENSES.checked(plugin))


def make_method(
    registered: Registered[M], preset: str | None = None, overrides: Mapping[str, object] | None = None
) -> M:
    """A method with its parameters: defaults, then the preset, then what the user gives.

    Args:
        registered: from `load_attack` or `load_defense`.
        preset: a name from the card's presets.
        overrides: values, or texts as given on the command line (JSON is understood).

    Raises:
        UnknownNameError: no such preset or parameter.
        MethodError: a value does not fit, or the method then asks for more than its card declares.
    """
    card = registered.kind.card
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
        values[key] = value
    return with_parameters(registered, _as_meant(registered.kind.Params, values))


def with_parameters(registered: Registered[M], values: Mapping[str, object]) -> M:
    """A method with these parameters, and defaults for the others.

    Args:
        registered: from `load_attack` or `load_defense`.
        values: by name; nothing is parsed.

    Raises:
        MethodError: a value does not fit, or the method then asks for more than its card declares.
    """
    card = registered.kind.card
    try:
        params = registered.kind.Params.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "parameters"
        raise MethodError(
            f"{where} of {card.name}: {first['msg']}.", hint=f"`bench show {card.name}` lists ranges and defaults."
        ) from error
    try:
        method = registered.kind(params)
        knowledge = method.knowledge
    except MethodError:
        raise
    except Exception as error:
        raise MethodError(f"{card.name} cannot be made: {type(error).__name__}: {error}.") from error
    if undeclared := knowledge & ~(card.knowledge | card.optional_knowledge):
        raise MethodError(
            f"{card.name} asks for {', '.join(names_of(undeclared))}, which its card does not declare.",
            hint="Add it to the card's knowledge or optional_knowledge.",
        )
    return method


def _hash_of(plugin: Plugin, kind: type[Method[Any]]) -> str:
    """Hash of a method's code; a third-party method's comes from its files, since its code could answer anything."""
    brought_by = plugin.distribution.partition(" ")[0]
    if not is_strange(plugin):
        return code_hash(kind, brought_by)
    module = plugin.value.partition(":")[0]
    file = locate(module)
    if file is None:
        raise PluginError(
            f"The source of {plugin.value} cannot be found, so that no record could say what ran.",
            hint="Install the package as files.",
        )
    return code_hash_of(module, file.resolve(), brought_by)


def params_dict(params: MethodParams) -> dict[str, Any]:
    """Parameters as plain JSON values."""
    return dict(params.model_dump(mode="json"))


def copy_card(card: Card, params: type[MethodParams], access: Sequence[str]) -> CardCopy:
    """A card with its parameters as plain data, for the record.

    Args:
        card: of an attack or a defense.
        params: the class of its parameters.
        access: what an attack asks, or what is still answered behind a defense.
    """
    plain = card.model_dump(mode="python", exclude={"access", "answers", "knowledge", "optional_knowledge"})
    return CardCopy(
        **plain,
        access=tuple(access),
        knowledge=tuple(names_of(card.knowledge)),
        optional_knowledge=tuple(names_of(card.optional_knowledge)),
        parameters=_copy_parameters(params),
    )


def _copy_parameters(params: type[MethodParams]) -> tuple[ParameterCopy, ...]:
    if issubclass(params, StandInParams):
        return tuple(ParameterCopy(**one.model_dump()) for one in params.described.fields)
    defaults = json.loads(params().model_dump_json())
    return tuple(
        ParameterCopy(
            name=name,
            type=_shown_type(field.annotation),
            default=defaults[name],
            description=field.description or "",
        )
        for name, field in params.model_fields.items()
    )


def _shown_type(annotation: object) -> str:
    """A type as code has it: `int`, and not `<class 'int'>`."""
    return annotation.__name__ if type(annotation) is type else str(annotation).replace("typing.", "")


def _as_meant(params: type[MethodParams], values: Mapping[str, object]) -> dict[str, object]:
    """Values as the parameters take them: the text `{}` is an empty object for one and a text for another."""
    if issubclass(params, StandInParams):
        texts = {one.name for one in params.described.fields if one.type in ("str", "<class 'str'>")}
        return {name: value if name in texts else _parsed(value) for name, value in values.items()}
    parsed = {name: _parsed(value) for name, value in values.items()}
    try:
        params.model_validate(parsed)
    except ValidationError as error:
        wrong = {found["loc"][0] for found in error.errors() if found["loc"]}
        return {name: values[name] if name in wrong else value for name, value in parsed.items()}
    return parsed


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
