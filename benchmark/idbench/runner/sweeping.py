"""Which parameters the calibration people prefer: settings are judged without a look at the people under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Final

import numpy as np

from idbench import metrics
from idbench.api import Knowledge
from idbench.errors import IdbenchError, MethodError
from idbench.progress import Progress
from idbench.results import Estimate
from idbench.results.summarizing import LabelledScores, estimate_of
from idbench.runner.evaluate import with_labels
from idbench.runner.execute import Executed, Options
from idbench.runner.grid import Grid, make_grid, run_unscored
from idbench.runner.registry import load_attack, make_method
from idbench.runner.spec import plan_method
from idbench.splits import Split

MOST_SETTINGS: Final = 1000
"""Settings of one sweep: the calibration people, a few hundred at most, tell far fewer apart."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One point of a sweep.

    Args:
        values: the parameters that vary, as texts or values.
        auc: on the calibration part, mean over targets and seeds.
        run_ids: of its runs.
        difference_p: of "no better and no worse than the best setting", paired over people; None for the best itself.
    """

    values: Mapping[str, object]
    auc: Estimate
    run_ids: tuple[str, ...]
    difference_p: float | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found.

    Args:
        settings: in the order in which they were asked for.
        best: place of the setting with the highest AUC on the calibration part; the first of equals.
        people: of the calibration part.
    """

    settings: tuple[SweepPoint, ...]
    best: int
    people: int

    @property
    def close(self) -> tuple[int, ...]:
        """Places of the settings that the calibration people do not tell from the best one (5 % level)."""
        return tuple(
            i for i, one in enumerate(self.settings) if one.difference_p is not None and one.difference_p >= 0.05
        )


