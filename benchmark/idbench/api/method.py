"""The base class of every method, the attack, and what surrounds a method while it runs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin

import numpy as np
from pydantic import ValidationError

from idbench.api.card import Card, MethodCard, MethodParams
from idbench.api.cases import AuxiliaryPerson, Calibration, Case, Pair, Scores
from idbench.api.target import TargetView
from idbench.api.words import Knowledge
from idbench.errors import AccessViolation, MethodError
from idbench.progress import Progress

P = TypeVar("P", bound=MethodParams)


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds a method while it runs.

    Args:
        seed: non-negative; the only source of randomness. `rng()` makes generators from it.
        device: where to compute, as torch names it, e.g. `cpu`, `cuda:0`.
        cache: the method's own folder, kept between runs; may be emptied at any time.
        progress: shows a person how far the work is.
        candidates: every name that the method considers possible; read through `candidate_names`.
        pairs: read through `public_pairs`.
        auxiliary: read through `auxiliary_people`.
    """

    seed: int
    device: str
    cache: Path
    progress: Progress
    candidates: tuple[str, ...] | None = None
    pairs: tuple[Pair, ...] | None = None
    auxiliary: tuple[AuxiliaryPerson, ...] | None = None

    def rng(self, *labels: int | str) -> np.random.Generator:
        """A generator that depends on the run's seed and on the labels alone, so that parts do not disturb each other.

        Args:
            labels: what the randomness is for, e.g. `rng("noise", case.name)`.
        """
        words = [byte for label in labels for byte in str(label).encode() + b"/"]
        return np.random.default_rng(np.random.SeedSequence([self.seed, *words]))

    @property
    def candidate_names(self) -> tuple[str, ...]:
        """Names that are considered possible, those of the cases among them; needs CANDIDATE_NAMES.

        Raises:
            AccessViolation: the card does not declare it.
        """
        if self.candidates is None:
            raise AccessViolation(
                "The method read candidate names that its card does not declare.",
                hint="Add Knowledge.CANDIDATE_NAMES to the card.",
            )
        return self.candidates

    @property
    def public_pairs(self) -> tuple[Pair, ...]:
        """Photos with captions that show nobody under test; needs PUBLIC_PAIRS. May be empty.

        Raises:
            AccessViolation: the card does not declare it.
        """
        if self.pairs is None:
            raise AccessViolation(
                "The method read public pairs that its card does not declare.",
                hint="Add Knowledge.PUBLIC_PAIRS to the card.",
            )
        return self.pairs

    @property
    def auxiliary_people(self) -> tuple[AuxiliaryPerson, ...]:
        """People to train shadow models on, none of them under test; needs AUXILIARY_PEOPLE.

        Raises:
            AccessViolation: the card does not declare it.
        """
        if self.auxiliary is None:
            raise AccessViolation(
                "The method read auxiliary people that its card does not declare.",
                hint="Add Knowledge.AUXILIARY_PEOPLE to the card.",
            )
        return self.auxiliary


class Method(ABC, Generic[P]):
    """What attacks and defenses have in common: a card, parameters with presets, and what they may know.

    A method derives from a child of this class, not from this class itself. It names its parameters once, e.g.
    `class Mine(Attack[MineParams])`, and sets `card`; `self.params` is then a `MineParams`. One object serves one run:
    it may keep what it learns in attributes. torch and other heavy packages are imported inside functions or in
    modules that these import, so that listing methods stays fast.

    Args:
        params: None for the defaults.

    Raises:
        MethodError: when the class is created: it has no card of the right kind, does not name its parameters, or has
            a preset that does not fit them.
    """

    card: ClassVar[Card]
    Params: ClassVar[type[MethodParams]]
    _card_type: ClassVar[type[Card]] = Card

    def __init__(self, params: P | None = None) -> None:
        if params is None:
            params = self.Params()  # type: ignore[assignment]
        assert params is not None
        self.params: P = params

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if inspect.isclass(origin) and issubclass(origin, Method) and "Params" not in cls.__dict__:
                (argument,) = get_args(base)
                if inspect.isclass(argument) and issubclass(argument, MethodParams):
                    cls.Params = argument
        is_open = bool(getattr(cls, "__parameters__", ()))  # its parameters are still a type variable
        if not is_open and not inspect.isabstract(cls):
            _check_declarations(cls)

    @property
    def knowledge(self) -> Knowledge:
        """What the method needs to know with its present parameters; override where a parameter asks for more.

        Never more than the card's `knowledge` and `optional_knowledge` together.
        """
        return self.card.knowledge


def _check_declarations(kind: type[Method[Any]]) -> None:
    """Refuse a class that says too little about itself, or contradicts itself, as soon as it is written."""
    card, wanted, name = getattr(kind, "card", None), kind._card_type.__name__, kind.__name__
    if card is None:
        raise MethodError(f"{name} has no card.", hint=f"Set `card = {wanted}(...)` in the class.")
    if not isinstance(card, kind._card_type):
        raise MethodError(f"The card of {name} is a {type(card).__name__}, not a {wanted}.", hint=f"Use {wanted}.")
    params = getattr(kind, "Params", None)
    if not (inspect.isclass(params) and issubclass(params, MethodParams)):
        raise MethodError(
            f"{name} does not name its parameters.",
            hint="Write the class of its parameters in brackets behind the base class; [MethodParams] if it has none.",
        )
    for preset, values in card.presets.items():
        try:
            params.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "parameters"
            raise MethodError(
                f"The preset {preset!r} of {name} does not fit its parameters: {where}: {first['msg']}.",
                hint="Correct the card's presets.",
            ) from error


class Attack(Method[P]):
    """A method that scores cases; higher = more likely a member. It runs in a process that holds no labels."""

    card: ClassVar[MethodCard]
    _card_type = MethodCard

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Prepare: references, detectors, thresholds. Optional; called once, before `score`.

        Args:
            target: what the card's access allows, counted.
            calibration: identities apart from those under test; with labels if the card declares CALIBRATION_LABELS.
            context: seed, device, cache, progress, and whatever else the card declares.
        """

    @abstractmethod
    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Score each case, in order.

        Args:
            target: what the card's access allows, counted.
            cases: n identities, in an order that says nothing. They hold the calibration identities too, mixed among
                the others and not marked: their scores choose the operating threshold.
            context: as in `fit`.

        Returns:
            n scores, finite wherever the attack does not abstain; see `Scores`.
        """
