"""What a person means: the targets of a split, the corpus whose labels count."""

from __future__ import annotations

from collections.abc import Sequence

from idbench.errors import DataError, TargetError, UnknownNameError
from idbench.splits import Split
from idbench.targets import Defended, TargetSpec, TrainedHere, list_targets, targets_meant
from idbench.targets.full_size.idia import references_for
from idbench.targets.reference import split_words


def targets_of(split: Split) -> list[TargetSpec]:
    """Registered targets that were trained on, or are controls for, a corpus of the split; targets before controls."""
    corpora = set(split.corpora)
    fitting = [t for t in list_targets() if t.corpus in corpora or corpora & set(t.control_for)]
    return sorted(fitting, key=lambda t: (bool(t.control_for), t.name))


def choose_targets(split: Split, pattern: str | None) -> list[TargetSpec]:
    """The targets that a person means.

    Args:
        split: decides which targets fit.
        pattern: None for the first target of the split, else words as `idbench.targets.reference` reads them; `all` and
            patterns choose among the targets of the split. `all` of a split whose only targets are the checkpoints of
            the authors of IDIA means those.

    Raises:
        UnknownNameError: a reference matches nothing.
        TargetError: a reference cannot be understood.
        DataError: the split has no target of its own and none was given.
    """
    words = [] if pattern is None else split_words(pattern)
    if pattern is not None and "all" not in words:
        return targets_meant(pattern, lambda: targets_of(split))
    fitting = targets_of(split)
    authors = "" if fitting else references_for(split.corpora)
    if pattern is None:
        if not fitting:
            raise DataError(
                f"No registered target fits the split {split.manifest.name}.",
                hint=f"Name one with --target: {authors or '`bench list targets` shows what there is'}.",
            )
        return fitting[:1]
    if authors:
        pattern = ",".join(authors if word == "all" else word for word in words)
    return targets_meant(pattern, lambda: fitting)


def check_undefended(target: TargetSpec) -> None:
    """Refuse a target that stands behind a defense already: what a run's target is put behind is said by the run.

    Raises:
        TargetError: it does.
    """
    if isinstance(target.weights, Defended):
        defense = target.weights.defense.name
        raise TargetError(
            f"{target.name} is {target.weights.base.name} behind {defense} already.",
            hint=f"Name the target before it, and the defense: --target {target.undefended.name} --defense {defense}.",
        )


def check_trained_on(split: Split, target: TargetSpec) -> None:
    """Refuse a target that was trained on another build of the split's corpora.

    Raises:
        TargetError: the digest of its training set is not the one in the split's manifest.
    """
    expected = split.manifest.training.get(target.corpus or "")
    if expected is not None and target.corpus_digest not in (None, expected):
        raise TargetError(
            f"{target.name} was trained on another build of {target.corpus} than the one in {split.manifest.name}.",
            hint=f"Type: bench target train {target.name}"
            if isinstance(target.weights, TrainedHere)
            else "Train it on this build, or give --split the build that it was trained on.",
        )


def corpus_for(split: Split, target: TargetSpec, wanted: str | None = None) -> str:
    """The corpus whose labels a target is scored against.

    Args:
        split: has the labels.
        target: trained on a corpus, or a control for several (then the first that the split knows).
        wanted: a person's own choice.

    Raises:
        UnknownNameError: the split has no labels for the wanted corpus.
        DataError: the split has no labels for the target's training data.
    """
    corpora: Sequence[str] = split.corpora
    if wanted is not None:
        if wanted not in corpora:
            raise UnknownNameError("corpus", wanted, corpora)
        return wanted
    for corpus in (*target.control_for, target.corpus):
        if corpus in corpora:
            return str(corpus)
    on = f"{target.corpus}, which {target.name} was" if target.corpus else f"what {target.name} was"
    raise DataError(
        f"The split {split.manifest.name} has no labels for {on} trained on.",
        hint=f"Say whose labels count with --corpus, or add corpus=NAME to the reference; it has {', '.join(corpora)}.",
    )
