"""Many runs at once: targets x seeds, blind attacks first, each result handed on as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from idbench.api import Access, Knowledge, Progress
from idbench.errors import IdbenchError, StorageError
from idbench.results import Run, Summary, run_path, write_summary
from idbench.runner.evaluate import summarize
from idbench.runner.execute import Executed, Options, execute
from idbench.runner.plan import Plan, check_trained_on, choose_targets, corpus_for, split_ref, target_ref
from idbench.runner.registry import blind_attacks, load_attack, make_attack
from idbench.splits import Split, corpus_names
from idbench.targets import TargetSpec
from idbench.targets.fetch import pin_target


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run with what it is worth.

    Args:
        run: record and folder.
        summary: against the labels of the plan's corpus.
        reused: whether the record was there before.
    """

    run: Run
    summary: Summary
    reused: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended without a record."""

    plan: Plan
    error: IdbenchError


@dataclass(frozen=True, slots=True)
class Grid:
    """What a person asked for in one command.

    Args:
        split: the identities.
        targets: the models.
        methods: names of attacks.
        seeds: one run for each.
        corpus: whose labels count; None: the target's own.
        preset: of the parameters.
        params: overrides, as typed.
    """

    split: Split
    targets: tuple[TargetSpec, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    corpus: str | None = None
    preset: str | None = None
    params: Mapping[str, object] = field(default_factory=dict)


def make_grid(
    split: Split,
    methods: Sequence[str],
    target: str | None = None,
    seeds: Sequence[int] = (0,),
    corpus: str | None = None,
    preset: str | None = None,
    params: Mapping[str, object] | None = None,
) -> Grid:
    """Resolve what a person typed; everything that can be wrong is found here, before anything runs.

    Raises:
        UnknownNameError: a method, target, preset, parameter or corpus does not exist.
        MethodError: a parameter does not fit.
        TargetError: the weights cannot be found.
    """
    targets = tuple(pin_target(spec) for spec in choose_targets(split, target))
    for pinned in targets:
        check_trained_on(split, pinned)
    grid = Grid(split, targets, tuple(methods), tuple(seeds), corpus, preset, dict(params or {}))
    for _ in plans(grid):
        pass
    return grid


def unable(split: Split, target: str | None, methods: Sequence[str]) -> dict[str, str]:
    """Which methods cannot run on a split and its targets at all, with the reason.

    Args:
        split: the identities.
        target: as typed, see `choose_targets`.
        methods: names of attacks.
    """
    if not methods:
        return {}
    unknown = [spec.name for spec in choose_targets(split, target) if spec.recipe is None]
    auxiliary = f"{split.manifest.name}-aux" in corpus_names()
    reasons = {}
    for name in methods:
        card = load_attack(name).card
        if Knowledge.AUXILIARY_PEOPLE in card.knowledge and not auxiliary:
            reasons[name] = f"{split.manifest.name} has no auxiliary people"
        elif Access.TRAIN_SHADOWS in card.access and unknown:
            reasons[name] = f"nobody knows the recipe that {unknown[0]} was trained by"
    return reasons


def plans(grid: Grid) -> Iterator[Plan]:
    """The runs of a grid, in the order in which they are executed: target by target, method by method."""
    for target in grid.targets:
        corpus = corpus_for(grid.split, target, grid.corpus)
        for method in grid.methods:
            registered = load_attack(method)
            for seed in grid.seeds:
                attack = make_attack(registered, grid.preset, grid.params)
                yield Plan(grid.split, target, registered, attack, seed, corpus)


def blind_plans(grid: Grid) -> Iterator[Plan]:
    """The blind attacks, with default parameters and one seed, on each target of the grid."""
    for target in grid.targets:
        corpus = corpus_for(grid.split, target, grid.corpus)
        for name in blind_attacks():
            registered = load_attack(name)
            yield Plan(grid.split, target, registered, make_attack(registered), grid.seeds[0], corpus)


def finished(plan: Plan, results: Path) -> bool:
    """Whether there is a record of this plan already."""
    folder = run_path(results, split_ref(plan.split), target_ref(plan.target), plan.method, plan.run_id)
    return folder.exists()


def run_grid(grid: Grid, options: Options, progress: Progress) -> Iterator[Outcome]:
    """Execute a grid target by target, then the blind attacks that each target's results are compared with.

    An interrupted grid is resumed by asking for it again: what is finished is read, not run. A run that fails does not
    keep the others from theirs.

    Raises:
        StorageError: the disk refused; nothing more is tried.
        IdbenchError: at the end, runs of the grid itself failed. A blind attack that fails is left out of the
            comparison.
    """
    failed: list[Failed] = []
    for target in grid.targets:
        own = replace(grid, targets=(target,))
        executed = list(_executed(own, options, progress, failed))
        blind = _run_blind(own, options, progress)
        for plan, done in executed:
            summary = summarize(done.run, plan.split, plan.corpus, blind, plan.seed, control=plan.control)
            write_summary(done.run, summary)
            yield Outcome(done.run, summary, done.reused)
    _tell(grid, failed)


def run_unscored(grid: Grid, options: Options, progress: Progress) -> Iterator[Executed]:
    """Execute a grid on a split whose test labels are withheld, and the blind attacks that it is compared with.

    Records are written as ever; whoever holds the labels scores them.

    Raises:
        StorageError: the disk refused; nothing more is tried.
        IdbenchError: at the end, runs of the grid itself failed.
    """
    failed: list[Failed] = []
    for target in grid.targets:
        own = replace(grid, targets=(target,))
        for _, done in _executed(own, options, progress, failed):
            yield done
        _run_blind(own, options, progress)
    _tell(grid, failed)


def _executed(
    grid: Grid, options: Options, progress: Progress, failed: list[Failed]
) -> Iterator[tuple[Plan, Executed]]:
    """Execute the runs of a grid; those that cannot be are added to `failed`."""
    for plan in plans(grid):
        try:
            done = execute(plan, options, progress)
        except StorageError:
            raise  # it would meet every other run too
        except IdbenchError as error:
            failed.append(Failed(plan, error))
        else:
            yield plan, done


def _tell(grid: Grid, failed: Sequence[Failed]) -> None:
    """Raise what went wrong, the first of several with their number."""
    if not failed:
        return
    first, n = failed[0], len(grid.targets) * len(grid.methods) * len(grid.seeds)
    if n == 1:
        raise first.error
    others = ", ".join(dict.fromkeys(f"{f.plan.method.name} on {f.plan.target.name}" for f in failed[1:6]))
    also = f" Then {others}{', ...' if len(failed) > 6 else ''}." if others else ""
    raise IdbenchError(
        f"{len(failed)} of {n} runs failed. {first.plan.method.name} on {first.plan.target.name}: "
        f"{first.error.message}{also}",
        hint=first.error.hint,
    ) from first.error


def _run_blind(grid: Grid, options: Options, progress: Progress) -> list[Run]:
    runs = []
    for plan in blind_plans(grid):
        try:
            runs.append(execute(plan, replace(options, force=False), progress).run)
        except IdbenchError as error:
            progress.update(1, 1, f"{plan.method.name} could not run: {error.message}")
    return runs
