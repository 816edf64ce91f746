"""Audits people: attacks score them among reference people, and no claim exceeds what that many can support."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.api import Access, Knowledge, Progress, Silent
from idbench.captions import FOLDED
from idbench.errors import DataError, IdbenchError, MethodError, StorageError
from idbench.people.design import Design, ReferencePool, certain, design, write_design
from idbench.people.inputs import Audited, Portfolio, Remarks, check_people, read_portfolio, remarks_on
from idbench.results.scores import with_floor
from idbench.runner.bundle import Folders, plan_cases, write_bundle
from idbench.runner.folders import folders_of, writable
from idbench.runner.messages import SCORES, load_scores
from idbench.runner.pixels import PixelStore, photos_apart
from idbench.runner.process import LOG, run_worker
from idbench.runner.registry import ATTACKS, load_attack
from idbench.runner.spec import MethodSpec, plan_method
from idbench.splits import Split, corpus_names, load_split, recipes_making
from idbench.splits.auxiliary import load_auxiliary
from idbench.splits.injected.people import list_people
from idbench.splits.publishing import is_fictional
from idbench.storage import make_dir, read_bounded
from idbench.targets import TargetSpec, is_ready, list_targets, target_meant
from idbench.targets.fetch import fetch_target, pin_target
from idbench.workplace import workplace

ALPHA: Final = 0.05
"""A person stands out where the chance of that, for somebody who is not in, is at most this."""

MEMBERS: Final = 200
"""Members who are scored beside the person; more would hardly narrow the ratio's interval."""

_DRAWN: Final = "avatars"
_SEARCH_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """How people are audited.

    Args:
        target: reference of one target.
        methods: names of attacks; empty for each that the target and what is known of the people allow, but for those
            that train shadow models.
        reference: folder with one folder of photos for each reference person, who is certainly not in the training
            data; None: people that come with idbench.
        split: whose people are reference people and members; None: the split that fits the target.
        search: output of `bench data search --json`; None: captions were not searched.
        most: reference people at most; `MEMBERS` members at most.
        seed: of the attacks.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for one attack; None for no limit.
    """

    target: str
    methods: tuple[str, ...] = ()
    reference: Path | None = None
    split: str | None = None
    search: Path | None = None
    most: int = 500
    seed: int = 0
    device: str = "auto"
    time_limit: float | None = None


@dataclass(frozen=True, slots=True)
class AttackFinding:
    """What one attack says of one person.

    Args:
        method: name of the attack.
        title: of the attack, one line.
        blind: whether it never asks the target: then it says how unusual the person is without any model.
        score: of the person; NaN where the attack abstained.
        references: scores of the reference people, (n,).
        members: scores of people who are certainly in, (m,); empty where nobody is known to be.
        standing: against the reference people; None where the attack abstained.
        adjusted_p: corrected for all attacks that ask the target (`metrics.joint_conformal`); the plain p of a blind
            one.
        detected: members who stand out as far (p at most `ALPHA`), that is, how often the attack finds somebody who is
            in; None without members.
        ratio: how much more often members score like this; None without members.
        control_p: the same p on a target that saw nobody; None where the person does not stand out, or there is none.
    """

    method: str
    title: str
    blind: bool
    score: float
    references: NDArray[np.float64]
    members: NDArray[np.float64]
    standing: metrics.Conformal | None
    adjusted_p: float | None
    detected: metrics.Rate | None
    ratio: metrics.EvidenceRatio | None
    control_p: float | None = None


