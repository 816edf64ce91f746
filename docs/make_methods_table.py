"""Writes the tables of methods in README.md and docs: from the reference board, the studies' tables, and the cards.

python docs/make_methods_table.py            write the tables
python docs/make_methods_table.py --check    say whether they are up to date, and exit with 1 if they are not

The board is what `bench leaderboard build leaderboard/reference` makes; the tables show its numbers and no others.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from idbench.api import AnswerCard, AskingCard, Card, CorpusCard, Knowledge, names_of
from idbench.cli import text
from idbench.results.record import UtilityMeasure
from idbench.results.worst_case import WorstCase, recognized
from idbench.runner.registry import ADAPTATIONS, DEFENSES
from idbench.studies.defenses import DefenseResult, read_defenses
from idbench.studies.table import Point, read_result
from idbench_leaderboard.board import Board

ROOT = Path(__file__).parents[1]
BOARD = ROOT / "leaderboard" / "idbench_leaderboard" / "reference"
SPLIT = "avatars"
SERIES = ("avatars-a", "avatars-b", "avatars-0")
"""The two targets and the control, in the order of the columns."""
HEAD = ("method", "track", f"AUC on {SERIES[0]}", f"on {SERIES[1]}", "control")
QUERIES = {
    "texts": "texts",
    "images": "photos",
    "gradients": "gradients",
    "training_steps": "training steps",
}
"""What is counted apart: columns of the board, and what they are called."""


def entries(board: Board) -> pd.DataFrame:
    """The rows of the split that stand for a method as it is by default: undefended, of the newest engine that ran it.

    One row for each method and target, judged with the labels of its corpus, and the control with those of the first
    target's. Pooled rows are called by their targets.
    """
    rows = board.entries
    rows = rows[(rows["split"] == SPLIT) & rows["usual"] & (rows["defense"] == "")]
    rows = rows[~rows["control"] | (rows["corpus"] == SERIES[0])]
    rows = rows.sort_values(["split_version", "engine", "created"]).drop_duplicates(["method", "target"], keep="last")
    return rows.set_index(["method", "target"])


def ordered(rows: pd.DataFrame, target: str) -> list[str]:
    """The methods with a row for the target; the highest AUC first, equals by name."""
    aucs = rows.xs(target, level="target")["auc"]
    return sorted(aucs.index, key=lambda method: (-float(aucs[method]), method))


def estimate(row: Any) -> str:
    """AUC with its interval."""
    return f"{row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"


def seconds(value: float) -> str:
    """Rounded so that another run prints much the same."""
    if value < 60:
        return f"{max(1, round(value))} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def queries(row: Any) -> str:
    """What the target was asked for in one run, about everybody, and the steps that trained shadow models."""
    if not row["access"]:
        return "nothing"
    found = [f"{row[column]:,.0f} {word}" for column, word in QUERIES.items() if row[column]]
    return ", ".join(found) or "weights"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def origin(rows: pd.DataFrame, methods: Sequence[str]) -> str:
    """Which engine and how many seeds stand behind a table."""
    engines = {method: int(rows.loc[(method, SERIES[0]), "engine"]) for method in methods}
    newest = max(engines.values())
    seeds = " or ".join(map(str, sorted({int(rows.loc[(method, SERIES[0]), "n_seeds"]) for method in methods})))
    older = [
        f"version {old} ran {', '.join(f'`{method}`' for method, engine in engines.items() if engine == old)}"
        for old in sorted({engine for engine in engines.values() if engine < newest})
    ]
    last = f"; {', '.join(older)}" if older else ""
    return f"Mean over {seeds} seeds, test part, 95 % intervals over people. Version {newest} of the engine{last}."


def in_readme(board: Board) -> str:
    """What the methods find, in short."""
    rows = entries(board)
    methods = ordered(rows, SERIES[0])
    head = (*HEAD, "time")
    return table(head, [_line(rows, method)[:-1] for method in methods]) + "\n\n" + origin(rows, methods)


def on_the_page(board: Board) -> str:
    """The same with queries."""
    rows = entries(board)
    methods = ordered(rows, SERIES[0])
    head = (*HEAD, "time", "asked of the target")
    lines = [_line(rows, method) for method in methods]
    return table(head, lines) + "\n\n" + origin(rows, methods)


def _line(rows: pd.DataFrame, method: str) -> list[str]:
    row = rows.loc[(method, SERIES[0])]
    aucs = [estimate(rows.loc[(method, target)]) if (method, target) in rows.index else "not run" for target in SERIES]
    return [f"`{method}`", str(row["track"]), *aucs, seconds(float(row["seconds"])), queries(row)]


def over_architectures(board: Board) -> str:
    """The methods over the targets of all architectures."""
    rows = entries(board)
    pooled = f"all of {SERIES[0]}"
    rates = board.rates
    lines = []
    for method in ordered(rows, pooled):
        row = rows.loc[(method, pooled)]
        if row["track"] == "blind":
            continue
        (rate,) = rates[(rates["entry"] == row["entry"]) & (rates["fpr"] == 0.1)].itertuples()
        at_10 = f"{rate.value:.1%} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]".replace("%", " %")
        lines.append([method, str(row["pooled"]), estimate(row), f"{row['auc_spread']:.3f}", at_10])
    return table(("method", "targets", "AUC [95 %]", "sd over targets", "TPR at 10 % FPR"), lines)


def of_study(name: str) -> str:
    """Figure and AUCs of a study: a row for each variant, a column for each condition, the control's in brackets."""
    path = ROOT / "docs" / "studies" / f"{name}-{SPLIT}" / f"{name}.json"
    if not path.exists():
        return f"Not run to an end yet; `bench study {name}` runs it."
    result = read_result(path)
    points = [point for point in result.points if point.statistic == "auc"]
    main = next(point.series for point in points)
    conditions = {_words(p.settings): p.settings for p in points}
    lines = []
    for variant in dict.fromkeys(point.variant for point in points):
        own = [point for point in points if point.variant == variant]
        by_condition = [[point for point in own if point.settings == value] for value in conditions.values()]
        lines.append([str(variant), *(_cell(found, main) for found in by_condition)])
    picture = f"![{result.title}](studies/{name}-{SPLIT}/{name}.svg)"
    return f"{picture}\n\n{table(['', *conditions], lines)}\n\n{result.note}"


