"""`idbench.run`: one attack on one target, from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from idbench.api import Progress, Silent
from idbench.errors import MethodError
from idbench.runner.execute import Options
from idbench.runner.grid import Outcome, make_grid, run_grid
from idbench.runner.spec import plan_defense


def run(
    method: str,
    *,
    split: str = "avatars",
    target: str | None = None,
    seed: int = 0,
    corpus: str | None = None,
    preset: str | None = None,
    params: Mapping[str, object] | None = None,
    defense: str | None = None,
    defense_params: Mapping[str, object] | None = None,
    results: str | Path = "results",
    device: str = "auto",
    time_limit: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Run one attack on one target and compute its metrics; `bench run` is a thin layer over this.

    Args:
        method: name of a registered attack, e.g. `tuni`.
        split: name of a registered split, or the folder of one.
        target: name or reference of one target; None for the split's first.
        seed: non-negative; the only source of chance.
        corpus: whose labels count; None for the target's own.
        preset: named parameters from the method's card, e.g. `paper`.
        params: parameters by name, over the preset's.
        defense: name of a registered defense that the target is put behind; None for nothing.
        defense_params: its parameters by name.
        results: folder for records.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds for the attack; None for no limit.
        force: run even if there is a record.
        progress: receives progress reports.

    Returns:
        the run with its summary; read from the record if the same run was done before.

    Raises:
        IdbenchError: whatever is wrong, in one sentence with what to do next.
        ValueError: `target` means several.
    """
    from idbench.splits import load_split

    progress = progress or Silent()
    defenses = [None if defense is None else plan_defense(defense, None, defense_params)]
    grid = make_grid(load_split(split, progress), [method], target, [seed], corpus, preset, params, defenses, progress)
    if len(grid.targets) != 1:
        raise ValueError(f"target={target!r} means {len(grid.targets)} targets; `run` takes one, make_grid several")
    if not grid.size:
        raise MethodError(f"The target behind {defense} does not answer what {method} asks.")
    options = Options(Path(results), device, time_limit, force)
    (outcome,) = run_grid(grid, options, progress)
    return outcome