@dataclass(frozen=True, slots=True)
class PersonFinding:
    """What was found of one person.

    Args:
        name: as it was asked.
        photos: names of the files that were used.
        unused: files that could be used, but that the reference people have no counterpart of.
        unusable: one line for each photo that cannot be used.
        notes: what weakens the result.
        refusal: why the person was not scored; empty: they were.
        attacks: strongest first; empty where the person was not scored.
        n_references: reference people.
        n_members: people who are certainly in.
        search: the person's entry of `bench data search --json`; None: not searched for.
    """

    name: str
    photos: tuple[str, ...]
    unused: tuple[str, ...]
    unusable: tuple[str, ...]
    notes: tuple[str, ...]
    refusal: str
    attacks: tuple[AttackFinding, ...]
    n_references: int
    n_members: int
    search: Mapping[str, Any] | None = None

    @property
    def best(self) -> AttackFinding | None:
        """The attack that asks the target and by which the person stands out most."""
        asked = [one for one in self.attacks if not one.blind and one.adjusted_p is not None]
        return min(asked, key=lambda one: (one.adjusted_p or 0.0, one.method), default=None)

    @property
    def stands_out(self) -> bool:
        """Whether the target treats the person differently from the reference people, at `ALPHA` over all attacks."""
        return self.best is not None and self.best.adjusted_p is not None and self.best.adjusted_p <= ALPHA

    @property
    def unusual(self) -> tuple[str, ...]:
        """Blind attacks by which the person stands out: then they differ from the others whatever the target is."""
        return tuple(
            one.method for one in self.attacks if one.blind and one.standing is not None and one.standing.p <= ALPHA
        )


@dataclass(frozen=True, slots=True)
class PersonAudit:
    """What was found of everybody.

    Args:
        target: pinned.
        people: in the order in which they were named.
        left_out: attacks that were not carried out, with the reason.
        reference: who the reference people are, a sentence.
        alike: whether the reference people are of the kind that the target was trained on.
        drawn: whether a program drew the reference people.
        created: when.
        seed: of the attacks.
        search: what was searched in captions; None: nothing.
    """

    target: TargetSpec
    people: tuple[PersonFinding, ...]
    left_out: Mapping[str, str]
    reference: str
    alike: bool
    drawn: bool
    created: datetime
    seed: int
    search: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """People with equally many photos: they share their reference people."""

    people: dict[str, tuple[str, Portfolio]]
    design: Design


