"""What a method says about itself: its card and its parameters."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from idbench.api.words import Access, Knowledge, Track, track_of

_NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")


class MethodParams(BaseModel):
    """Parameters of a method: frozen, closed, every field documented with its unit and range through `Field(...)`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class Choice(BaseModel):
    """Something that the source leaves open and this implementation had to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    chosen: str
    why: str


class MethodCard(BaseModel):
    """What a method is, where it comes from, and what it asks for. Unknown keys are refused; unknown facts are None."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(description="how it is called on the command line: lower case, digits, hyphens")
    version: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$", description="changes whenever the scores may change"
    )
    title: str = Field(min_length=1, description="one line for people")
    summary: str = Field(default="", description="what it does, in a few sentences")
    paper: str | None = Field(default=None, description="reference of the source; None for a baseline of ours")
    url: str | None = None
    access: Access
    knowledge: Knowledge
    optional_knowledge: Knowledge = Field(
        default=Knowledge.NONE, description="used only when a parameter asks for it; see Attack.knowledge"
    )
    choices: tuple[Choice, ...] = Field(default=(), description="what the source leaves open and what was chosen")
    presets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="named sets of parameters, e.g. `paper`"
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no method name: lower-case letters and digits, joined by single hyphens")
        return name

    @property
    def track(self) -> Track:
        """The board on which the method competes."""
        return track_of(self.access, self.knowledge)

    @property
    def blind(self) -> bool:
        """Whether the method never asks the target anything."""
        return self.access is Access.NONE


Seconds = Annotated[float, Field(ge=0)]
