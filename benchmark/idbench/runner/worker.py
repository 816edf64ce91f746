"""The process in which an attack or a defense runs: it has the cases and the target, and no labels.

Started by `idbench.runner.supervisor` as `python -P -m idbench.runner.worker FOLDER`. Progress goes line by line, as
JSON, to standard output; whatever the attack prints goes to standard error, which becomes the log; the result is two
files in the folder.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from idbench import plugins
from idbench.api import Access, AccessViolation, Attack, Scores, TargetView
from idbench.errors import IdbenchError
from idbench.processes import PipeProgress, begin, give_back, keep_back
from idbench.runner import utility
from idbench.runner.bundle import ADAPTATION, DEFENSE, Request, context_of, read_given, read_request
from idbench.runner.defense_work import (
    answered_of,
    asked_by_adaptation,
    change_weights,
    declared,
    has_answers,
    is_adapted,
    is_defense,
    put_adaptation,
    put_before,
)
from idbench.runner.messages import (
    FAILURE,
    RESULT,
    SCORES,
    Asked,
    Failure,
    ShadowsUsed,
    Stage,
    WorkerResult,
    dump,
    save_scores,
    shortened,
)

if TYPE_CHECKING:
    from idbench.runner.opening import Opened


class NoTarget:
    """Takes the target's place when a blind attack runs: it rejects every query."""

    def __getattr__(self, name: str) -> object:
        raise AccessViolation(
            f"A blind attack asked the target for {name!r}.", hint="Declare the access that it needs on its card."
        )


@dataclass(slots=True)
class At:
    """What the worker is doing, for the message if it fails."""

    stage: Stage = "preparation"


def main() -> int:
    """Run the request in the folder given as the only argument; the exit status is 0 if there is a result."""
    folder = Path(sys.argv[1])
    progress = begin()
    at = At()
    spare = keep_back()
    try:
        result = _do(folder, progress, at)
    except BaseException as error:  # noqa: BLE001  an attack may raise anything; the parent turns it into one sentence
        give_back(spare)
        traceback.print_exc()
        message, hint = (error.message, error.hint) if isinstance(error, IdbenchError) else (str(error), "")
        name = type(error).__name__[:100]
        kind = name if name.isidentifier() else "Exception"
        failure = Failure(kind=kind, message=shortened(message), hint=shortened(hint), stage=at.stage)
        dump(folder / FAILURE, failure)
        return 1
    dump(folder / RESULT, result)
    return 0


def _do(folder: Path, progress: PipeProgress, at: At) -> WorkerResult:
    if utility.is_asked(folder):
        return utility.answer_request(folder, progress, partial(setattr, at, "stage"), _peak_memory_mb)
    if is_defense(read_request(folder)):
        return change_weights(folder, progress, partial(setattr, at, "stage"), _peak_memory_mb)
    return run(folder, progress, at)


def run(folder: Path, progress: PipeProgress, at: At) -> WorkerResult:
    """Prepare, fit and score; the scores go to a file, the costs into the result."""
    begin = time.perf_counter()
    request = read_request(folder)
    given = read_given(folder, request)
    at.stage = "loading the target"
    opened = _open_target(request, progress, folder)
    view = None if opened is None else opened.view
    target = cast("TargetView", NoTarget()) if opened is None else _before(opened, request, folder, progress)
    at.stage = "preparation"
    attack = _make_attack(request)  # its code runs from here on: what a defense was given is off the disk by now
    device = "cpu" if opened is None else opened.device
    context = context_of(request, given, device, progress)
    del request
    loaded = time.perf_counter()
    at.stage = "fit"
    attack.fit(target, given.calibration, context)
    fitted = time.perf_counter()
    at.stage = "score"
    scores = attack.score(target, given.cases, context)
    done = time.perf_counter()
    if view is not None:
        view.close()
    at.stage = "checking the scores"
    if not isinstance(scores, Scores):
        raise TypeError(f"score() returned {type(scores).__name__}, not idbench.api.Scores")
    photos = [len(case._photos or ()) for case in given.cases]
    costs = None if view is None else view.shadow_costs
    save_scores(folder / SCORES, scores.checked(len(given.cases)), photos)
    return WorkerResult(
        load=loaded - begin,
        fit=fitted - loaded,
        score=done - fitted,
        device=device,
        peak_memory_mb=_peak_memory_mb(),
        queries=Asked() if view is None else Asked(**asdict(view.queries)),
        shadows=None if costs is None else ShadowsUsed.model_validate(costs, from_attributes=True),
        device_model=None if opened is None else opened.model,
        threads=None if opened is None else opened.threads,
    )


def _make_attack(request: Request) -> Attack[Any]:
    kind = cast("type[Attack[Any]]", plugins.load_object(request.attack))
    return kind(kind.Params.model_validate(request.params))


def _open_target(request: Request, progress: PipeProgress, folder: Path) -> Opened | None:
    if request.target is None:
        return None
    from idbench.runner.opening import open_view

    # A defense of answers may ask whatever it needs for them; what the attack may ask is checked before the defense.
    access = ~Access.WEIGHTS if has_answers(folder) else declared(request) | asked_by_adaptation(folder)
    return open_view(request.target, request.device, access, request.folders, progress)


def _before(opened: Opened, request: Request, folder: Path, progress: PipeProgress) -> TargetView:
    """What the attack asks: the target, a defense of answers before it, or an adaptation before either."""
    from idbench.targets.gate import Gate

    asked: TargetView = opened.view
    own = declared(request)
    if has_answers(folder):
        answered, name = answered_of(folder / DEFENSE)
        front = put_before(opened.view, folder, opened.device, progress)
        asked = Gate(front, own | asked_by_adaptation(folder), answered, name)
    if is_adapted(folder):
        answered, name = answered_of(folder / ADAPTATION)
        front = put_adaptation(asked, folder, opened.device, progress)
        asked = Gate(front, own, answered, name)
    return asked


def _peak_memory_mb() -> float:
    import psutil

    try:
        import resource
    except ImportError:  # Windows
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that a method left behind must not keep a finished worker alive.
    os._exit(status)