def audit_people(people: Sequence[Audited], wish: Wish, progress: Progress) -> PersonAudit:
    """Audit people; their names and photos lie in temporary folders alone, and are removed at the end.

    Args:
        people: each once.
        wish: how.
        progress: receives progress reports.

    Raises:
        DataError: nobody to audit, no such folder, or no reference people.
        TargetError, UnknownNameError, MethodError: the target or an attack cannot be used.
    """
    check_people(people)
    searched = None if wish.search is None else _read_search(wish.search)
    target = pin_target(target_meant(wish.target))
    pool, reference, alike = _pool(wish, target, progress)
    portfolios = [read_portfolio(one.photos) for one in people]
    remarks = _remarks(people, portfolios, target, pool.split)
    methods, left_out = _methods(wish, target, pool)
    _refuse_without_photos(people, portfolios, remarks, methods)
    groups = _groups(people, portfolios, remarks, pool, wish.most)
    found: dict[str, tuple[_Group, list[AttackFinding]]] = {}
    for group in groups:
        for who, attacks in _audit_group(group, methods, target, pool, wish, left_out, progress).items():
            found[who] = (group, attacks)
    if groups and not any(attacks for _, attacks in found.values()):
        raise MethodError(
            "No attack could be carried out: " + "; ".join(f"{name}: {why}" for name, why in left_out.items()) + "."
        )
    return PersonAudit(
        target=target,
        people=tuple(
            _finding(one, portfolios[i], remarks[i], found.get(_id(i)), searched) for i, one in enumerate(people)
        ),
        left_out=left_out,
        reference=reference,
        alike=alike,
        drawn=wish.reference is None and is_fictional(pool.split.manifest),
        created=datetime.now(UTC).replace(microsecond=0),
        seed=wish.seed,
        search=searched,
    )


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an audit would do.

    Args:
        target: name of the target.
        attacks: that would be carried out.
        left_out: attacks that would not, with the reason.
        reference: who the reference people are.
        groups: how many times each attack runs: once for all people of whom equally many photos are compared.
    """

    target: str
    attacks: tuple[str, ...]
    left_out: Mapping[str, str]
    reference: str
    groups: int


def foresee(people: Sequence[Audited], wish: Wish) -> Prospect:
    """What an audit of these people would do; the target is asked nothing.

    Raises:
        IdbenchError: the target, an attack, photos or the reference people cannot be used.
    """
    target = pin_target(target_meant(wish.target))
    pool, reference, _ = _pool(wish, target, Silent())
    methods, left_out = _methods(wish, target, pool)
    portfolios = {_id(i): (one.name, read_portfolio(one.photos)) for i, one in enumerate(people)}
    groups = {design({who: one}, pool, 1, 1).photos for who, one in portfolios.items()}
    return Prospect(target.name, tuple(method.name for method in methods), left_out, reference, len(groups))


def _id(number: int) -> str:
    return f"audited-{number}"


def _pool(wish: Wish, target: TargetSpec, progress: Progress) -> tuple[ReferencePool, str, bool]:
    """Where the other people come from, in words, and whether they are of the kind that the target knows."""
    source, corpus = _fitting_split(wish, target, progress)
    if wish.reference is not None:
        given = _given(wish.reference, progress)
        words = f"{len(given)} people with invented names and the photos in the folder {wish.reference.name}"
        return ReferencePool(source, corpus, given), words, True
    if certain(source, corpus) is not None:
        people = "drawn people" if is_fictional(source.manifest) else "people"
        words = f"{people} of {source.manifest.name} who are not in {corpus}, by its construction"
        return ReferencePool(source, corpus), words, True
    if not is_fictional(source.manifest):
        raise DataError(
            f"Nobody in {source.manifest.name} is certainly not in the training data of {target.name}.",
            hint="Give photos of people who are (--reference), or leave out --split: drawn people stand in then.",
        )
    return ReferencePool(source, None), "drawn people with invented names, who come with idbench", False


def _fitting_split(wish: Wish, target: TargetSpec, progress: Progress) -> tuple[Split, str | None]:
    """The split that was named, or that knows who is in the target's training data, with the corpus; else avatars."""
    if wish.split is not None:
        split = load_split(wish.split, progress)
        return split, target.corpus if target.corpus in split.corpora else None
    for recipe in () if target.corpus is None else recipes_making(target.corpus):
        try:
            split = load_split(recipe.name, progress)
            known = target.corpus in split.corpora and certain(split, target.corpus) is not None
        except IdbenchError:
            continue  # not built here: reference people come from elsewhere
        if known:
            return split, target.corpus
    return load_split(_DRAWN, progress), None


def _given(folder: Path, progress: Progress) -> tuple[Portfolio, ...]:
    people = list_people(folder).people
    tracked = progress.track(people, "reading reference people", len(people))
    found = [read_portfolio(person.photos[0].parent) for person in tracked]
    kept = tuple(one for one in found if one.files)
    if not kept:
        raise DataError(f"No photo in {folder} can be used.", hint="Give reference people with photos.")
    return kept


def _remarks(
    people: Sequence[Audited], portfolios: Sequence[Portfolio], target: TargetSpec, split: Split
) -> list[Remarks]:
    from idbench.targets.tokenizing import build_tokenizer

    files = fetch_target(target)
    tokenize = build_tokenizer(files.spec, files.config["text_cfg"], files.merges, None)
    return [
        remarks_on(one.name, one.photos, portfolio, split.prompts, tokenize)
        for one, portfolio in zip(people, portfolios, strict=True)
    ]


def _methods(wish: Wish, target: TargetSpec, pool: ReferencePool) -> tuple[list[MethodSpec], dict[str, str]]:
    """The attacks to carry out; of `all`, those that cannot be are left out with the reason."""
    names = list(wish.methods) or [entry.name for entry in ATTACKS.entries() if entry.value is not None]
    left_out, chosen = {}, []
    for name in dict.fromkeys(names):
        card = load_attack(name).card
        reason = _unable(card.access, card.knowledge, target, pool)
        if not reason and not wish.methods:
            if name == "random":
                continue
            if Access.TRAIN_SHADOWS in card.access:
                reason = "training shadow models may take hours; --method NAME asks for it anyway"
        if reason:
            left_out[name] = reason
        else:
            chosen.append(plan_method(load_attack(name)))
    if wish.methods and left_out:
        name, reason = next(iter(left_out.items()))
        raise MethodError(f"{name} cannot be carried out: {reason}.", hint="Choose another attack.")
    if wish.methods and all(_is_blind(method) for method in chosen):
        raise MethodError(
            f"{' and '.join(method.name for method in chosen)} never asks the model, so it says nothing about one.",
            hint="Add an attack that asks it: --method cosine, or none at all for every attack.",
        )
    return chosen, left_out