def settings_of(varied: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    """Every combination of the values, the last parameter varying fastest.

    Raises:
        MethodError: they are more than a sweep may have.
    """
    count = prod(map(len, varied.values()))
    if count > MOST_SETTINGS:
        raise MethodError(
            f"{count:,} settings are more than the {MOST_SETTINGS:,} of which a sweep can choose one.",
            hint="Give fewer values, or the parameters one after the other.",
        )
    return [dict(zip(varied, values, strict=True)) for values in product(*varied.values())]


def as_sweep(method: str, preset: str | None, given: Mapping[str, object]) -> dict[str, list[object]]:
    """Parameters that mean several values: their text does not fit as it is, and each part between commas does.

    Args:
        method: name of an attack.
        preset: of the parameters.
        given: as typed.
    """
    registered, found = load_attack(method), {}
    for name, value in given.items():
        parts: list[object] = [*value.split(",", MOST_SETTINGS)] if isinstance(value, str) else []
        if len(parts) > 1 and not _fits(method, preset, {name: value}):
            # Of more than a sweep may have, the first says what is meant; `settings_of` refuses them.
            tried = parts if len(parts) <= MOST_SETTINGS else parts[:1]
            if all(_fits(method, preset, {name: part}) for part in tried):
                found[name] = parts
            else:
                make_method(registered, preset, {name: value})  # says what is wrong
    return found


def _fits(method: str, preset: str | None, values: Mapping[str, object]) -> bool:
    try:
        make_method(load_attack(method), preset, values)
    except MethodError:
        return False
    return True


def plan_sweep(
    split: Split,
    method: str,
    varied: Mapping[str, Sequence[object]],
    fixed: Mapping[str, object],
    *,
    target: str | None,
    seeds: Sequence[int],
    corpus: str | None,
    preset: str | None,
) -> list[tuple[dict[str, object], Grid]]:
    """Each setting with its runs; everything that can be wrong is found here.

    Controls are left out: there are no members by whom a setting could be judged.

    Raises:
        MethodError: the attack learns from the labels that would judge it, or a value does not fit.
        IdbenchError: no target but controls, or no calibration people of both kinds; whatever `make_grid` raises.
    """
    if Knowledge.CALIBRATION_LABELS in load_attack(method).card.knowledge:
        raise MethodError(
            f"{method} learns from the labels of the calibration people, so these cannot judge its settings.",
            hint="Choose its parameters on another split.",
        )
    grids = [
        (values, _without_controls(make_grid(split, [method], target, seeds, corpus, preset, {**fixed, **values})))
        for values in settings_of(varied)
    ]
    for _, labels in grids[0][1].targets:
        inside = split.calibration_members(labels)
        n = sum(one.part == "calibration" for one in split.identities)
        if min(int(inside.sum()), n - int(inside.sum())) < 2:
            raise IdbenchError(
                f"{split.manifest.name} has no calibration people of both kinds to choose parameters on.",
                hint="Choose them on a split that has, e.g. --split avatars.",
            )
    return grids


def _without_controls(grid: Grid) -> Grid:
    kept = tuple((spec, labels) for spec, labels in grid.targets if not spec.control_for)
    if not kept:
        raise IdbenchError(
            f"{grid.targets[0][0].name} is a control: it has no members by whom a setting could be judged.",
            hint="Name a target that was trained on people of the split.",
        )
    return replace(grid, targets=kept)


def usual_setting(
    grids: Sequence[tuple[dict[str, object], Grid]], preset: str | None, fixed: Mapping[str, object]
) -> int | None:
    """Place of the setting that is used without a sweep; None if it is not among them.

    Args:
        grids: from `plan_sweep`.
        preset: as it was given there.
        fixed: as it was given there.
    """
    name = grids[0][1].methods[0].name
    usual = plan_method(load_attack(name), preset, fixed).parameters
    return next((i for i, (_, grid) in enumerate(grids) if grid.methods[0].parameters == usual), None)


def run_sweep(
    split: Split, grids: Sequence[tuple[dict[str, object], Grid]], options: Options, progress: Progress
) -> Sweep:
    """Carry a sweep out. The records hold the scores of everybody, and no metrics: the test part is not looked at.

    Raises:
        IdbenchError: a run failed.
    """
    readings: list[tuple[dict[str, object], list[Executed]]] = []
    for number, (values, grid) in enumerate(grids, start=1):
        setting = ", ".join(f"{name}={value}" for name, value in values.items())
        progress.update(number - 1, len(grids), f"setting {number} of {len(grids)} · {setting}")
        readings.append((values, list(run_unscored(grid, options, progress, blind=False))))
    judged = [[_on_calibration(split, one) for one in runs] for _, runs in readings]
    pools = [metrics.pooled([r.scores for r in rows], [r.members for r in rows], fprs=[]) for rows in judged]
    best = int(np.argmax([pool.auc.value for pool in pools]))
    settings = tuple(
        SweepPoint(
            values=values,
            auc=estimate_of(pools[i].auc.value, pools[i].auc.interval),
            run_ids=tuple(one.spec.run_id for one in runs),
            difference_p=None if i == best else _difference(judged[best], judged[i]),
        )
        for i, (values, runs) in enumerate(readings)
    )
    return Sweep(settings, best, len(judged[0][0].scores))


def _on_calibration(split: Split, done: Executed) -> LabelledScores:
    """Scores and labels of the calibration part, which a folder has even where the test labels are withheld."""
    if split.manifest.withheld is None:
        return with_labels(done.run.scores(), split, done.spec.corpus, "calibration")
    table = done.run.scores()
    row = {name: i for i, name in enumerate(table.identities)}
    inside = split.calibration_members(done.spec.corpus)
    people = sorted((one.id, i) for i, one in enumerate(split.identities) if one.part == "calibration")
    members = np.array([bool(inside[i]) for _, i in people], dtype=np.bool_)
    scores = table.ranked()[[row[name] for name, _ in people]]
    return LabelledScores(tuple(name for name, _ in people), scores, members, members.astype(np.int64))


def _difference(best: Sequence[LabelledScores], other: Sequence[LabelledScores]) -> float:
    members = [row.members for row in best]
    return metrics.pooled_difference([row.scores for row in best], [row.scores for row in other], members).p
