"""Runs somebody's method again in a lock: on the same people, and on people whom it cannot have seen.

*Replayed*: the code that the record names gives the scores that the record has, within what rounding on another machine
changes (`idbench.results.repetition` states and measures it). *Reproduced*: on the world of `avatars` drawn anew from a
secret, with a target trained on these people by the recipe of the record's own, it does as well as it said:

- its AUC, and its TPR at each of `FPRS`, are not below the record's by more than `MARGIN` and the sampling error of
  both (95 %): a method may be honest about most people and know the few who decide a low false-positive rate; and
- its AUC is above chance there (one-sided, 5 %) if it was above chance in the record.

Targets that differ in nothing but their people, `avatars-a` and `avatars-b`, differ in AUC by 0.016 (cosine), 0.012
(IDIA), 0.021 (LiRA) and 0.002 (RMIA); over six architectures the standard deviation is 0.015 to 0.040. Memorized
answers and answers that are looked up fall to one half. Of 220 pairs of TPRs at 10 and 1 % that the undefended runs of
the reference results have on `avatars-a` and `avatars-b`, none lies outside of the tolerance.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from idbench import metrics
from idbench.api import Attack, Knowledge, Progress
from idbench.errors import DataError, IdbenchError, MethodError, RecordError
from idbench.limits import Limits
from idbench.locking import locked
from idbench.processes import start_supervised
from idbench.results import Estimate, MethodRef, Run, RunRecord, expected_run_id, with_floor
from idbench.results.attestation import Level
from idbench.results.lookalike import distribution_of
from idbench.results.repetition import ABSTENTIONS, Agreement, agreement
from idbench.results.rows import corpora_of
from idbench.results.summarizing import estimate_of
from idbench.runner.bundle import CasePlan, Folders, plan_cases, write_bundle
from idbench.runner.evaluate import with_labels
from idbench.runner.jail import Lock, LockLimits, can_lock, exposed, locked_environment, start
from idbench.runner.messages import SCORES, Asked, load_scores
from idbench.runner.process import LOG, keep_log, run_started
from idbench.runner.registry import RegisteredAttack, load_attack, with_parameters
from idbench.splits import Split
from idbench.splits.auxiliary import load_auxiliary
from idbench.splits.avatars import SPEC, TINY_SPEC
from idbench.splits.avatars.redrawn import Redrawn, redrawn
from idbench.splits.corpora import Corpus
from idbench.storage import cache_dir, make_dir, sha256_bytes, sha256_file, storage_errors
from idbench.targets import LocalFile, Packaged, TargetSpec, TrainedHere
from idbench.targets.fetch import fetch_target
from idbench.wording import at_fpr
from idbench.workplace import workplace

Places: TypeAlias = NDArray[np.int64]
_Judged: TypeAlias = tuple[NDArray[np.float64], NDArray[np.bool_]]

MARGIN: Final = 0.05
"""AUC, or TPR, that a record may lose on other people and another target, besides sampling error."""
FPRS: Final = (0.1, 0.01)
"""False-positive rates at which TPRs are compared, where there are non-members enough."""
ONE_SIDED: Final = 1.645
QUERIES: Final = 0.1
"""Share by which queries of a kind may differ: where a method stops as it converges, rounding changes their number."""
_WORLDS: Final = {spec.name: spec for spec in (SPEC, TINY_SPEC)}
_SECONDS_PER_PICTURE: Final = 12 * 60 / (22 * 20_112)
"""Of one processor, for training `avatars-a`; other architectures take half to three times as long."""


@dataclass(frozen=True, slots=True)
class How:
    """How a record is verified.

    Args:
        part: share of the test part that is replayed, above 0 to 1; all of the calibration part always is.
        seed: which part that is.
        device: where to compute.
        time_limit: seconds for each run.
        limits: of the locked process.
        logs: folder for logs of runs that fail.
    """

    part: float = 1.0
    seed: int = 0
    device: str = "auto"
    time_limit: float | None = None
    limits: LockLimits = field(default_factory=LockLimits)
    logs: Path = Path("results") / "failed"


@dataclass(frozen=True, slots=True)
class RepeatableRun:
    """A record with everything that its run is done again with.

    Args:
        run: the record.
        split: with labels.
        registered: the method as it is installed here.
        attack: with the record's parameters.
        target: pinned; None for a blind attack.
        corpus: whose labels count.
    """

    run: Run
    split: Split
    registered: RegisteredAttack
    attack: Attack[Any]
    target: TargetSpec | None
    corpus: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What running the method on the same people gave.

    Args:
        people: of the test part that were scored again.
        agreement: of their scores with the record's.
    """

    people: int
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Remeasured:
    """A number of a record, and the same on redrawn people.

    Args:
        fpr: the false-positive rate of a TPR; None for the AUC.
        claimed: what the record has.
        found: on redrawn people.
    """

    fpr: float | None
    claimed: Estimate
    found: Estimate

    @property
    def what(self) -> str:
        """What it is called."""
        return "AUC" if self.fpr is None else at_fpr(self.fpr)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What running the method on redrawn people gave.

    Args:
        world: id of the world.
        auc: the record's, and on redrawn people.
        rates: TPRs at those of `FPRS` that both sets of people resolve.
        problem: why it does not do as well; empty if it does.
    """

    world: str
    auc: Remeasured
    rates: tuple[Remeasured, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found about a record.

    Args:
        locked: whether the method was locked in.
        replay: on the same people.
        reproduction: on redrawn people; None if that was not tried, with `why_not`.
        why_not: why it was not.
    """

    locked: bool
    replay: Replay
    reproduction: Reproduction | None
    why_not: str = ""

    @property
    def level(self) -> Level:
        """How far the record may be trusted after this."""
        if self.replay.agreement.conflict:
            return Level.SELF_REPORTED
        if self.locked and self.reproduction is not None and not self.reproduction.problem:
            return Level.REPRODUCED
        return Level.REPLAYED


