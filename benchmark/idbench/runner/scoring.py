"""Scores finished runs again: from their scores and the labels alone."""

from __future__ import annotations

from pathlib import Path

from idbench.errors import RecordError, UnknownNameError
from idbench.results import Run, Summary, find_runs, run_path, write_summary
from idbench.runner.evaluate import summarize
from idbench.splits import Split


def own_corpus(run: Run, split: Split) -> str:
    """The corpus whose labels a run is scored against by default.

    Raises:
        RecordError: the split has no labels for the target's training data.
    """
    target = run.record.target
    for corpus in (*target.control_for, target.corpus):
        if corpus in split.corpora:
            return str(corpus)
    raise RecordError(
        f"{split.manifest.name} has no labels for {target.name}.", hint="Choose the labels with --corpus."
    )


def score_run(run: Run, split: Split, corpus: str | None, results: Path) -> Summary:
    """Compute a run's metrics; against its own corpus they are written next to the record.

    Args:
        run: any run of the split.
        split: must be the version that the run used; scores of people taken out of it are left out.
        corpus: whose labels; None for those that the run was judged with before, else its target's own.
        results: searched for blind attacks on the same target, unless some lie beside the run.

    Raises:
        RecordError: another version of the split, or no labels.
    """
    check_split(run, split)
    chosen = corpus or _judged_before(run, split) or own_corpus(run, split)
    if chosen not in split.corpora:
        raise UnknownNameError("corpus", chosen, split.corpora)
    summary = summarize(
        run,
        split,
        chosen,
        blind_runs(run, results),
        run.record.seed,
        control=chosen in run.record.target.control_for,
    )
    if corpus is None:
        write_summary(run, summary)
    return summary


def _judged_before(run: Run, split: Split) -> str | None:
    """The corpus that the run was asked for with, where its metrics were written and the split knows it."""
    try:
        summary = run.summary()
    except RecordError:
        return None
    return summary.corpus if summary is not None and summary.corpus in split.corpora else None


def check_split(run: Run, split: Split) -> None:
    """Refuse to score a run against another version of its split; who was taken out of it since counts no more."""
    used = run.record.split
    if split.has_been(used.digest):
        return
    what = f"The run used {used.name} {used.digest[:12]}; this is {split.digest[:12]}"
    if (used.name, used.version) == (split.manifest.name, split.manifest.version):
        same = run.record.photos_sha256 in (None, split.photos_digest)
        what += ", the same version with other tables" if same else ", the same version with other photos"
    raise RecordError(f"{what}.", hint="Versions of a split never mix: give the folder of the right one with --split.")


def blind_runs(run: Run, results: Path) -> list[Run]:
    """Runs of blind attacks on the same split and target: those beside a run among others, else those in a folder."""
    record = run.record
    folder = run.path.absolute()  # a person may stand in it, and name it by a dot
    layout = run_path(Path(), record.split, record.target, record.attack.name, record.run_id).parts
    where = [folder.parent] if folder.parts[-len(layout) :] == layout else []
    for place in (*where, results):
        found = [
            other
            for other in find_runs(place)
            if not other.record.attack.access
            and other.record.defense is None
            and other.record.split == record.split
            and other.record.target == record.target
        ]
        if found:
            return found
    return []
