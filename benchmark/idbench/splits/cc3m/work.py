"""The working folder of a full-size build: what each step found, kept so that a repeated command goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from idbench.storage import write_text


@dataclass(frozen=True, slots=True)
class Report:
    """What one step did.

    Args:
        step: its name.
        counts: e.g. `{"read": 100, "kept": 93}`.
        dropped: how many things were left out for which reason.
    """

    step: str
    counts: Mapping[str, int]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        said = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        lost = ", ".join(f"{count:,} {why}" for why, count in sorted(self.dropped.items(), key=lambda item: -item[1]))
        return f"{self.step}: {said}" + (f"; left out: {lost}" if lost else "")


def once(path: Path, made_from: str, step: Callable[[], Report]) -> Report:
    """The report of a step, which is run only if it has not been finished yet with the same input.

    Args:
        path: where its report is kept; written when the step is complete.
        made_from: stands for everything that the step depends on.
        step: does the work; must be able to go on after an interruption.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["made_from"] == made_from:
            return Report(saved["step"], saved["counts"], saved["dropped"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # missing or damaged: the step is run again
    report = step()
    save(path, made_from, report)
    return report


def save(path: Path, made_from: str, report: Report) -> None:
    """Keep a report, atomically."""
    write_text(path, json.dumps({"made_from": made_from, **asdict(report)}, indent=2) + "\n")
