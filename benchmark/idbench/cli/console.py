"""What every verb prints with: tables or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Final, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from idbench.errors import IdbenchError
from idbench.escaping import csv_cell, latex, markdown, terminal, terminal_json
from idbench.progress import Reporter

_ANY: Final = 1 << 20  # characters: no line of a table is wider
_WHOLE: Final = frozenset({"name", "method", "run", "target", "split", "defense", "adaptation", "AUC"})
"""Columns whose cells people copy or compare: they are never broken over two lines."""
_INTERVAL: Final = re.compile(r"\[[^]]*, [^]]*\]")
_ERROR: Final = "error:"
_EDGE: Final = 3  # characters that a table's frame takes for each column
_NARROW: Final = 12  # characters that a column of sentences needs
_WIDE: Final = 100  # characters of a terminal that has room for times beside a bar
_WORD: Final = 20  # characters; words up to this length are not broken

Format = Literal["text", "md", "csv", "latex"]
LINE_EVERY = 10.0  # seconds between lines where there is no terminal to draw a bar on

out = Console(highlight=False, soft_wrap=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


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
            err.print(f"{text}: {done / total:.0%}" if total else text, markup=False, soft_wrap=True)


@contextmanager
def bars() -> Iterator[Bars]:
    """Progress bars on standard error for as long as the block lasts; they vanish afterwards."""
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
    ]
    if err.width >= _WIDE:  # elsewhere a long description says how long it takes, if anything does
        columns += [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield Bars(progress)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Iterable[str] = (),
    spare: Sequence[str] = (),
) -> tuple[str, ...]:
    """Print a table that fits the terminal. Brackets are printed as they are: captions may hold some.

    Args:
        title: printed above it; may be empty.
        columns: their names; all empty for a table without a head.
        rows: one cell for each column.
        right: columns that are aligned to the right. Their numbers, and all intervals, stay in one line if they can.
        spare: columns that may be missing, the least important last. One that is empty in every row is left out, and
            so are, from the last on, as many as the terminal is too narrow for; a line under the table names them.
            If all that stays is still too wide, every row becomes a block of lines, whole.

    Returns:
        the columns that did not fit.
    """
    cells = [tuple(row) for row in rows]
    numbers = frozenset(right)
    empty = {name for i, name in enumerate(columns) if name in spare and {row[i] for row in cells} == {"-"}}
    whole = [i for i, name in enumerate(columns) if name not in empty]
    intervals = {columns[i] for i in whole if any(_INTERVAL.search(row[i]) for row in cells)}
    for unbroken in (_WHOLE | numbers | intervals, _WHOLE | numbers):
        shown = _fitting(columns, cells, whole, spare, unbroken)
        if shown is not None:
            _print_grid(title, columns, cells, shown, numbers, unbroken)
            missing = tuple(columns[i] for i in whole if i not in shown)
            if missing:
                say(f"A wider terminal shows {', '.join(missing)} too, and so does --json.")
            return missing
    _print_blocks(title, columns, cells, whole)
    return ()


def _fitting(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    shown: Sequence[int],
    spare: Sequence[str],
    unbroken: Set[str],
) -> Sequence[int] | None:
    """Of these columns, those that can stand side by side; None if they cannot, even without the spare ones."""
    if _is_unlimited():
        return shown
    widths = {i: _least_width(columns[i], [row[i] for row in rows], columns[i] in unbroken) + _EDGE for i in shown}
    for name in [None, *reversed(spare)]:
        shown = [i for i in shown if columns[i] != name]
        if sum(widths[i] for i in shown) + 1 <= out.width:
            return shown
    return None


def _least_width(column: str, cells: Sequence[str], unbroken: bool) -> int:
    """How many characters a column cannot do without: all of a name or number, the longest word of a sentence."""
    texts = [terminal(text) for text in (column, *cells)]
    longest = max(cell_len(line) for text in texts for line in text.splitlines() or [""])
    if unbroken:
        return longest
    words = max((cell_len(word) for text in texts for word in text.split()), default=0)
    return min(longest, max(min(words, _WORD), _NARROW))


def _print_grid(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    shown: Sequence[int],
    right: Set[str],
    unbroken: Set[str],
) -> None:
    grid = Table(title=Text(terminal(title), "bold") if title else None, title_justify="left", show_header=any(columns))
    for i in shown:
        name, whole = columns[i], columns[i] in unbroken
        grid.add_column(
            Text(terminal(name)),
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=whole,
            min_width=None if _is_unlimited() else _least_width(name, [row[i] for row in rows], whole),
        )
    for row in rows:
        grid.add_row(*(Text(terminal(row[i])) for i in shown))
    _wide_enough(grid)


def _print_blocks(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], shown: Sequence[int]) -> None:
    """Every row as lines of a column's name and its cell, an empty line after each."""
    if title:
        out.print(Text(terminal(title), "bold"))
    for row in rows:
        block = Table.grid(padding=(0, 2, 0, 0))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for i in shown:
            block.add_row(Text(terminal(columns[i]), "bold"), Text(terminal(row[i])))
        out.print(block)
        out.print()


