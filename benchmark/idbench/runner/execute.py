"""Executes plans: bundle, worker, record; one after the other, resumed where they stopped."""

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
from idbench.runner.plan import Plan, split_ref, target_ref
from idbench.runner.process import LOG, run_worker
from idbench.runner.registry import params_dict
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
        run: record and folder.
        reused: whether the record was there before.
    """

    run: Run
    reused: bool


def execute(plan: Plan, options: Options, progress: Progress) -> Executed:
    """Run a plan, or read the record if it was run before.

    Two processes with the same plan wait for each other; the second finds the record.

    Raises:
        IdbenchError: whatever went wrong, in one sentence. Nothing that was finished is lost.
    """
    make_dir(options.results)
    lock = options.results / ".locks" / f"{plan.run_id}.lock"
    make_dir(lock.parent)
    with storage_errors(lock), locked(lock, progress, "this run"):
        run = None if options.force else _existing(plan, options)
        if run is not None:
            return Executed(run, reused=True)
        return Executed(_run(plan, options, progress), reused=False)


def _existing(plan: Plan, options: Options) -> Run | None:
    """The finished run of this plan; a damaged one counts as none and is replaced."""
    folder = run_path(options.results, split_ref(plan.split), target_ref(plan.target), plan.method, plan.run_id)
    if not folder.exists():
        return None
    try:
        run = read_run(folder)
        run.scores()
    except RecordError:
        return None
    return run


def _run(plan: Plan, options: Options, progress: Progress) -> Run:
    begin = time.perf_counter()
    cases = plan_cases(plan.split, plan.run_id, options.shuffle)
    with _workplace() as folder:
        _write(folder, plan, cases, options, progress)
        prepared = time.perf_counter()
        try:
            result = run_worker(folder, plan.method.name, progress, options.time_limit)
        except IdbenchError as error:
            raise _with_log(error, folder, plan, options) from error
        table = _table(folder, plan, cases)
        record = _record(plan, table, result, begin, prepared)
        log = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    return write_run(options.results, record, table, log)


@contextmanager
def _workplace() -> Iterator[Path]:
    """A temporary folder for one bundle; whatever the disk refuses becomes one clear sentence."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="idbench-"))
    except OSError as error:
        raise explain(error, Path(tempfile.gettempdir())) from error
    try:
        with storage_errors(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, plan: Plan, cases: CasePlan, options: Options, progress: Progress) -> None:
    method = plan.method
    needs_people = Knowledge.AUXILIARY_PEOPLE in plan.attack.knowledge
    write_bundle(
        folder,
        plan.split,
        cases,
        plan.attack.knowledge,
        plan.split.calibration_members(plan.corpus),
        attack=plan.registered.plugin.value,
        params=params_dict(plan.attack.params),
        seed=plan.seed,
        device=options.device,
        cache=cache_dir("methods", method.name, method.version),
        target=None if plan.registered.card.blind else plan.target.model_dump_json(),
        auxiliary=load_auxiliary(plan.split.manifest.name, progress) if needs_people else None,
    )


def _table(folder: Path, plan: Plan, cases: CasePlan) -> ScoreTable:
    """The worker's scores, with the identities put back in place of the cases."""
    with np.load(folder / SCORES, allow_pickle=False) as found:
        arrays = dict(found)
    return ScoreTable(
        identities=tuple(plan.split.identities[i].id for i in cases.order),
        scores=arrays["values"],
        abstained=arrays["abstained"],
        photos_used=arrays["photos_used"],
        decisions=arrays.get("decisions"),
        details={name.removeprefix("detail:"): a for name, a in arrays.items() if name.startswith("detail:")},
    )


def _record(plan: Plan, table: ScoreTable, result: Result, begin: float, prepared: float) -> RunRecord:
    scored = ~table.abstained
    return RunRecord(
        run_id=plan.run_id,
        created=datetime.now(UTC).replace(microsecond=0),
        split=split_ref(plan.split),
        target=target_ref(plan.target),
        attack=plan.method,
        defense=None,
        parameters=params_dict(plan.attack.params),
        seed=plan.seed,
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


def _with_log(error: IdbenchError, folder: Path, plan: Plan, options: Options) -> IdbenchError:
    """Keep the failed worker's log, which holds the traceback, and say where it is."""
    log = folder / LOG
    if not log.exists() or not log.stat().st_size:
        return error
    kept = options.results / "failed" / f"{plan.method.name}-{plan.run_id}.log"
    try:
        make_dir(kept.parent)
        shutil.copyfile(log, kept)
    except (OSError, StorageError):
        return error
    error.hint = f"{error.hint} The worker's log: {kept}".strip()
    return error
