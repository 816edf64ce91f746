"""Corrections of the published lists, as data in which no name can be read: spellings, and the first German list."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from idbench.captions import FOLDED


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spelling(_Closed):
    """Another spelling of a name on a list; both as `digest_of_name`."""

    spelling: str
    name: str
    source: str


class Fixes(_Closed):
    """The content of `fixes.json`."""

    what: str
    spellings: tuple[Spelling, ...]
    first_generation: tuple[str, ...]
    """Whom the first version of the paper listed as German non-members, as far as that follows from what is known."""

    def spelling_of(self, written: str, listed: dict[str, str]) -> tuple[str, str] | None:
        """The listed name that another spelling stands for, and who says so; None where it is not a known one.

        Args:
            written: a name as a folder or another list has it.
            listed: names by `digest_of_name`.
        """
        digest = digest_of_name(written)
        found = (one for one in self.spellings if one.spelling == digest and one.name in listed)
        return next(((listed[one.name], one.source) for one in found), None)


def read_fixes() -> Fixes:
    """The corrections that come with idbench."""
    return Fixes.model_validate_json(files("idbench.splits.published").joinpath("fixes.json").read_bytes())


def digest_of_name(name: str) -> str:
    """SHA-256 of a name's folded spelling."""
    return hashlib.sha256(FOLDED(name).encode()).hexdigest()
