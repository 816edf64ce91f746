"""A plug-in that looks for the labels wherever a process can look, and returns whatever it finds.

Every sequence of numbers as long as the cases, wherever it lies in memory, becomes a named detail of the scores; every
text that it can reach is printed into the log. The test that runs it has the labels, and looks at what came back.
"""

import gc
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from idbench.api import Access, Attack, Calibration, Case, Context, Knowledge, MethodCard, MethodParams, Scores
from idbench.api import TargetView


class Snoops(Attack[MethodParams]):
    """Scores nobody; looks everywhere."""

    card = MethodCard(
        name="sample-snoops",
        version="1",
        title="Sample: looks for labels",
        access=Access.SIMILARITY,
        knowledge=Knowledge.NAME | Knowledge.PHOTOS,
    )

    def fit(self, target: TargetView, calibration: Calibration, context: Context) -> None:
        self.calibration = calibration

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        n = len(cases)
        details: dict[str, np.ndarray] = {}
        for label, found in candidates(cases, n):
            values = as_numbers(found, n)
            if values is not None and np.unique(values).size > 1:
                details.setdefault(f"{label}:{hashlib.sha256(values.tobytes()).hexdigest()[:6]}", values)
        tell(context, target)
        return Scores(np.zeros(n), details=details)


def candidates(cases: Sequence[Case], n: int) -> Iterator[tuple[str, object]]:
    """Everything that might be, or give away, one number per case."""
    yield "order", range(n)
    yield "id", [int(hashlib.sha256(case.id.encode()).hexdigest()[:8], 16) for case in cases]
    yield "id-hex", [int("".join(c for c in case.id if c in "0123456789abcdef") or "0", 16) for case in cases]
    yield "object", [sys.getsizeof(case) for case in cases]
    yield "photos", [len(case.photos) for case in cases]
    yield "digest", [int(case.photos[0].digest[:8], 16) for case in cases]
    yield "bytes", [sum(photo.pixels().nbytes for photo in case.photos) for case in cases]
    for i, attribute in enumerate(("offset", "height", "width")):
        yield f"photo-{i}", [getattr(case.photos[0]._load, attribute, 0) for case in cases]
    frame = inspect.currentframe()
    while frame is not None:
        for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
            yield f"frame-{name}", value
        frame = frame.f_back
    for value in gc.get_objects():
        if isinstance(value, list | tuple | dict | np.ndarray):
            yield "heap", value


def as_numbers(found: object, n: int) -> np.ndarray | None:
    """One number per case, if that is what it is."""
    try:
        if isinstance(found, dict):
            found = list(found.values())
        if not isinstance(found, list | tuple | range | np.ndarray) or len(found) != n:
            return None
        values = np.asarray(found)
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            return None
        return np.nan_to_num(values.astype(float))
    except Exception:  # noqa: BLE001  a snooper does not stop at what cannot be read
        return None


def tell(context: Context, target: TargetView) -> None:
    """Print every text in reach: environment, arguments, open files, files nearby, strings in memory."""
    print(json.dumps(dict(os.environ)), sys.argv)
    for path in Path.cwd().rglob("*"):
        print(path, path.read_bytes() if path.is_file() and path.suffix in {".json", ".npz", ".txt"} else "")
    if Path("/proc/self/fd").exists():
        print([os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit() and _open(fd)])
    print(repr(context), repr(target))
    for value in gc.get_objects():
        if isinstance(value, dict | list | tuple | set):
            for item in list(value)[:5000]:
                if isinstance(item, str):
                    print(item[:200])
            if isinstance(value, dict):
                for item in list(value.values())[:5000]:
                    if isinstance(item, str):
                        print(item[:200])


def _open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")
