"""Compares two methods on the same people: which runs are compared, and what follows from their scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idbench import metrics
from idbench.errors import RecordError, UnknownNameError
from idbench.results import Run, find_run, find_runs
from idbench.runner.evaluate import RATES, with_labels
from idbench.runner.scoring import check_split, own_corpus
from idbench.runner.selection import targets_of
from idbench.splits import Split
from idbench.targets import target_meant


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two runs on one target, and what their comparison says."""

    a: Run
    b: Run
    corpus: str
    found: metrics.Comparison


def compare_runs(
    a: str, b: str, split: Split, target: str | None, results: Path, corpus: str | None = None, margin: float = 0.02
) -> Pairing:
    """Compare two runs, given as method names, paths or ids.

    Args:
        a: a method's name (then its latest run on the undefended target counts), a path, or the beginning of a run id.
        b: the other run.
        split: the version that both runs used.
        target: for method names, as `idbench.targets.reference` reads it; None for the split's first target.
        results: folder of the records.
        corpus: whose labels; None for the target's own.
        margin: largest AUC difference that does not matter.

    Raises:
        RecordError: no such run, or the two do not fit together.
    """
    names = [t.name for t in targets_of(split)]
    wanted = _name_of(target) if target else (names[0] if names else "")
    run_a, run_b = _meant(a, split, wanted, results), _meant(b, split, wanted, results)
    for run in (run_a, run_b):
        check_split(run, split)
    if run_a.record.target != run_b.record.target:
        raise RecordError(
            f"The runs audited different targets: {run_a.record.target.name} and {run_b.record.target.name}.",
            hint="Compare runs on one target; `bench data audit` compares targets.",
        )
    chosen = corpus or own_corpus(run_a, split)
    left, right = with_labels(run_a.scores(), split, chosen, "test"), with_labels(run_b.scores(), split, chosen, "test")
    found = metrics.compare(
        left.scores,
        right.scores,
        left.members,
        name_a=_label(run_a, run_b),
        name_b=_label(run_b, run_a),
        margin=margin,
        fprs=RATES,
    )
    return Pairing(run_a, run_b, chosen, found)


def _name_of(word: str) -> str:
    """The name in records of the target that a reference stands for; the reference itself where there is none."""
    try:
        return target_meant(word).name
    except UnknownNameError:
        return word  # records may come from a machine that had it


def _meant(reference: str, split: Split, target: str, results: Path) -> Run:
    found = [
        run
        for run in find_runs(results)
        if run.record.attack.name == reference
        and run.record.target.name == target
        and run.record.defense is None
        and run.record.adaptation is None
        and run.record.split.digest == split.digest
    ]
    if found:
        return max(found, key=lambda run: (run.record.created, run.record.run_id))
    try:
        return find_run(results, reference)
    except RecordError as error:
        raise RecordError(
            f"There is no run of {reference!r} on {target} with this version of {split.manifest.name} in {results}.",
            hint=f"Make one: bench run --method {reference} --split {split.manifest.name} --target {target}",
        ) from error


def _label(run: Run, other: Run) -> str:
    name = run.record.attack.name
    return name if name != other.record.attack.name else f"{name} ({run.record.run_id[:8]})"