def subject_of_run(run: Run, split: Split, target: TargetSpec | None) -> RepeatableRun:
    """A record with the installed method, its split and its target.

    Raises:
        RecordError: it contradicts itself, has no score for somebody, is behind a defense, or was adapted.
        MethodError: the method that is installed here is another one.
        DataError: the split or the target is another one.
    """
    record = run.record
    if expected_run_id(record) != record.run_id or record.schema_version == 1:
        raise RecordError(
            "The record's id does not follow from what it says.", hint="See what `bench leaderboard check` finds."
        )
    if record.defense is not None:
        raise RecordError("Runs behind a defense cannot be verified yet.", hint="Verify the undefended run.")
    if record.adaptation is not None:
        # The attack alone would be run again, and a record of something else attested by it.
        raise RecordError("Runs of an adapted attack cannot be verified yet.", hint="Verify the run without --adapt.")
    if split.digest != record.split.digest:
        raise DataError("The split has other content here than in the record.", hint="Give its folder with --split.")
    registered = load_attack(record.attack.name)
    attack = with_parameters(registered, record.parameters)
    own = registered.reference(attack)
    for what in ("version", "code_sha256"):
        if getattr(own, what) != getattr(record.attack, what):
            raise MethodError(
                f"{own.name} is installed from {own.distribution}, and its {what} is not the record's.",
                hint=f"Install {record.attack.distribution} with the code {record.attack.code_sha256[:12]}.",
            )
    if false := _said_falsely(record, own, split):
        raise RecordError(
            f"What the record says of {false} is not so: this code and this split say something else.",
            hint="It cannot be attested; `bench invalidate` says so to everybody.",
        )
    if target is not None and target.sha256 != record.target.sha256:
        raise DataError(f"{target.name} has other weights than the record's target.", hint="Name it with --target.")
    if target is not None and target.design != record.target.design:
        raise DataError(
            f"{target.name} has another architecture, preprocessing or recipe than the record's target.",
            hint="Name it with --target.",
        )
    if target is None and not registered.card.blind:
        raise DataError(f"The target {record.target.name} is not registered.", hint="Name it with --target.")
    corpora = [corpus for corpus in corpora_of(record) if corpus in split.corpora]
    if not corpora:
        raise DataError("The split has no labels for the record's target.", hint="Give its folder with --split.")
    with_labels(run.scores(), split, corpora[0], "test")  # somebody without a score is found now, not after hours
    return RepeatableRun(run, split, registered, attack, None if registered.card.blind else target, corpora[0])


def _said_falsely(record: RunRecord, own: MethodRef, split: Split) -> str:
    """What a record says that follows from the method's code and from the split, and is not so; empty if nothing."""
    recorded = record.attack
    for what in ("title", "access", "knowledge", "track"):
        if getattr(recorded, what) != getattr(own, what):
            return f"its method's {what}"
    if recorded.card is None or own.card is None or recorded.card.settled() != own.card.settled():
        return "its method's card"
    if distribution_of(recorded.distribution) != distribution_of(own.distribution):
        return "the distribution that its method comes from"
    if record.photos_sha256 not in (None, split.photos_digest):
        return "the photos that it asked about"
    return ""


