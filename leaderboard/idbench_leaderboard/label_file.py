"""Labels of a split as one small file, for boards that are built where the split itself cannot be opened.

A split of real people is built by each user from data of their own: its photos and names are in no repository. Its
labels contain only opaque ids and may be, so that anybody can build the board of its records and get the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from idbench.errors import DataError, RecordError
from idbench.results.labels import CorpusLabels, SplitLabels
from idbench.results.reading import parse_json, read_regular, shortened
from idbench.storage import write_text
from idbench_leaderboard.inputs import AuditCheck, SplitCard

NAME: Final = "labels.json"
LARGEST: Final = 64 << 20
"""Bytes; a hundred thousand people in two corpora take ten million."""
_HINT: Final = "Write it again: `bench leaderboard labels SPLIT --out FILE`."


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusEntry(_Closed):
    """Who is in one corpus."""

    title: str
    members: dict[str, int] = Field(
        description="id of each member: occurrences in the corpus, -1 if unknown; all others are non-members"
    )


class CheckEntry(_Closed):
    """One line of the audit of the split's files."""

    name: str
    passed: bool
    detail: str


class LabelFile(_Closed):
    """The labels of one version of a split, without names and photos.

    Raises:
        ValidationError: an id occurs twice, or a member's id is not in the list.
    """

    labels_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: int = Field(ge=1)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the split's content, retractions apart")
    title: str
    description: str
    license: str
    fictional: bool = Field(description="whether a program drew every photo, so that they show no real person")
    public: bool = Field(description="whether a board may show single people by id")
    checks: tuple[CheckEntry, ...]
    retracted: tuple[str, ...] = Field(description="left out of everything below")
    test: tuple[str, ...] = Field(description="ids of the test part")
    calibration: tuple[str, ...] = Field(description="ids of the calibration part")
    corpora: dict[str, CorpusEntry]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = {*self.test, *self.calibration}
        if len(ids) < len(self.test) + len(self.calibration):
            raise ValueError("an id occurs twice")
        if ids & set(self.retracted):
            raise ValueError("a retracted id has labels")
        for corpus, entry in self.corpora.items():
            if unknown := sorted(entry.members.keys() - ids):
                raise ValueError(f"{unknown[0]!r} is a member of {corpus} but in no part")
            if any(count < -1 for count in entry.members.values()):
                raise ValueError(f"a number of occurrences in {corpus} is negative")
        return self


def label_file(labels: SplitLabels, card: SplitCard) -> LabelFile:
    """The label file of an opened split; retracted identities are already left out.

    Args:
        labels: of the split.
        card: of the same split.
    """
    return LabelFile(
        name=labels.name,
        version=labels.version,
        digest=labels.digest,
        title=card.title,
        description=card.description,
        license=card.license,
        fictional=card.fictional,
        public=labels.public,
        checks=tuple(CheckEntry(name=each.name, passed=each.passed, detail=each.detail) for each in card.checks),
        retracted=tuple(sorted(labels.retracted)),
        test=tuple(n for n, test in zip(labels.identities, labels.test, strict=True) if test),
        calibration=tuple(n for n, test in zip(labels.identities, labels.test, strict=True) if not test),
        corpora={
            name: CorpusEntry(
                title=card.corpora.get(name, ""),
                members={
                    identity: int(count)
                    for identity, member, count in zip(labels.identities, known.member, known.occurrences, strict=True)
                    if member
                },
            )
            for name, known in labels.corpora.items()
        },
    )


def write_label_file(path: Path, labels: LabelFile) -> None:
    """Write the file, as a whole or not at all.

    Raises:
        StorageError: no space, no permission, or the folder does not exist.
    """
    write_text(path, labels.model_dump_json(indent=1) + "\n")


def read_label_file(path: Path) -> LabelFile:
    """Read a file that `write_label_file` wrote.

    Raises:
        StorageError: missing, no regular file, or larger than any label file.
        DataError: a link, no such file, or labels that contradict each other.
    """
    try:
        raw = read_regular(path, LARGEST)
    except RecordError as error:
        raise DataError(error.message, hint=error.hint) from error
    try:
        parse_json(raw)
        return LabelFile.model_validate_json(raw, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = shortened(".".join(str(part) for part in first["loc"])) or "the file"
        raise DataError(f"{path} is not a label file: {where}: {shortened(first['msg'], 200)}.", hint=_HINT) from error
    except ValueError as error:
        raise DataError(f"{path} is not a label file: it {error}.", hint=_HINT) from error


def find_label_files(path: Path) -> Iterator[Path]:
    """A file itself, or every label file below a folder.

    Raises:
        DataError: there is none.
    """
    found = sorted(path.rglob(NAME)) if path.is_dir() else [path]
    if not found:
        raise DataError(f"There is no {NAME} below {path}.", hint="Give the file, or the folder of the records.")
    yield from found


def labels_in(file: LabelFile, retracted: frozenset[str], accepts: frozenset[str]) -> SplitLabels:
    """The labels for a build.

    Args:
        file: as read.
        retracted: ids on today's retraction list; they may have come after the file.
        accepts: digests that records may carry, `SplitLabels.accepts`.
    """
    identities = tuple(sorted((*file.test, *file.calibration)))
    test = set(file.test)
    return SplitLabels(
        name=file.name,
        version=file.version,
        digest=file.digest,
        identities=identities,
        test=np.array([identity in test for identity in identities], dtype=np.bool_),
        corpora={name: _corpus(entry, identities) for name, entry in file.corpora.items()},
        retracted=retracted | frozenset(file.retracted),
        accepts=accepts,
        public=file.public,
    )


def _corpus(entry: CorpusEntry, identities: tuple[str, ...]) -> CorpusLabels:
    return CorpusLabels(
        np.array([identity in entry.members for identity in identities], dtype=np.bool_),
        np.array([entry.members.get(identity, 0) for identity in identities], dtype=np.int64),
    )


def card_in(file: LabelFile) -> SplitCard:
    """The card of a label file's split, for the page of the split."""
    return SplitCard(
        name=file.name,
        version=file.version,
        title=file.title,
        description=file.description,
        license=file.license,
        corpora={name: entry.title for name, entry in file.corpora.items()},
        fictional=file.fictional,
        checks=tuple(AuditCheck(each.name, each.passed, each.detail) for each in file.checks),
    )
