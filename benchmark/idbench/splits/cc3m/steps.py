"""Steps of a full-size build: their settings, and what each of them did, kept so that a repeated command continues."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from idbench.errors import IdbenchError
from idbench.storage import write_text

LEVELS = (1, 5, 10, 25, 50, 75)
"""Training pictures of a member: the levels of the papers on identity inference."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a full-size build; `from_environment` reads `BENCH_PICTURE_SIDE` and so on.

    Args:
        picture_side: upper limit of the shorter side of a stored picture, in pixels; 288 is what RN50x4 needs.
        smallest_side: a picture with a shorter side is dropped, pixels.
        shard_pairs: pairs in one shard.
        fetch_processes: processes that fetch and resize; 0: one per processor.
        fetch_threads: connections of each of them.
        fetch_timeout: seconds that a server may be silent.
        fetch_deadline: seconds that one answer may take in all.
        fetch_retries: how often a failed address is tried again at once.
        fetch_host_requests: requests a second that one host gets at most; 0: as many as the connections make.
        attack_photos: photos of each identity that no training set holds; a person with fewer is left out.
    """

    picture_side: int = 288
    smallest_side: int = 16
    shard_pairs: int = 10_000
    fetch_processes: int = 0
    fetch_threads: int = 64
    fetch_timeout: int = 10
    fetch_deadline: int = 30
    fetch_retries: int = 1
    fetch_host_requests: int = 0
    attack_photos: int = 30

    @property
    def processes(self) -> int:
        """Processes that work at once, or threads where those serve as well."""
        return self.fetch_processes or os.cpu_count() or 1


_DIGITS = 12  # more are not a setting, and Python refuses to read thousands
_MAY_BE_ZERO = ("fetch_processes", "fetch_retries", "fetch_host_requests")


def from_environment(settings: Settings | None = None) -> Settings:
    """Settings with overrides from the environment, e.g. `BENCH_SHARD_PAIRS=5000`.

    Raises:
        IdbenchError: a variable is not a number in range.
    """
    settings = settings or Settings()
    found = {}
    for setting in fields(Settings):
        variable = f"BENCH_{setting.name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        least = 0 if setting.name in _MAY_BE_ZERO else 1
        if not text.isascii() or not text.isdigit() or len(text) > _DIGITS or int(text) < least:
            raise IdbenchError(f"{variable} is {text!r}.", hint=f"Give a whole number from {least} on.")
        found[setting.name] = int(text)
    return replace(settings, **found)


@dataclass(frozen=True, slots=True)
class StepReport:
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
        done = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        lost = ", ".join(f"{count:,} {why}" for why, count in sorted(self.dropped.items(), key=lambda item: -item[1]))
        return f"{self.step}: {done}" + (f"; left out: {lost}" if lost else "")


def once(path: Path, made_from: str, step: Callable[[], StepReport]) -> StepReport:
    """The report of a step, which is run only if it has not been finished yet with the same input.

    Args:
        path: where its report is kept; written when the step is complete.
        made_from: stands for everything that the step depends on.
        step: does the work; must be able to continue after an interruption.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["made_from"] == made_from:
            return StepReport(saved["step"], saved["counts"], saved["dropped"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # missing or damaged: the step is run again
    report = step()
    save(path, made_from, report)
    return report


def save(path: Path, made_from: str, report: StepReport) -> None:
    """Keep a report, atomically."""
    write_text(path, json.dumps({"made_from": made_from, **asdict(report)}, indent=2) + "\n")