def verify(subject: RepeatableRun, world: Redrawn | None, how: How, progress: Progress) -> Verification:
    """Replay a record, and reproduce it where that can be done.

    Args:
        subject: from `subject_of_run`.
        world: from `world_like`; None: the same people only.
        how: part, limits.
        progress: receives reports.

    Raises:
        MethodError: the method fails, exceeds a limit, or breaks the lock.
        IdbenchError: something is in the way; nothing is said about the record then.
    """
    possible = can_lock()
    if not possible:
        # Without a lock a method could read the redrawn labels: what it then says of these people is worth nothing.
        why = "this system cannot lock a process in (Linux 5.13 with Landlock and user namespaces is needed)"
        return Verification(False, _replay(subject, how, progress), None, why)
    open_to = exposed([cache_dir(), subject.run.path])
    if open_to is not None:
        raise IdbenchError(
            f"Cache or records lie in {open_to}, which every Python process reads: nothing can be locked away there.",
            hint="Set BENCH_CACHE to a folder elsewhere, and copy the records out.",
        )
    replayed = _replay(subject, how, progress)
    if world is None or replayed.agreement.conflict:
        return Verification(True, replayed, None, "" if world is None else "it could not be replayed")
    return Verification(True, replayed, _reproduce(subject, world, how, progress))


def world_like(subject: RepeatableRun, secret: str) -> Redrawn:
    """The world of a record's people drawn anew.

    Raises:
        DataError: its people are real, or its target has no recipe: then nobody like them can be drawn.
    """
    spec = _WORLDS.get(subject.split.manifest.name)
    target = subject.target
    if spec is None:
        raise DataError(
            f"People like those of {subject.split.manifest.name} cannot be drawn: only drawn people can.",
            hint="Replay it, and reproduce a run of the method on avatars.",
        )
    if subject.run.record.target.control_for:
        raise DataError("A run on a control has nothing to reproduce.", hint="Verify a run on avatars-a.")
    if target is not None and (target.recipe is None or target.corpus is None):
        raise DataError(f"How {target.name} was trained is not known.", hint="Reproduce a run on avatars-a.")
    world = redrawn(spec, secret)
    world.corpus_like(subject.corpus)
    return world


def minutes_of(subject: RepeatableRun, world: Redrawn) -> float:
    """About how long drawing and training take with one processor, in minutes; 0 if they are done, or are not tried."""
    target = subject.target
    if target is None or not can_lock() or weights_like(target, world).exists():
        return 0.0
    from idbench.splits.avatars.world import world_of

    pictures = len(world_of(world.spec).training(world.corpus_like(subject.corpus)))
    epochs = target.recipe.epochs if target.recipe else 0
    return pictures * epochs * _SECONDS_PER_PICTURE / 60


def _replay(subject: RepeatableRun, how: How, progress: Progress) -> Replay:
    split = subject.split
    plan = _part(split, how)
    auxiliary = None
    if Knowledge.AUXILIARY_PEOPLE in subject.attack.knowledge:
        auxiliary = load_auxiliary(split.manifest.name, progress)
    found = _scored(subject, split, plan, subject.corpus, subject.target, auxiliary, how, progress)
    table = subject.run.scores()
    row = {identity: i for i, identity in enumerate(table.identities)}
    asked = [split.identities[i] for i in plan.order]
    test = [k for k, identity in enumerate(asked) if identity.part == "test"]
    rows = np.array([row[asked[k].id] for k in test], dtype=np.int64)
    places = np.array(test, dtype=np.int64)
    corpora = [corpus for corpus in corpora_of(subject.run.record) if corpus in split.corpora]
    members = [np.asarray(split.labels(each).member, dtype=np.bool_)[plan.order[places]] for each in corpora]
    before = with_floor(table.scores[rows], table.abstained[rows])
    after = with_floor(found.scores[places], found.abstained[places])
    agreed = agreement(before, after, (table.abstained[rows], found.abstained[places]), members)
    if not agreed.conflict:
        agreed = replace(agreed, conflict=_counted_otherwise(subject.run, rows, found, places, complete=how.part >= 1))
    return Replay(len(test), agreed)


def _counted_otherwise(run: Run, rows: Places, found: _Scored, places: Places, *, complete: bool) -> str:
    """What a record counts besides its scores, and this run counts otherwise; empty if nothing.

    Queries grow with the people, so that they are compared where all were asked about.
    """
    table = run.scores()
    if (table.photos_used[rows] != found.photos_used[places]).mean() > ABSTENTIONS:
        return "the record says of other photos that they were used"
    if (table.decisions is None) != (found.decisions is None):
        return "the record and this run do not both hold the method's own decisions"
    if table.decisions is not None and found.decisions is not None:
        differ = float((table.decisions[rows] != found.decisions[places]).mean())
        if differ > ABSTENTIONS:
            return f"the method's own decisions differ about {differ:.1%} of the people"
    if complete:
        for kind, stated in run.record.queries.model_dump().items():
            counted = getattr(found.asked, kind)
            if abs(stated - counted) > QUERIES * max(stated, counted):
                return f"the record counts {stated:,} queries of the kind {kind}, and this run {counted:,}"
    return ""


