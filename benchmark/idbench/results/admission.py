"""Decides which records count, and says why the others do not: for boards, submissions and those who check them.

Derived claims of a record are computed again: its run id, its track, its counts. What it
says about its split and its target is compared with the registered ones; what nobody can compute again must be possible
(`claims`). Scores are counted by `aligning.Reader`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from idbench.api import Access, Knowledge
from idbench.api.words import track_of
from idbench.results.attestation import Ignored, Level, Statements
from idbench.results.claims import impossible, unknown_word
from idbench.results.identity import ENGINE_VERSION, expected_run_id
from idbench.results.labels import KnownTarget, SplitLabels, people_of
from idbench.results.reading import shortened
from idbench.results.record import CardCopy, DefenseRef, RunRecord, TargetRef
from idbench.results.repetition import Candidate, settle
from idbench.results.rows import EntryKey, board_keys, corpora_of, entry_key, given_labels_of, named_corpora
from idbench.results.store import Rejected, unexpected

SplitKey: TypeAlias = tuple[str, int]
_WHERE: Final = ": it is not here; give its folder (--split) or its label file (--labels)"


@dataclass(frozen=True, slots=True)
class Admission:
    """Which records count.

    Args:
        kept: these, one for each row and seed.
        rejected: the others, with reasons; repetitions of records that count are not among them.
        ignored: maintainers' statements about records that are not here, or about other bytes.
    """

    kept: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    ignored: tuple[Ignored, ...]


def admit(
    candidates: Iterable[Candidate],
    labels: Mapping[SplitKey, SplitLabels],
    targets: Sequence[KnownTarget] = (),
    statements: Statements | None = None,
) -> Admission:
    """Which records may count, judging by their content; of several records of one run, one.

    Args:
        candidates: readable records; of equal ones, the first counts.
        labels: of the splits that are known.
        targets: that are registered.
        statements: what the maintainers say.
    """
    stated = statements or Statements()
    known = list(candidates)
    kept: list[Candidate] = []
    rejected: list[Rejected] = []
    invalid: list[Candidate] = []
    for candidate in known:
        try:
            note = stated.invalidation(candidate.run)
            reason = objection(candidate.record, labels, targets)
        except Exception as error:  # noqa: BLE001  a record that makes our own code fail costs itself only
            note, reason = None, unexpected(error)
        if note is not None:
            why = f"invalidated on {note.at.date().isoformat()} by {note.by}: {note.reason}"
            rejected.append(candidate.rejected(why))
            invalid.append(candidate)
        elif reason:
            rejected.append(candidate.rejected(reason))
        else:
            kept.append(replace(candidate, level=stated.level(candidate.run)))
    consistent, inconsistent = _of_one_mind_about_targets(kept)
    settled, aside = _one_of_each_run(consistent, invalid, labels)
    agreed, contradicted = _of_one_mind_about_the_protected(settled)
    unique, older = _one_of_each_row(agreed, labels)
    rejected += (*inconsistent, *aside, *contradicted, *older)
    return Admission(unique, tuple(rejected), (*stated.ignored, *stated.unfit(each.run for each in known)))


def objection(record: RunRecord, labels: Mapping[SplitKey, SplitLabels], targets: Sequence[KnownTarget] = ()) -> str:
    """Why a record's own content keeps it from counting; empty if nothing does."""
    checks = (
        _of_the_split(record, labels),
        _of_the_id(record),
        _of_the_method(record),
        _of_the_target(record, targets),
        impossible(record),
        _of_the_protected(record, labels),
    )
    return next((reason for reason in checks if reason), "")


def _of_the_split(record: RunRecord, labels: Mapping[SplitKey, SplitLabels]) -> str:
    name = f"{shortened(record.split.name)} v{record.split.version}"
    found = labels.get((record.split.name, record.split.version))
    if found is None:
        versions = sorted(version for split, version in labels if split == record.split.name)
        other = f"; there are labels for version {', '.join(map(str, versions))}" if versions else ""
        return f"no labels for split {name}{other or _WHERE}"
    if record.split.digest != found.digest and record.split.digest not in found.accepts:
        had = shortened(record.split.digest[:12])
        return f"split {name} had other content when this ran: digest {had}, now {found.digest[:12]}"
    corpora = named_corpora(record)
    if not corpora:
        return f"target {shortened(record.target.name)} names no corpus, so there is nothing to score it against"
    if not any(corpus in found.corpora for corpus in corpora):
        return f"split {name} has no labels for corpus {shortened(', '.join(corpora))}"
    if not corpora_of(record):
        given = shortened(str(given_labels_of(record)))
        return (
            f"the method was given labels of {given}, but the target is scored against {shortened(', '.join(corpora))}"
        )
    return ""


