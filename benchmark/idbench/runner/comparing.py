"""Compares two methods on the same people: which runs are compared, and what follows from their scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from idbench import metrics
from idbench.errors import IdbenchError, RecordError, UnknownNameError
from idbench.metrics.significance import equivalence_of
from idbench.results import Run, find_run, find_runs
from idbench.results.store import METRICS
from idbench.results.summarizing import RATES, LabelledScores
from idbench.runner.closure import depends_on_seed
from idbench.runner.evaluate import with_labels
from idbench.runner.registry import ATTACKS, load_attack
from idbench.runner.scoring import check_split, own_corpus
from idbench.runner.selection import targets_of
from idbench.runner.spec import plan_method
from idbench.splits import Split
from idbench.storage import is_there
from idbench.targets import targets_meant
from idbench.wording import counted

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Side:
    """What one argument of the user stands for.

    Args:
        name: of the method, with the beginning of the run's id where a run was named.
        runs: undefended unless a run was named; all with the same parameters and code.
        left_out: how many runs of the method are not among them because a sweep tried them and nobody ran them for
            themselves.
    """

    name: str
    runs: tuple[Run, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class PairedReading:
    """One pair of runs on one target, with scores and labels of the test part."""

    a: Run
    b: Run
    corpus: str
    scores_a: LabelledScores
    scores_b: LabelledScores


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two methods, and what their comparison says.

    Args:
        a: the first.
        b: the second.
        readings: pairs of runs, one for each target and seed.
        found: over all readings, with people as what varies.
        tpr_a: mean rates of a at each of `RATES`.
        tpr_b: those of b.
    """

    a: Side
    b: Side
    readings: tuple[PairedReading, ...]
    found: metrics.Comparison
    tpr_a: tuple[metrics.PooledRate | metrics.NotEstimable, ...]
    tpr_b: tuple[metrics.PooledRate | metrics.NotEstimable, ...]

    @property
    def corpora(self) -> tuple[str, ...]:
        """Whose labels counted, each once."""
        return tuple(dict.fromkeys(one.corpus for one in self.readings))


def compare_runs(
    a: str, b: str, split: Split, target: str | None, results: Path, corpus: str | None = None, margin: float = 0.02
) -> Pairing:
    """Compare two methods over all seeds and targets that both have, or two single runs.

    Args:
        a: a method's name (all its runs on undefended targets count), a path, or the beginning of a run id.
        b: the other.
        split: the version that the runs used.
        target: for method names, as `idbench.targets.reference` reads it; None for all but the controls.
        results: folder of the records.
        corpus: whose labels; None for each target's own.
        margin: largest AUC difference that does not matter.

    Raises:
        RecordError: no such run, one method's runs have different parameters or code, or nothing can be paired.
    """
    wanted = None if target is None else _names(target, split)
    left, right = (side_of(word, split, wanted, results) for word in (a, b))
    readings = _readings(left, right, split, corpus, every=target is not None)
    names = (left.name, right.name) if left.name != right.name else (f"{left.name} (1)", f"{right.name} (2)")
    return _compared(left, right, readings, names, margin)


def side_of(word: str, split: Split, targets: Sequence[str] | None, results: Path) -> Side:
    """The runs that an argument stands for.

    Args:
        word: a method's name, a path, or the beginning of a run id.
        split: of the runs.
        targets: for method names, those that count; None: all.
        results: folder of the records.

    Raises:
        RecordError: there is none, or they were run with different settings.
    """
    found = [
        run
        for run in find_runs(results)
        if run.record.attack.name == word
        and run.record.defense is None
        and run.record.adaptation is None
        and split.has_been(run.record.split.digest)
        and (targets is None or run.record.target.name in targets)
    ]
    if found:
        # A sweep writes no metrics. Where labels are withheld, nobody does, and all runs count.
        judged = [run for run in found if is_there(run.path / METRICS)] or found
        _refuse_mixed(word, judged)
        return Side(word, _newest(judged), len(found) - len(judged))
    try:
        run = find_run(results, word)
    except RecordError as error:
        on = "" if targets is None else f" on {', '.join(targets)}"
        name = split.manifest.name
        where = "" if targets is None else f" --target {','.join(targets)}"
        raise RecordError(
            f"There is no run of {word!r}{on} with this version of {name} in {results}.",
            hint=f"Make one: bench run --method {word} --split {name}{where}"
            if word in ATTACKS.names()
            else "No attack is installed under that name, and no run's id begins so: see `bench list runs`.",
        ) from error
    check_split(run, split)
    return Side(f"{run.record.attack.name} ({run.record.run_id[:8]})", (run,))


def _names(words: str, split: Split) -> list[str]:
    """The names that records use for the targets meant; the words as given where no such target is known here."""
    try:
        return [target.name for target in targets_meant(words, lambda: targets_of(split))]
    except UnknownNameError:
        return words.split(",")  # records may come from a machine that had it


