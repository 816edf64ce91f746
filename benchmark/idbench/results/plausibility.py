"""Recognizes scores that no honest method gives: the labels themselves, constants, or more than can be known.

Nothing here proves anything: what is implausible is a reason for maintainers to run a method themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from idbench import metrics
from idbench.results.aligning import Flags, Floats, Reader, Scored
from idbench.results.labels import CorpusLabels, CountedPeople, KnownTarget, SplitLabels, people_of
from idbench.results.record import BlindComparison, RunRecord, Summary
from idbench.results.repetition import Candidate
from idbench.results.rows import corpora_of
from idbench.results.store import Rejected
from idbench.results.summarizing import LabelledScores, derived
from idbench.wording import counted

SplitKey = tuple[str, int]
PERFECT: Final = 50
"""This many members and non-members no known method separates perfectly: members trained on once look like others."""
SURPRISING, IMPOSSIBLE = 3.0, 5.0
"""Standard errors from chance: the first once in 370 honest records, the second once in 1.7 million."""
BEYOND: Final = 0.5
"""Share of the strongest known method's error, 1 - AUC, that is left; less is far beyond it."""


@dataclass(frozen=True, slots=True)
class MeasuredRecord:
    """A record with what its scores are worth on one corpus.

    Args:
        candidate: the record.
        corpus: whose labels.
        control: whether its target saw nobody under test.
        auc: in 0..1.
        z: how many standard errors under chance the AUC lies above one half.
        members, others: how many people.
        distinct: how many different scores there are.
        matched: whether members and others are alike by construction, as they are where there is a control target.
        scores: to rank by, in order of the people's ids, (n,).
        inside: who is a member, (n,).
    """

    candidate: Candidate
    corpus: str
    control: bool
    auc: float
    z: float
    members: int
    others: int
    distinct: int
    matched: bool
    scores: Floats
    inside: Flags

    @property
    def record(self) -> RunRecord:
        """The record."""
        return self.candidate.record

    @property
    def board(self) -> tuple[str, int, str, str, str]:
        """What records must share to be compared; those behind a defense only with those behind the same one."""
        record = self.record
        behind = record.defense.name if record.defense else ""
        return record.split.name, record.split.version, record.target.sha256, self.corpus, behind

    @property
    def method(self) -> tuple[object, ...]:
        """What records on other targets must share to be of the same method."""
        record = self.record
        behind = record.defense.name if record.defense else ""
        attack = record.attack
        settings = tuple(sorted((name, str(value)) for name, value in record.parameters.items()))
        return record.split.name, record.split.version, self.corpus, attack.name, attack.code_sha256, settings, behind


class Measurer:
    """Reads and measures records; each split is ordered once."""

    def __init__(self, labels: Mapping[SplitKey, SplitLabels], targets: Iterable[KnownTarget] = ()) -> None:
        """Measure against these labels; registered targets tell which corpora have a control."""
        self._matched = {corpus for target in targets for corpus in target.control_for}
        self._counted = {key: people_of(each) for key, each in labels.items()}
        self._readers = {key: Reader(people) for key, people in self._counted.items()}
        self._known: dict[tuple[str, int, str], dict[str, CorpusLabels]] = {}
        for (name, version), people in self._counted.items():
            for part, ids in (("test", people.test), ("calibration", people.calibration)):
                self._known[name, version, part] = _in_order(labels[name, version], ids)

    def scored(self, candidate: Candidate) -> Scored | Rejected:
        """The scores of a record of a known split, in the order of its people."""
        split = candidate.record.split
        return self._readers[split.name, split.version].read(candidate.run, candidate.where)

    def labels(self, record: RunRecord, part: Literal["calibration", "test"] = "test") -> dict[str, CorpusLabels]:
        """Who of a part is in each corpus that a record is scored against, in order of id."""
        known = self._known[record.split.name, record.split.version, part]
        return {corpus: known[corpus] for corpus in corpora_of(record) if corpus in known}

    def metrics(self, found: MeasuredRecord, scored: Scored, blind: BlindComparison | None) -> Summary:
        """What metrics beside a record must say, but for the comparison with a blind attack, which is given.

        Args:
            found: the record on one corpus.
            scored: its scores.
            blind: the comparison.
        """
        record, calibration = found.record, None
        if scored.calibration is not None:
            own = self.labels(record, "calibration")[found.corpus]
            calibration = LabelledScores(
                self._people(record).calibration, scored.calibration, own.member, own.occurrences
            )
        control = found.control
        return derived(record, self.labelled(found), calibration, found.corpus, blind, record.seed, control=control)

    def labelled(self, found: MeasuredRecord) -> LabelledScores:
        """The scores of the test part with the labels of the corpus that they were measured against."""
        own = self.labels(found.record)[found.corpus]
        return LabelledScores(self._people(found.record).test, found.scores, own.member, own.occurrences)

    def _people(self, record: RunRecord) -> CountedPeople:
        return self._counted[record.split.name, record.split.version]

    def measured(self, candidate: Candidate, scored: Scored) -> list[MeasuredRecord]:
        """What a record's scores are worth on each corpus that has members and others."""
        record = candidate.record
        return [
            _measured(candidate, corpus, corpus in self._matched, scored.test, labels.member)
            for corpus, labels in self.labels(record).items()
            if labels.member.any() and not labels.member.all()
        ]


