"""What a method says about itself: its card and its parameters."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from idbench.api.words import Access, Knowledge, Track, track_of

METHOD_NAME: Final = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
"""Pattern of the names that methods bear, all of them."""


class MethodParams(BaseModel):
    """Parameters of a method: immutable; unknown names, NaN and infinity are rejected.

    Every field states its meaning, unit and range through `Field(..., description=...)`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Choice(BaseModel):
    """Something that the source leaves open and that this implementation had to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str = Field(description="what the source does not say")
    chosen: str = Field(description="what this implementation does")
    why: str = Field(description="the reason")


class Card(BaseModel):
    """The card of every method. Unknown keys are rejected; unknown facts are None."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(description="its name on the command line: lower case, digits, hyphens")
    version: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$", description="changes whenever the results may change"
    )
    title: str = Field(min_length=1, description="one line for readers")
    summary: str = Field(default="", description="what it does, in a few sentences")
    paper: str | None = Field(default=None, description="reference of the source; None for a method of our own")
    authors: str = Field(default="", description="who wrote the source, as a citation names them, e.g. `Doe et al.`")
    year: int | None = Field(default=None, ge=1900, le=2100, description="of the source")
    url: str | None = Field(default=None, description="where to read more, e.g. the released code; http or https")
    knowledge: Knowledge = Field(description="what data it is given; anything else raises `AccessViolation`")
    optional_knowledge: Knowledge = Field(
        default=Knowledge.NONE, description="given only when a parameter asks for it; see `Method.knowledge`"
    )
    choices: tuple[Choice, ...] = Field(default=(), description="what the source leaves open and what was chosen")
    presets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="named sets of parameters, e.g. `paper`"
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(METHOD_NAME, name):  # `$` would let a line feed pass
            raise ValueError(
                f"{name!r} is not a method name: use lower-case letters and digits, joined by single hyphens"
            )
        return name


def for_attackers(knowledge: Knowledge) -> Knowledge:
    """The knowledge that an attacker declares.

    Raises:
        ValueError: it holds the training set.
    """
    if Knowledge.TRAINING_SET in knowledge:
        raise ValueError("with the training set there is nothing to attack, so TRAINING_SET is for defenses alone")
    return knowledge


class MethodCard(Card):
    """The card of an attack: what it is, where it comes from, what it knows, and what it asks of the target."""

    access: Access = Field(description="what it may ask of the target; anything else raises `AccessViolation`")

    @field_validator("knowledge", "optional_knowledge")
    @classmethod
    def _check_knowledge(cls, knowledge: Knowledge) -> Knowledge:
        return for_attackers(knowledge)

    @property
    def track(self) -> Track:
        """The board on which the attack competes."""
        return track_of(self.access, self.knowledge)

    @property
    def blind(self) -> bool:
        """Whether the attack never asks the target anything."""
        return self.access is Access.NONE


class DefenseCard(Card):
    """The card of a defense: what it is, where it comes from, and what the defender knows."""

    @field_validator("knowledge", "optional_knowledge")
    @classmethod
    def _check_knowledge(cls, knowledge: Knowledge) -> Knowledge:
        if Knowledge.CALIBRATION_LABELS in knowledge:
            raise ValueError("a defense never learns who is a member, so it cannot know CALIBRATION_LABELS")
        if Knowledge.TRAINING_SET in knowledge and not issubclass(cls, CorpusCard):
            raise ValueError("only a defense that acts before the training has TRAINING_SET: use a CorpusCard")
        return knowledge


class CorpusCard(DefenseCard):
    """The card of a defense that acts before the training. It has the training set; it is not told who is a member."""

    @field_validator("knowledge")
    @classmethod
    def _check_training_set(cls, knowledge: Knowledge) -> Knowledge:
        if Knowledge.TRAINING_SET not in knowledge:
            raise ValueError("a defense that acts before the training has the training set: declare TRAINING_SET")
        return knowledge


class AnswerCard(DefenseCard):
    """The card of a defense at query time: which kinds of questions are still answered behind it."""

    answers: Access = Field(
        description="what may still be asked; everything else is refused, whatever an attack declares"
    )

    @field_validator("answers")
    @classmethod
    def _check_answers(cls, answers: Access) -> Access:
        if answers & (Access.WEIGHTS | Access.TRAIN_SHADOWS):
            raise ValueError(
                "weights bypass every answer, and shadow models are the attacker's own: answers are "
                "LABEL, SIMILARITY, embeddings and GRADIENT"
            )
        return answers
