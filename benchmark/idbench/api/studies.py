"""What a method declares so that its curves can be drawn: plain data, registered under `idbench.studies`.

`bench study NAME` finds a declaration by its name, plans the runs that it asks for, and measures and draws them; it
knows nothing of the method beyond what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="of the study, as on the command line")
    title: str = Field(description="one line for readers")
    source: str = Field(description="what it repeats: paper and figure; or whose question it answers")
    seeds: int = Field(default=1, ge=1, description="of each target's runs, counted from 0; --seeds overrides it")


class _OfOneAttack(_Declared):
    attack: str = Field(description="name on the card of the attack that is run")
    instrument: str | None = Field(
        default=None, description="where the attack is, `package.module:Class`, if it is not registered"
    )
    parameters: Mapping[str, Any] = Field(default_factory=dict, description="of every run; the others are the defaults")


class PhotoStudy(_OfOneAttack):
    """How results depend on numbers of photos or of training pictures, by an attack that counts all draws of one run.

    The attack takes the numbers of photos as one parameter and gives a score of each person for each number and draw
    among its details; NaN for people with fewer photos.
    """

    over: Literal["photos", "training pictures"] = Field(description="what stands on the horizontal axis")
    photos_parameter: str = Field(description="takes the numbers of photos, a list")
    most_photos: int = Field(ge=2, description="largest number of photos, capped by what the split has")
    detail: str = Field(description="how the details of one number begin, with {photos} in place of the number")
    threshold: float = Field(description="score from which the method calls a person a member")
    rule: str = Field(description="that rule in words, e.g. `one prompt of 21 is right`")


class BudgetAxis(BaseModel):
    """One parameter that a budget is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameter: str
    values: tuple[int, ...] = Field(min_length=2, description="all that are run while the other parameters are usual")
    usual: int = Field(description="its value while another one varies; one of the values")
    title: str = Field(description="of the axis; {NAME} stands for the usual value of another parameter")

    @model_validator(mode="after")
    def _usual_is_a_value(self) -> Self:
        if self.usual not in self.values:
            raise ValueError(f"the usual {self.parameter}, {self.usual}, is not one of its values")
        return self


class BudgetStudy(_OfOneAttack):
    """How results depend on what an attack may spend: each parameter varied while the others are usual."""

    axes: tuple[BudgetAxis, ...] = Field(min_length=1)
    variants: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict, description="ways of spending it, each with its parameters and with curves of its own"
    )
    people: int = Field(ge=2, description="people of the test part that are audited, to save time")
    chosen: Literal["evenly", "most seen"] = Field(
        default="evenly",
        description="who: evenly over membership and training pictures, or of each corpus the members with the most",
    )


class EpochStudy(_Declared):
    """How attacks do on targets that are trained for more and more epochs, everything else being equal.

    The targets are that of the first corpus and the control, trained anew with one cycle of the learning rate.
    """

    attacks: tuple[str, ...] = Field(min_length=1, description="names on the cards of registered attacks")
    epochs: tuple[int, ...] = Field(min_length=2, description="of each training, ascending")


class AdaptedBy(BaseModel):
    """An adaptation of a study of defenses, with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="of a registered adaptation")
    parameters: Mapping[str, Any] = Field(default_factory=dict, description="the others are the defaults")


class DefenseStudy(_Declared):
    """Defenses against attacks, as these are and adapted: what the strongest finds, and what each defense costs.

    Every attack runs behind every defense, and behind none; where the two do not go together, the run is left out.
    """

    defenses: tuple[str, ...] = Field(min_length=1, description="names of registered defenses")
    attacks: tuple[str, ...] = Field(min_length=1, description="names of registered attacks")
    adapted: tuple[str, ...] = Field(description="which of the attacks are also run with every adaptation")
    adaptations: tuple[AdaptedBy, ...] = Field(description="what the attacks are combined with")

    @model_validator(mode="after")
    def _adapted_are_attacks(self) -> Self:
        if unknown := set(self.adapted) - set(self.attacks):
            raise ValueError(f"{', '.join(sorted(unknown))} is to be adapted but is not one of the attacks")
        return self
