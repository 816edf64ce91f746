"""What a study runs on: a split, two targets whose members are each other's non-members, and a control."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from idbench.errors import DataError, IdbenchError
from idbench.runner.audit import Trio, trio_of
from idbench.runner.selection import corpus_for, targets_of
from idbench.splits import Split
from idbench.targets import TargetSpec, targets_meant
from idbench.targets.fetch import pin_target


@dataclass(frozen=True, slots=True)
class AuditedTarget:
    """One target and the corpus whose labels it is judged with.

    Args:
        series: `A`, `B` or `control`, as the tables call it.
        target: the model, its weights' hash known.
        corpus: of the split; the control is judged with the labels of A.
    """

    series: str
    target: TargetSpec
    corpus: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What was asked for.

    Args:
        split: whose people are audited.
        audited: A, B and the control.
        seeds: one run of each for every target.
        results: folder of the records.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for one run; None for no limit.
        jobs: runs side by side on this machine, at least 1.
    """

    split: Split
    audited: tuple[AuditedTarget, AuditedTarget, AuditedTarget]
    seeds: tuple[int, ...]
    results: Path
    device: str = "auto"
    time_limit: float | None = None
    jobs: int = 1


def choose_audited(split: Split, words: str | None) -> tuple[AuditedTarget, AuditedTarget, AuditedTarget]:
    """The two targets and the control of a study.

    Args:
        split: decides which registered targets fit.
        words: three references by commas (trained on the split's first corpus, on its second, the control), as
            `idbench.targets.reference` reads them; None: the registered ones.

    Raises:
        DataError: the split has no such three, or not two corpora with members.
        IdbenchError: not three references.
        TargetError: the weights of one cannot be had.
    """
    if words is None:
        trio = _registered(split)
        corpus_a, corpus_b = corpus_for(split, trio.a), corpus_for(split, trio.b)
    else:
        given = targets_meant(words, lambda: targets_of(split))
        if len(given) != 3:
            raise IdbenchError(
                f"A study needs three targets (A, B and the control), not {len(given)}.",
                hint="Write --targets A,B,CONTROL.",
            )
        trio = Trio(*given)
        corpus_a, corpus_b = _two_corpora(split)
    a, b, control = (pin_target(spec) for spec in (trio.a, trio.b, trio.control))
    return AuditedTarget("A", a, corpus_a), AuditedTarget("B", b, corpus_b), AuditedTarget("control", control, corpus_a)


def _registered(split: Split) -> Trio:
    try:
        return trio_of(split)
    except DataError as error:
        raise DataError(
            f"A study on {split.manifest.name} needs two targets trained on its corpora and a control.",
            hint="`bench list targets` lists them; name three with --targets A,B,CONTROL.",
        ) from error


def _two_corpora(split: Split) -> tuple[str, str]:
    found = [info.name for info in split.manifest.corpora if not info.control]
    if len(found) < 2:
        raise DataError(
            f"{split.manifest.name} has labels for {len(found)} training sets with people under test; a study needs "
            "two.",
            hint="Use a split with two corpora and a control, e.g. avatars.",
        )
    return found[0], found[1]