def _of_the_id(record: RunRecord) -> str:
    if record.schema_version == 1 and record.defense is not None:
        return "it names a defense, and records of schema 1 have none"
    if (record.engine or 0) > ENGINE_VERSION:
        return f"it ran on version {record.engine} of the engine, and {ENGINE_VERSION} is the newest known here"
    expected = expected_run_id(record)
    if expected == record.run_id:
        return ""
    return f"its run id is {record.run_id}, and a run of what it says has the id {expected}"


def _of_the_method(record: RunRecord) -> str:
    method = record.attack
    if word := unknown_word(method):
        return f"its method has an access or knowledge that does not exist: {word}"
    access, knowledge = Access.NONE, Knowledge.NONE
    for name in method.access:
        access |= Access[name]
    for name in method.knowledge:
        knowledge |= Knowledge[name]
    given_to = {*method.knowledge, *(record.adaptation.knowledge if record.adaptation else ())}
    if ("CALIBRATION_LABELS" in given_to) != (given_labels_of(record) is not None):
        return "whose calibration labels its method was given does not fit what its method knows"
    if reason := _of_the_card(record):
        return reason
    track = track_of(access, knowledge).value
    if track != method.track:
        return f"it says track {shortened(method.track)}, and what its method asks and knows makes it {track}"
    return ""


def _of_the_card(record: RunRecord) -> str:
    """The first contradiction between the card that ran and the rest of the record; empty if there is none."""
    method, card = record.attack, record.attack.card
    if card is None:
        return ""
    for name in ("name", "version", "title"):
        if getattr(card, name) != getattr(method, name):
            return f"the {name} on its method's card is another one than the record's"
    if card.access != method.access:
        return "the access on its method's card is another one than the record's"
    if not set(card.knowledge) <= set(method.knowledge) <= {*card.knowledge, *card.optional_knowledge}:
        return "its method knows what its card does not say, or less than it says"
    if {each.name for each in card.parameters} != set(record.parameters):
        return "its parameters are not those on its method's card"
    return _of_the_parameters(record, card)


def _of_the_parameters(record: RunRecord, card: CardCopy) -> str:
    """What was passed, over the preset, over the defaults: that is what a run has."""
    passed = record.parameters_passed
    if passed is None:
        return ""
    if passed.preset is not None and passed.preset not in card.presets:
        return f"it names the preset {shortened(passed.preset)}, which its method's card does not have"
    meant = {each.name: each.default for each in card.parameters}
    meant |= card.presets.get(passed.preset or "", {}) | passed.overrides
    for name, value in record.parameters.items():
        if meant[name] != value and str(meant[name]) != str(value):
            what = f"the preset {shortened(passed.preset)}" if passed.preset else "its defaults"
            return f"its parameter {shortened(name)} does not follow from {what} and what was passed"
    return ""


def _of_the_target(record: RunRecord, targets: Sequence[KnownTarget]) -> str:
    claimed = record.target
    known = next((target for target in targets if target.name == claimed.name), None)
    if known is None:
        owner = next((target.name for target in targets if target.sha256 == claimed.sha256), None)
        return f"its target has the weights of {owner} under another name" if owner else ""
    if claimed.version != known.version:
        return f"target {known.name} has version {known.version}, and it says {shortened(claimed.version)}"
    if known.sha256 is not None and claimed.sha256 != known.sha256:
        return f"its weights of {known.name} are not the registered ones ({known.sha256[:12]})"
    if claimed.design not in (None, known.design):
        return f"its {known.name} has another architecture, preprocessing or recipe than the registered one"
    if (claimed.corpus, claimed.control_for) != (known.corpus, known.control_for):
        return f"target {known.name} {_trained(known)}, and it says that it {_trained(claimed)}"
    return ""


def _of_the_protected(record: RunRecord, labels: Mapping[SplitKey, SplitLabels]) -> str:
    """Whom a defense protects is drawn from the test part; retracted people may have been among them."""
    found = labels.get((record.split.name, record.split.version))
    if record.defense is None or found is None:
        return ""
    people = people_of(found)
    if strangers := {*record.defense.protected} - {*people.test} - people.others:
        return f"its defense protects people who are not in the test part: {shortened(min(strangers))}"
    return ""


def _trained(target: KnownTarget | TargetRef) -> str:
    on = "was trained on " + shortened(target.corpus or "an unknown corpus")
    return f"{on} and is a control for {shortened(', '.join(target.control_for))}" if target.control_for else on


