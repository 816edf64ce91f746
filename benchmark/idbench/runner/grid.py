"""Many runs at once: targets x methods x seeds, with the blind attacks that each target's results are compared with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from idbench.api import Access, AnswerCard, AskingCard, CorpusDefense, Knowledge, Progress, Reporter, Silent, names_of
from idbench.errors import IdbenchError
from idbench.results import Run, Summary, write_summary
from idbench.runner.closure import depends_on_seed
from idbench.runner.evaluate import summarize
from idbench.runner.execute import Executed, Options, place_of
from idbench.runner.executor import Executor, Failed, LocalExecutor, Task
from idbench.runner.protection import protected_people
from idbench.runner.registry import blind_attacks, load_attack
from idbench.runner.selection import check_trained_on, check_undefended, choose_targets, corpus_for
from idbench.runner.spec import (
    DefenseSpec,
    MethodSpec,
    PlannedAdaptation,
    PlannedDefense,
    Resolver,
    RunSpec,
    SplitSpec,
    check_photos,
    people_unseen,
    plan_method,
    split_spec,
)
from idbench.splits import Split, corpus_names
from idbench.storage import restored
from idbench.targets import TargetSpec
from idbench.targets.defended import check_retrainable
from idbench.targets.fetch import pin_target
from idbench.wording import counted


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run with its metrics.

    Args:
        run: record and folder.
        summary: against the labels of the spec's corpus.
        reused: whether the record was there before.
    """

    run: Run
    summary: Summary
    reused: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """What a person asked for in one command.

    Args:
        split: the identities.
        targets: the models, pinned, each with the corpus whose labels count.
        methods: attacks with their parameters.
        seeds: one run for each.
        defenses: what each target is put behind; None for nothing. One run for each.
        adaptations: what each attack is combined with; None for nothing. One run for each.
        progress: receives a report when something has to be made before runs can be named.
        kept: defenses as plain data by name and seed, filled as they are asked for.
    """

    split: Split
    targets: tuple[tuple[TargetSpec, str], ...]
    methods: tuple[MethodSpec, ...]
    seeds: Sequence[int] = (0,)
    defenses: tuple[PlannedDefense | None, ...] = (None,)
    adaptations: tuple[PlannedAdaptation | None, ...] = (None,)
    progress: Progress = field(default_factory=Silent)
    kept: dict[tuple[str, int], DefenseSpec] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Number of runs, without the blind attacks that are added."""
        return len(self.targets) * sum(len(self.seeds_of(*each)) for each in combinations(self))

    def seeds_of(
        self, method: MethodSpec, planned: PlannedDefense | None, adapted: PlannedAdaptation | None
    ) -> Sequence[int]:
        """The seeds that a method runs with: the first alone where no seed changes anything."""
        plain = planned is None and adapted is None
        return self.seeds[:1] if plain and not depends_on_seed(method) else self.seeds

    @property
    def seedless(self) -> tuple[str, ...]:
        """Methods that run once although several seeds were asked for."""
        once = [each[0].name for each in combinations(self) if len(self.seeds_of(*each)) < len(self.seeds)]
        return tuple(dict.fromkeys(once))


def make_grid(
    split: Split,
    methods: Sequence[str],
    target: str | None = None,
    seeds: Sequence[int] = (0,),
    corpus: str | None = None,
    preset: str | None = None,
    params: Mapping[str, object] | None = None,
    defenses: Sequence[PlannedDefense | None] = (None,),
    progress: Progress | None = None,
    adaptations: Sequence[PlannedAdaptation | None] = (None,),
) -> Grid:
    """Resolve the options; everything that can be wrong is found here, before anything runs.

    Args:
        split: the identities.
        methods: names of attacks.
        target: see `choose_targets`.
        seeds: non-negative; a range may be as long as it likes.
        corpus: whose labels count; None for each target's own.
        preset: of the parameters.
        params: over the preset; values, or texts as given on the command line.
        defenses: what each target is put behind; None for nothing.
        progress: receives a report when something has to be made before runs can be named.
        adaptations: what each attack is combined with; None for nothing.

    Raises:
        UnknownNameError: a method, target, preset, parameter or corpus does not exist.
        MethodError: a parameter does not fit.
        DataError: a method needs photos, and somebody has none.
        TargetError: the weights cannot be found, are defended already, or cannot be trained again where a defense
            wants that.
    """
    planned = tuple(plan_method(load_attack(name), preset, params) for name in methods)
    for method in planned:
        check_photos(split, method)
    chosen = [(spec, corpus_for(split, spec, corpus)) for spec in choose_targets(split, target)]
    targets = []
    for spec, labels in chosen:  # weights are fetched after everything that may be wrong on paper
        check_undefended(spec)
        pinned = pin_target(spec)
        check_trained_on(split, pinned)
        if any(planned and issubclass(planned.registered.kind, CorpusDefense) for planned in defenses):
            check_retrainable(pinned)
        targets.append((pinned, labels))
    return Grid(split, tuple(targets), planned, seeds, tuple(defenses), tuple(adaptations), progress or Silent())


def unable(split: Split, target: str | None, methods: Sequence[str]) -> dict[str, str]:
    """Which methods cannot run on a split and its targets at all, with the reason.

    Args:
        split: the identities.
        target: a reference, see `choose_targets`.
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
        elif Knowledge.PHOTOS in card.knowledge and people_unseen(split):
            reasons[name] = (
                f"{counted(people_unseen(split), 'identity has', 'identities have')} no photos in {split.manifest.name}"
            )
        elif Access.TRAIN_SHADOWS in card.access and unknown:
            reasons[name] = f"the recipe that {unknown[0]} was trained by is not known"
    return reasons


