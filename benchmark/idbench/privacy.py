"""What a training promises about privacy. It needs no array, so that records and notes are read without numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Guarantee(BaseModel):
    """What differential privacy promises of a training: the weights are nearly as likely whoever is replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    unit: Literal["pair", "person"] = Field(description="what is replaced: one pair, or all pairs of one person")
    pairs: int = Field(ge=1, description="most pairs that such a unit has in the training set")
    epsilon: float | None = Field(ge=0, description="None: no finite bound")
    delta: float = Field(gt=0, lt=1)
    accountant: str = Field(min_length=1, max_length=300, description="what computed it, under which assumption")
