"""Defenses: methods that turn a target into another one that says less about the people whom it protects.

A defense can act in three places:

- before the training: `CorpusDefense.defend(training, protected, context) -> training`. A training is pairs *and*
  recipe, since some defenses (label smoothing, noisy gradients) change how the target is trained, not on what. The
  target is then trained again.
- on the weights: `TargetDefense.defend(target, protected, context) -> state dict`.
- at query time: `AnswerDefense.defend(target, protected, context) -> target`, both of them a `TargetView`. What is
  returned answers in the target's place, inside the view that checks access and counts queries. It answers every kind
  of query itself or rejects it, so that nothing that an attack derives (a label from similarities, a similarity from
  embeddings) goes past it.

`protected` are the people to protect: cases, as attacks get them, holding what the defense's card declares. A defense
never learns who of them is a member. A defended target is a target like any other; see `idbench.targets.Defended`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from idbench.api.card import AnswerCard, CorpusCard, DefenseCard
from idbench.api.cases import Case, Pair, Photo
from idbench.api.method import Context, Method, P
from idbench.api.target import EditableTarget, TargetInfo, TargetView
from idbench.api.training import Training
from idbench.errors import AccessViolation

if TYPE_CHECKING:
    import torch


class Defense(Method[P]):
    """What all defenses have in common. A defense derives from a child of this class, e.g. `TargetDefense`."""

    card: ClassVar[DefenseCard]
    _card_type: ClassVar[type[DefenseCard]] = DefenseCard


class CorpusDefense(Defense[P]):
    """A defense that changes what a target is trained on, or how; the target is then trained again by its recipe.

    It has the training set, and so can see who is named there. It is not told which of the protected are members.
    """

    card: ClassVar[CorpusCard]
    _card_type = CorpusCard

    @abstractmethod
    def defend(self, training: Training, protected: Sequence[Case], context: Context) -> Training:
        """What the target is trained on instead.

        Args:
            training: what it was trained on; its pictures are not to be written to.
            protected: the people to protect, as for a `TargetDefense`.
            context: seed, device, cache, progress, and whatever else the card declares.

        Returns:
            another training, best made with `dataclasses.replace`: pictures of the same size, one caption for each, at
            least as many as a batch of the recipe holds. Anything else is rejected and nothing is kept.
        """


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
            types as before, all values finite. Anything else is rejected and nothing is kept.
        """


class AnswerDefense(Defense[P]):
    """A defense that changes what a target answers, at query time."""

    card: ClassVar[AnswerCard]
    _card_type = AnswerCard

    @abstractmethod
    def defend(self, target: TargetView, protected: Sequence[Case], context: Context) -> TargetView:
        """What answers in the target's place.

        Args:
            target: answers everything that can be answered without its weights. What is asked of it is counted as the
                attack's queries.
            protected: the people to protect, as for a `TargetDefense`.
            context: seed, device, cache, progress, and whatever else the card declares.

        Returns:
            a view, best derived from `TargetFront`. It is asked only what both cards, the attack's and this one,
            allow; its answers must have the shapes and ranges that `TargetView` states.
        """


class TargetFront:
    """A `TargetView` in front of another one that refuses every question; a child overrides what it answers.

    So nothing goes past a defense that its author forgot: a query is answered on purpose or not at all.

    Args:
        target: what stands behind.
        name: of the defense, for messages.
    """

    def __init__(self, target: TargetView, name: str) -> None:
        self._target = target
        self._name = name

    @property
    def info(self) -> TargetInfo:
        """What is known without asking."""
        return self._target.info

    def preprocess(self, photos: Sequence[Photo]) -> torch.Tensor:
        """Resizing and normalizing are public."""
        return self._target.preprocess(photos)

    def labels(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.int64]:
        """Refused."""
        self._refuse("labels")

    def similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Refused."""
        self._refuse("similarities")

    def paired_similarities(self, photos: Sequence[Photo], texts: Sequence[str]) -> NDArray[np.float32]:
        """Refused."""
        self._refuse("similarities")

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refused."""
        self._refuse("embeddings of texts")

    def embed_photos(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Refused."""
        self._refuse("embeddings of photos")

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Refused."""
        self._refuse("embeddings of images")

    def image_similarities(self, images: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Refused."""
        self._refuse("similarities")

    def similarity_gradients(self, images: torch.Tensor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Refused."""
        self._refuse("gradients")

    def weights(self) -> torch.nn.Module:
        """Refused: with the weights, no defense of answers would hold."""
        self._refuse("weights")

    def train_shadows(self, sets: Sequence[Sequence[Pair]], seed: int, epochs: float = 1.0) -> Sequence[TargetView]:
        """Shadow models are the attacker's own, and behind no defense."""
        return self._target.train_shadows(sets, seed, epochs)

    def _refuse(self, what: str) -> NoReturn:
        raise AccessViolation(
            f"The target behind {self._name} does not answer {what}.",
            hint="This attack cannot be carried out against it.",
        )