def _is_blind(method: MethodSpec) -> bool:
    return load_attack(method.name).card.blind


def _refuse_without_photos(
    people: Sequence[Audited],
    portfolios: Sequence[Portfolio],
    remarks: Sequence[Remarks],
    methods: Sequence[MethodSpec],
) -> None:
    """Do not score whom no chosen attack can ask the model about: they have no photos, and each needs some."""
    asking = [method for method in methods if not _is_blind(method)]
    if any("PHOTOS" not in method.knowledge for method in asking):
        return
    names = ", ".join(method.name for method in asking)
    for one, portfolio, remark in zip(people, portfolios, remarks, strict=True):
        if not portfolio.files and not remark.refusal:
            remark.refuse(f"No photos of {one.name} were given, and {names} cannot do without.")


def _unable(access: Access, knowledge: Knowledge, target: TargetSpec, pool: ReferencePool) -> str:
    if Knowledge.CALIBRATION_LABELS in knowledge and pool.corpus is None:
        return "it learns from labelled people, but nobody is known to be in this target's training data"
    if Access.TRAIN_SHADOWS in access and target.recipe is None:
        return f"the recipe that {target.name} was trained by is not known"
    if Knowledge.AUXILIARY_PEOPLE in knowledge and f"{pool.split.manifest.name}-aux" not in corpus_names():
        return f"{pool.split.manifest.name} has no auxiliary people"
    if Knowledge.PUBLIC_PAIRS in knowledge and not pool.split.public_pairs:
        return f"{pool.split.manifest.name} has no public pairs"
    return ""


def _groups(
    people: Sequence[Audited],
    portfolios: Sequence[Portfolio],
    remarks: Sequence[Remarks],
    pool: ReferencePool,
    most: int,
) -> list[_Group]:
    """Everybody who is scored, by how many photos of them are compared."""
    scored = [i for i, one in enumerate(remarks) if not one.refusal]
    groups: dict[int, dict[str, tuple[str, Portfolio]]] = {}
    for i in scored:
        alone = {_id(i): (people[i].name, portfolios[i])}
        groups.setdefault(design(alone, pool, 1, 1).photos, {}).update(alone)
    return [_Group(members, design(members, pool, most, min(most, MEMBERS))) for members in groups.values()]


def _audit_group(
    group: _Group,
    methods: Sequence[MethodSpec],
    target: TargetSpec,
    pool: ReferencePool,
    wish: Wish,
    left_out: dict[str, str],
    progress: Progress,
) -> dict[str, list[AttackFinding]]:
    """What each attack says of everybody in a group."""
    usable = [method for method in methods if group.design.photos or "PHOTOS" not in method.knowledge]
    findings: dict[str, list[AttackFinding]] = {who: [] for who in group.people}
    control = _control_of(target)
    with workplace() as place:
        bench = _Bench(group.design, pool.split, place, wish, progress)
        for number, method in enumerate(usable, start=1):
            progress.update(number - 1, len(usable), f"attack {number} of {len(usable)} · {method.name}")
            try:
                scores = bench.scores(method, target)
            except StorageError:
                raise
            except IdbenchError as error:
                left_out[method.name] = f"failed: {error.message}"
                continue
            own = {who: _attack_finding(who, method, group.design, scores) for who in group.people}
            telling = [who for who, one in own.items() if one.standing is not None and one.standing.p <= ALPHA]
            if telling and control is not None and not own[telling[0]].blind:
                own |= _with_control(own, telling, bench, method, control, group.design)
            for who, one in own.items():
                findings[who].append(one)
    return {who: _adjusted(one) for who, one in findings.items()}


