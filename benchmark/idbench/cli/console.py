"""What every verb prints with: tables or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from idbench.errors import IdbenchError
from idbench.escaping import terminal, terminal_json
from idbench.progress import Reporter

_BARS = 20  # remembered at once; with more descriptions than that, the oldest bars start again
LINE_EVERY = 10.0  # seconds between lines where there is no terminal to draw a bar on

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


class Bars(Reporter):
    """A progress reporter that draws a bar with the time left, or writes a line now and then without a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._last = time.monotonic()

    def update(self, done: float, total: float, description: str) -> None:
        """Move the bar of that description."""
        text = terminal(description)
        if text not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)
            while len(self._tasks) >= _BARS:
                self._progress.remove_task(self._tasks.pop(next(iter(self._tasks))))
            self._tasks[text] = self._progress.add_task(text, total=total)
        self._progress.update(self._tasks[text], completed=done, total=total, visible=True)
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
        shown.add_column(Text(terminal(column)), justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(terminal(cell)) for cell in row))
    wide_enough(shown)


def wide_enough(shown: Table) -> None:
    """Print a table in full: piped into a file, it is as wide as it needs to be."""
    if out.is_terminal:
        out.print(shown)
        return
    width = Console(width=400).measure(shown).maximum
    Console(highlight=False, width=max(width, 80)).print(shown)


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
