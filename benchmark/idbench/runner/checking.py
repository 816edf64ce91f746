"""What `bench method check` does: runs a method on the smallest split and sees whether it keeps the contract."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from idbench.api import Access, CorpusDefense, Progress
from idbench.errors import IdbenchError
from idbench.results import Run, ScoreTable
from idbench.runner.execute import Options, execute
from idbench.runner.forkserver import ForkServers
from idbench.runner.grid import make_grid, refused, specs
from idbench.runner.registry import (
    ADAPTATIONS,
    ATTACKS,
    DEFENSES,
    Registered,
    RegisteredAdaptation,
    RegisteredAttack,
    RegisteredDefense,
    group_of,
    load_adaptation,
    load_attack,
    load_defense,
    make_method,
)
from idbench.runner.spec import PlannedAdaptation, PlannedDefense, Resolver, RunSpec, plan_adaptation, plan_defense
from idbench.splits import load_corpus, load_split
from idbench.targets import Defended, TargetSpec, resolve_target
from idbench.targets.defended import defended_place
from idbench.targets.fetch import pin_target
from idbench.wording import counted
from idbench.workplace import workplace

SPLIT = "avatars-tiny"
CORPUS = "avatars-tiny-a"
TARGET = "avatars-a"
# Batches of another composition round differently; a method that depends on the order of the cases differs far more.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class ContractCheck:
    """One thing that was looked at: `ok`, `warning` or `failed`."""

    what: str
    state: str
    found: str


def check_method(
    name: str,
    time_limit: float,
    progress: Progress,
    preset: str | None = None,
    params: Mapping[str, object] | None = None,
) -> Iterator[ContractCheck]:
    """Check a method on a split of a few dozen fictional people; stops at the first failure that hides the rest.

    Args:
        name: of a registered attack, defense or adaptation.
        time_limit: seconds for each of three runs.
        progress: receives progress reports.
        preset: of the method's parameters; None: the defaults.
        params: over the preset.

    Raises:
        UnknownNameError, MethodError: no such method, preset or parameter, or a value that does not fit.
    """
    loaders: dict[str, Callable[[str], RegisteredAttack | RegisteredDefense | RegisteredAdaptation]] = {
        ATTACKS.group: load_attack,
        DEFENSES.group: load_defense,
        ADAPTATIONS.group: load_adaptation,
    }
    group = group_of(name)
    try:
        registered = loaders[group](name)
    except IdbenchError as error:
        yield ContractCheck("import", "failed", str(error))
        return
    yield ContractCheck("import", "ok", f"{registered.plugin.value} from {registered.plugin.distribution}")
    yield _documented(registered)
    # A parameter that does not fit is the user's mistake, not the method's, and raises here.
    if group == DEFENSES.group:
        yield from _check_defense(plan_defense(name, preset, params), time_limit, progress)
    elif group == ADAPTATIONS.group:
        yield from _check_adaptation(plan_adaptation(name, preset, params), time_limit, progress)
    elif isinstance(registered, RegisteredAttack):
        make_method(registered, preset, params)
        yield from _check_attack(registered, (preset, params), time_limit, progress)


_Asked = tuple[str | None, Mapping[str, object] | None]


def _check_attack(
    registered: RegisteredAttack, asked: _Asked, time_limit: float, progress: Progress
) -> Iterator[ContractCheck]:
    """Check an attack by its scores: the same twice, and in another order of the cases."""
    name = registered.card.name
    with _runs(time_limit) as (options, later):
        # One order for the first two runs, another for the third.
        try:
            first = _scores(name, asked, options, progress)
        except IdbenchError as error:
            yield ContractCheck("run", "failed", str(error))
            return
        record = first[0].record
        yield ContractCheck("run", "ok", f"{record.n_cases} cases in {record.timings.total:.1f} s")
        yield _varied(first[1])
        yield _asked(registered, first[0])
        yield _same("same seed, same scores", first[1], _scores(name, asked, later, progress)[1], 0.0)
        shuffled = _scores(name, asked, replace(later, secret=1), progress)[1]
        yield _same("order of the cases", first[1], shuffled, _ROUNDING)


@contextmanager
def _runs(time_limit: float) -> Iterator[tuple[Options, Options]]:
    """How the first of a method's runs is executed, and the later ones, both of one secret and in one folder.

    Their workers are forked off two processes: what depends on the seed of Python's hashes, which each process has of
    its own, shows as different scores.
    """
    with workplace() as folder, ForkServers() as first, ForkServers() as later:
        options = Options(folder, time_limit=time_limit, force=True, secret=0)
        yield replace(options, forks=first), replace(options, forks=later)


def _scores(name: str, asked: _Asked, options: Options, progress: Progress) -> tuple[Run, ScoreTable]:
    preset, params = asked
    split = load_split(SPLIT, progress)
    (spec,) = specs(make_grid(split, [name], TARGET, corpus=CORPUS, preset=preset, params=params))
    run = execute(Resolver(progress).resolve(spec), options, progress).run
    return run, run.scores()


def _check_defense(planned: PlannedDefense, time_limit: float, progress: Progress) -> Iterator[ContractCheck]:
    """Check a defense by what an attack finds behind it; the same attack finds the same twice."""
    attack = next((one for one in ("cosine", "idia") if not refused(load_attack(one).card.access, planned)), None)
    if attack is None:
        yield ContractCheck("run", "warning", "the defense answers neither labels nor similarities")
        return
    with _runs(time_limit) as (options, later):
        try:
            first, scores = _behind(attack, planned, options, progress)
        except IdbenchError as error:
            yield ContractCheck("run", "failed", str(error))
            return
        defense = first.record.defense
        assert defense is not None
        took = "" if defense.cost is None else f", {defense.cost.seconds:.1f} s, {defense.cost.steps} steps"
        yield ContractCheck(
            "run", "ok", f"{attack} behind it, {counted(len(defense.protected), 'person', 'people')} protected{took}"
        )
        yield _changed(first)
        yield _same("same seed, same scores", scores, _behind(attack, planned, later, progress)[1], _ROUNDING)


def _behind(attack: str, planned: PlannedDefense, options: Options, progress: Progress) -> tuple[Run, ScoreTable]:
    """A run of an attack behind a defense that is applied anew."""
    grid = make_grid(load_split(SPLIT, progress), [attack], TARGET, corpus=CORPUS, defenses=[planned])
    if issubclass(planned.registered.kind, CorpusDefense):
        grid = replace(grid, targets=((small_target(progress), CORPUS),))
    (spec,) = specs(grid)
    resolved = Resolver(progress).resolve(spec)
    assert resolved.applying is not None
    weights = resolved.applying.target(spec.target).weights
    if isinstance(weights, Defended):
        shutil.rmtree(defended_place(weights).parent, ignore_errors=True)
    run = execute(resolved, options, progress).run
    return run, run.scores()


def _check_adaptation(planned: PlannedAdaptation, time_limit: float, progress: Progress) -> Iterator[ContractCheck]:
    """Check an adaptation by what an attack finds with it; the same attack finds the same twice."""
    grid = make_grid(load_split(SPLIT, progress), ["cosine", "idia"], TARGET, corpus=CORPUS, adaptations=[planned])
    spec = next(specs(grid), None)
    if spec is None:
        yield ContractCheck("run", "warning", "the adaptation answers neither labels nor similarities")
        return
    with _runs(time_limit) as (options, later):
        try:
            first = _adapted(spec, options, progress)
        except IdbenchError as error:
            yield ContractCheck("run", "failed", str(error))
            return
        yield ContractCheck("run", "ok", f"{spec.attack.name} with it, {first.record.queries.total:,} queries")
        yield _varied(first.scores())
        again = _adapted(spec, later, progress)
        yield _same("same seed, same scores", first.scores(), again.scores(), _ROUNDING)


def _adapted(spec: RunSpec, options: Options, progress: Progress) -> Run:
    """A run of an adapted attack; weights are adapted anew."""
    resolved = Resolver(progress).resolve(spec)
    assert resolved.adapting is not None
    if resolved.adapting.changes_weights:
        weights = resolved.adapting.target(spec.target).weights
        assert isinstance(weights, Defended)
        shutil.rmtree(defended_place(weights).parent, ignore_errors=True)
    return execute(resolved, options, progress).run


def small_target(progress: Progress) -> TargetSpec:
    """A target that trains again in seconds: the shipped one, said to be trained on the smallest corpus."""
    shipped = pin_target(resolve_target(TARGET))
    assert shipped.recipe is not None
    return shipped.model_copy(
        update={
            "name": f"{TARGET}-small",
            "corpus": CORPUS,
            "corpus_digest": load_corpus(CORPUS, progress).digest,
            "recipe": shipped.recipe.model_copy(update={"epochs": 2, "restarts": (), "batch_size": 64}),
        }
    )


def _changed(run: Run) -> ContractCheck:
    defense = run.record.defense
    if defense is not None and defense.weights_sha256 == run.record.target.sha256:
        return ContractCheck("weights", "warning", "they are as they were: the defense changed nothing")
    harmed = [one.name for one in (defense.utility if defense else ()) if one.difference.high < 0]
    return ContractCheck("bystanders", "ok", f"worse for them: {', '.join(harmed) or 'nothing that is measured'}")


def _documented(registered: Registered[Any]) -> ContractCheck:
    fields = registered.kind.Params.model_fields
    bare = [field for field, info in fields.items() if not info.description]
    if bare:
        return ContractCheck("parameters", "warning", f"no description: {', '.join(bare)}; use Field(description=...)")
    return ContractCheck("parameters", "ok", f"{len(fields)} documented")


def _varied(table: ScoreTable) -> ContractCheck:
    given = table.scores[~table.abstained]
    if not given.size:
        return ContractCheck("scores", "warning", "the method abstains on every case")
    if np.unique(given).size == 1:
        return ContractCheck("scores", "warning", f"every score is {given[0]:g}")
    return ContractCheck(
        "scores", "ok", f"{np.unique(given).size} different values, {given.min():.4g} to {given.max():.4g}"
    )


def _asked(registered: RegisteredAttack, run: Run) -> ContractCheck:
    declared = registered.card.access
    if declared is not Access.NONE and run.record.queries.total == 0 and Access.WEIGHTS not in declared:
        return ContractCheck("access", "warning", "the card declares access to the target, but it was never asked")
    return ContractCheck("access", "ok", f"{run.record.queries.total:,} queries, all of them declared")


def _same(what: str, a: ScoreTable, b: ScoreTable, tolerance: float) -> ContractCheck:
    if not np.array_equal(a.abstained, b.abstained):
        return ContractCheck(what, "failed", "the method abstains on other cases the second time")
    x, y = a.scores[~a.abstained], b.scores[~b.abstained]
    scale = float(x.std()) or 1.0
    worst = float(np.abs(x - y).max(initial=0.0)) / scale
    if worst > tolerance:
        return ContractCheck(what, "failed", f"scores differ by up to {worst:.2g} standard deviations")
    return ContractCheck(what, "ok", "scores agree")
