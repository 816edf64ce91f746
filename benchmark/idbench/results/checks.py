"""The checks that a submission must pass, as anybody can run them first: `bench leaderboard check`.

What decides whether a record counts on a board (`admission`) decides here too; the other checks ask whether a
submission changes nothing that is there, agrees with itself, and is plausible. No code of a submitter runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from idbench.errors import IdbenchError
from idbench.escaping import line
from idbench.results.admission import admit, objection
from idbench.results.aligning import Scored
from idbench.results.attestation import Statements
from idbench.results.copies import copied
from idbench.results.identity import ENGINE_VERSION
from idbench.results.labels import KnownTarget, SplitLabels
from idbench.results.lookalike import close_to, distribution_of, looks_like
from idbench.results.plausibility import MeasuredRecord, Measurer, alike, certain, surprising, without_control
from idbench.results.proposal import RUNS, Proposal, beside_records, is_method_name, misplaced, record_place
from idbench.results.record import SCHEMA_VERSION, BlindComparison, CardCopy, MethodRef, RunRecord
from idbench.results.repetition import Candidate
from idbench.results.store import METRICS, Collected, Rejected, collect, read_summary
from idbench.results.summarizing import agree, compared, contradiction

SplitKey = tuple[str, int]
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No record is older."""


class Severity(StrEnum):
    """How bad a finding is."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    """Nothing was found."""
    WARN = "warn"
    """Maintainers should look; it does not keep a submission out."""
    FAIL = "fail"
    """The submission is not accepted like this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found about one record or file."""

    where: str
    message: str
    severity: Severity = Severity.FAIL


@dataclass(frozen=True, slots=True)
class Check:
    """One check with what it found.

    Args:
        name: one word.
        asks: what it makes sure of, one sentence.
        findings: empty if all is well.
    """

    name: str
    asks: str
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Severity:
        """The worst of the findings."""
        found = {finding.severity for finding in self.findings}
        return next((each for each in (Severity.FAIL, Severity.WARN) if each in found), Severity.PASS)


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of a submission.

    Args:
        checks: in the order in which they were made.
        records: names of the folders of the records that are proposed.
    """

    checks: tuple[Check, ...]
    records: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome is not Severity.FAIL for check in self.checks)

    @property
    def failures(self) -> list[Finding]:
        """What keeps the submission out."""
        return [each for check in self.checks for each in check.findings if each.severity is Severity.FAIL]


