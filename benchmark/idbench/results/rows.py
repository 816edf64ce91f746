"""Which row of which board a record belongs to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from idbench.results.attestation import Level
from idbench.results.labels import SplitLabels
from idbench.results.record import DefenseRef, RunRecord


@dataclass(frozen=True, slots=True, order=True)
class BoardKey:
    """What rows must share to be compared: nothing is ranked across two of these."""

    split: str
    split_version: int
    split_digest: str
    target: str
    target_version: str
    target_sha256: str
    corpus: str

    @property
    def id(self) -> str:
        """Short hash."""
        return _short(self.parts())

    def parts(self) -> tuple[str | int, ...]:
        """What it consists of."""
        version = (self.split, self.split_version, self.split_digest)
        return *version, self.target, self.target_version, self.target_sha256, self.corpus


@dataclass(frozen=True, slots=True, order=True)
class EntryKey:
    """What runs must share to be one row: everything but the seed."""

    board: BoardKey
    method: str
    method_version: str
    code_sha256: str
    defense: str
    defense_version: str
    parameters: str
    engine: int
    design: str
    calibration: str
    verified: bool

    @property
    def id(self) -> str:
        """Short hash."""
        method = (self.method, self.method_version, self.code_sha256, self.defense, self.defense_version)
        how = (self.parameters, self.engine, self.design, self.calibration, self.verified)
        return _short((self.board.parts(), *method, *how))


def named_corpora(record: RunRecord) -> tuple[str, ...]:
    """The target's own corpus, or those that a control stands in for."""
    if record.target.control_for:
        return record.target.control_for
    return (record.target.corpus,) if record.target.corpus else ()


def given_labels_of(record: RunRecord) -> str | None:
    """The corpus whose calibration labels the method was given; None if it was given none.

    Records of schema 1 do not say; their id holds the target's own corpus, or the first that a control stands in for.
    """
    if record.schema_version > 1 or "CALIBRATION_LABELS" not in record.attack.knowledge:
        return record.calibration_corpus
    return next(iter(named_corpora(record)), None)


def corpora_of(record: RunRecord) -> tuple[str, ...]:
    """The corpora whose labels a record is scored against: the target's own, or those that a control stands in for.

    A method that was given the calibration labels of one corpus answers for this one only.
    """
    given = given_labels_of(record)
    return tuple(corpus for corpus in named_corpora(record) if given in (None, corpus))


def board_keys(record: RunRecord, labels: SplitLabels) -> list[BoardKey]:
    """The boards that a record has a row on: one per corpus that it is scored against."""
    return [
        BoardKey(
            split=record.split.name,
            split_version=record.split.version,
            split_digest=labels.digest,
            target=record.target.name,
            target_version=str(record.target.version),
            target_sha256=record.target.sha256,
            corpus=corpus,
        )
        for corpus in corpora_of(record)
        if corpus in labels.corpora
    ]


def entry_key(board: BoardKey, record: RunRecord, level: Level) -> EntryKey:
    """The row that a record belongs to; unchecked records never share one with checked ones."""
    return EntryKey(
        board=board,
        method=record.attack.name,
        method_version=record.attack.version,
        code_sha256=record.attack.code_sha256,
        defense=record.defense.name if record.defense else "",
        defense_version=_defense_version(record.defense),
        parameters=json.dumps(record.parameters, sort_keys=True),
        engine=record.engine or 1,
        design=record.target.design or "",
        calibration=given_labels_of(record) or "",
        verified=level is not Level.SELF_REPORTED,
    )


def _defense_version(defense: DefenseRef | None) -> str:
    """Tells runs behind a defense from those behind another one of the same name; empty without a defense."""
    if defense is None:
        return ""
    settings = json.dumps(defense.parameters, sort_keys=True)
    return f"{defense.version}/{defense.code_sha256}/{settings}/{defense.seed}"


def _short(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