def _refuse_mixed(word: str, runs: Iterable[Run]) -> None:
    """Runs of one name with other parameters or other code are other methods: no mean over them means anything."""
    settings: dict[str, list[Run]] = {}
    for run in runs:
        record = run.record
        key = f"{record.attack.code_sha256} {sorted(record.parameters.items(), key=str)!r}"
        settings.setdefault(key, []).append(run)
    if len(settings) < 2:
        return
    groups = list(settings.values())
    first, second = groups[0][0].record, groups[1][0].record
    changed = sorted(name for name in first.parameters if first.parameters[name] != second.parameters.get(name))
    what = f"with different {', '.join(changed[:_SHOWN])}" if changed else "by different versions of its code"
    ids = "; ".join(f"{own[0].record.run_id[:8]} ({counted(len(own), 'run', 'runs')})" for own in groups[:_SHOWN])
    raise RecordError(
        f"{word} was run {what}: {ids}.",
        hint="Name single runs by their ids, or keep the runs of one setting in a results folder of their own.",
    )


def _newest(runs: Sequence[Run]) -> tuple[Run, ...]:
    """One run for each target, its weights and seed: the newest."""
    newest: dict[tuple[str, str, int], Run] = {}
    for run in sorted(runs, key=lambda run: (run.record.created, run.record.run_id)):
        newest[run.record.target.name, run.record.target.sha256, run.record.seed] = run
    return tuple(sorted(newest.values(), key=lambda run: (run.record.target.name, run.record.seed)))


def _readings(a: Side, b: Side, split: Split, corpus: str | None, *, every: bool) -> list[PairedReading]:
    """Pairs of runs on one target and seed; the only run of a method pairs with every seed of the other."""
    pairs = []
    for target in dict.fromkeys((run.record.target.name, run.record.target.sha256) for run in a.runs):
        own = [run for run in a.runs if (run.record.target.name, run.record.target.sha256) == target]
        others = [run for run in b.runs if (run.record.target.name, run.record.target.sha256) == target]
        pairs += _paired(own, others)
    if not every and len(a.runs) > 1 and len(b.runs) > 1:
        pairs = [pair for pair in pairs if not _is_control(pair[0])] or pairs
    if not pairs:
        raise RecordError(
            f"The runs have no target and seed in common: {a.name} ran on {_places(a)}; {b.name} on {_places(b)}.",
            hint="Run both on the same targets and seeds: bench run -m A -m B --target all --seeds 3.",
        )
    return [_reading(*pair, split, corpus) for pair in pairs]


def _paired(own: Sequence[Run], others: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs of equal seeds; the single run of a deterministic method stands for every seed."""
    if len(own) == 1 and _is_deterministic(own[0]):
        return [(own[0], other) for other in others]
    if len(others) == 1 and _is_deterministic(others[0]):
        return [(run, others[0]) for run in own]
    seeds = {run.record.seed: run for run in others}
    return [(run, seeds[run.record.seed]) for run in own if run.record.seed in seeds]


def _is_deterministic(run: Run) -> bool:
    """Whether the attack scores the same for every seed, as far as the code installed here tells."""
    try:
        return not depends_on_seed(plan_method(load_attack(run.record.attack.name)))
    except IdbenchError:
        return False  # not installed here


def _places(side: Side) -> str:
    """Targets and seeds of a side's runs, in words."""
    return ", ".join(dict.fromkeys(f"{run.record.target.name} seed {run.record.seed}" for run in side.runs))


def _is_control(run: Run) -> bool:
    return bool(run.record.target.control_for)


def _reading(a: Run, b: Run, split: Split, corpus: str | None) -> PairedReading:
    for run in (a, b):
        check_split(run, split)
    chosen = corpus or own_corpus(a, split)
    return PairedReading(
        a,
        b,
        chosen,
        with_labels(a.scores(), split, chosen, "test"),
        with_labels(b.scores(), split, chosen, "test"),
    )


def _compared(a: Side, b: Side, readings: Sequence[PairedReading], names: tuple[str, str], margin: float) -> Pairing:
    left, right = [one.scores_a.scores for one in readings], [one.scores_b.scores for one in readings]
    members = [one.scores_a.members for one in readings]
    pool_a, pool_b = (metrics.pooled(scores, members, fprs=RATES) for scores in (left, right))
    if len(readings) == 1:
        found = metrics.compare(
            left[0], right[0], members[0], name_a=names[0], name_b=names[1], margin=margin, fprs=RATES
        )
    else:
        difference = metrics.pooled_difference(left, right, members)
        narrow = metrics.pooled_difference(left, right, members, level=0.9)
        found = metrics.Comparison(
            name_a=names[0],
            name_b=names[1],
            auc_a=pool_a.auc,
            auc_b=pool_b.auc,
            auc=difference,
            equivalence=equivalence_of(narrow, margin, 0.05),
            tpr=(),
            p_holm=(difference.p,),
            alpha=0.05,
            n_members=int(members[0].sum()),
            n_nonmembers=int((~members[0]).sum()),
        )
    return Pairing(a, b, tuple(readings), found, pool_a.rates, pool_b.rates)
