"""`bench list`: what is registered here, and what was run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options, text
from idbench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idbench.plugins import Entry
    from idbench.targets import TargetSpec

_KINDS = ("methods", "defenses", "splits", "targets", "adaptations", "runs", "studies")


def listing(
    kind: Annotated[
        str,
        typer.Argument(
            help="methods, defenses, splits, targets, adaptations, runs or studies; default: the first four."
        ),
    ] = "",
    results: options.Results = options.RESULTS,
    how: options.Format = "text",
    json: options.Json = False,
) -> None:
    """List methods, defenses, splits, targets, adaptations, runs and studies."""
    if kind and kind not in _KINDS:
        raise UnknownNameError("kind of thing to list", kind, _KINDS)
    if kind == "runs":
        options.check_results(results)
    kinds = [kind] if kind else list(_KINDS[:4])
    with ThreadPoolExecutor(len(kinds)) as pool:  # side by side, as a plug-in may take its time to say what it is
        rows = dict(zip(kinds, pool.map(lambda name: _ROWS[name](results), kinds), strict=True))
    if json:
        console.write_json(rows if not kind else rows[kind])
        return
    for name in kinds:
        if not rows[name]:
            console.say(f"{name}: none")
        elif name == "runs":
            _show_runs(rows[name], how)
        else:
            columns = _SHORT.get(name, tuple(rows[name][0]))
            console.tabulate(how, name, columns, [[str(row[c]) for c in columns] for row in rows[name]])
            _say_broken(rows[name] if how == "text" and "title" not in columns else [])
    if how == "text" and not kind:
        console.next_steps("bench show NAME has the details", "bench list runs")


def _say_broken(rows: Sequence[dict[str, Any]]) -> None:
    """Say why a plug-in cannot be used, below a table that has no room for it."""
    for row in rows:
        if row["version"] == "unavailable":
            console.say(f"{row['name']} cannot be used: {row['title']}")


def _show_runs(rows: list[dict[str, Any]], how: console.Format) -> None:
    """One table for each split, whose name need not stand in every row; what cannot be read, below."""
    good = [row for row in rows if not row["problem"]]
    for split in dict.fromkeys(row["split"] for row in good):
        own = [row for row in good if row["split"] == split]
        columns = ("run", "method", "target", "defense", "seed", "parameters")
        cells = [(*(str(row[c]) for c in columns), *_in_two(row["AUC"])) for row in own]
        spare = ("defense", "seed", "95 % interval")
        console.tabulate(how, f"runs on {split}", (*columns, "AUC", "95 % interval"), cells, ("seed",), spare)
    if how == "text" and any(row["AUC"] == "-" for row in good):
        console.say("AUC -: not computed yet (runs of a sweep, blind attacks beside others); bench score RUN does.")
    for row in rows:
        if row["problem"]:
            console.say(f"cannot be read: {row['problem']}")


def _in_two(estimate: str) -> tuple[str, str]:
    """An estimate and its interval apart, so that a narrow terminal can do without the interval."""
    value, _, interval = estimate.partition(" ")
    return value, interval or "-"


def _methods(_: object) -> list[dict[str, Any]]:
    from idbench.api import names_of
    from idbench.runner.registry import ATTACKS

    rows = []
    for entry in ATTACKS.entries():
        card = entry.value.card if entry.value is not None else None
        rows.append(
            {
                "name": entry.name,
                "track": card.track.value if card else "unavailable",
                "asks": ", ".join(names_of(card.access)) or "nothing" if card else "",
                "knows": ", ".join(names_of(card.knowledge)) or "nothing" if card else "",
                "title": card.title if card else entry.reason,
                "from": entry.distribution,
            }
        )
    return rows


def _defenses(_: object) -> list[dict[str, Any]]:
    from idbench.runner.registry import DEFENSES

    return _cards(DEFENSES.entries())


def _adaptations(_: object) -> list[dict[str, Any]]:
    from idbench.runner.registry import ADAPTATIONS

    return _cards(ADAPTATIONS.entries())


def _cards(entries: Sequence[Entry[Any]]) -> list[dict[str, Any]]:
    """What is known of defenses or adaptations."""
    from idbench.api import names_of

    rows = []
    for entry in entries:
        card = entry.value.card if entry.value is not None else None
        rows.append(
            {
                "name": entry.name,
                "version": card.version if card else "unavailable",
                "knows": ", ".join(names_of(card.knowledge)) or "nothing" if card else "",
                "title": card.title if card else entry.reason,
                "from": entry.distribution,
            }
        )
    return rows


def _splits(_: object) -> list[dict[str, Any]]:
    from idbench.splits import SPLITS

    rows = []
    for entry in SPLITS.entries():
        recipe = entry.value
        version, title = ("unavailable", entry.reason) if recipe is None else (str(recipe.version), recipe.title)
        rows.append({"name": entry.name, "version": version, "title": title})
    return rows


def _targets(_: object) -> list[dict[str, Any]]:
    from idbench.targets import TARGETS

    entries = TARGETS.entries()
    rows = [
        {
            "name": t.name,
            "version": t.version,
            "architecture": t.architecture_name,
            "trained on": t.corpus or "unknown",
            "control for": ", ".join(t.control_for) or "-",
            "title": _title(t),
        }
        for t in (entry.value for entry in entries)
        if t is not None
    ]
    nothing = {"version": "unavailable"} | dict.fromkeys(("architecture", "trained on", "control for"), "-")
    return rows + [nothing | {"name": entry.name, "title": entry.reason} for entry in entries if entry.value is None]


def _title(target: TargetSpec) -> str:
    from idbench.targets import TrainedHere, is_ready

    if is_ready(target):
        return target.title
    missing = (
        f"trained yet: bench target train {target.name}" if isinstance(target.weights, TrainedHere) else "made yet"
    )
    return f"{target.title} (not {missing})"


def _runs(results: Any) -> list[dict[str, Any]]:
    from idbench.results import collect

    if not results.exists():
        return []
    rows: list[dict[str, Any]] = []
    found = collect([results])
    for run in found.runs:
        record, summary = run.record, run.summary()
        rows.append(
            {
                "run": record.run_id[:8],
                "method": record.attack_label,
                "split": f"{record.split.name} v{record.split.version}",
                "target": record.target.name,
                "defense": record.defense.name if record.defense else "-",
                "seed": record.seed,
                "parameters": text.passed(record.parameters_passed),
                "AUC": text.estimate(summary.auc) if summary else "-",
                "created": f"{record.created:%Y-%m-%d %H:%M}",
                "problem": "",
            }
        )
    nothing = dict.fromkeys(
        ("run", "method", "split", "target", "defense", "seed", "parameters", "AUC", "created"), "-"
    )
    rows += [nothing | {"problem": f"{each.where}: {each.reason}"} for each in found.rejected]
    return rows


def _studies(_: object) -> list[dict[str, Any]]:
    from idbench.cli.study import study_rows

    return list(study_rows())


_SHORT = {
    "methods": ("name", "track", "title"),
    "defenses": ("name", "title"),
    "targets": ("name", "architecture", "trained on"),
}
"""What a list shows of each; `bench show NAME` and `--json` have the rest."""

_ROWS = {
    "methods": _methods,
    "defenses": _defenses,
    "adaptations": _adaptations,
    "splits": _splits,
    "targets": _targets,
    "runs": _runs,
    "studies": _studies,
}
