"""Executes one resolved run: bundle, worker, record; or reads the record if the run was done before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from idbench.api import Access, AskingCard, InvalidScores, Knowledge, Progress, Scores
from idbench.errors import IdbenchError, RecordError
from idbench.locking import locked
from idbench.results import (
    SCHEMA_VERSION,
    Queries,
    Run,
    RunRecord,
    ScoreTable,
    ShadowCosts,
    Timings,
    UtilityMeasure,
    read_run,
    run_path,
    write_run,
)
from idbench.runner.bundle import ADAPTATION, DEFENSE, CasePlan, Folders, plan_cases, write_bundle
from idbench.runner.defend import adaptation_ref, defend, defense_ref
from idbench.runner.environment import environment
from idbench.runner.folders import folders_of, writable
from idbench.runner.forkserver import ForkServers
from idbench.runner.messages import SCORES, WorkerResult, load_scores
from idbench.runner.process import LOG, WorkerOptions, keep_log, run_worker
from idbench.runner.spec import ResolvedRun, RunSpec
from idbench.runner.utility import measure
from idbench.splits import Identity
from idbench.splits.auxiliary import load_auxiliary
from idbench.storage import make_dir, recover, restored, storage_errors
from idbench.targets import TargetSpec
from idbench.workplace import workplace


@dataclass(frozen=True, slots=True)
class Options:
    """How runs are executed; nothing here may change a score.

    Args:
        results: folder of the records.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for one run; None for no limit.
        force: run even if there is a record.
        secret: that case ids and order are drawn from; None, the usual: a new one for each run, which is never stored.
            `bench method check` gives one, to see what a method does in the same order and in another.
        forks: where workers come from; None: each starts by itself and imports everything anew.
    """

    results: Path
    device: str = "auto"
    time_limit: float | None = None
    force: bool = False
    secret: int | None = None
    forks: ForkServers | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """A finished run.

    Args:
        spec: what was asked for.
        run: record and folder.
        reused: whether the record was there before.
    """

    spec: RunSpec
    run: Run
    reused: bool


def execute(resolved: ResolvedRun, options: Options, progress: Progress) -> Executed:
    """Carry a run out, or read its record if it was carried out before.

    Two processes with the same run wait for each other; the second finds the record.

    Raises:
        IdbenchError: whatever went wrong, in one sentence. Nothing that was finished is lost.
    """
    spec = resolved.spec
    make_dir(options.results)
    lock = options.results / ".locks" / f"{spec.run_id}.lock"
    make_dir(lock.parent)
    with storage_errors(lock), locked(lock, progress, "this run"):
        recover(place_of(spec, options.results))
        run = None if options.force else existing(spec, options.results)
        if run is not None:
            return Executed(spec, run, reused=True)
        return Executed(spec, _run(resolved, options, progress), reused=False)


def place_of(spec: RunSpec, results: Path) -> Path:
    """Where the folder of a run is or goes."""
    return run_path(results, spec.split_ref, spec.target_ref, spec.attack.name, spec.run_id)


def existing(spec: RunSpec, results: Path) -> Run | None:
    """The finished run of a spec; a damaged one counts as none and is replaced."""
    folder = restored(place_of(spec, results))
    if not folder.exists():
        return None
    try:
        run = read_run(folder)
        run.scores()
    except RecordError:
        return None
    return run


def _run(resolved: ResolvedRun, options: Options, progress: Progress) -> Run:
    begin = time.perf_counter()
    spec = resolved.spec
    forks = None
    if options.forks is not None:
        forks = options.forks.blind if resolved.registered.card.blind else options.forks.asking
        forks.warm()
    defended = _attacked(resolved, options, progress)
    target = _adapted(resolved, defended, options, progress)
    cases = plan_cases(resolved.split, options.secret)
    with workplace() as place:
        folder, log = place / "bundle", place / LOG
        folder.mkdir()
        folders = folders_of(spec.attack)
        _write(folder, resolved, target, cases, folders, options, progress)
        prepared = time.perf_counter()
        try:
            result = run_worker(folder, log, spec.attack.name, progress, options.time_limit, writable(folders), forks)
            table = _table(folder, resolved, cases)
        except IdbenchError as error:
            raise keep_log(error, log, _failed(options, spec.attack.name, spec.run_id)) from error
        utility = _utility(resolved, defended, options, progress)
        record = _record(resolved, defended, table, result, begin, prepared, utility)
        return write_run(options.results, record, table, log.read_text(encoding="utf-8", errors="replace"))


def _failed(options: Options, method: str, run: str) -> Path:
    """Where the log of a failed worker goes."""
    return options.results / "failed" / f"{method}-{run}.log"


def _worker_options(options: Options, method: str, run: str, progress: Progress) -> WorkerOptions:
    forks = None if options.forks is None else options.forks.asking
    return WorkerOptions(options.device, options.time_limit, progress, _failed(options, method, run), forks)


def _attacked(resolved: ResolvedRun, options: Options, progress: Progress) -> TargetSpec | None:
    """The target that the attack is given, defended where the run asks for that; None for a blind attack."""
    if resolved.registered.card.blind:
        return None
    spec, target = resolved.spec, resolved.spec.target
    applying = resolved.applying
    if applying is not None and applying.changes_weights:
        target = defend(target, applying, _worker_options(options, applying.name, spec.run_id, progress))
    return target


def _adapted(
    resolved: ResolvedRun, target: TargetSpec | None, options: Options, progress: Progress
) -> TargetSpec | None:
    """The target after an adaptation of weights, which the attacker applies to what the defender released."""
    adapting = resolved.adapting
    if target is None or adapting is None or not adapting.changes_weights:
        return target
    return defend(target, adapting, _worker_options(options, adapting.name, resolved.spec.run_id, progress))


def _utility(
    resolved: ResolvedRun, target: TargetSpec | None, options: Options, progress: Progress
) -> tuple[UtilityMeasure, ...]:
    """What the defense of a run costs those whom it should spare; nothing for an undefended target."""
    spec, applying = resolved.spec, resolved.applying
    if applying is None or target is None:
        return ()
    how = _worker_options(options, f"{applying.name}-utility", spec.run_id, progress)
    return measure(applying, spec.target, target, how)


def _write(
    folder: Path,
    resolved: ResolvedRun,
    target: TargetSpec | None,
    cases: CasePlan,
    folders: Folders,
    options: Options,
    progress: Progress,
) -> None:
    spec, split, applying = resolved.spec, resolved.split, resolved.applying
    needs_people = Knowledge.AUXILIARY_PEOPLE in resolved.attack.knowledge
    write_bundle(
        folder,
        split,
        cases,
        resolved.attack.knowledge,
        split.calibration_members(spec.corpus),
        attack=spec.attack.plugin,
        access=resolved.registered.card.access,
        params=spec.attack.parameters,
        seed=spec.seed,
        device=options.device,
        folders=folders,
        target=None if target is None else target.model_dump_json(),
        auxiliary=load_auxiliary(split.manifest.name, progress) if needs_people else None,
        progress=progress,
    )
    if target is not None and applying is not None and not applying.changes_weights:
        (folder / DEFENSE).mkdir()
        applying.write_request(folder / DEFENSE, options.device, None, progress)
    _write_adaptation(folder, resolved, cases, folders, options, progress)


def _write_adaptation(
    folder: Path, resolved: ResolvedRun, cases: CasePlan, folders: Folders, options: Options, progress: Progress
) -> None:
    """What an adaptation of questions is given: the cases of the run, as far as its own card declares them."""
    adapting, spec, split = resolved.adapting, resolved.spec, resolved.split
    if adapting is None or adapting.changes_weights or spec.adaptation is None:
        return
    card = adapting.registered.kind.card
    own = folder / ADAPTATION
    own.mkdir()
    write_bundle(
        own,
        split,
        cases,
        adapting.defense.knowledge,
        split.calibration_members(spec.corpus),
        attack=spec.adaptation.plugin,
        access=card.access if isinstance(card, AskingCard) else Access.NONE,
        answers=card.answers if isinstance(card, AskingCard) else Access.NONE,
        defense=spec.adaptation.name,
        params=spec.adaptation.parameters,
        seed=spec.seed,
        device=options.device,
        folders=folders,
        target=None,
        progress=progress,
    )


def _table(folder: Path, resolved: ResolvedRun, cases: CasePlan) -> ScoreTable:
    """The worker's scores, with the identities put back in place of the cases."""
    identities = [resolved.split.identities[i] for i in cases.order]
    scores = load_scores(folder / SCORES, len(identities))
    assert scores.abstained is not None
    assert scores.photos_used is not None
    if (scores.photos_used > np.array([len(identity.photos) for identity in identities])).any():
        raise InvalidScores("A score says that it used more photos than there are.", hint="Count each photo once.")
    return ScoreTable(
        identities=tuple(identity.id for identity in identities),
        scores=scores.values,
        abstained=scores.abstained,
        photos_used=scores.photos_used,
        decisions=scores.decisions,
        details=dict(scores.details),
        reasons=_reasons(resolved, scores, identities),
    )


