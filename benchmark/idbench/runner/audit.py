"""Audits a split's honesty: each attack on both targets, on B with A's labels, on the control, and paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from idbench import metrics
from idbench.api import Progress
from idbench.errors import DataError
from idbench.results import Estimate, Run, Summary
from idbench.results.summarizing import estimate_of
from idbench.runner.evaluate import summarize, with_labels
from idbench.runner.execute import Options
from idbench.runner.grid import Grid, Outcome, make_grid, run_grid
from idbench.runner.selection import targets_of
from idbench.splits import Split
from idbench.targets import TargetSpec


@dataclass(frozen=True, slots=True)
class Trio:
    """Two targets whose members are each other's non-members, and the control that knows neither."""

    a: TargetSpec
    b: TargetSpec
    control: TargetSpec


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One attack's results on the trio, test part.

    Args:
        method: its name.
        blind: whether it never asks the target.
        on_a: target A with A's labels.
        on_b: target B with B's labels.
        turned: AUC on target B with swapped labels (A's); an attack that works is below 0.5.
        control: the control target with A's labels; chance is expected.
        contrast: AUC of score_A - score_B per identity, against whose corpus holds the person.
        contrast_p: p-value of "the contrast is unrelated to membership".
        verdict: `honest`, or what is wrong.
        abstentions: how many people the attack abstained from on target A, by reason.
    """

    method: str
    blind: bool
    on_a: Summary
    on_b: Summary
    turned: Estimate
    control: Summary
    contrast: Estimate
    contrast_p: float
    verdict: str
    abstentions: Mapping[str, int]

    @property
    def honest(self) -> bool:
        """Whether nothing is wrong, be it by the paired contrast alone."""
        return self.verdict.startswith("honest")


@dataclass(frozen=True, slots=True)
class AuditTargets:
    """The targets with which a split can be audited.

    Args:
        trio: None where a target or the control is missing.
        missing: what an audit without them cannot show, a sentence; empty with them.
    """

    trio: Trio | None
    missing: str = ""


def find_trio(split: Split) -> AuditTargets:
    """The split's two targets and its control: those named after their corpora, else the first that fit."""
    fitting = targets_of(split)
    trained = sorted((t for t in fitting if not t.control_for), key=lambda t: (t.name != t.corpus, t.name))
    controls = sorted((t for t in fitting if t.control_for), key=lambda t: (t.name != t.corpus, t.name))
    a = trained[0] if trained else None
    b = next((t for t in trained if a is not None and t.corpus != a.corpus), None)
    if a is not None and b is not None and controls:
        return AuditTargets(Trio(a, b, controls[0]))
    targets = "no target" if a is None else f"no second target besides those of {a.corpus}" if b is None else ""
    lacking = " and ".join(filter(None, (targets, "" if controls else "no control target")))
    cannot = [
        "whether an attack turns around where others are the members" if b is None else "",
        "" if controls else "whether it is at chance on a model that saw none of these people",
    ]
    return AuditTargets(
        None,
        f"there is {lacking} for {split.manifest.name}: this audit cannot show "
        f"{', nor '.join(filter(None, cannot))}; what an attack finds may be what separates these people anyway",
    )


def trio_of(split: Split) -> Trio:
    """Like `find_trio`, for callers that need all three.

    Raises:
        DataError: the split has no such three.
    """
    found = find_trio(split)
    if found.trio is None:
        raise DataError(
            f"An audit of {split.manifest.name} needs two targets trained on its corpora and a control.",
            hint="`bench list targets` lists them; `bench target train` makes more.",
        )
    return found.trio


def audit(split: Split, methods: Sequence[str], options: Options, progress: Progress, seed: int = 0) -> list[AuditRow]:
    """Audit a split with several attacks; runs that exist are read, the others are run.

    Args:
        split: a split with two targets and a control.
        methods: names of attacks.
        options: where records are, device, limits.
        progress: receives progress reports.
        seed: of the runs.

    Raises:
        DataError: the split has no control, or its test labels are withheld.
    """
    trio = trio_of(split)
    split.labels(trio.a.corpus or "")  # where they are withheld, nothing needs to run first
    grid = grid_of(split, trio, methods, seed)
    found: dict[tuple[str, str], Outcome] = {}
    for outcome in run_grid(grid, options, progress):
        record = outcome.run.record
        found[record.attack.name, record.target.name] = outcome
    return [
        _row(
            split,
            found[method, trio.a.name],
            found[method, trio.b.name],
            found[method, trio.control.name],
        )
        for method in methods
    ]


def grid_of(split: Split, trio: Trio, methods: Sequence[str], seed: int) -> Grid:
    """The runs of an audit."""
    return make_grid(split, methods, ",".join(t.name for t in (trio.a, trio.b, trio.control)), [seed])


def _row(split: Split, a: Outcome, b: Outcome, control: Outcome) -> AuditRow:
    corpus = a.summary.corpus
    # A blind attack that learns from calibration labels gets B's on target B: with swapped labels its AUC is 1 - A's.
    turned = summarize(b.run, split, corpus)
    contrast = contrast_of(split, a.run, b.run, corpus)
    blind = not a.run.record.attack.access
    return AuditRow(
        method=a.run.record.attack.name,
        blind=blind,
        on_a=a.summary,
        on_b=b.summary,
        turned=turned.auc,
        control=control.summary,
        contrast=estimate_of(contrast.auc, contrast.interval),
        contrast_p=contrast.p,
        verdict=verdict(
            control.summary.auc,
            (a.summary.auc, b.summary.auc) if blind else (),
            turns=not blind and turned.auc.high < 0.5 < contrast.interval.low,
        ),
        abstentions=a.run.scores().abstentions(),
    )


def contrast_of(split: Split, a: Run, b: Run, corpus: str) -> metrics.PairedContrast:
    """The paired contrast of two runs of one attack: score on A minus score on B, per identity of the test part."""
    on_a, on_b = with_labels(a.scores(), split, corpus, "test"), with_labels(b.scores(), split, corpus, "test")
    return metrics.paired_contrast(on_a.scores, on_b.scores, on_a.members)


def verdict(control: Estimate, blind: Sequence[Estimate], *, turns: bool = False) -> str:
    """Whether what must be at chance is: the control for every attack, everything for the blind ones.

    The same people are asked about everywhere, and what they are (a name, a face) may lean one way by chance on all
    targets alike. The paired contrast is free of that: it compares each person with themselves.

    Args:
        control: AUC on the control target.
        blind: AUCs of a blind attack on the trained targets; empty for other attacks.
        turns: the attack turns around with the labels of the other corpus, and the paired contrast finds the right one.
    """
    if turns and not holds_chance(control):
        return f"honest by the paired contrast; the control is off chance by {control.value - 0.5:+.3f}"
    problems = []
    if not holds_chance(control):
        problems.append("the control is not at chance")
    if not all(holds_chance(value) for value in blind):
        problems.append("a blind attack is not at chance")
    return "; ".join(problems) or "honest"


def holds_chance(value: Estimate) -> bool:
    """Whether the interval holds 0.5."""
    return value.low <= 0.5 <= value.high
