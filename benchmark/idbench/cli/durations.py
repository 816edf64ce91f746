"""How long runs will take, from what was measured: records here first, else the board that comes with idbench."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from idbench.cli import text

if TYPE_CHECKING:
    from idbench.runner.spec import RunSpec

_RECORDS = "your records"
_BOARD = "the reference board"


@dataclass(frozen=True, slots=True)
class Expected:
    """How long one run will take.

    Args:
        seconds: of the run, without shadow models; None: nothing like it was measured.
        training: of its shadow models, if none of them is in the cache; 0 for other attacks.
        measured: what the figure comes from, e.g. `your records`.
        alike: whether that was measured with the same parameters.
    """

    seconds: float | None
    training: float = 0.0
    measured: str = ""
    alike: bool = True

    @property
    def total(self) -> float | None:
        """Seconds in all; None if nothing is known."""
        return None if self.seconds is None else self.seconds + self.training


class _Measured(NamedTuple):
    """Seconds that one run took without training its shadow models, and seconds of that training."""

    source: str
    method: str
    target: str
    parameters: str
    seconds: float
    training: float


class Durations:
    """Looks up how long runs took: those in a results folder, then those of the reference board.

    Args:
        results: folder of records; it need not exist.
    """

    def __init__(self, results: Path) -> None:
        self._rows = [*_from_records(results), *_from_reference()]

    def expected(self, spec: RunSpec) -> Expected:
        """What was measured for the attack of a run, with its parameters and on its target if possible."""
        return self.of(spec.attack.name, spec.target.name, spec.attack.parameters)

    def know(self, target: str) -> bool:
        """Whether anything was measured on a target."""
        return any(row.target == target for row in self._rows)

    def of(self, attack: str, target: str, parameters: Mapping[str, object] | None = None) -> Expected:
        """The median of what was measured for an attack on a target, else on any; the nearest source counts.

        Args:
            attack: its name.
            target: its name.
            parameters: all of the attack's; what was measured with others counts only where nothing was with these.
                None for any.
        """
        own = [row for row in self._rows if row.method == attack]
        same = own if parameters is None else [row for row in own if row.parameters == _key(parameters)]
        for source in (_RECORDS, _BOARD):
            near = [row for row in same or own if row.source == source]
            found = [row for row in near if row.target == target] or near
            if found:
                seconds, training = median(r.seconds for r in found), median(r.training for r in found)
                return Expected(seconds, training, source, alike=bool(same))
        return Expected(None)


def in_all(expected: Sequence[Expected]) -> str:
    """How long runs take together, in one sentence; empty if nothing is known of any of them."""
    sources = " and ".join(dict.fromkeys(one.measured for one in expected if one.measured))
    if not sources:
        return ""
    unknown = sum(one.total is None for one in expected)
    more = f", and {unknown} runs of which nothing is known" if unknown else ""
    others = "" if all(one.alike for one in expected) else ", with other parameters: these may take many times as long"
    total = text.seconds(sum(one.total or 0.0 for one in expected))
    return f"about {total} in all{more}; as measured in {sources}{others}"


def _key(parameters: Mapping[str, object]) -> str:
    return json.dumps(parameters, sort_keys=True)


def _from_records(results: Path) -> Iterable[_Measured]:
    from idbench.results import find_runs

    if not results.exists():
        return
    for run in find_runs(results):
        record = run.record
        shadows = record.shadows
        training = 0.0 if shadows is None else shadows.seconds
        # Waiting for shadow models is their training, which stands apart.
        waited = 0.0 if shadows is None else shadows.waited
        own = max(0.0, record.timings.total - waited)
        yield _Measured(_RECORDS, record.attack.name, record.target.name, _key(record.parameters), own, training)


def _from_reference() -> Iterable[_Measured]:
    import pandas as pd

    from idbench_leaderboard.manifest import REFERENCE

    try:
        columns = ["method", "target", "parameters", "seconds", "training_seconds", "defense"]
        rows = pd.read_parquet(REFERENCE / "entries.parquet", columns=columns)
    except (OSError, ValueError):
        return  # an installation without the reference board
    for method, target, parameters, seconds, training, defense in rows.itertuples(index=False):
        if pd.notna(seconds) and not defense:
            known = float(training) if pd.notna(training) else 0.0
            own = max(0.0, float(seconds) - known)
            yield _Measured(_BOARD, str(method), str(target), _key(json.loads(parameters)), own, known)