Combination: TypeAlias = "tuple[MethodSpec, PlannedDefense | None, PlannedAdaptation | None]"


def combinations(grid: Grid) -> list[Combination]:
    """Attack, defense and adaptation of every run that can be carried out, in the order of the grid."""
    return [each for each in _every(grid) if not why_not(*each)]


def named_refusals(grid: Grid) -> list[tuple[str, str]]:
    """Attacks that are left out somewhere, each with the reason, e.g. `behind round, which answers no GRADIENT`."""
    return [(each[0].name, reason) for each in _every(grid) if (reason := why_not(*each))]


def _every(grid: Grid) -> list[Combination]:
    return [
        (method, planned, adapted)
        for planned in grid.defenses
        for adapted in grid.adaptations
        for method in grid.methods
    ]


def why_not(method: MethodSpec, planned: PlannedDefense | None, adapted: PlannedAdaptation | None) -> str:
    """Why an attack cannot be carried out behind a defense with an adaptation; empty if it can."""
    access = _access(method.name, method.code_sha256)
    asked = access
    if adapted is not None:
        card = adapted.registered.kind.card
        if access is Access.NONE:
            return f"with {adapted.name}, since it asks the target nothing"
        if isinstance(card, AskingCard):
            if left := access & ~card.answers:
                return f"with {adapted.name}, which answers no {_words(left)}"
            asked |= card.access
        elif planned is not None and isinstance(planned.registered.kind.card, AnswerCard):
            behind = f"with {adapted.name} behind {planned.name}"
            return f"{behind}, since an attacker who only gets answers has no weights to change"
    if planned is not None and (left := refused(asked, planned)):
        return f"behind {planned.name}, which answers no {_words(left)}"
    return ""


@lru_cache(maxsize=1024)
def _access(attack: str, code_sha256: str) -> Access:
    """What an attack asks; follows from its code. A grid wants to know for every run, and finding a plug-in is slow."""
    return load_attack(attack).card.access


def _words(access: Access) -> str:
    return " or ".join(names_of(access))


def refused(asked: Access, planned: PlannedDefense) -> Access:
    """What a target behind a defense does not answer of what is asked; `Access.NONE` if it answers everything."""
    card = planned.registered.kind.card
    return asked & ~(card.answers | Access.TRAIN_SHADOWS) if isinstance(card, AnswerCard) else Access.NONE


def specs(grid: Grid) -> Iterator[RunSpec]:
    """The runs of a grid as plain data: target by target, method by method, seed by seed."""
    split = split_spec(grid.split)
    for place in range(len(grid.targets)):
        yield from _own(grid, split, place)


def blind_specs(grid: Grid) -> Iterator[RunSpec]:
    """The blind attacks, with default parameters and one seed, on each target of the grid."""
    split, blind = split_spec(grid.split), _blind()
    for place in range(len(grid.targets)):
        yield from _blind_of(grid, split, place, blind)


def is_done(spec: RunSpec, results: Path) -> bool:
    """Whether there is a record of this run already."""
    return restored(place_of(spec, results)).exists()