def _words(settings: dict[str, int] | None) -> str:
    return ", ".join(f"{value} {name}" for name, value in (settings or {}).items())


def _cell(points: Sequence[Point], main: str) -> str:
    found = {point.series: point for point in points}
    if main not in found or "control" not in found:
        return "not run"
    here, control = found[main], found["control"]
    return f"{here.value:.3f} [{here.low:.3f}, {here.high:.3f}] ({control.value:.3f})"


def of_cards(kind: str) -> str:
    """Defenses of one kind, or the adaptations, as their cards describe them."""
    registry = ADAPTATIONS if kind == "adaptations" else DEFENSES
    names = sorted(plugin.name for plugin in registry.plugins() if plugin.distribution.startswith("idbench "))
    cards = [registry.load(name).card for name in names]
    shown = [card for card in cards if kind == "adaptations" or _stands(card) == kind]
    extra = {"answers": ["answers"], "adaptations": ["changes"]}.get(kind, [])
    lines = [[f"`{card.name}`", _known(card), *([_place(card)] if extra else []), card.summary] for card in shown]
    return table(("adaptation" if kind == "adaptations" else "defense", "knows", *extra, "what it does"), lines)


def _stands(card: Card) -> str:
    if isinstance(card, AnswerCard):
        return "answers"
    return "training" if isinstance(card, CorpusCard) else "weights"


def _place(card: Card) -> str:
    """What a defense still answers, or what an adaptation changes."""
    if isinstance(card, AnswerCard):
        return ", ".join(_lower(name) for name in names_of(card.answers))
    return "questions" if isinstance(card, AskingCard) else "weights"


def _known(card: Card) -> str:
    return ", ".join(_lower(name) for name in names_of(card.knowledge & ~Knowledge.NONE)) or "nothing"


def _lower(name: str) -> str:
    return name.lower().replace("_", " ")


