"""What a worker tells its parent when it ends: a result or a failure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULT = "result.json"
FAILURE = "failure.json"
SCORES = "scores.npz"


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: seconds, where (`Environment` says what the words mean), MiB, queries by kind, shadow models."""

    load: float
    fit: float
    score: float
    device: str
    peak_memory_mb: float
    queries: dict[str, int] = field(default_factory=dict)
    shadows: dict[str, float] | None = None
    device_model: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result, and during what."""

    kind: str
    message: str
    hint: str
    stage: str


def dump(path: Path, message: Result | Failure) -> None:
    """Write a message as JSON."""
    path.write_text(json.dumps(asdict(message)), encoding="utf-8")


def load_result(path: Path) -> Result:
    """Read what `dump` wrote."""
    return Result(**json.loads(path.read_text(encoding="utf-8")))


def load_failure(path: Path) -> Failure:
    """Read what `dump` wrote."""
    return Failure(**json.loads(path.read_text(encoding="utf-8")))