def tabulate(
    how: Format,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Iterable[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table in the format asked for: as `table` does, or in full as Markdown, CSV or LaTeX."""
    if how == "text":
        table(title, columns, rows, right, spare)
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
    """A `booktabs` tabular; the title is a comment, since a paper has its own captions."""
    kinds = "".join("r" if column in numbers else "l" for column in columns)
    heading = terminal(" ".join(title.split()))
    lines = [f"% {heading}; needs \\usepackage{{booktabs}}", f"\\begin{{tabular}}{{{kinds}}}", "\\toprule"]
    lines += [" & ".join(map(latex, columns)) + r" \\", "\\midrule"]
    lines += [" & ".join(map(latex, row)) + r" \\" for row in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _wide_enough(shown: Table) -> None:
    """Print a table in full: piped into a file, it is as wide as it needs to be."""
    if not _is_unlimited():
        out.print(shown)
        return
    width = Console(width=_ANY).measure(shown).maximum
    Console(highlight=False, width=max(width, 80)).print(shown)


def _is_unlimited() -> bool:
    """Whether lines may have any length: the output is not a terminal, and no width was asked for."""
    return not out.is_terminal and not os.environ.get("COLUMNS", "").isdigit()


def write_json(value: object) -> None:
    """Print a value as JSON; control characters are escaped as JSON does it."""
    sys.stdout.write(terminal_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n")


def say(text: str) -> None:
    """Print a sentence; a path or another long word in it is not broken."""
    out.print("\n".join(_lines(terminal(text), out.width)), markup=False, soft_wrap=True)


def _lines(text: str, width: int, indent: str = "") -> list[str]:
    """A text in lines of a width; a path or another long word in it is not broken."""
    wrap = textwrap.TextWrapper(
        width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line for whole in text.split("\n") for line in wrap.wrap(whole) or [""]]


def next_steps(*commands: str) -> None:
    """Print what may be typed next; a command is never broken over two lines, so that it can be copied."""
    lines = [""]
    for step in map(terminal, commands):
        longer = f"{lines[-1]} · {step}" if lines[-1] else step
        if not lines[-1] or _is_unlimited() or cell_len(f"Next: {longer}") <= out.width:
            lines[-1] = longer
        else:
            lines.append(step)
    command("Next: " + "\n      ".join(lines))


def command(text: str) -> None:
    """Print a line that may be copied into a shell: never wrapped."""
    sys.stdout.write(terminal(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a sentence about what was done on standard error, apart from what was found."""
    err.print(terminal(text), markup=False)


def complain(error: IdbenchError) -> None:
    """Print an error and what to do next."""
    head, *rest = _lines(f"{_ERROR} {terminal(error.message)}", err.width)
    err.print(f"[bold red]{_ERROR}[/]", end="")
    err.print("\n".join((head.removeprefix(_ERROR), *rest)), markup=False, soft_wrap=True)
    if error.hint:
        err.print("\n".join(_lines(terminal(error.hint), err.width, "  ")), markup=False, soft_wrap=True)
