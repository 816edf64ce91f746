"""How things are written: estimates with intervals, rates, p-values, amounts, and text that others wrote."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from idbench.escaping import line

if TYPE_CHECKING:
    from idbench.results import (
        BinSummary,
        BlindComparison,
        DefenseRef,
        Estimate,
        PassedParameters,
        RateSummary,
        Summary,
    )


def typed(*words: object) -> str:
    """A command that can be copied into a shell: one line, each word quoted where a shell would read more into it."""
    return line(shlex.join(map(str, words)))


def estimate(value: Estimate) -> str:
    """E.g. `0.823 [0.801, 0.843]`."""
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def rate(value: RateSummary) -> str:
    """E.g. `41.2 % [36.9, 45.7]`, or that the rate cannot be estimated."""
    if value.value is None or value.low is None or value.high is None:
        return f"not estimable: one non-member is {value.resolution:.1%}"
    return f"{value.value:.1%} [{value.low * 100:.1f}, {value.high * 100:.1f}]"


def parameters(values: Mapping[str, object]) -> str:
    """E.g. `runs=3, prompt=a photo of {}`, or `none`."""
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "none"


def passed(given: PassedParameters | None) -> str:
    """What a person passed, e.g. `preset paper, runs=3`; `defaults` if nothing, `not known` for old records."""
    if given is None:
        return "not known"
    preset = () if given.preset is None else (f"preset {given.preset}",)
    return ", ".join((*preset, *((parameters(given.overrides),) if given.overrides else ()))) or "defaults"


def p_value(p: float) -> str:
    """E.g. `0.031`, `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def compared(p: float) -> str:
    """E.g. `= 0.031`, `< 0.001`: what stands after a p."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def blind(value: BlindComparison | None) -> str:
    """E.g. `+0.310 over blind-names, p <0.001`."""
    if value is None:
        return "-"
    return f"{value.difference:+.3f} over {value.attack}, p {compared(value.p)}"


def amount(number: int) -> str:
    """E.g. `96,000`."""
    return f"{number:,}"


def seconds(value: float) -> str:
    """E.g. `0.4 s`, `73 s`, `12 min`."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def reasons(abstentions: Mapping[str, int]) -> str:
    """Why an attack abstained, e.g. `a name of one part (3), no photos (2)`."""
    return ", ".join(f"{reason} ({amount(count)})" for reason, count in abstentions.items())


def bins(values: tuple[BinSummary, ...]) -> str:
    """AUC by number of training pictures, e.g. `1: 0.52, 5: 0.69`."""
    return ", ".join(f"{b.occurrences}: {b.auc.value:.2f}" for b in values)


def defended(defense: DefenseRef | None, summary: Summary) -> list[tuple[str, str]]:
    """What there is to say of a defended run beside its overall figures: fact and value."""
    if defense is None:
        return []
    of = {"protected": "of the protected people", "unprotected": "of the others"}
    rows = [(f"AUC {of[g.group]}", f"{estimate(g.auc)} ({g.n_members} members)") for g in summary.groups]
    if summary.marks is not None:
        rows.append(("do scores tell who is protected?", f"AUC {estimate(summary.marks)}; 0.5: they do not"))
    for one in defense.utility:
        rows.append((one.name, f"{one.before.value:.3f} before, {estimate(one.after)} after"))
    if defense.cost is not None:
        steps = f", {amount(defense.cost.steps)} steps" if defense.cost.steps else ""
        rows.append(("the defense cost", f"{seconds(defense.cost.seconds)}{steps}"))
    return rows