def _in_order(labels: SplitLabels, ids: Sequence[str]) -> dict[str, CorpusLabels]:
    """Who of these people is in each corpus, in their order."""
    place = {identity: index for index, identity in enumerate(labels.identities)}
    index = np.array([place[identity] for identity in ids], dtype=np.int64)
    return {
        corpus: CorpusLabels(
            np.asarray(own.member, dtype=np.bool_)[index], np.asarray(own.occurrences, dtype=np.int64)[index]
        )
        for corpus, own in labels.corpora.items()
    }


def _measured(candidate: Candidate, corpus: str, matched: bool, scores: Floats, flags: Flags) -> MeasuredRecord:
    inside, outside = int(flags.sum()), int((~flags).sum())
    auc = metrics.auc(scores, flags)
    # Of the rank-sum statistic without ties; ties make the true one smaller, so that nobody is wrongly suspected.
    error = math.sqrt((inside + outside + 1) / (12 * inside * outside))
    return MeasuredRecord(
        candidate=candidate,
        corpus=corpus,
        control=(control := bool(candidate.record.target.control_for)),
        auc=auc,
        z=(auc - 0.5) / error,
        members=inside,
        others=outside,
        distinct=int(np.unique(scores).size),
        matched=matched or control,
        scores=scores,
        inside=flags,
    )


def certain(found: MeasuredRecord) -> str:
    """Why the scores cannot be those of a method that was run as it says; empty if they can."""
    if found.distinct == 1:
        return "everybody has the same score"
    apart = max(found.auc, 1 - found.auc)
    if apart == 1.0 and found.distinct == 2:
        return f"its scores are the labels of {found.corpus}"
    if apart == 1.0 and min(found.members, found.others) >= PERFECT:
        return f"it tells all {found.members} members of {found.corpus} from all {found.others} others"
    return _knows_unasked(found) if abs(found.z) > IMPOSSIBLE else ""


def _knows_unasked(found: MeasuredRecord) -> str:
    """Why a method cannot have learned from its target what its scores show; empty if it can."""
    if found.control:
        return f"it has AUC {found.auc:.3f} on a control target, which saw none of these people"
    if found.matched and not found.record.attack.access:
        return f"it asks the target nothing and has AUC {found.auc:.3f}"
    if found.matched and not _asked(found.record):
        return f"it counts no query of the target and has AUC {found.auc:.3f}"
    return ""


def _asked(record: RunRecord) -> bool:
    """Whether the target was asked, or its weights were read, which nobody counts."""
    return "WEIGHTS" in record.attack.access or record.adaptation is not None or record.queries.total > 0


def surprising(found: MeasuredRecord, known: Sequence[MeasuredRecord]) -> str:
    """What maintainers should look at; empty if nothing.

    Args:
        found: a proposed record.
        known: accepted records.
    """
    blind = found.matched and not found.record.attack.access
    if (found.control or blind) and abs(found.z) > SURPRISING:
        where = "on a control target, which saw none of these people" if found.control else "without asking the target"
        return f"it has AUC {found.auc:.3f} {where}: {abs(found.z):.1f} standard errors from chance"
    people, asked = found.members + found.others, found.record.queries.total
    if (
        found.matched
        and not blind
        and 0 < asked < people
        and "WEIGHTS" not in found.record.attack.access
        and found.z > SURPRISING
    ):
        queries = counted(asked, "query", "queries")
        return f"it counts {queries} of the target about {people:,} people and has AUC {found.auc:.3f}"
    others = [each.auc for each in known if each.board == found.board and each.method != found.method]
    if found.control or not others:
        return ""
    best = max(others)
    if found.auc > best and 1 - found.auc < BEYOND * (1 - best) and found.z > SURPRISING:
        return f"its AUC of {found.auc:.3f} is far beyond the strongest known on this target, {best:.3f}"
    return ""


def alike(found: Sequence[MeasuredRecord]) -> Iterable[tuple[MeasuredRecord, MeasuredRecord]]:
    """Records that are as good on the control as on a target that saw the people: they read something else.

    Args:
        found: records, proposed and accepted.
    """
    controls = {each.method: each for each in found if each.control and each.z > SURPRISING}
    for each in found:
        control = controls.get(each.method)
        if control is not None and not each.control and each.z > SURPRISING and control.auc > (each.auc + 0.5) / 2:
            yield each, control


def without_control(found: Sequence[MeasuredRecord]) -> Iterable[MeasuredRecord]:
    """Records of methods that ask the target something, above chance, and were not run on a control."""
    controlled = {each.method for each in found if each.control}
    seen = set()
    for each in found:
        if each.record.attack.access and not each.control and each.z > SURPRISING and each.method not in controlled:
            if each.method not in seen:
                yield each
            seen.add(each.method)
