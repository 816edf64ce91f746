"""What every verb prints with: tables or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from idbench.errors import IdbenchError
from idbench.escaping import csv_cell, latex, markdown, terminal, terminal_json
from idbench.progress import Reporter

_WIDE: Final = 130  # characters
_WHOLE: Final = frozenset({"name", "method", "run", "target", "split", "defense"})
"""Columns whose cells people copy: they are never broken over two lines."""

Format = Literal["text", "md", "csv", "latex"]
LINE_EVERY = 10.0  # seconds between lines where there is no terminal to draw a bar on

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


class Bars(Reporter):
    """A progress reporter that draws a bar with the time left, or writes a line now and then without a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._shown = ""
        self._last = time.monotonic()

    def update(self, done: float, total: float, description: str) -> None:
        """Move the bar; another description takes the place of the last, so that finished ones go away."""
        text = terminal(description)
        if self._task is None or text != self._shown:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task, self._shown = self._progress.add_task(text, total=total), text
        self._progress.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if not err.is_terminal and now - self._last > LINE_EVERY:
            self._last = now
            err.print(f"{text}: {done / total:.0%}" if total else text, markup=False)


@contextmanager
def bars() -> Iterator[Bars]:
    """Progress bars on standard error for as long as the block lasts; they vanish afterwards."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield Bars(progress)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> None:
    """Print a table; columns named in `right` are aligned to the right. Brackets are text: captions hold any."""
    shown = Table(
        title=Text(terminal(title), "bold") if title else None, title_justify="left", show_header=any(columns)
    )
    numbers = set(right)
    for column in columns:
        shown.add_column(
            Text(terminal(column)),
            justify="right" if column in numbers else "left",
            overflow="fold",
            no_wrap=column in _WHOLE or column in numbers,
        )
    for row in rows:
        shown.add_row(*(Text(terminal(cell)) for cell in row))
    wide_enough(shown)


def tabulate(
    how: Format, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()
) -> None:
    """Print a table as people want it: for the eye, or as Markdown, CSV or LaTeX for a paper."""
    if how == "text":
        table(title, columns, rows, right)
        return
    numbers = set(right)
    if how == "csv":
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([map(csv_cell, row) for row in (columns, *rows)])
        sys.stdout.write(terminal(file.getvalue()))
    elif how == "md":
        lines = [columns, ["---:" if column in numbers else "---" for column in columns]]
        cells = [lines[1], *([markdown(cell) for cell in row] for row in rows)]
        head = " | ".join(map(markdown, columns))
        sys.stdout.write("\n".join([f"| {head} |", *(f"| {' | '.join(row)} |" for row in cells)]) + "\n")
    else:
        sys.stdout.write(_latex(title, columns, rows, numbers))


def _latex(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[str]) -> str:
    """A `booktabs` tabular; the title is a comment, for a paper has its own captions."""
    kinds = "".join("r" if column in numbers else "l" for column in columns)
    heading = terminal(" ".join(title.split()))
    lines = [f"% {heading}; needs \\usepackage{{booktabs}}", f"\\begin{{tabular}}{{{kinds}}}", "\\toprule"]
    lines += [" & ".join(map(latex, columns)) + r" \\", "\\midrule"]
    lines += [" & ".join(map(latex, row)) + r" \\" for row in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def wide_enough(shown: Table) -> None:
    """Print a table in full: piped into a file, it is as wide as it needs to be."""
    if out.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        out.print(shown)
        return
    width = Console(width=400).measure(shown).maximum
    Console(highlight=False, width=max(width, 80)).print(shown)


def is_wide() -> bool:
    """Whether tables of ten columns fit: in a wide terminal, and in files, which are as wide as they need to be."""
    limited = out.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    return not limited or out.width >= _WIDE


def write_json(value: object) -> None:
    """Print a value as JSON; control characters are escaped as JSON does it."""
    sys.stdout.write(terminal_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n")


def say(text: str) -> None:
    """Print a sentence."""
    out.print(terminal(text), markup=False)


def command(text: str) -> None:
    """Print a line that may be copied into a shell: never wrapped."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(error: IdbenchError) -> None:
    """Print an error and what to do next."""
    err.print("[bold red]error:[/] ", end="")
    err.print(terminal(error.message), markup=False)
    if error.hint:
        err.print(f"  {terminal(error.hint)}", markup=False)