def run_grid(grid: Grid, options: Options, progress: Progress, executor: Executor | None = None) -> Iterator[Outcome]:
    """Carry out a grid and the blind attacks that its results are compared with.

    A target's results are handed on as soon as its runs are finished, in the order of the grid. An interrupted grid is
    resumed by asking for it again: what is finished is read, not run. A run that fails does not keep the others from
    theirs.

    Args:
        grid: from `make_grid`.
        options: where the records are, device, limits.
        progress: receives progress reports.
        executor: what carries the runs out; None for this machine, one after the other.

    Raises:
        StorageError: the results folder cannot be written; nothing more is tried.
        IdbenchError: at the end, runs of the grid itself failed. A blind attack that fails is left out of the
            comparison.
    """
    for done, blind in _carried_out(grid, options, progress, executor):
        yield judged(done, grid.split, blind)


def run_unscored(
    grid: Grid, options: Options, progress: Progress, executor: Executor | None = None, *, blind: bool = True
) -> Iterator[Executed]:
    """Carry out a grid without a look at test labels: where these are withheld, their holder scores the records.

    Arguments and errors are those of `run_grid`.

    Args:
        blind: whether the blind attacks run too, for those who score the records.
    """
    for done, _ in _carried_out(grid, options, progress, executor, blind):
        yield done


def run_specs(
    wanted: Sequence[RunSpec], options: Options, progress: Progress, executor: Executor
) -> Iterator[Executed]:
    """Carry out runs of a written plan; one that fails does not keep the others from theirs.

    Raises:
        StorageError: the results folder cannot be written; nothing more is tried.
        IdbenchError: at the end, runs failed.
    """
    failed: list[Failed] = []
    for result in executor.run((Task(spec, options.force) for spec in wanted), options, progress):
        if isinstance(result, Failed):
            failed.append(result)
        else:
            yield result
    raise_first(failed, len(wanted))


def judged(done: Executed, split: Split, blind: Sequence[Run]) -> Outcome:
    """The metrics of a finished run against the labels that its spec names; written next to the record.

    Args:
        done: the run.
        split: the run's, with labels.
        blind: blind attacks on the same target, to compare with.
    """
    spec = done.spec
    summary = summarize(done.run, split, spec.corpus, blind, spec.seed, control=spec.control)
    write_summary(done.run, summary)
    return Outcome(done.run, summary, done.reused)


def _carried_out(
    grid: Grid, options: Options, progress: Progress, executor: Executor | None, with_blind: bool = True
) -> Iterator[tuple[Executed, list[Run]]]:
    """Each finished run of the grid with the blind attacks on its target."""
    split = split_spec(grid.split)
    chosen = executor or LocalExecutor(Resolver(progress, {split.source: grid.split}))
    waiting = [_Target(grid, split, place, _blind() if with_blind else ()) for place in range(len(grid.targets))]
    tasks = [task for target in waiting for task in target.tasks(options.force)]
    failed: list[Failed] = []
    numbered = Numbered(progress, tasks)
    for result in chosen.run(numbered.taken(), options, numbered):
        numbered.finished(result)
        for target in waiting:
            target.take(result)
        while waiting and waiting[0].complete:
            target = waiting.pop(0)
            failed += target.failed
            for each in target.failed_blind:
                progress.update(1, 1, f"{each.spec.attack.name} could not run: {each.error.message}")
            yield from target.finished()
    raise_first(failed, grid.size)


def _blind() -> tuple[MethodSpec, ...]:
    return tuple(plan_method(load_attack(name)) for name in blind_attacks())


def _own(grid: Grid, split: SplitSpec, place: int) -> Iterator[RunSpec]:
    target, corpus = grid.targets[place]
    for method, planned, adapted in combinations(grid):
        for seed in grid.seeds_of(method, planned, adapted):
            yield RunSpec(
                split=split,
                target=target,
                attack=method,
                defense=None if planned is None else _defense(grid, planned, seed),
                adaptation=None if adapted is None else adapted.spec,
                seed=seed,
                corpus=corpus,
            )


def _defense(grid: Grid, planned: PlannedDefense, seed: int) -> DefenseSpec:
    """The defense of one run; the same for all attacks and targets."""
    key = (planned.name, seed)
    if key not in grid.kept:
        grid.kept[key] = planned.spec(grid.split, protected_people(grid.split, seed), seed, grid.progress)
    return grid.kept[key]


