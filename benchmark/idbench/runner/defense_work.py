"""What a worker does for a defense: lets one change weights, or puts one before the target that an attack asks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from idbench import plugins
from idbench.api import (
    Access,
    AnswerAdaptation,
    AnswerDefense,
    Context,
    CorpusDefense,
    EditableTarget,
    Method,
    Progress,
    TargetDefense,
    TargetView,
    WeightAdaptation,
)
from idbench.errors import MethodError
from idbench.runner.bundle import ADAPTATION, DEFENSE, Given, Request, context_of, read_given, read_request
from idbench.runner.messages import WEIGHTS, Stage, WorkerResult
from idbench.splits.corpora import read_corpus

_M = TypeVar("_M")
_Opened: TypeAlias = tuple[_M, Given, Context]
_Changing: TypeAlias = TargetDefense[Any] | CorpusDefense[Any] | WeightAdaptation[Any]


def declared(request: Request) -> Access:
    """What a method may ask, as the parent read its card: in a worker it could say something else."""
    return _flags(request.access)


def _flags(names: Sequence[str]) -> Access:
    return reduce(or_, (Access[name] for name in names), Access.NONE)


def is_defense(request: Request) -> bool:
    """Whether a worker was asked for another target; no third-party code runs to find out."""
    return bool(request.defense)


def change_weights(
    folder: Path, progress: Progress, tell: Callable[[Stage], None], peak: Callable[[], float]
) -> WorkerResult:
    """Let a defense or an adaptation change the target of a bundle; the weights go to a file in the folder.

    Args:
        folder: a bundle whose method is a `TargetDefense`, a `CorpusDefense` or a `WeightAdaptation`.
        progress: receives progress reports.
        tell: called with what is being done, for the message if it fails.
        peak: the most memory that this process used so far, in MiB.
    """
    import torch

    from idbench.runner.opening import choose_device
    from idbench.targets import TargetSpec
    from idbench.targets.defending import write_defended
    from idbench.targets.load import load_target
    from idbench.targets.retraining import retrain

    begin = time.perf_counter()
    request = read_request(folder)
    kind = cast("type[_Changing]", plugins.load_object(request.attack))
    method: _Changing = kind(kind.Params.model_validate(request.params))
    given = read_given(folder, request)
    tell("loading the target")
    device = choose_device(request.device)
    assert request.target is not None
    spec = TargetSpec.model_validate_json(request.target)
    context = context_of(request, given, device, progress)
    if isinstance(method, CorpusDefense):
        assert request.training is not None
        corpus = read_corpus(spec.corpus or spec.name, Path(request.training))
        ready = time.perf_counter()
        tell("the defense")
        cost = retrain(folder / WEIGHTS, spec, corpus, method, given.cases, context)
    else:
        loaded = load_target(spec, device)
        ready = time.perf_counter()
        tell("the defense")
        cost = write_defended(folder / WEIGHTS, loaded, kind.card.name, _change(method, given, context))
    return WorkerResult(
        load=ready - begin,
        fit=0.0,
        score=cost.seconds,
        device=cost.device,
        peak_memory_mb=peak(),
        threads=torch.get_num_threads(),
        steps=cost.steps,
        guarantees=cost.guarantees,
    )


def _change(
    method: TargetDefense[Any] | WeightAdaptation[Any], given: Given, context: Context
) -> Callable[[EditableTarget], object]:
    if isinstance(method, WeightAdaptation):
        return lambda target: method.adapt(target, context)
    return lambda target: method.defend(target, given.cases, context)


def put_before(view: TargetView, folder: Path, device: str, progress: Progress) -> TargetView:
    """The target behind the `AnswerDefense` of an attack's bundle.

    What the defense is given is removed from the disk before the attack's code runs.

    Args:
        view: answers everything; counts what it is asked.
        folder: the attack's bundle; it holds the defense's own.
        device: where to compute.
        progress: receives progress reports.
    """
    own = folder / DEFENSE
    defense, given, context = cast("_Opened[AnswerDefense[Any]]", _opened(own, device, progress))
    front = _checked(defense.defend(view, given.cases, context), own)
    shutil.rmtree(own, ignore_errors=True)
    return front


def put_adaptation(view: TargetView, folder: Path, device: str, progress: Progress) -> TargetView:
    """What an `AnswerAdaptation` makes of the target that an attack's bundle is about.

    Args:
        view: the target behind its defense.
        folder: the attack's bundle; it holds the adaptation's own.
        device: where to compute.
        progress: receives progress reports.
    """
    own = folder / ADAPTATION
    adaptation, given, context = cast("_Opened[AnswerAdaptation[Any]]", _opened(own, device, progress))
    return _checked(adaptation.adapt(view, given.cases, given.calibration, context), own)


def _checked(front: TargetView, folder: Path) -> TargetView:
    """What a method made of a target, refused if it is not one."""
    if not callable(getattr(front, "labels", None)):
        raise MethodError(
            f"{read_request(folder).defense} returned {type(front).__name__}, which is not a target.",
            hint="Return a TargetView, e.g. a child of TargetFront.",
        )
    return front


def _opened(folder: Path, device: str, progress: Progress) -> _Opened[Method[Any]]:
    """The method that a bundle names, with its parameters, and what it is given."""
    request = read_request(folder)
    kind = cast("type[Method[Any]]", plugins.load_object(request.attack))
    given = read_given(folder, request)
    return kind(kind.Params.model_validate(request.params)), given, context_of(request, given, device, progress)


def asked_by_adaptation(folder: Path) -> Access:
    """What the adaptation in an attack's bundle asks beyond the attack; nothing where there is none."""
    if not is_adapted(folder):
        return Access.NONE
    return declared(read_request(folder / ADAPTATION))


def is_adapted(folder: Path) -> bool:
    """Whether an attack's bundle holds an adaptation that stands between the attack and its target."""
    return (folder / ADAPTATION).is_dir()


def has_answers(folder: Path) -> bool:
    """Whether an attack's bundle holds a defense to be put before the target."""
    return (folder / DEFENSE).is_dir()


def answered_of(folder: Path) -> tuple[Access, str]:
    """What a defense or an adaptation answers of an attack's questions, as the parent read its card, and its name.

    Its own card could say something else here.

    Args:
        folder: its own bundle, in that of the attack.
    """
    request = read_request(folder)
    return _flags(request.answers), request.defense