def _reasons(resolved: ResolvedRun, scores: Scores, identities: Sequence[Identity]) -> tuple[str, ...]:
    """Why the attack abstained, one phrase per identity, empty where nothing is known; () if none is."""
    found = [""] * len(identities)
    if Knowledge.PHOTOS in resolved.attack.knowledge:
        assert scores.abstained is not None
        for i in np.flatnonzero(scores.abstained).tolist():
            found[i] = "" if identities[i].photos else "no photos"
    for phrase, whom in scores.reasons.items():
        for i in np.flatnonzero(whom).tolist():
            found[i] = phrase
    return tuple(found) if any(found) else ()


def _record(
    resolved: ResolvedRun,
    defended: TargetSpec | None,
    table: ScoreTable,
    result: WorkerResult,
    begin: float,
    prepared: float,
    utility: tuple[UtilityMeasure, ...],
) -> RunRecord:
    spec, scored = resolved.spec, ~table.abstained
    adapting = resolved.adapting
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=spec.run_id,
        engine=spec.engine,
        created=datetime.now(UTC).replace(microsecond=0),
        split=spec.split_ref,
        target=spec.target_ref,
        attack=resolved.registered.reference(resolved.attack),
        defense=None if resolved.applying is None else defense_ref(resolved.applying, spec.target, utility),
        adaptation=None if adapting is None or defended is None else adaptation_ref(adapting, defended),
        parameters=spec.attack.parameters,
        parameters_passed=spec.attack.passed,
        seed=spec.seed,
        calibration_corpus=spec.calibration_corpus,
        photos_sha256=resolved.split.photos_digest,
        n_cases=len(table.identities),
        n_abstained=int(table.abstained.sum()),
        photos_per_case=float(table.photos_used[scored].mean()) if scored.any() else 0.0,
        queries=Queries(**result.queries.model_dump()),
        shadows=None if result.shadows is None else ShadowCosts(**result.shadows.model_dump()),
        timings=Timings(
            load=prepared - begin + result.load,
            fit=result.fit,
            score=result.score,
            total=time.perf_counter() - begin,
        ),
        peak_memory_mb=result.peak_memory_mb,
        environment=environment(result.device, result.device_model, result.threads),
        scores_sha256="",
    )