def _blind_of(grid: Grid, split: SplitSpec, place: int, blind: Sequence[MethodSpec]) -> Iterator[RunSpec]:
    target, corpus = grid.targets[place]
    for method in blind:
        yield RunSpec(split=split, target=target, attack=method, seed=grid.seeds[0], corpus=corpus)


class _Target:
    """Gathers the results of one target of a grid until its runs can be compared with its blind attacks."""

    def __init__(self, grid: Grid, split: SplitSpec, place: int, blind: Sequence[MethodSpec]) -> None:
        self._own = {spec.run_id: spec for spec in _own(grid, split, place)}
        self._blind = {spec.run_id: spec for spec in _blind_of(grid, split, place, blind)}
        self._done: dict[str, Executed] = {}
        self._failed: dict[str, Failed] = {}

    def tasks(self, force: bool) -> Iterator[Task]:
        """Own runs first, so that what is wrong with them shows before anything else costs time."""
        for spec in self._own.values():
            yield Task(spec, force)
        for run, spec in self._blind.items():
            if run not in self._own:
                yield Task(spec)

    def take(self, result: Executed | Failed) -> None:
        """Keep a result if it belongs to this target."""
        run = result.spec.run_id
        if run in self._own or run in self._blind:
            if isinstance(result, Failed):
                self._failed[run] = result
            else:
                self._done[run] = result

    @property
    def complete(self) -> bool:
        """Whether every run has ended, well or not."""
        return len(self._done) + len(self._failed) == len(self._own | self._blind)

    @property
    def failed(self) -> list[Failed]:
        """Runs of the grid itself that failed."""
        return [self._failed[run] for run in self._own if run in self._failed]

    @property
    def failed_blind(self) -> list[Failed]:
        """Blind attacks that failed and were not asked for."""
        return [self._failed[run] for run in self._blind if run in self._failed and run not in self._own]

    def finished(self) -> Iterator[tuple[Executed, list[Run]]]:
        """The finished runs in the order of the grid, each with the blind attacks on this target."""
        blind = [self._done[run].run for run in self._blind if run in self._done]
        for run in self._own:
            if run in self._done:
                yield self._done[run], blind


class Numbered(Reporter):
    """Says before every report of a run which of how many it is, and how long the rest will take.

    Args:
        progress: receives the reports.
        tasks: all that will be carried out.
    """

    def __init__(self, progress: Progress, tasks: Sequence[Task]) -> None:
        self._progress, self._tasks = progress, tasks
        self._begin = time.monotonic()
        self._done = self._carried_out = 0
        self._prefix = ""

    def taken(self) -> Iterator[Task]:
        """The tasks, each noticed when its turn comes."""
        for number, task in enumerate(self._tasks, start=1):
            spec = task.spec
            behind = "" if spec.defense is None else f" behind {spec.defense.name}"
            words = (f"run {number} of {len(self._tasks)}", spec.attack.name, f"{spec.target.name}{behind}")
            self._prefix = " · ".join((*words, f"seed {spec.seed}", *self._left()))
            if len(self._tasks) > 1:
                self._progress.update(0, 1, self._prefix)
            yield task

    def finished(self, result: Executed | Failed) -> None:
        """Count a result; what was read from a record says nothing about how long others take."""
        self._done += 1
        self._carried_out += isinstance(result, Failed) or not result.reused

    def update(self, done: float, total: float, description: str) -> None:
        """Pass a report on; of a single run, as it is."""
        several = len(self._tasks) > 1 and self._prefix
        self._progress.update(done, total, f"{self._prefix} · {description}" if several else description)

    def _left(self) -> Iterable[str]:
        if not self._carried_out:
            return ()
        seconds = (time.monotonic() - self._begin) / self._carried_out * (len(self._tasks) - self._done)
        return (f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left",)


def _what(failed: Failed) -> str:
    return str(failed.spec).removesuffix(f", seed {failed.spec.seed}")


def raise_first(failed: Sequence[Failed], total: int) -> None:
    """Raise what went wrong, the first of several with their number."""
    if not failed:
        return
    first = failed[0]
    if total == 1:
        raise first.error
    others = "; ".join(dict.fromkeys(_what(f) for f in failed[1:6]))
    also = f" Then {others}{'; ...' if len(failed) > 6 else ''}." if others else ""
    raise IdbenchError(
        f"{len(failed)} of {total} runs failed. {_what(first)}: {first.error.message}{also}",
        hint=first.error.hint,
    ) from first.error
