"""Decides which records count, and says why the others do not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from idbench.errors import IdbenchError
from idbench.results import Run, RunRecord, read_columns, with_floor
from idbench_leaderboard.inputs import Rejected, SplitLabels
from idbench_leaderboard.standing import Flags, Floats

Places: TypeAlias = NDArray[np.int64]
SplitKey = tuple[str, int]
_WHERE = ": it is not here; give its folder (--split) or its label file (--labels)"
_TRUST = {"self-reported": 0, "verified": 1, "reproduced": 2}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A readable record with the name of its folder."""

    run: Run
    where: str

    def rejected(self, reason: str) -> Rejected:
        """This record set aside."""
        return Rejected(self.where, self.run.record.run_id, reason)


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
    verified: bool

    @property
    def id(self) -> str:
        """Short hash."""
        method = (self.method, self.method_version, self.code_sha256, self.defense, self.defense_version)
        return _short((self.board.parts(), *method, self.parameters, self.verified))


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one record, aligned with the people of its split.

    Args:
        test: scores of the test part to rank by, (n,), finite.
        abstained: (n,).
        calibration: scores of the calibration part, (c,); None unless all of it was scored.
    """

    test: Floats
    abstained: Flags
    calibration: Floats | None


@dataclass(frozen=True, slots=True)
class People:
    """The identities of a split that count: not retracted, in order of id.

    Args:
        test: ids of the test part, (n,).
        calibration: ids of the calibration part, (c,).
    """

    test: tuple[str, ...]
    calibration: tuple[str, ...]


def people_of(labels: SplitLabels) -> People:
    """Test and calibration people of a split, without the retracted."""
    kept = [(name, bool(test)) for name, test in zip(labels.identities, labels.test, strict=True)]
    kept = sorted(pair for pair in kept if pair[0] not in labels.retracted)
    return People(tuple(n for n, test in kept if test), tuple(n for n, test in kept if not test))


def screen(
    candidates: Iterable[Candidate], labels: Mapping[SplitKey, SplitLabels]
) -> tuple[list[Candidate], list[Rejected]]:
    """Records that may count by what they say; scores are looked at later."""
    kept: list[Candidate] = []
    rejected: list[Rejected] = []
    for candidate in candidates:
        reason = _objection(candidate.run.record, labels)
        if reason:
            rejected.append(candidate.rejected(reason))
        else:
            kept.append(candidate)
    unique, doubles = _without_doubles(kept)
    return unique, rejected + doubles


def _objection(record: RunRecord, labels: Mapping[SplitKey, SplitLabels]) -> str:
    if record.invalidated:
        note = record.invalidated[-1]
        return f"invalidated on {note.at.date().isoformat()} by {note.by}: {note.reason}"
    name = f"{record.split.name} v{record.split.version}"
    found = labels.get((record.split.name, record.split.version))
    if found is None:
        versions = sorted(version for split, version in labels if split == record.split.name)
        other = f"; there are labels for version {', '.join(map(str, versions))}" if versions else ""
        return f"no labels for split {name}{other or _WHERE}"
    if record.split.digest != found.digest and record.split.digest not in found.accepts:
        return (
            f"split {name} had other content when this ran: digest {record.split.digest[:12]}, now {found.digest[:12]}"
        )
    corpora = corpora_of(record)
    if not corpora:
        return f"target {record.target.name} names no corpus, so there is nothing to score it against"
    missing = [corpus for corpus in corpora if corpus not in found.corpora]
    if len(missing) == len(corpora):
        return f"split {name} has no labels for corpus {', '.join(missing)}"
    return ""


def corpora_of(record: RunRecord) -> tuple[str, ...]:
    """The corpora whose labels a record is scored against: the target's own, or those that a control stands in for."""
    if record.target.control_for:
        return record.target.control_for
    return (record.target.corpus,) if record.target.corpus else ()


