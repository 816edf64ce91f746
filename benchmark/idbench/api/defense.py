"""Defenses: methods that turn a target into another one that says less about the people whom it protects.

A defense can stand at three places. Only the second has a class so far; the interfaces of the others are settled, and
come with what runs them:

- before the training: `CorpusDefense.defend(training, protected, context) -> training`. A training is pairs *and*
  recipe, for some defenses (label smoothing, noisy gradients) change how the target is trained, not on what. The target
  is then trained again.
- on the weights: `TargetDefense.defend(target, protected, context) -> state dict`.
- at query time: `AnswerDefense.defend(target, protected, context) -> target`, both of them a `TargetView`. What is
  returned answers in the target's place, inside the view that checks access and counts queries. It answers every kind
  of query itself or refuses it, so that nothing that an attack derives (a label from similarities, a similarity from
  embeddings) goes past it.

`protected` are the people to protect: cases, as attacks get them, holding what the defense's card declares. A defense
never learns who of them is a member. A defended target is a target like any other; see `idbench.targets.Defended`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from idbench.api.card import DefenseCard
from idbench.api.cases import Case
from idbench.api.method import Context, Method, P
from idbench.api.target import EditableTarget

if TYPE_CHECKING:
    import torch


class Defense(Method[P]):
    """What all defenses have in common. A defense derives from a child of this class, e.g. `TargetDefense`."""

    card: ClassVar[DefenseCard]
    _card_type = DefenseCard


class TargetDefense(Defense[P]):
    """A defense that changes the weights of a target, after its training."""

    @abstractmethod
    def defend(self, target: EditableTarget, protected: Sequence[Case], context: Context) -> Mapping[str, torch.Tensor]:
        """The weights of the defended target.

        Args:
            target: a copy of the target, which may be changed in place.
            protected: the people to protect, members and non-members alike and not told apart, in an order that says
                nothing; of each, the name and photos as far as the card declares them. May be empty.
            context: seed, device, cache, progress, and whatever else the card declares.

        Returns:
            the model's state dict after the defense, e.g. `target.model.state_dict()`: the same names, shapes and
            types as before, all values finite. Anything else is refused and nothing is kept.
        """