def _part(split: Split, how: How) -> CasePlan:
    """Which people are asked about again: the calibration part and a share of the test part, in secret order."""
    plan = plan_cases(split)
    if how.part >= 1.0:
        return plan
    test = [i for i, identity in enumerate(split.identities) if identity.part == "test"]
    count = max(2, round(how.part * len(test)))
    chosen = set(np.random.default_rng(how.seed).permutation(test)[:count].tolist())
    kept = [k for k, i in enumerate(plan.order) if split.identities[i].part != "test" or int(i) in chosen]
    return CasePlan(plan.order[kept], tuple(plan.ids[k] for k in kept))


def _reproduce(subject: RepeatableRun, world: Redrawn, how: How, progress: Progress) -> Reproduction:
    people = world.split(progress)
    corpus = world.corpus_like(subject.corpus)
    target = None if subject.target is None else trained_like(subject.target, world, corpus, progress)
    auxiliary = world.auxiliary(progress) if Knowledge.AUXILIARY_PEOPLE in subject.attack.knowledge else None
    plan = plan_cases(people)
    found = _scored(subject, people, plan, corpus, target, auxiliary, how, progress)
    asked = [people.identities[i] for i in plan.order]
    test = np.array([k for k, identity in enumerate(asked) if identity.part == "test"], dtype=np.int64)
    members = np.asarray(people.labels(corpus).member, dtype=np.bool_)[plan.order[test]]
    before = with_labels(subject.run.scores(), subject.split, subject.corpus, "test")
    after = with_floor(found.scores[test], found.abstained[test])
    auc, rates = side_by_side((before.scores, before.members), (after, members))
    return Reproduction(world.id, auc, rates, not_as_good(auc, rates))


def side_by_side(claimed: _Judged, found: _Judged) -> tuple[Remeasured, tuple[Remeasured, ...]]:
    """The AUC, and the TPRs at those of `FPRS` that both resolve.

    Args:
        claimed: scores, float (n,), of the record, and who is a member, bool (n,).
        found: the same of redrawn people.
    """
    old, new = (metrics.pooled(each[0][np.newaxis], each[1][np.newaxis], fprs=FPRS) for each in (claimed, found))
    auc = Remeasured(None, estimate_of(old.auc.value, old.auc.interval), estimate_of(new.auc.value, new.auc.interval))
    rates = tuple(
        Remeasured(fpr, estimate_of(before.value, before.interval), estimate_of(after.value, after.interval))
        for fpr, before, after in zip(FPRS, old.rates, new.rates, strict=True)
        if isinstance(before, metrics.PooledRate) and isinstance(after, metrics.PooledRate)
    )
    return auc, rates


def not_as_good(auc: Remeasured, rates: Sequence[Remeasured] = ()) -> str:
    """Why a record does not do as well on redrawn people; empty if it does."""
    for one in (auc, *rates):
        allowed = MARGIN + float(np.hypot(_half_width(one.claimed), _half_width(one.found)))
        if one.found.value < one.claimed.value - allowed:
            return (
                f"{one.what} {one.found.value:.3f} on redrawn people, and {one.claimed.value:.3f} in the record: "
                f"{allowed:.3f} less would be within the tolerance"
            )
    if _above_chance(auc.claimed) and not _above_chance(auc.found):
        return (
            f"AUC {auc.found.value:.3f} on redrawn people is not above chance, and {auc.claimed.value:.3f} "
            "in the record is"
        )
    return ""


def _half_width(found: Estimate) -> float:
    return (found.high - found.low) / 2


def _above_chance(found: Estimate) -> bool:
    """One-sided at 5 %, from the two-sided 95 % interval."""
    return found.value - _half_width(found) * ONE_SIDED / 1.96 > 0.5


@dataclass(frozen=True, slots=True)
class _Scored:
    scores: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    photos_used: NDArray[np.int64]
    decisions: NDArray[np.bool_] | None
    asked: Asked