def _without_doubles(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Rejected]]:
    """One record per run id: the most trusted, of those the oldest, so that a later one cannot displace it."""
    best: dict[str, Candidate] = {}
    for candidate in candidates:
        known = best.get(candidate.run.record.run_id)
        if known is None or _precedence(candidate) < _precedence(known):
            best[candidate.run.record.run_id] = candidate
    kept, rejected = [], []
    for candidate in candidates:
        winner = best[candidate.run.record.run_id]
        if winner is candidate:
            kept.append(candidate)
            continue
        same = winner.run.record.scores_sha256 == candidate.run.record.scores_sha256
        kind = "the same record" if same else "another record of the same run with other scores"
        rejected.append(candidate.rejected(f"{kind} counts already: {winner.where}"))
    return kept, rejected


def _precedence(candidate: Candidate) -> tuple[int, str, str]:
    record = candidate.run.record
    return -_TRUST[record.verification], record.created.isoformat(), candidate.where


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


def entry_key(board: BoardKey, record: RunRecord) -> EntryKey:
    """The row that a record belongs to."""
    return EntryKey(
        board=board,
        method=record.attack.name,
        method_version=record.attack.version,
        code_sha256=record.attack.code_sha256,
        defense=record.defense.name if record.defense else "",
        defense_version=f"{record.defense.version}/{record.defense.code_sha256}" if record.defense else "",
        parameters=json.dumps(record.parameters, sort_keys=True),
        verified=record.verification != "self-reported",
    )


@dataclass(frozen=True, slots=True)
class Order:
    """Where a table of scores has the people of a split.

    Args:
        identities: the table's column, for which this holds.
        test: rows of the test part, (n,).
        calibration: rows of the calibration part, (c,); None unless all of it is there.
        problem: why the table cannot be used; empty if it can.
    """

    identities: pa.ChunkedArray
    test: Places
    calibration: Places | None
    problem: str = ""


class Reader:
    """Reads scores in the order of a split's people; records of one split mostly list the same people alike."""

    def __init__(self, people: People) -> None:
        """Read scores about these people."""
        self._people = people
        self._order: Order | None = None

    def read(self, candidate: Candidate) -> Scored | Rejected:
        """The scores of a record, or why they cannot be used; a record must speak of everybody in the test part."""
        try:
            table = read_columns(candidate.run.path, candidate.run.record, _COLUMNS)
        except IdbenchError as error:
            return candidate.rejected(error.message.replace(str(candidate.run.path), candidate.where))
        order = self._order
        if order is None or not order.identities.equals(table["identity"]):
            order = self._order = _order(table["identity"], self._people)
        if order.problem:
            return candidate.rejected(order.problem)
        try:
            scores = table["score"].to_numpy().astype(np.float64)
            abstained = table["abstained"].to_numpy().astype(np.bool_)
        except (TypeError, ValueError) as error:
            return candidate.rejected(f"the scores are no numbers: {error}")
        bad = int((~np.isfinite(scores) & ~abstained)[order.test].sum())
        if bad:
            return candidate.rejected(f"{bad} scores are not finite although the attack did not abstain")
        return _scored(scores, abstained, order)


def _scored(scores: Floats, abstained: Flags, order: Order) -> Scored:
    """An abstention counts as less likely than every score (`ScoreTable.ranked`)."""
    ranked = with_floor(scores, abstained)
    calibration = None if order.calibration is None else ranked[order.calibration]
    usable = calibration is not None and bool(np.isfinite(calibration).all())
    return Scored(ranked[order.test], abstained[order.test], calibration if usable else None)


def _order(identities: pa.ChunkedArray, people: People) -> Order:
    names = identities.to_pylist()
    place = {identity: index for index, identity in enumerate(names)}
    nobody = np.zeros(0, dtype=np.int64)
    if len(place) < len(names):
        return Order(identities, nobody, None, "an identity occurs twice in its scores")
    missing = sum(identity not in place for identity in people.test)
    if missing:
        problem = f"{missing} of {len(people.test)} people of the test part have no score"
        return Order(identities, nobody, None, problem)
    rest = [place[identity] for identity in people.calibration if identity in place]
    complete = bool(rest) and len(rest) == len(people.calibration)
    test = np.array([place[identity] for identity in people.test], dtype=np.int64)
    return Order(identities, test, np.array(rest, dtype=np.int64) if complete else None)


_COLUMNS: Final = ("identity", "score", "abstained")


def _short(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
