"""Tells a run that was repeated elsewhere from one that claims other scores for the same run.

The same run on another machine gives other scores by rounding. Mostly that is little: the scores of `cosine` move by
1e-6 of their standard deviation. Where a method follows gradients for many steps, rounding grows: with one thread in
place of two, a score of TUNI moves by up to 0.66 standard deviations and a person by up to 0.20 of all ranks, while the
ranks of all correlate at 0.998. With RMIA, whose shadow models are retrained, it is 0.49, 0.15 and 0.994. Another
seed, which is another run, leaves correlations of up to 0.25 to TUNI, 0.91 to LiRA and 0.976 to RMIA.

So two tables of scores are of one run if their ranks correlate at 0.98 or better, or if no score moved by more than
1e-4 standard deviations, which is rounding even where near-ties make ranks jump; and if the change is independent of
the labels: noise lifts members no more often than others, improved scores do. The last is Welch's test
on the differences of ranks, |z| at most 4, for each corpus that the run is scored against.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from idbench.results.aligning import Flags, Reader, Scored
from idbench.results.attestation import Level
from idbench.results.labels import SplitLabels, people_of
from idbench.results.record import RunRecord
from idbench.results.rows import corpora_of
from idbench.results.store import Rejected, Run

LEAST_CORRELATION: Final = 0.98
ROUNDING: Final = 1e-4
GREATEST_Z: Final = 4.0
ABSTENTIONS: Final = 0.01
"""Share of the people about whom one of two repetitions may abstain while the other does not."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two tables of scores about the same people agree.

    Args:
        difference: the largest difference of two scores, in standard deviations of the first; 0 if they are equal.
        correlation: of the ranks (Spearman); 1 if they are equal, 0 where one of them has no spread.
        move: the largest difference of two ranks as a share of all.
        conflict: why they are not of one run; empty if they are.
    """

    difference: float
    correlation: float
    move: float
    conflict: str


def agreement(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    abstained: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    members: Iterable[NDArray[np.bool_]],
) -> Agreement:
    """Compare two tables of scores.

    Args:
        first: scores to rank by, abstentions below all others, (n,), finite.
        second: those of the other, for the same people in the same order.
        abstained: who got no score in the first and in the second, (n,) each.
        members: who is in each corpus that the run is scored against, (n,) each.
    """
    if np.array_equal(first, second) and np.array_equal(*abstained):
        return Agreement(0.0, 1.0, 0.0, "")
    given = ~abstained[0] & ~abstained[1]
    spread = float(first[given].std()) if given.any() else 0.0
    largest = float(np.abs(first - second)[given].max(initial=0.0))
    difference = 0.0 if largest == 0 else largest / spread if spread > 0 else math.inf
    ranks = np.stack([rankdata(first), rankdata(second)]) / first.size
    moved = ranks[1] - ranks[0]
    correlation = _correlation(ranks)
    conflict = _conflict(difference, correlation, float((abstained[0] != abstained[1]).mean()))
    if not conflict and any(abs(_z(moved, each)) > GREATEST_Z for each in members):
        conflict = "the differences go with membership, as those of rounding do not"
    return Agreement(difference, correlation, float(np.abs(moved).max()), conflict)


def _conflict(difference: float, correlation: float, abstentions: float) -> str:
    if abstentions > ABSTENTIONS:
        return f"they abstain about different people ({abstentions:.1%} of all)"
    if difference > ROUNDING and correlation < LEAST_CORRELATION:
        return f"their ranks correlate at {correlation:.3f}; repetitions of a run do at {LEAST_CORRELATION} and better"
    return ""


def _correlation(ranks: NDArray[np.float64]) -> float:
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    size = math.sqrt(float((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum()) / size if size > 0 else 0.0


def _z(moved: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """How much more the ranks of members rose than those of the others, in standard errors."""
    inside, outside = moved[members], moved[~members]
    if min(inside.size, outside.size) < 2:
        return 0.0
    gap = float(inside.mean() - outside.mean())
    error = math.sqrt(float(inside.var(ddof=1)) / inside.size + float(outside.var(ddof=1)) / outside.size)
    if error > 0:
        return gap / error
    return 0.0 if abs(gap) < ROUNDING else math.copysign(math.inf, gap)


@dataclass(frozen=True, slots=True)
class Repetition:
    """A record of the same run from elsewhere, which is not counted again.

    Args:
        where: its folder.
        device: what computed it.
        agreement: how far its scores are those of the record that counts.
    """

    where: str
    device: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Candidate:
    """A readable record with the name of its folder.

    Args:
        run: record and folder.
        where: the name of the folder that readers are shown.
        level: how far it may be trusted.
        repetitions: records of the same run that agree with it.
    """

    run: Run
    where: str
    level: Level = Level.SELF_REPORTED
    repetitions: tuple[Repetition, ...] = ()

    @property
    def record(self) -> RunRecord:
        """The record."""
        return self.run.record

    def rejected(self, reason: str) -> Rejected:
        """This record set aside."""
        return Rejected(self.where, self.record.run_id, reason)


@dataclass(slots=True)
class Settled:
    """What of the records of one run counts: one at most."""

    kept: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def settle(group: Sequence[Candidate], withdrawn: Sequence[Candidate], labels: SplitLabels) -> Settled:
    """Decide which record of a run counts: the most trusted, of those the first. Dates can be forged and do not count.

    Unattested records that contradict each other exclude all of them. A record that repeats an
    invalidated one goes with it, for other bytes do not make wrong scores right, unless it was attested.

    Args:
        group: records of one run.
        withdrawn: invalidated records of the same run.
        labels: of their split.
    """
    result = Settled()
    reader = Reader(people_of(labels))
    members = _members(group[0].record, labels)
    readable = _readable(group, reader, result)
    for gone in withdrawn:
        scored = reader.read(gone.run, gone.where)
        if not isinstance(scored, Rejected):
            readable = _without_those_of(gone, scored, readable, members, result)
    if readable:
        _choose(readable, members, result)
    return result


def _readable(group: Sequence[Candidate], reader: Reader, result: Settled) -> list[tuple[Candidate, Scored]]:
    """Records with usable scores; of equal ones, the first."""
    readable: dict[str, tuple[Candidate, Scored]] = {}
    for candidate in group:
        scored = reader.read(candidate.run, candidate.where)
        if isinstance(scored, Rejected):
            result.rejected.append(scored)
        elif known := readable.get(candidate.run.sha256):
            result.rejected.append(candidate.rejected(f"the same record counts already: {known[0].where}"))
        else:
            readable[candidate.run.sha256] = candidate, scored
    return list(readable.values())


def _without_those_of(
    gone: Candidate,
    scored: Scored,
    readable: Sequence[tuple[Candidate, Scored]],
    members: Sequence[Flags],
    result: Settled,
) -> list[tuple[Candidate, Scored]]:
    left = []
    for candidate, found in readable:
        if candidate.level is Level.SELF_REPORTED and not _compared(scored, found, members).conflict:
            result.rejected.append(candidate.rejected(f"it repeats a record that was invalidated: {gone.where}"))
        else:
            left.append((candidate, found))
    return left


def _choose(readable: Sequence[tuple[Candidate, Scored]], members: Sequence[Flags], result: Settled) -> None:
    best = max(candidate.level.rank for candidate, _ in readable)
    chosen, scores = next((candidate, found) for candidate, found in readable if candidate.level.rank == best)
    others = [(c, _compared(scores, found, members)) for c, found in readable if c is not chosen]
    rivals = [(c, found) for c, found in others if found.conflict and c.level is chosen.level]
    if rivals:
        rival, found = rivals[0]
        remedy = "attested" if chosen.level is Level.SELF_REPORTED else "invalidated"
        reason = (
            f"records of this run contradict each other, and none counts until one is {remedy}: "
            f"{chosen.where} and {rival.where}; {found.conflict}"
        )
        result.rejected += [candidate.rejected(reason) for candidate, _ in readable]
        return
    repetitions = []
    for candidate, found in others:
        if found.conflict:
            reason = f"a record of the same run that maintainers attested has other scores: {chosen.where}"
            result.rejected.append(candidate.rejected(reason))
        else:
            repetitions.append(Repetition(candidate.where, candidate.record.environment.hardware, found))
    result.kept.append(replace(chosen, repetitions=tuple(repetitions)))


def _compared(first: Scored, second: Scored, members: Sequence[Flags]) -> Agreement:
    return agreement(first.test, second.test, (first.abstained, second.abstained), members)


def _members(record: RunRecord, labels: SplitLabels) -> list[Flags]:
    """Who of the test part, in order of id, is in each corpus that a record is scored against, (n,) each."""
    place = {identity: index for index, identity in enumerate(labels.identities)}
    index = np.array([place[identity] for identity in people_of(labels).test], dtype=np.int64)
    return [
        np.asarray(labels.corpora[corpus].member, dtype=np.bool_)[index]
        for corpus in corpora_of(record)
        if corpus in labels.corpora
    ]