def _scored(
    subject: RepeatableRun,
    split: Split,
    plan: CasePlan,
    corpus: str,
    target: TargetSpec | None,
    auxiliary: Corpus | None,
    how: How,
    progress: Progress,
) -> _Scored:
    """Scores of people in the order of a plan, from a process that is given no labels: locked in where that can be."""
    record = subject.run.record
    with workplace() as place:
        folder, log, ended = place / "bundle", place / LOG, place / "ended"
        own = {name: make_dir(folder / name) for name in ("cache", "embeddings", "shadows", "tmp")}
        places = [str(own[name]) for name in ("cache", "embeddings", "embeddings", "shadows", "shadows")]
        given, weights = (None, ()) if target is None else _local(target)
        request = write_bundle(
            folder,
            split,
            plan,
            subject.attack.knowledge,
            split.calibration_members(corpus),
            attack=subject.registered.plugin.value,
            access=subject.registered.card.access,
            params=record.parameters,
            seed=record.seed,
            device=how.device,
            folders=Folders(*places),
            target=None if given is None else given.model_dump_json(),
            auxiliary=auxiliary,
            progress=progress,
        )
        command = (sys.executable, "-P", "-m", "idbench.runner.worker", str(folder))
        readable = tuple(Path(file) for file in request.pixels) + weights
        held = Lock(
            command=command,
            folder=folder,
            readable=readable,
            environment=locked_environment(folder),
            ended=ended,
            limits=how.limits,
        )
        try:
            limits = None if can_lock() else _unlocked(how.limits)
            started = _starter(held, place)
            result = run_started(started, folder, log, record.attack.name, progress, how.time_limit, limits)
            scores = load_scores(folder / SCORES, len(plan.order))
        except IdbenchError as failed:
            error = _over_a_limit(record.attack.name, ended) or failed
            raise keep_log(error, log, how.logs / f"{record.attack.name}-{record.run_id}-locked.log") from None
    assert scores.abstained is not None
    assert scores.photos_used is not None
    return _Scored(scores.values, scores.abstained, scores.photos_used, scores.decisions, result.queries)


def _starter(held: Lock, place: Path) -> Callable[[], subprocess.Popen[bytes]]:
    """How the worker of a lock is started: as one of any run where this system cannot lock a process in."""
    if can_lock():
        return lambda: start(held, place)
    return lambda: start_supervised("idbench.runner.worker", held.folder, _unlocked(held.limits))


def _unlocked(limits: LockLimits) -> Limits:
    """The same limits where a supervisor watches instead of a lock."""
    return Limits(limits.memory, limits.disk, limits.processes, open_files=16_384)


def _over_a_limit(method: str, ended: Path) -> MethodError | None:
    """Why the lock ended a method; None if it did not."""
    if not ended.exists():
        return None
    reason = ended.read_text(encoding="utf-8")
    return MethodError(f"{method} was ended: {reason}.", hint="Raise the limit if it needs that much.")


def _local(target: TargetSpec) -> tuple[TargetSpec, tuple[Path, ...]]:
    """A target whose weights are a file that a locked process may read."""
    if not isinstance(target.weights, Packaged | TrainedHere | LocalFile):
        raise DataError(
            f"{target.name} is fetched by libraries, which cannot be done in a lock.",
            hint="Download its file, and name it: --target file:PATH?...",
        )
    files = fetch_target(target)
    held = LocalFile(path=str(files.weights.resolve()))
    return files.spec.model_copy(update={"weights": held}), (files.weights.resolve(),)


def weights_like(target: TargetSpec, world: Redrawn) -> Path:
    """Where the weights of a target like another one lie, or will lie: targets of one name may differ in design."""
    differs = sha256_bytes(f"{target.design} {target.corpus}".encode())
    return world.folder / "targets" / f"{target.name}-{differs[:16]}" / "weights.safetensors"


def trained_like(target: TargetSpec, world: Redrawn, corpus: str, progress: Progress) -> TargetSpec:
    """A target like another one, trained by its recipe on redrawn people; kept in the cache.

    Raises:
        TargetError: it has no recipe.
    """
    path = weights_like(target, world)
    changes: dict[str, Any] = {
        "name": f"{target.name}-redrawn",
        "title": f"like {target.name}, on redrawn people",
        "corpus": corpus,
        "sha256": None,
        "corpus_digest": None,
        "golden_sha256": None,
        "weights": LocalFile(path=str(path)),
    }
    made = target.model_copy(update=changes)
    make_dir(path.parent)
    with storage_errors(path), locked(path.with_suffix(".lock"), progress, made.name):
        if not path.exists():
            from idbench.targets.train import train_target

            train_target(made, world.corpus(corpus, progress), path, progress)
    return made.model_copy(update={"sha256": sha256_file(path)})