@dataclass(frozen=True, slots=True)
class References:
    """What submissions are compared with.

    Args:
        labels: one of each version of a split.
        targets: that are registered.
        methods: distribution by name of method and defense: whose name is taken.
        statements: what maintainers said of records.
        codes: hash of the code of methods that are installed here, by name.
    """

    labels: Mapping[SplitKey, SplitLabels]
    targets: tuple[KnownTarget, ...] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    statements: Statements = field(default_factory=Statements)
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The records of a proposal: those that are proposed, those that could not be read, those that are accepted."""

    proposed: tuple[Candidate, ...]
    unreadable: tuple[Rejected, ...]
    accepted: tuple[Candidate, ...]


def gather_records(proposal: Proposal) -> Gathered:
    """Read the records of a proposal.

    Raises:
        StorageError: a folder is missing.
    """
    found = collect([proposal.records]) if proposal.records.is_dir() else Collected((), (), ())
    candidates = [Candidate(run, name) for run, name in zip(found.runs, found.names, strict=True)]
    before = proposal.accepted_records
    old = Collected((), (), ()) if before is None else collect([before])
    return Gathered(
        tuple(each for each in candidates if proposal.proposes(each.where)),
        tuple(each for each in found.rejected if proposal.proposes(each.where)),
        tuple(Candidate(run, name) for run, name in zip(old.runs, old.names, strict=True)),
    )


def check(proposal: Proposal, gathered: Gathered, known: References) -> Report:
    """Make every check.

    Args:
        proposal: the files.
        gathered: its records.
        known: labels, targets and names of methods.

    Raises:
        StorageError: a folder cannot be read.
    """
    scores = _Scores(gathered, known)
    made = [
        Check("files", "Regular files of bounded size, each where it belongs.", tuple(_files(proposal))),
        Check("untouched", "Nothing that was there is edited or removed.", tuple(_untouched(proposal))),
        Check("schema", "Every record can be read and has a place of its own.", tuple(_schema(proposal, gathered))),
        Check("text", "Every text is plain text.", tuple(_each(gathered, _texts))),
        Check("names", "No method has a name that is another's or looks like it.", tuple(_names(gathered, known))),
        Check(
            "admission", "What a record says is consistent, and agrees with split, target and card.", scores.objections
        ),
        Check("current", "Split, engine and schema are the newest.", tuple(_each(gathered, _current_with(known)))),
        Check("coverage", "Everybody has a score or an abstention; counts and hashes are right.", scores.unusable),
        Check("metrics", "Stored metrics are those of the scores.", tuple(scores.miscalculated())),
        Check("duplicates", "Nothing is sent twice, copied, or contradicts a record.", tuple(scores.duplicates())),
        Check("plausibility", "The scores can be those of a method.", tuple(scores.implausible())),
    ]
    return Report(tuple(made), tuple(each.where for each in gathered.proposed))


def _each(gathered: Gathered, look: Callable[[RunRecord], Iterable[tuple[Severity, str]]]) -> Iterator[Finding]:
    for candidate in gathered.proposed:
        for severity, message in look(candidate.record):
            yield Finding(candidate.where, message, severity)


def _files(proposal: Proposal) -> Iterator[Finding]:
    wanted = proposal.files if proposal.before is None else (*proposal.added, *proposal.changed)
    for path in sorted(wanted):
        problem = proposal.files[path].problem
        if problem:
            yield Finding(path, f"it {problem}")
        elif proposal.before is not None and (reason := misplaced(path)):
            yield Finding(path, reason)
        elif proposal.is_repository and beside_records(path):
            yield Finding(path, "logs may hold private details; they are not part of a submission")


def _untouched(proposal: Proposal) -> Iterator[Finding]:
    for path in proposal.changed:
        yield Finding(path, "it was there before and is changed: submissions add files only")
    for path in proposal.removed:
        yield Finding(path, "it was there before and is removed: only maintainers withdraw records, by invalidation")


def _schema(proposal: Proposal, gathered: Gathered) -> Iterator[Finding]:
    if not gathered.proposed and not gathered.unreadable:
        yield Finding(".", "no record is proposed")
    for each in gathered.unreadable:
        yield Finding(each.where, each.reason)
    for candidate in gathered.proposed:
        place = record_place(candidate.run).removeprefix(f"{RUNS}/")
        if proposal.is_repository and candidate.where != place:
            yield Finding(candidate.where, f"its content belongs in {RUNS}/{line(place)}")


_MARKUP: Final = re.compile(r"<[A-Za-z/!?]|javascript:|!\[|\]\(", re.IGNORECASE)
_TYPE: Final = re.compile(r"<class '[\w.]{1,200}'>")
"""How Python writes the type of a parameter, and records before 2026-11-26 did too."""
LONGEST_TITLE, LONGEST_TEXT = 300, 10_000
"""Characters of a method's title, and of any other text."""
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_LOCAL: Final = re.compile(r"(?:^|[\s\"'=:])(?:/(?:home|root|Users|mnt|scratch|data)/|[A-Za-z]:\\)")


def _texts(record: RunRecord) -> Iterator[tuple[Severity, str]]:
    for where, text in _strings("", record.model_dump(mode="json")):
        shown = line(where.strip("."))[:80]
        if _CONTROL.search(text):
            yield Severity.FAIL, f"{shown} holds characters that are invisible or change the direction of text"
        if shown.endswith("url") and not re.match(r"https?://", text):
            yield Severity.FAIL, f"{shown} is not an address that begins with http:// or https://"
        elif (_MARKUP.search(text) and not _TYPE.fullmatch(text)) or text.startswith(("=", "@", "+")):
            yield Severity.WARN, f"{shown} looks like markup or a formula; it will be shown as it is written"
        if shown.endswith("title") and len(text.splitlines()) > 1:
            yield Severity.FAIL, f"{shown} is not one line"
        if len(text) > (most := LONGEST_TITLE if shown.endswith("title") else LONGEST_TEXT):
            yield Severity.FAIL, f"{shown} has {len(text):,} characters; the limit is {most:,}"
        if _LOCAL.search(text):
            yield Severity.WARN, f"{shown} names a path on somebody's machine"


