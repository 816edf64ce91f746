"""Maintainers' statements about records: attestations and invalidations, in files of their own, bound to hashes.

A record says what was measured. How far it may be trusted is stated by others, in files that lie where no submitter can
write; whatever lies among the results themselves counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from idbench.errors import IdbenchError, RecordError, StorageError
from idbench.outputs import resolved
from idbench.results.reading import LARGEST_JSON, parse_json, read_regular, shortened
from idbench.results.record import Closed
from idbench.results.store import Run
from idbench.storage import make_dir, sha256_bytes, write_text

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(min_length=1, max_length=1000)]


class Level(StrEnum):
    """How far a record may be trusted, in ascending order."""

    SELF_REPORTED = "self-reported"
    """Checked only by the person who ran it: the absence of an attestation."""
    REPLAYED = "replayed"
    """Maintainers ran the method again on the same people, and its scores came out the same."""
    REPRODUCED = "reproduced"
    """Maintainers ran it on newly drawn people, where nothing could be looked up, and it did as well."""

    @property
    def rank(self) -> int:
        """0 for the lowest level."""
        return _RANKS[self]


_RANKS: Final = {level: rank for rank, level in enumerate(Level)}


class Subject(Closed):
    """Which record is meant, down to its bytes."""

    run_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    record_sha256: Sha256 = Field(description="of the file run.json")
    scores_sha256: Sha256 = Field(description="of the file scores.parquet")


class Attestation(Closed):
    """A maintainer's word on how a record was checked."""

    kind: Literal["attestation"] = "attestation"
    version: Literal[1] = 1
    subject: Subject
    level: Literal[Level.REPLAYED, Level.REPRODUCED]
    at: AwareDatetime
    by: Line
    note: str = Field(default="", max_length=4000, description="how it was checked: command, machine, tolerance")


class Invalidation(Closed):
    """A maintainer's word that a record no longer counts, and why."""

    kind: Literal["invalidation"] = "invalidation"
    version: Literal[1] = 1
    subject: Subject
    at: AwareDatetime
    by: Line
    reason: Line


Statement = Attestation | Invalidation
_STATEMENT: Final[TypeAdapter[Statement]] = TypeAdapter(Annotated[Statement, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file among the attestations that is ignored, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Statements:
    """The maintainers' statements, and which of their files could not be read.

    Args:
        found: statements with the names of their files.
        ignored: the other files.
    """

    found: tuple[tuple[str, Statement], ...] = ()
    ignored: tuple[Ignored, ...] = ()

    @cached_property
    def _levels(self) -> dict[tuple[str, str, str], Level]:
        """The highest level of each record that was attested, by what a subject says of it."""
        levels: dict[tuple[str, str, str], Level] = {}
        for _, statement in self.found:
            if isinstance(statement, Attestation):
                about = statement.subject
                record = about.run_id, about.record_sha256, about.scores_sha256
                known = levels.get(record, Level.SELF_REPORTED)
                levels[record] = max(known, Level(statement.level), key=lambda level: level.rank)
        return levels

    @cached_property
    def _invalidations(self) -> dict[str, Invalidation]:
        """The newest invalidation of each file of scores."""
        invalidations = sorted((s for _, s in self.found if isinstance(s, Invalidation)), key=lambda each: each.at)
        return {each.subject.scores_sha256: each for each in invalidations}

    def level(self, run: Run) -> Level:
        """How far a record may be trusted: the highest level attested for exactly these bytes."""
        return self._levels.get((run.record.run_id, run.sha256, run.record.scores_sha256), Level.SELF_REPORTED)

    def invalidation(self, run: Run) -> Invalidation | None:
        """Why a record does not count; the same scores under a rewritten record do not count either."""
        return self._invalidations.get(run.record.scores_sha256)

    def unfit(self, runs: Iterable[Run]) -> tuple[Ignored, ...]:
        """Statements that fit none of the records, with the reason."""
        known: dict[str, set[tuple[str, str]]] = {}
        for run in runs:
            known.setdefault(run.record.run_id, set()).add((run.sha256, run.record.scores_sha256))
        return tuple(
            Ignored(where, reason)
            for where, statement in self.found
            if (reason := _misfit(statement, known.get(statement.subject.run_id, set())))
        )


def _misfit(statement: Statement, known: set[tuple[str, str]]) -> str:
    subject = statement.subject
    if (subject.record_sha256, subject.scores_sha256) in known:
        return ""
    if isinstance(statement, Invalidation) and any(scores == subject.scores_sha256 for _, scores in known):
        return ""
    if known:
        return f"the hashes of its {statement.kind} are those of no record here of the run {subject.run_id}"
    return f"its {statement.kind} is about the run {subject.run_id}, which is not here"


def subject_of(run: Run) -> Subject:
    """How a statement refers to a record."""
    return Subject(run_id=run.record.run_id, record_sha256=run.sha256, scores_sha256=run.record.scores_sha256)


def statement_path(folder: Path, statement: Statement) -> Path:
    """Where a statement belongs: one file each, so that no statement is ever overwritten."""
    digest = sha256_bytes(_text(statement).encode())
    return folder / f"{statement.subject.run_id}-{statement.kind}-{digest[:12]}.json"


def write_statement(folder: Path, statement: Statement) -> Path:
    """Write a maintainer's statement, as a whole or not at all.

    Raises:
        StorageError: the folder cannot be made or written to.
    """
    path = statement_path(make_dir(folder), statement)
    write_text(path, _text(statement))
    return path


def _text(statement: Statement) -> str:
    return statement.model_dump_json(indent=2) + "\n"


def read_statements(folders: Sequence[Path], results: Sequence[Path]) -> Statements:
    """The maintainers' statements; a file that cannot be read is reported, and the others still count.

    Args:
        folders: with the files of `bench attest` and `bench invalidate`; folders inside them are not looked at.
        results: folders of the records.

    Raises:
        StorageError: a folder is missing.
        RecordError: it lies among the results, where submitters write, or holds them.
    """
    found: list[tuple[str, Statement]] = []
    ignored: list[Ignored] = []
    for folder in folders:
        check_apart(folder, results)
        if not folder.is_dir():
            raise StorageError(f"{folder} is not a folder.", hint="Give the folder of the attestations.")
        for path in sorted(folder.glob("*.json")):
            where = shortened(path.name, 200)
            try:
                found.append((where, _read(path)))
            except IdbenchError as error:
                ignored.append(Ignored(where, error.message.replace(str(path), "it").rstrip(".")))
    return Statements(tuple(found), tuple(ignored))


def check_apart(folder: Path, results: Sequence[Path]) -> None:
    """Refuse attestations among the results.

    Raises:
        RecordError: the folder is inside one with results, or holds one.
    """
    here = resolved(folder)
    for root in results:
        there = resolved(root)
        if here == there or there in here.parents or here in there.parents:
            raise RecordError(
                f"The attestations in {folder} would lie among the results in {root}, where submitters write.",
                hint="Keep them in a folder of their own, next to the results.",
            )


def _read(path: Path) -> Statement:
    raw = read_regular(path, LARGEST_JSON)
    try:
        data = parse_json(raw)
        if isinstance(data, dict) and "version" not in data:  # what another version means by these words is not known
            raise ValueError("does not say of which version it is")
        return _STATEMENT.validate_json(raw, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = shortened(".".join(str(part) for part in first["loc"]))
        raise RecordError(f"{path} is not an attestation: {where}: {shortened(first['msg'], 200)}.") from error
    except ValueError as error:
        raise RecordError(f"{path} {error}.") from error