def _one_of_each_run(
    candidates: Sequence[Candidate], invalid: Sequence[Candidate], labels: Mapping[SplitKey, SplitLabels]
) -> tuple[list[Candidate], list[Rejected]]:
    """Records of one run are repetitions, of which one counts, or contradict each other, and then none does."""
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.record.run_id].append(candidate)
    withdrawn: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in invalid:
        withdrawn[candidate.record.run_id].append(candidate)
    kept: list[Candidate] = []
    rejected: list[Rejected] = []
    for run_id, group in groups.items():
        if len(group) == 1 and run_id not in withdrawn:
            kept += group
            continue
        record = group[0].record
        found = settle(group, withdrawn.get(run_id, ()), labels[record.split.name, record.split.version])
        kept += found.kept
        rejected += found.rejected
    return kept, rejected


def _of_one_mind_about_targets(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Rejected]]:
    """Weights were trained once, so records of one file that differ in what it was trained on contradict each other."""
    return _of_one_mind(
        candidates,
        lambda record: json.dumps([record.split.name, record.split.version, record.target.sha256]),
        lambda record: (record.target.corpus, record.target.control_for),
        "records of the same weights contradict each other about what these were trained on, and none counts until one "
        "is attested",
        "an attested record says otherwise of what these weights were trained on",
    )


def _of_one_mind_about_the_protected(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Rejected]]:
    """Split and seed alone draw whom a defense protects, so records of one defense and seed that differ contradict."""
    return _of_one_mind(
        candidates,
        lambda record: None if record.defense is None else _defense_and_seed(record, record.defense),
        lambda record: frozenset(record.defense.protected if record.defense else ()),
        "records of the same defense and seed disagree about who is protected, and none counts until one is attested",
        "an attested record of the same defense and seed protects other people",
    )


def _of_one_mind(
    candidates: Sequence[Candidate],
    subject: Callable[[RunRecord], str | None],
    said: Callable[[RunRecord], Hashable],
    contradiction: str,
    against: str,
) -> tuple[list[Candidate], list[Rejected]]:
    """Records that say the same of the same.

    Unattested ones that differ exclude each other; next to an attested one, those that differ from it are excluded.

    Args:
        candidates: records.
        subject: what a record's word is about; None: it says nothing of this kind.
        said: its word.
        contradiction: reason for excluding all, before their names.
        against: reason for excluding one, before the name of the attested one.
    """
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        about = subject(candidate.record)
        if about is not None:
            groups[about].append(candidate)
    reasons: dict[str, str] = {}
    for group in groups.values():
        best = max(candidate.level.rank for candidate in group)
        trusted = [candidate for candidate in group if candidate.level.rank == best]
        first = trusted[0]
        rival = next((each for each in trusted if said(each.record) != said(first.record)), None)
        if rival is not None:
            reasons |= {each.where: f"{contradiction}: {first.where} and {rival.where}" for each in group}
        else:
            others = [each for each in group if said(each.record) != said(first.record)]
            reasons |= {each.where: f"{against}: {first.where}" for each in others}
    kept = [each for each in candidates if each.where not in reasons]
    return kept, [each.rejected(reasons[each.where]) for each in candidates if each.where in reasons]


def _defense_and_seed(record: RunRecord, defense: DefenseRef) -> str:
    split, code = record.split, (defense.name, defense.version, defense.code_sha256, defense.parameters)
    return json.dumps([split.name, split.version, split.digest, *code, record.seed], sort_keys=True)


def _one_of_each_row(
    candidates: Sequence[Candidate], labels: Mapping[SplitKey, SplitLabels]
) -> tuple[tuple[Candidate, ...], list[Rejected]]:
    """One record for each row and seed: a run from before a retraction gives way to the one from after it."""
    best: dict[tuple[EntryKey, int, str], Candidate] = {}
    slots = [_slot(candidate.record, labels) for candidate in candidates]
    for key, candidate in zip(slots, candidates, strict=True):
        known = best.get(key)
        if known is None or _age(candidate, labels) < _age(known, labels):
            best[key] = candidate
    kept, rejected = [], []
    for key, candidate in zip(slots, candidates, strict=True):
        winner = best[key]
        if winner is candidate:
            kept.append(candidate)
        else:
            reason = "another record of the same row and seed counts, from after a retraction or read first"
            rejected.append(candidate.rejected(f"{reason}: {winner.where}"))
    return tuple(kept), rejected


def _slot(record: RunRecord, labels: Mapping[SplitKey, SplitLabels]) -> tuple[EntryKey, int, str]:
    board = board_keys(record, labels[record.split.name, record.split.version])[0]
    own = record.adaptation
    parts = None if own is None else [own.name, own.version, own.code_sha256, own.parameters]
    return entry_key(board, record, Level.SELF_REPORTED), record.seed, json.dumps(parts, sort_keys=True)


def _age(candidate: Candidate, labels: Mapping[SplitKey, SplitLabels]) -> tuple[int, bool]:
    record = candidate.record
    split = labels[record.split.name, record.split.version]
    return -candidate.level.rank, record.split.digest != split.newest
