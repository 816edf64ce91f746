"""Strangers' methods in the process that plans and records: their cards and parameters, and none of their code.

A *stand-in* takes the place of the class. It is made of what the method says of itself in a process of its own
(`idbench.strangers`); that process checks parameters too, and says what knowledge they need.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Mapping
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar, cast

from pydantic import Field, ValidationError, create_model

from idbench.api import (
    Access,
    Adaptation,
    AdaptationCard,
    AnswerAdaptation,
    AnswerCard,
    AnswerDefense,
    AskingCard,
    Attack,
    Card,
    CorpusCard,
    CorpusDefense,
    Defense,
    DefenseCard,
    Knowledge,
    MethodCard,
    MethodParams,
    TargetDefense,
    WeightAdaptation,
)
from idbench.api.method import Method
from idbench.errors import MethodError, PluginError
from idbench.plugins import PATIENCE, Plugin
from idbench.strangers import Answer, ask

F = TypeVar("F", Access, Knowledge)

Names = tuple[Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")], ...]
Kind = Literal[
    "attack",
    "corpus defense",
    "target defense",
    "answer defense",
    "defense",
    "weight adaptation",
    "answer adaptation",
    "adaptation",
]
"""What a method derives from; a bare defense or adaptation is one that nothing can apply."""

KINDS: Final[dict[Kind, tuple[type[Method[Any]], type[Card]]]] = {
    "attack": (Attack, MethodCard),
    "corpus defense": (CorpusDefense, CorpusCard),
    "target defense": (TargetDefense, DefenseCard),
    "answer defense": (AnswerDefense, AnswerCard),
    "defense": (Defense, DefenseCard),
    "weight adaptation": (WeightAdaptation, AdaptationCard),
    "answer adaptation": (AnswerAdaptation, AskingCard),
    "adaptation": (Adaptation, AdaptationCard),
}


class Parameter(Answer):
    """One parameter: its name, its type as Python writes it, its default as JSON, what it means."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,99}$")]
    type: Annotated[str, Field(max_length=500)]
    default: Any
    description: Annotated[str, Field(max_length=2000)]


class Description(Answer):
    """A card and the parameters that belong to it.

    Args:
        kind: what the method derives from.
        facts: the card without access, answers and knowledge.
        access: names of `Access`: what an attack asks, or an adaptation of questions beyond it.
        answers: names of `Access`: what a defense of answers still answers, or an adaptation of questions can.
        knowledge: names of `Knowledge`.
        optional_knowledge: names of `Knowledge`.
        fields: the parameters, in order.
        parameters: JSON schema of the parameters.
    """

    kind: Kind
    facts: dict[str, Any]
    access: Names
    answers: Names
    knowledge: Names
    optional_knowledge: Names
    fields: tuple[Parameter, ...]
    parameters: dict[str, Any]

    @property
    def card(self) -> Card:
        """The card itself.

        Raises:
            PluginError: it is not one.
        """
        card = KINDS[self.kind][1]
        asked = {"access": self.access, "answers": self.answers}
        try:
            return card(
                **self.facts,
                **{name: _flags(Access, found) for name, found in asked.items() if name in card.model_fields},
                knowledge=_flags(Knowledge, self.knowledge),
                optional_knowledge=_flags(Knowledge, self.optional_knowledge),
            )
        except (ValidationError, TypeError, KeyError) as error:
            raise PluginError("The card of a method is not a card.", hint="Use the cards of idbench.api.") from error


class RunParameters(Answer):
    """The parameters of a run, defaults included, and the knowledge that they need."""

    parameters: dict[str, Any]
    knowledge: Names


def describe(group: str, plugin: Plugin, patience: float = PATIENCE) -> Description:
    """The card of a stranger's method, as plain data; the arguments are those of `idbench.strangers.ask`.

    Raises:
        PluginError: it cannot be imported or is not a method of the group; the message says why.
    """
    found = ask(group, plugin, None, Description, patience)
    if found.card.name != plugin.name:
        raise PluginError(f"The card of {plugin.name} is another method's.", hint="Report this to its author.")
    return found


def stand_in(group: str, plugin: Plugin, patience: float) -> type[Method[Any]]:
    """A class with the card and the parameters of a stranger's method, and none of its code; it can do nothing.

    The arguments are those of `describe`.

    Raises:
        PluginError: as of `describe`, or the parameters have names that no class can have.
    """
    return _stand_in(group, plugin, describe(group, plugin, patience).model_dump_json())


@lru_cache(maxsize=256)
def _stand_in(group: str, plugin: Plugin, description: str) -> type[Method[Any]]:
    """One class for one description, however often it is asked for, as with a class that is imported."""
    found = Description.model_validate_json(description)
    params = _stand_in_params(found)

    def init(self: Any, given: StandInParams | None = None) -> None:
        values = {} if given is None else given.model_dump(mode="json", exclude_unset=True)
        setting = settle(group, plugin, values)
        self.params = params.model_construct(**setting.parameters)
        self._knowledge = _flags(Knowledge, setting.knowledge)

    def work(*_: object) -> None:
        raise MethodError(f"{plugin.name} runs only in a worker.")

    base = KINDS[found.kind][0]
    members: dict[str, Any] = {
        **dict.fromkeys(base.__abstractmethods__, work),
        "card": found.card,
        "Params": params,
        "__init__": init,
        "__module__": plugin.value.partition(":")[0],
        "knowledge": property(lambda self: self._knowledge),
    }
    kind: Any = ABCMeta("StandIn", (base,), members)
    return cast("type[Method[Any]]", kind)


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


def settle(group: str, plugin: Plugin, values: Mapping[str, object]) -> RunParameters:
    """The parameters of a run, checked and with all defaults, and the knowledge that they need.

    Args:
        group: the entry-point group.
        plugin: of a stranger's method.
        values: by name, as JSON.

    Raises:
        MethodError: a value does not fit.
    """
    try:
        return ask(group, plugin, dict(values), RunParameters)
    except PluginError as error:
        raise MethodError(error.message, hint=error.hint) from error


def _flags(kind: type[F], names: Names) -> F:
    return reduce(or_, (kind[name] for name in names), kind(0))