def _strings(where: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(f"{where}, a name", key)
            yield from _strings(f"{where}.{key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(where, item)


def _names(gathered: Gathered, known: References) -> Iterator[Finding]:
    taken: dict[str, str] = dict(known.methods)
    for candidate in gathered.accepted:
        for method in _methods(candidate.record):
            taken.setdefault(method.name, method.distribution)
    for candidate in gathered.proposed:
        for method in _methods(candidate.record):
            for severity, reason in (*_of_a_name(method, taken), *_of_a_distribution(method, taken, known)):
                yield Finding(candidate.where, reason, severity)
            taken.setdefault(method.name, method.distribution)
        others = [each.record for each in (*gathered.accepted, *gathered.proposed)]
        if reason := _other_card(candidate.record, others):
            yield Finding(candidate.where, reason)
        if reason := _other_code(candidate.record, others):
            yield Finding(candidate.where, reason, Severity.WARN)
        target = candidate.record.target.name
        if other := looks_like(target, [each.name for each in known.targets]):
            reason = f"its target's name {line(target)[:60]} looks like {line(other)}, which is another target"
            yield Finding(candidate.where, reason)


def _methods(record: RunRecord) -> list[MethodRef]:
    return [method for method in (record.attack, record.defense, record.adaptation) if method is not None]


def _other_card(record: RunRecord, others: Sequence[RunRecord]) -> str:
    """Whether its card differs from that of a record of the very code, which has one card; empty if it does not."""
    mine = record.attack
    for its in (other.attack for other in others):
        if (its.name, its.code_sha256) != (mine.name, mine.code_sha256) or None in (its.card, mine.card):
            continue
        if (its.version, its.title, its.access) != (mine.version, mine.title, mine.access):
            return "its version, title or access is not that of another record of the same code"
        if its.card is not None and mine.card is not None and not _same_card(its.card, mine.card):
            return "its card is not that of another record of the same code"
    return ""


def _same_card(one: CardCopy, other: CardCopy) -> bool:
    """Whether two cards agree in all that both state: older ones state less."""
    if one == other:  # nearly always, and a repository holds thousands
        return True
    both, first, second = one.model_fields_set & other.model_fields_set, one.settled(), other.settled()
    return all(getattr(first, name) == getattr(second, name) for name in both)


def _other_code(record: RunRecord, others: Sequence[RunRecord]) -> str:
    """Whether its code differs from that of records of the same name, version and release; empty if it does not."""
    mine = record.attack
    for its in (other.attack for other in others):
        if its.code_sha256 == mine.code_sha256:
            continue
        if (its.name, its.version, its.distribution) == (mine.name, mine.version, mine.distribution):
            shown = f"{line(mine.name)[:60]} from {line(mine.distribution)[:60]}"
            return f"its code is not that of other records of {shown}: make sure that its authors sent it"
    return ""


def _of_a_name(method: MethodRef, taken: Mapping[str, str]) -> Iterator[tuple[Severity, str]]:
    shown = line(method.name)[:60]
    if not is_method_name(method.name):
        yield Severity.FAIL, f"{shown} is not a method's name: lower-case letters, digits, hyphens"
    owner, mine = taken.get(method.name), distribution_of(method.distribution)
    if owner is not None and distribution_of(owner) != mine:
        reason = f"the name {shown} belongs to {line(distribution_of(owner))}, and this one comes from "
        yield Severity.FAIL, reason + f"{line(mine)[:60]}: rename it"
    elif other := looks_like(method.name, taken):
        yield Severity.FAIL, f"the name {shown} looks like {line(other)}, which is another method"
    elif other := close_to(method.name, [name for name, its in taken.items() if distribution_of(its) != mine]):
        yield Severity.WARN, f"the name {shown} is easily taken for {line(other)}, which is somebody else's method"


def _of_a_distribution(
    method: MethodRef, taken: Mapping[str, str], known: References
) -> Iterator[tuple[Severity, str]]:
    """A record may name any distribution as the one that its method comes from."""
    mine, shown = distribution_of(method.distribution), line(method.distribution)[:60]
    here = {distribution_of(each) for each in known.methods.values()}
    if mine in here and method.name not in known.methods:
        same = method.distribution in known.methods.values()  # another version may have more methods
        reason = f"it says that it comes from {shown}, and there is no method {line(method.name)[:60]} in that here"
        yield Severity.FAIL if same else Severity.WARN, reason
    if other := looks_like(mine, [*here, *map(distribution_of, taken.values())]):
        yield Severity.FAIL, f"the distribution {shown} looks like {line(other)}, which is another one"
    own = known.codes.get(method.name)
    if own is not None and mine in here and own != method.code_sha256:
        reason = f"its code is not that of {line(method.name)[:60]} as installed here: a replay needs the one that ran"
        yield Severity.WARN, reason


def _current_with(known: References) -> Callable[[RunRecord], Iterable[tuple[Severity, str]]]:
    newest: dict[str, int] = {}
    for name, version in known.labels:
        newest[name] = max(version, newest.get(name, 0))
    registered = {target.name for target in known.targets}

    def look(record: RunRecord) -> Iterator[tuple[Severity, str]]:
        split, target = record.split, record.target
        if split.version < newest.get(split.name, split.version):
            yield (
                Severity.FAIL,
                f"split {line(split.name)} is at version {newest[split.name]} now; this ran on an older one",
            )
        labels = known.labels.get((split.name, split.version))
        if labels is not None and labels.retracted and split.digest != labels.newest:
            yield Severity.WARN, "people were taken out of the split since this ran"
        if record.schema_version < SCHEMA_VERSION:
            yield Severity.FAIL, f"its schema is {record.schema_version}; run it again with an idbench that writes 2"
        elif record.engine != ENGINE_VERSION:
            yield Severity.WARN, f"it ran on version {record.engine} of the engine; {ENGINE_VERSION} is the newest"
        if reason := _of_its_date(record):
            yield Severity.FAIL, reason
        if target.name not in registered:
            yield Severity.WARN, f"target {line(target.name)[:60]} is not registered: nobody can compare its weights"

    return look


def _of_its_date(record: RunRecord) -> str:
    """Dates decide nothing on a board, but people read them."""
    day = record.created.date().isoformat()
    if record.created < FIRST:
        return f"it says that it was made on {day}, before there was an idbench"
    if record.created > datetime.now(UTC) + timedelta(days=1):
        return f"it says that it was made on {day}, which is yet to come"
    return ""


class _Scores:
    """The checks that look at scores: each record is read once."""

    def __init__(self, gathered: Gathered, known: References) -> None:
        self._gathered, self._known = gathered, known
        self._measurer = Measurer(known.labels, known.targets)
        objections: list[Finding] = []
        unusable: list[Finding] = []
        self._good: list[tuple[Candidate, Scored]] = []
        for candidate in gathered.proposed:
            if reason := self._objection(candidate):
                objections.append(Finding(candidate.where, reason))
                continue
            scored = self._measurer.scored(candidate)
            if isinstance(scored, Rejected):
                unusable.append(Finding(candidate.where, scored.reason))
                continue
            self._good.append((candidate, scored))
            if scored.calibration is None:
                reason = "the calibration part was not scored, so no threshold can be chosen"
                unusable.append(Finding(candidate.where, reason, Severity.WARN))
        self.objections, self.unusable = tuple(objections), tuple(unusable)
        self._measured = [each for pair in self._good for each in self._measurer.measured(*pair)]

    def _objection(self, candidate: Candidate) -> str:
        note = self._known.statements.invalidation(candidate.run)
        if note is not None:
            return f"it was invalidated by {line(note.by)}: {line(note.reason)}"
        return objection(candidate.record, self._known.labels, self._known.targets)

    def miscalculated(self) -> Iterator[Finding]:
        """Metrics beside a record that are not those of its scores."""
        for candidate, scored in self._good:
            if not (candidate.run.path / METRICS).exists():
                continue
            try:
                summary = read_summary(candidate.run)
            except IdbenchError as error:
                yield Finding(candidate.where, error.message.replace(str(candidate.run.path), candidate.where))
                continue
            found = next((m for m in self._measured if m.candidate is candidate and m.corpus == summary.corpus), None)
            if found is None:
                yield Finding(candidate.where, f"{METRICS} is about a corpus that the record is not scored against")
            elif reason := contradiction(summary, self._measurer.metrics(found, scored, summary.blind)):
                shown = f"{METRICS} {reason}"
                if self._is_older_than_a_retraction(candidate.record):
                    shown = f"{METRICS} counts people who were taken out since: bench score writes it again"
                yield Finding(candidate.where, shown)
            elif summary.blind is not None:
                for severity, reason in self._of_the_blind(found, summary.blind):
                    yield Finding(candidate.where, f"{METRICS} {reason}", severity)

    def _is_older_than_a_retraction(self, record: RunRecord) -> bool:
        labels = self._known.labels.get((record.split.name, record.split.version))
        return labels is not None and record.split.digest != labels.newest

    def _of_the_blind(self, found: MeasuredRecord, stated: BlindComparison) -> Iterator[tuple[Severity, str]]:
        """What is wrong with a stated comparison: it needs the scores of another record, which may not be here."""
        shown = line(stated.attack)[:60]
        if not agree(stated.difference, found.auc - stated.auc):
            reason = f"says a difference of {stated.difference:.6g} from {shown}, and its own numbers have "
            yield Severity.FAIL, f"{reason}{found.auc - stated.auc:.6g}"
            return
        everybody = [*self._measured, *self._accepted]
        same = [each for each in everybody if each.record.attack.name == stated.attack and each.board == found.board]
        made = [compared(stated.attack, self._measurer.labelled(found), self._measurer.labelled(each)) for each in same]
        mine = [each for each in made if each is not None and agree(each.auc, stated.auc)]
        if not mine:
            reason = f"compares with {shown} at AUC {stated.auc:.6g}, and no record of that is here: it is not checked"
            yield Severity.WARN, reason
        elif not any(agree(each.p, stated.p) for each in mine):
            yield Severity.FAIL, f"says p {stated.p:.6g} against {shown}, and the scores have {mine[0].p:.6g}"

    def duplicates(self) -> Iterator[Finding]:
        """Records that are there already, have the scores of another run, or contradict one of the same run."""
        yield from self._same_bytes()
        for where, reason, sure in copied(self._measured, self._accepted):
            yield Finding(where, reason, Severity.FAIL if sure else Severity.WARN)
        accepted = [each for each in self._gathered.accepted if self._is_related(each)]
        mine = {candidate.where for candidate, _ in self._good}
        together = [*accepted, *(candidate for candidate, _ in self._good)]
        if len({id(each) for each in together}) < 2:
            return
        ids = {each.record.run_id for each in accepted}
        settled = admit(together, self._known.labels, self._known.targets, self._known.statements)
        for rejected in settled.rejected:
            if rejected.where in mine and "contradict" in rejected.reason:
                yield Finding(rejected.where, rejected.reason)
        for candidate, _ in self._good:
            if candidate.record.run_id in ids:
                reason = "a record of this run is there: it counts as a repetition, which the board shows"
                yield Finding(candidate.where, reason, Severity.WARN)

    def _same_bytes(self) -> Iterator[Finding]:
        seen: dict[str, Candidate] = {}
        records = {each.run.sha256: each for each in self._gathered.accepted}
        for each in self._gathered.accepted:
            seen.setdefault(each.record.scores_sha256, each)
        for candidate in self._gathered.proposed:
            if known := records.get(candidate.run.sha256):
                yield Finding(candidate.where, f"this very record is there already: {known.where}")
                continue
            records[candidate.run.sha256] = candidate
            other = seen.setdefault(candidate.record.scores_sha256, candidate)
            if not _same_code(candidate, other):
                reason = f"its scores are, byte for byte, those of another method: {line(other.where)}"
                yield Finding(candidate.where, reason)

    def _is_related(self, accepted: Candidate) -> bool:
        """Whether an accepted record is of a run or of weights that are proposed too; only those are compared."""
        own = accepted.record
        return any(
            candidate.record.run_id == own.run_id or candidate.record.target.sha256 == own.target.sha256
            for candidate, _ in self._good
        )

    def implausible(self) -> Iterator[Finding]:
        """Scores that no method gives, and scores that maintainers should look at."""
        known = self._accepted
        for each in self._measured:
            if reason := certain(each):
                yield Finding(each.candidate.where, reason)
            elif reason := surprising(each, known):
                yield Finding(each.candidate.where, reason, Severity.WARN)
        mine = {each.candidate.where for each in self._measured}
        for each, control in alike([*self._measured, *known]):
            if {each.candidate.where, control.candidate.where} & mine:
                reason = f"AUC {each.auc:.3f} where people were trained on, and {control.auc:.3f} on the control, "
                yield Finding(each.candidate.where, f"{reason}which saw nobody: {line(control.candidate.where)}")
        for each in without_control([*self._measured, *known]):
            if each.matched and each.candidate.where in mine:
                reason = "it was not run on the control target, where an honest attack is at chance"
                yield Finding(each.candidate.where, reason, Severity.WARN)

    @cached_property
    def _accepted(self) -> list[MeasuredRecord]:
        """Accepted records of the splits of the proposed ones."""
        found: list[MeasuredRecord] = []
        splits = {(each.record.split.name, each.record.split.version) for each in self._measured}
        for candidate in self._gathered.accepted:
            split = candidate.record.split
            if (split.name, split.version) not in splits or self._objection(candidate):
                continue
            scored = self._measurer.scored(candidate)
            if not isinstance(scored, Rejected):
                found += self._measurer.measured(candidate, scored)
        return found


def _same_code(candidate: Candidate, other: Candidate) -> bool:
    """The same code gives the same scores where what differs, a seed say, does not matter to it."""
    mine, its = candidate.record.attack, other.record.attack
    return (mine.name, mine.code_sha256) == (its.name, its.code_sha256)