def _with_control(
    own: Mapping[str, AttackFinding],
    telling: Sequence[str],
    bench: _Bench,
    method: MethodSpec,
    control: TargetSpec,
    found: Design,
) -> dict[str, AttackFinding]:
    """The findings of those who stand out, with their p on a target that saw nobody."""
    try:
        scores = bench.scores(method, control)
    except StorageError:
        raise
    except IdbenchError:
        return {}
    there = {who: _attack_finding(who, method, found, scores).standing for who in telling}
    return {who: replace(own[who], control_p=one.p) for who, one in there.items() if one is not None}


def _control_of(target: TargetSpec) -> TargetSpec | None:
    """A target of the same kind that saw none of the people of this one's training data, if it lies here."""
    for one in list_targets():
        if target.corpus is not None and target.corpus in one.control_for and is_ready(one):
            return pin_target(one)
    return None


class _Bench:
    """Carries attacks out on one design; what they leave on disk lies in one temporary folder."""

    def __init__(self, found: Design, source: Split, place: Path, wish: Wish, progress: Progress) -> None:
        self._place, self._wish, self._progress = place, wish, progress
        self._found = found
        folder = place / "split"
        folder.mkdir()
        self.split = write_design(found, source, folder)
        self._photos = self._decoded()
        self._count = 0

    def scores(self, method: MethodSpec, target: TargetSpec) -> dict[str, float]:
        """Score of each identity; NaN where the attack abstains."""
        self._count += 1
        folder = self._place / f"bundle-{self._count}"
        folder.mkdir()
        log = self._place / f"{self._count}-{LOG}"
        registered = load_attack(method.name)
        attack_knowledge = registered.card.knowledge
        cases = plan_cases(self.split)
        folders = self._folders(method)
        corpus = self.split.corpora[0]
        needs_people = Knowledge.AUXILIARY_PEOPLE in attack_knowledge
        write_bundle(
            folder,
            self.split,
            cases,
            attack_knowledge,
            self.split.calibration_members(corpus) if self._found.corpus is not None else None,
            attack=method.plugin,
            access=registered.card.access,
            params=method.parameters,
            seed=self._wish.seed,
            device=self._wish.device,
            folders=folders,
            target=None if registered.card.blind else target.model_dump_json(),
            auxiliary=load_auxiliary(self.split.manifest.name, self._progress) if needs_people else None,
            photos=self._photos,
            progress=self._progress,
        )
        run_worker(folder, log, method.name, self._progress, self._wish.time_limit, writable(folders))
        scores = load_scores(folder / SCORES, len(cases.order))
        assert scores.abstained is not None
        values = np.where(scores.abstained, np.nan, scores.values)
        return {self.split.identities[int(i)].id: float(values[row]) for row, i in enumerate(cases.order)}

    def _decoded(self) -> PixelStore:
        place = self._place / "pixels"
        place.mkdir()
        return photos_apart(self.split, [photo for one in self.split.identities for photo in one.photos], place)

    def _folders(self, method: MethodSpec) -> Folders:
        """Embeddings and whatever methods keep concern the people audited: nothing of it outlives the audit."""
        kept = folders_of(method)
        cache, embeddings = self._place / "kept" / method.name, self._place / "embeddings"
        make_dir(cache)
        make_dir(embeddings)
        return replace(kept, cache=str(cache), embeddings=str(embeddings))


