"""Executes one resolved run: bundle, worker, record; or reads the record if the run was done before."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from idbench.api import Knowledge, Progress
from idbench.errors import IdbenchError, RecordError, StorageError
from idbench.locking import locked
from idbench.results import (
    SCHEMA_VERSION,
    Queries,
    Run,
    RunRecord,
    ScoreTable,
    ShadowCosts,
    Timings,
    read_run,
    run_path,
    write_run,
)
from idbench.runner.bundle import CasePlan, plan_cases, write_bundle
from idbench.runner.environment import environment
from idbench.runner.messages import SCORES, Result
from idbench.runner.process import LOG, run_worker
from idbench.runner.spec import ResolvedRun, RunSpec
from idbench.splits.auxiliary import load_auxiliary
from idbench.storage import cache_dir, explain, make_dir, storage_errors


@dataclass(frozen=True, slots=True)
class Options:
    """How runs are executed; nothing here may change a score.

    Args:
        results: folder of the records.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for one run; None for no limit.
        force: run even if there is a record.
        shuffle: another order of the cases; `bench method check` uses it to show that a method does not depend on it.
    """

    results: Path
    device: str = "auto"
    time_limit: float | None = None
    force: bool = False
    shuffle: int = 0


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
        run = None if options.force else existing(spec, options.results)
        if run is not None:
            return Executed(spec, run, reused=True)
        return Executed(spec, _run(resolved, options, progress), reused=False)


def place_of(spec: RunSpec, results: Path) -> Path:
    """Where the folder of a run is or goes."""
    return run_path(results, spec.split_ref, spec.target_ref, spec.attack.name, spec.run_id)


def existing(spec: RunSpec, results: Path) -> Run | None:
    """The finished run of a spec; a damaged one counts as none and is replaced."""
    folder = place_of(spec, results)
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
    cases = plan_cases(resolved.split, resolved.spec.run_id, options.shuffle)
    with _workplace() as folder:
        _write(folder, resolved, cases, options, progress)
        prepared = time.perf_counter()
        try:
            result = run_worker(folder, resolved.spec.attack.name, progress, options.time_limit)
        except IdbenchError as error:
            raise _with_log(error, folder, resolved.spec, options) from error
        table = _table(folder, resolved, cases)
        record = _record(resolved, table, result, begin, prepared)
        log = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    return write_run(options.results, record, table, log)


@contextmanager
def _workplace() -> Iterator[Path]:
    """A temporary folder for one bundle; an error of the file system becomes one clear sentence."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="idbench-"))
    except OSError as error:
        raise explain(error, Path(tempfile.gettempdir())) from error
    try:
        with storage_errors(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, resolved: ResolvedRun, cases: CasePlan, options: Options, progress: Progress) -> None:
    spec, split = resolved.spec, resolved.split
    needs_people = Knowledge.AUXILIARY_PEOPLE in resolved.attack.knowledge
    write_bundle(
        folder,
        split,
        cases,
        resolved.attack.knowledge,
        split.calibration_members(spec.corpus),
        attack=spec.attack.plugin,
        params=spec.attack.parameters,
        seed=spec.seed,
        device=options.device,
        # Another version of the code must not find what this one kept.
        cache=cache_dir("methods", spec.attack.name, f"{spec.attack.version}-{spec.attack.code_sha256[:16]}"),
        target=None if resolved.registered.card.blind else spec.target.model_dump_json(),
        auxiliary=load_auxiliary(split.manifest.name, progress) if needs_people else None,
    )


def _table(folder: Path, resolved: ResolvedRun, cases: CasePlan) -> ScoreTable:
    """The worker's scores, with the identities put back in place of the cases."""
    with np.load(folder / SCORES, allow_pickle=False) as found:
        arrays = dict(found)
    return ScoreTable(
        identities=tuple(resolved.split.identities[i].id for i in cases.order),
        scores=arrays["values"],
        abstained=arrays["abstained"],
        photos_used=arrays["photos_used"],
        decisions=arrays.get("decisions"),
        details={name.removeprefix("detail:"): a for name, a in arrays.items() if name.startswith("detail:")},
    )


def _record(resolved: ResolvedRun, table: ScoreTable, result: Result, begin: float, prepared: float) -> RunRecord:
    spec, scored = resolved.spec, ~table.abstained
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=spec.run_id,
        engine=spec.engine,
        created=datetime.now(UTC).replace(microsecond=0),
        split=spec.split_ref,
        target=spec.target_ref,
        attack=resolved.registered.reference(resolved.attack),
        defense=None,
        parameters=spec.attack.parameters,
        parameters_passed=spec.attack.passed,
        seed=spec.seed,
        calibration_corpus=spec.calibration_corpus,
        n_cases=len(table.identities),
        n_abstained=int(table.abstained.sum()),
        photos_per_case=float(table.photos_used[scored].mean()) if scored.any() else 0.0,
        queries=Queries(**(dict.fromkeys(Queries.model_fields, 0) | result.queries)),
        shadows=None if result.shadows is None else ShadowCosts(**result.shadows),
        timings=Timings(
            load=prepared - begin + result.load,
            fit=result.fit,
            score=result.score,
            total=time.perf_counter() - begin,
        ),
        peak_memory_mb=result.peak_memory_mb,
        environment=environment(result.device, result.device_model, result.threads),
        scores_sha256="",
        verification="self-reported",
    )


def _with_log(error: IdbenchError, folder: Path, spec: RunSpec, options: Options) -> IdbenchError:
    """Keep the failed worker's log, which holds the traceback, and say where it is."""
    log = folder / LOG
    if not log.exists() or not log.stat().st_size:
        return error
    kept = options.results / "failed" / f"{spec.attack.name}-{spec.run_id}.log"
    try:
        make_dir(kept.parent)
        shutil.copyfile(log, kept)
    except (OSError, StorageError):
        return error
    error.hint = f"{error.hint} The worker's log: {kept}".strip()
    return error
