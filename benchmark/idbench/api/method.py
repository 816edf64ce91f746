"""The base class of every attack, and what surrounds it while it runs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, get_args, get_origin

import numpy as np

from idbench.api.card import MethodCard, MethodParams
from idbench.api.cases import AuxiliaryPerson, Calibration, Case, Pair, Scores
from idbench.api.target import TargetView
from idbench.api.words import Knowledge
from idbench.errors import AccessViolation, MethodError

P = TypeVar("P", bound=MethodParams)
T = TypeVar("T")


class Progress(Protocol):
    """Tells a person how far the work is."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Pass items on while a bar with the time left moves."""
        ...

    def update(self, done: float, total: float, description: str) -> None:
        """Say that `done` of `total` units are finished."""
        ...


class Reporter(ABC):
    """A progress reporter that needs to know only how to show `update`."""

    @abstractmethod
    def update(self, done: float, total: float, description: str) -> None:
        """Say that `done` of `total` units are finished."""

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Pass items on and say how many are finished."""
        if total is None:
            items = list(items)
            total = len(items)
        for done, item in enumerate(items):
            self.update(done, total, description)
            yield item
        self.update(total, total, description)


class Silent(Reporter):
    """A progress reporter that says nothing."""

    def update(self, done: float, total: float, description: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds a method while it runs.

    Args:
        seed: non-negative; the only source of chance. `rng()` makes generators from it.
        device: e.g. `cpu`, `cuda:0`.
        cache: a folder of the method's own, kept between runs; may be emptied at any time.
        progress: tells a person how far the work is.
        candidates: every name that the attacker considers possible; read through `candidate_names`.
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
        """A generator that depends on the run's seed and on the labels, so that parts do not disturb each other."""
        words = [byte for label in labels for byte in str(label).encode() + b"/"]
        return np.random.default_rng(np.random.SeedSequence([self.seed, *words]))

    @property
    def candidate_names(self) -> tuple[str, ...]:
        """Names that the attacker considers possible, those of the cases among them; needs CANDIDATE_NAMES."""
        if self.candidates is None:
            raise AccessViolation(
                "The method read candidate names that its card does not declare.",
                hint="Add Knowledge.CANDIDATE_NAMES to the card.",
            )
        return self.candidates

    @property
    def public_pairs(self) -> tuple[Pair, ...]:
        """Photos with captions that show nobody under test; needs PUBLIC_PAIRS. May be empty."""
        if self.pairs is None:
            raise AccessViolation(
                "The method read public pairs that its card does not declare.",
                hint="Add Knowledge.PUBLIC_PAIRS to the card.",
            )
        return self.pairs

    @property
    def auxiliary_people(self) -> tuple[AuxiliaryPerson, ...]:
        """People to train shadow models on, none of them under test; needs AUXILIARY_PEOPLE."""
        if self.auxiliary is None:
            raise AccessViolation(
                "The method read auxiliary people that its card does not declare.",
                hint="Add Knowledge.AUXILIARY_PEOPLE to the card.",
            )
        return self.auxiliary


class Attack(ABC, Generic[P]):
    """A method that scores cases; higher = more likely a member.

    A subclass names its parameters once, `class Mine(Attack[MineParams])`, and sets `card`. One object serves one run:
    `fit` may keep what it learns in attributes. torch and other heavy packages are imported inside functions or in
    modules that these import, so that listing methods stays fast.
    """

    card: ClassVar[MethodCard]
    Params: ClassVar[type[MethodParams]]

    def __init__(self, params: P | None = None) -> None:
        if params is None:
            params = self.Params()  # type: ignore[assignment]
        assert params is not None
        self.params: P = params

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            if (
                get_origin(base) is not None
                and inspect.isclass(get_origin(base))
                and issubclass(get_origin(base), Attack)
            ):
                (argument,) = get_args(base)
                if inspect.isclass(argument) and issubclass(argument, MethodParams):
                    cls.Params = argument
        if not inspect.isabstract(cls) and not isinstance(getattr(cls, "card", None), MethodCard):
            raise MethodError(f"{cls.__name__} has no card.", hint="Set `card = MethodCard(...)` in the class.")

    @property
    def knowledge(self) -> Knowledge:
        """What the method needs to know with its present parameters; override where a parameter asks for more."""
        return self.card.knowledge

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        """Prepare: references, detectors, thresholds. Optional; called once, before `score`."""

    @abstractmethod
    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        """Score each case, in order.

        The cases hold the calibration identities too, mixed among the others and not marked: their scores choose the
        operating threshold.
        """