def _attack_finding(who: str, method: MethodSpec, found: Design, scores: Mapping[str, float]) -> AttackFinding:
    ids = list(scores)
    values = np.array([scores[one] for one in ids], dtype=np.float64)
    ranked = dict(zip(ids, with_floor(values, np.isnan(values)).tolist(), strict=True))
    references = np.array([ranked[one.id] for one in found.of("reference")], dtype=np.float64)
    members = np.array([ranked[one.id] for one in found.of("member")], dtype=np.float64)
    card = load_attack(method.name).card
    standing = None if np.isnan(scores[who]) else metrics.conformal(ranked[who], references)
    ratio = detected = None
    if members.size and standing is not None and not card.blind:
        ratio = metrics.evidence_ratio(ranked[who], members, references)
        named = sum(metrics.conformal(float(one), references).p <= ALPHA for one in members)
        detected = metrics.rate(int(named), int(members.size))
    return AttackFinding(
        method=method.name,
        title=card.title,
        blind=card.blind,
        score=scores[who],
        references=references,
        members=members,
        standing=standing,
        adjusted_p=None if standing is None else standing.p,
        detected=detected,
        ratio=ratio,
    )


def _adjusted(findings: Sequence[AttackFinding]) -> list[AttackFinding]:
    """The same, corrected for the number of attacks that ask the target, strongest first and blind ones last."""
    asked = [one for one in findings if not one.blind and one.standing is not None]
    new: dict[str, float] = {}
    if asked:
        corrected = metrics.joint_conformal([one.score for one in asked], [one.references for one in asked])
        new = {one.method: float(p) for one, p in zip(asked, corrected, strict=True)}
    done = [replace(one, adjusted_p=new.get(one.method, one.adjusted_p)) for one in findings]
    return sorted(done, key=lambda one: (one.blind, 2.0 if one.standing is None else one.standing.p, one.method))


def _finding(
    one: Audited,
    portfolio: Portfolio,
    remarks: Remarks,
    found: tuple[_Group, list[AttackFinding]] | None,
    searched: Mapping[str, Any] | None,
) -> PersonFinding:
    count = 0 if found is None else found[0].design.photos
    files = [file.name for file in portfolio.files]
    return PersonFinding(
        name=one.name,
        photos=tuple(files[:count]),
        unused=tuple(files[count:]) if found is not None else (),
        unusable=portfolio.unusable,
        notes=tuple(remarks.notes),
        refusal=remarks.refusal,
        attacks=() if found is None else tuple(found[1]),
        n_references=0 if found is None else len(found[0].design.of("reference")),
        n_members=0 if found is None else len(found[0].design.of("member")),
        search=None if searched is None else _entry_of(searched, one.name),
    )


def _read_search(path: Path) -> Mapping[str, Any]:
    """The output of `bench data search --json`.

    Raises:
        DataError: it is something else.
        StorageError: it cannot be read.
    """
    try:
        found = json.loads(read_bounded(path, _SEARCH_BYTES))
        people = found["people"]
        usable = all(isinstance(one["name"], str) and isinstance(one["verdict"], str) for one in people)
    except (ValueError, KeyError, TypeError, RecursionError):
        usable = False
    if not usable:
        raise DataError(
            f"{path} is not the output of a search.", hint=f"Make it: bench data search ... --json > {path.name}"
        )
    result: Mapping[str, Any] = found
    return result


def _entry_of(searched: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((one for one in searched["people"] if FOLDED(one["name"]) == FOLDED(name)), None)


def every_score(audit: PersonAudit) -> Iterator[dict[str, Any]]:
    """One row for each person and attack, as plain values."""
    for person in audit.people:
        for one in person.attacks:
            standing, ratio = one.standing, one.ratio
            yield {
                "person": person.name,
                "method": one.method,
                "blind": one.blind,
                "score": None if np.isnan(one.score) else one.score,
                "p": None if standing is None else standing.p,
                "adjusted_p": one.adjusted_p,
                "smallest_p": None if standing is None else standing.smallest,
                "fpr": None if standing is None else standing.fpr.value,
                "fpr_low": None if standing is None else standing.fpr.interval.low,
                "fpr_high": None if standing is None else standing.fpr.interval.high,
                "evidence_ratio": None if ratio is None else ratio.value,
                "ratio_low": None if ratio is None else ratio.interval.low,
                "ratio_high": None if ratio is None or np.isinf(ratio.interval.high) else ratio.interval.high,
                "members_found": None if one.detected is None else one.detected.value,
                "control_p": one.control_p,
            }
