"""What describes a split: the manifest, and the rows of its tables."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idbench.errors import DataError
from idbench.storage import require_regular

Part = Literal["calibration", "test"]
MANIFEST_FILE = "manifest.json"
LARGEST_MANIFEST = 64 << 20
PHOTO_LIMIT = 32 << 20
"""Largest encoded photo that is opened, in bytes."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusInfo(_Closed):
    """A training set that the split has labels for."""

    name: str
    title: str
    control: bool = Field(description="True where no identity of the split is a member, by design.")


class PhotoFormat(_Closed):
    """How photos are stored."""

    encoding: str = Field(description='"png", "jpeg" or "mixed".')
    height: int | None = Field(default=None, gt=0, description="Pixels; None where photos differ.")
    width: int | None = Field(default=None, gt=0, description="Pixels; None where photos differ.")


class Withheld(_Closed):
    """What a published folder leaves out of its `labels`; the manifest's digest still stands for the whole table."""

    part: Part = Field(description="The part whose labels only their holder has.")
    rows: int = Field(ge=0, description="Rows of the table `labels` as it was published.")
    digest: str = Field(description="SHA-256 over the logical content of that table.")


class Manifest(_Closed):
    """A split's description; the file `manifest.json` of its folder."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: int = Field(ge=1, description="Versions are immutable: a change is a new version.")
    title: str
    license: str = Field(description="Identifier as the Hugging Face Hub spells it, e.g. cc0-1.0.")
    description: str
    source: str = Field(description="Where the data come from.")
    corpora: tuple[CorpusInfo, ...]
    parts: dict[Part, int] = Field(description="Identities in each part.")
    photo_format: PhotoFormat
    rows: dict[str, int] = Field(description="Rows of each table.")
    digests: dict[str, str] = Field(
        description="SHA-256 over the logical content of each table (`tables.digest_rows`)."
    )
    retracted: tuple[str, ...] = Field(default=(), description="Identities that asked to be taken out.")
    training: dict[str, str] = Field(
        default_factory=dict, description="Digest of each training set that was built along with the split."
    )
    withheld: Withheld | None = Field(default=None, description="None: the labels are all here.")

    @property
    def rows_here(self) -> dict[str, int]:
        """Rows of each table in this folder, from which labels may be withheld."""
        return self.rows | ({"labels": self.withheld.rows} if self.withheld else {})

    @property
    def digests_here(self) -> dict[str, str]:
        """Digest of each table in this folder, from which labels may be withheld."""
        return self.digests | ({"labels": self.withheld.digest} if self.withheld else {})

    @property
    def digest(self) -> str:
        """SHA-256 of everything that results depend on, retractions apart; withholding labels does not change it."""
        content = {
            "name": self.name,
            "version": self.version,
            "corpora": [corpus.model_dump() for corpus in self.corpora],
            "digests": dict(sorted(self.digests.items())),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def manifest_text(manifest: Manifest) -> str:
    """What stands in `manifest.json`; fields that later versions added appear only where they say something."""
    empty = {name for name in ("training", "withheld") if not getattr(manifest, name)}
    return manifest.model_dump_json(indent=2, exclude=empty) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a split's folder.

    Raises:
        DataError: missing, not JSON, or not a manifest of this schema.
    """
    path = folder / MANIFEST_FILE
    try:
        require_regular(path)
        if path.stat().st_size > LARGEST_MANIFEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} is not a split: it has no {MANIFEST_FILE}.",
            hint="Give a registered name (`bench list splits`) or the folder that `bench data build` wrote.",
        ) from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.", hint="Check the path and its permissions.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path} is not a manifest: {where}: {first['msg']}.", hint="Fetch or build the split again."
        ) from error


@dataclass(frozen=True, slots=True)
class Labels:
    """Membership of a split's identities in one corpus; arrays in the order of `Split.identities`.

    Args:
        corpus: name of the corpus.
        member: bool (n,).
        occurrences: int (n,), training pictures of the identity, 0 for non-members; -1 where unknown.
        how: how each label is known, (n,) strings, e.g. "construction".
        confidence: float (n,) in 0..1.
    """

    corpus: str
    member: NDArray[np.bool_]
    occurrences: NDArray[np.int64]
    how: tuple[str, ...]
    confidence: NDArray[np.float64]
