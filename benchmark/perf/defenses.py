"""The table of docs/defenses.md, from records: what attacks find behind each defense, and what it costs bystanders.

Make the records first, e.g. `bench run -m cosine -m idia --defense all --defense none --results FOLDER`, then
`python benchmark/perf/defenses.py FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from idbench.results import Run, find_runs

MEASURES = {
    "photo to caption": "photo to caption",
    "caption to photo": "caption to photo",
    "naming of faces": "naming of faces",
    "recognition of walls": "walls",
    "recognition of faces": "expressions",
}


def main() -> None:
    """Print one row for each defense, sorted by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    by_defense: dict[str, list[Run]] = {}
    for run in find_runs(parser.parse_args().results):
        if run.record.defense is not None:
            by_defense.setdefault(run.record.defense.name, []).append(run)
    attacks = sorted({run.record.attack.name for runs in by_defense.values() for run in runs})
    columns = [f"{attack}: protected, others, marks" for attack in attacks] + list(MEASURES.values()) + ["cost"]
    print("| defense | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for name, runs in sorted(by_defense.items()):
        print(f"| `{name}` | " + " | ".join(_row(attacks, runs)) + " |")


def _row(attacks: list[str], runs: list[Run]) -> list[str]:
    cells = [_attacked(next((run for run in runs if run.record.attack.name == attack), None)) for attack in attacks]
    defense = runs[0].record.defense
    assert defense is not None
    found = {one.name: one for one in defense.utility}
    for name in MEASURES:
        one = found.get(name)
        cells.append("-" if one is None else f"{one.before.value:.2f} -> {one.after.value:.2f}")
    cost = defense.cost
    cells.append("-" if cost is None else f"{cost.seconds:.1f} s, {cost.steps} steps")
    return cells


def _attacked(run: Run | None) -> str:
    summary = None if run is None else run.summary()
    if summary is None:
        return "-"
    groups = [f"{g.auc.value:.2f} [{g.auc.low:.2f}, {g.auc.high:.2f}]" for g in summary.groups]
    return ", ".join([*groups, "-" if summary.marks is None else f"{summary.marks.value:.2f}"])


if __name__ == "__main__":
    main()