def of_defenses() -> str:
    """What the study of defenses found, as far as it was run: the worst case of each, and every attack on it."""
    path = ROOT / "docs" / "studies" / f"defenses-{SPLIT}" / "defenses.json"
    if not path.exists():
        return "Not run yet; `bench study defenses` runs it."
    result = read_defenses(path)
    worst = sorted(result.worst, key=lambda row: (row.protected.value, row.defense))
    aucs = ("AUC of the protected", "of the others", "highest tenth", "marks", "among non-members")
    head = ("defense", "strongest of", *aucs, "photo to caption", "naming of faces", "recognition", "seconds, steps")
    plain = ("cosine", "idia")
    found = {(row.defense, row.attack): row.protected.value for row in result.attacked}
    each = [
        [f"`{row.defense}`", *(_two(found.get((row.defense, name))) for name in plain), _strongest(result, row.defense)]
        for row in worst
    ]
    first = table(head, [_worst(row) for row in worst])
    second = table(("AUC of the protected", *plain, "the five strongest"), each)
    picture = f"![{result.title}](studies/defenses-{SPLIT}/defenses.svg)"
    return f"{result.note}\n\n{first}\n\n{second}\n\n{picture}"


def _strongest(result: DefenseResult, defense: str) -> str:
    """The five attacks on a defense that find most, either way around, with their AUC as it is."""
    own = [row for row in result.attacked if row.defense == defense]
    best = sorted(own, key=lambda row: abs(row.protected.value - 0.5), reverse=True)[:5]
    return ", ".join(f"{row.attack} {row.protected.value:.2f}" for row in best)


def _worst(row: WorstCase) -> list[str]:
    measures = {measure.name: measure for measure in row.utility}
    kept = recognized(row.utility)
    return [
        f"`{row.defense}`",
        f"{row.attempts}: {row.how}",
        text.estimate(row.protected),
        text.estimate(row.others),
        f"{row.tenth.value:.2f}",
        f"{text.estimate(row.marks)} by {row.marked_by}",
        "-" if row.trace is None else f"{row.trace.value:.3f}",
        *(_moved(measures.get(name)) for name in ("photo to caption", "naming of faces")),
        "-" if kept is None else f"{kept[0]:.2f} -> {kept[1]:.2f}",
        "-" if row.cost is None else f"{row.cost.seconds:.1f}, {row.cost.steps:,}",
    ]


def _moved(measure: UtilityMeasure | None) -> str:
    return "-" if measure is None else f"{measure.before.value:.3f} -> {measure.after.value:.3f}"


def _two(auc: float | None) -> str:
    return "-" if auc is None else f"{auc:.2f}"


TABLES: dict[str, tuple[str, Callable[[Board], str]]] = {
    "tuni-at-length": ("docs/studies.md", lambda _: of_study("tuni-at-length")),
    "by-epochs": ("docs/studies.md", lambda _: of_study("by-epochs")),
    "methods": ("README.md", in_readme),
    "architectures": ("docs/results.md", over_architectures),
    "measured": ("docs/methods.md", on_the_page),
    "defenses of weights": ("docs/defenses.md", lambda _: of_cards("weights")),
    "defenses before the training": ("docs/defenses.md", lambda _: of_cards("training")),
    "defenses of answers": ("docs/defenses.md", lambda _: of_cards("answers")),
    "adaptations": ("docs/defenses.md", lambda _: of_cards("adaptations")),
    "defenses as measured": ("docs/defenses.md", lambda _: of_defenses()),
}
"""Marks in the pages, the page of each, and what stands between them."""


def renewed(text: str, mark: str, made: str) -> str:
    """The page with what stands between two marks exchanged.

    Raises:
        ValueError: the page does not have the marks.
    """
    begin, end = f"<!-- {mark}: docs/make_methods_table.py -->", f"<!-- end of {mark} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"the page must hold {begin} and {end} once")
    return pattern.sub(lambda _: f"{begin}\n\n{made}\n\n{end}", text)


def pages(board: Path = BOARD) -> dict[Path, str]:
    """Every page as it should be."""
    opened, found = Board(board), dict[Path, str]()
    for mark, (name, make) in TABLES.items():
        path = ROOT / name
        found[path] = renewed(found.get(path) or path.read_text(encoding="utf-8"), mark, make(opened))
    return found


def main(arguments: Sequence[str]) -> int:
    """Write or check the tables; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--board", type=Path, default=BOARD, help="folder of a built board")
    given = parser.parse_args(arguments)
    stale = [path for path, text in pages(given.board).items() if path.read_text(encoding="utf-8") != text]
    if not given.check:
        for path, text in pages(given.board).items():
            path.write_text(text, encoding="utf-8")
        return 0
    for path in stale:
        sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date; run: python docs/make_methods_table.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
