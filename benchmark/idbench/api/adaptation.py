"""Adaptations: what an attacker who expects a defense changes, whatever the attack.

An adaptation is combined with an attack and is part of the run. It can act in two places:

- on the weights: `WeightAdaptation.adapt(target, context) -> state dict`, for an attacker who holds the weights. They
  are changed first, and the attack is then carried out on what comes out.
- between attack and target: `AnswerAdaptation.adapt(target, people, calibration, context) -> target`. What is returned
  answers the attack's questions by asking the target, behind its defense, other questions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from idbench.api.card import Card, for_attackers
from idbench.api.cases import Calibration, Case
from idbench.api.method import Context, Method, P
from idbench.api.target import EditableTarget, TargetView
from idbench.api.words import Access, Knowledge

if TYPE_CHECKING:
    import torch


class AdaptationCard(Card):
    """The card of an adaptation: what it is, where it comes from, and what the attacker needs to know for it."""

    @field_validator("knowledge", "optional_knowledge")
    @classmethod
    def _check_knowledge(cls, knowledge: Knowledge) -> Knowledge:
        return for_attackers(knowledge)


class AskingCard(AdaptationCard):
    """The card of an adaptation that stands between attack and target."""

    access: Access = Field(default=Access.NONE, description="what it asks of the target beyond what the attack asks")
    answers: Access = Field(description="which questions of an attack it can put in another way; others are refused")

    @field_validator("answers", "access")
    @classmethod
    def _check_access(cls, access: Access) -> Access:
        if access & (Access.WEIGHTS | Access.TRAIN_SHADOWS):
            raise ValueError("an adaptation of questions neither takes weights nor trains shadow models")
        return access


class Adaptation(Method[P]):
    """What all adaptations have in common. An adaptation derives from a child of this class."""

    card: ClassVar[AdaptationCard]
    _card_type: ClassVar[type[AdaptationCard]] = AdaptationCard


class WeightAdaptation(Adaptation[P]):
    """Changes the weights of the defended target before it is attacked, e.g. to bring back what was unlearned."""

    @abstractmethod
    def adapt(self, target: EditableTarget, context: Context) -> Mapping[str, torch.Tensor]:
        """The weights that are attacked.

        Args:
            target: a copy of the defended target, which may be changed in place.
            context: seed, device, cache, progress, and what the card declares but people: of these it is given none.

        Returns:
            the model's state dict, as of `TargetDefense.defend`.
        """


class AnswerAdaptation(Adaptation[P]):
    """Asks the defended target other questions than the attack does, and answers the attack from what comes back."""

    card: ClassVar[AskingCard]
    _card_type = AskingCard

    @abstractmethod
    def adapt(
        self, target: TargetView, people: Sequence[Case], calibration: Calibration, context: Context
    ) -> TargetView:
        """What answers the attack.

        Args:
            target: the target behind its defense; what is asked of it is counted as the attack's queries.
            people: the cases of the run, as far as this card declares names and photos.
            calibration: as an attack is given it.
            context: seed, device, cache, progress, and whatever else the card declares.

        Returns:
            a view, best derived from `TargetFront`.
        """
