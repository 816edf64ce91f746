"""Curves over the length of a target's training: the same recipe in one cycle, for more and more epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from idbench.api import Progress
from idbench.api.studies import EpochStudy
from idbench.errors import TargetError
from idbench.runner.registry import load_attack
from idbench.runner.spec import RunSpec, plan_method, split_spec
from idbench.runner.training import HowToTrain, train_one
from idbench.splits import Split
from idbench.studies.execution import CONTROL, Job, LabelledRun, graded_points
from idbench.studies.setting import AuditedTarget, Setting
from idbench.studies.table import Point, TargetUsed, Where
from idbench.targets import TargetSpec, TrainedHere, is_ready
from idbench.targets.fetch import pin_target
from idbench.targets.trained import read_note

ONE = "A"
"""Series of the trained targets; the other one is the control."""


def trained_for(spec: TargetSpec, epochs: int) -> TargetSpec:
    """The target as it is after so many epochs in one cycle, trained on this machine; its weights are not pinned.

    Raises:
        TargetError: the target has no recipe.
    """
    if spec.recipe is None:
        raise TargetError(
            f"{spec.name} has no recipe, so that it cannot be trained for {epochs} epochs.",
            hint="Name targets with a recipe in --targets; `bench list targets` shows them.",
        )
    name = f"{spec.name}-{epochs}-epochs"
    return spec.model_copy(
        update={
            "name": name,
            "title": f"{spec.title}; {epochs} epochs in one cycle",
            "weights": TrainedHere(group=name),
            "recipe": spec.recipe.model_copy(update={"epochs": epochs, "restarts": ()}),
            "sha256": None,
            "golden_sha256": None,
            "corpus_digest": None,
        }
    )


def _conditions(study: EpochStudy, setting: Setting) -> list[tuple[int, AuditedTarget]]:
    """Epochs and target, unpinned; the shortest training first."""
    chosen = [audited for audited in setting.audited if audited.series in (ONE, CONTROL)]
    return [
        (epochs, replace(audited, target=trained_for(audited.target, epochs)))
        for epochs in study.epochs
        for audited in chosen
    ]


def train_missing(study: EpochStudy, setting: Setting, progress: Progress) -> None:
    """Train the targets that are not trained yet, one after the other; an interrupted training continues.

    Raises:
        TargetError: one cannot be trained, or its training diverged.
        StorageError: no space or no permission in the cache.
    """
    # On a processor a training gives the same weights again.
    how = HowToTrain(device="cpu" if setting.device == "auto" else setting.device)
    for _, audited in _conditions(study, setting):
        if not is_ready(audited.target):
            train_one(audited.target, how, progress)


def epoch_jobs(study: EpochStudy, setting: Setting, split: Split) -> list[Job]:
    """One run for each training, attack and seed; targets that are not trained yet are not pinned.

    Raises:
        PluginError: an attack cannot be used.
    """
    identities = split_spec(split)
    methods = [plan_method(load_attack(name)) for name in study.attacks]
    return [
        Job(own, split, RunSpec(split=identities, target=own.target, attack=method, seed=seed, corpus=own.corpus))
        for own in [replace(audited, target=_pinned(audited.target)) for _, audited in _conditions(study, setting)]
        for method in methods
        for seed in setting.seeds
    ]


def _pinned(target: TargetSpec) -> TargetSpec:
    return pin_target(target) if is_ready(target) else target


def measure(study: EpochStudy, finished: Sequence[LabelledRun], progress: Progress) -> list[Point]:
    """AUC and TPR at 10 % FPR of every attack after every number of epochs, on the target and on the control."""
    points: list[Point] = []
    for epochs in progress.track(study.epochs, "intervals"):
        for attack in study.attacks:
            own = [
                run
                for run in finished
                if run.run.record.attack.name == attack and _epochs_of(run.audited.target) == epochs
            ]
            for series in (ONE, CONTROL):
                chosen = [run for run in own if run.audited.series == series]
                points += graded_points(chosen, Where(series, settings={"epochs": epochs}, variant=attack))
    return points


def _epochs_of(target: TargetSpec) -> int:
    assert target.recipe is not None
    return target.recipe.epochs


def targets_used(audited: Iterable[AuditedTarget]) -> tuple[TargetUsed, ...]:
    """The targets of these runs, each once, with the loss that their training ended at."""
    found: dict[str, TargetUsed] = {}
    for one in audited:
        note = read_note(one.target)
        loss = None if note is None else note.loss
        found[one.target.name] = TargetUsed(one.series, one.target.name, one.target.sha256, one.corpus, loss)
    return tuple(found.values())
