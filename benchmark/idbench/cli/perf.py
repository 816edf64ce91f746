"""`bench perf`: what idbench claims of its speed, measured here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from idbench.cli import console, options

_LARGEST = 1 << 20  # bytes of a table
COLUMNS = ("what", "straightforward", "idbench", "ratio", "largest difference", "peak memory")


def perf(
    claim: Annotated[list[str] | None, typer.Argument(help="Which claims; default: all.")] = None,
    full: Annotated[bool, typer.Option("--full", help="At full size: an hour rather than minutes.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the table as Markdown, too.")] = None,
    force: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Measure idbench's fast paths against the straightforward ones, in processor seconds on one thread."""
    from idbench.errors import UnknownNameError
    from idbench.outputs import check_file
    from idbench.performance import CLAIMS, SLOW, measure, table
    from idbench.storage import read_bounded, write_text

    for name in claim or ():
        if name not in CLAIMS:
            raise UnknownNameError("claim", name, CLAIMS)
    if out is not None:
        begin = f"| {COLUMNS[0]} |".encode()
        out = check_file(
            out, "table", lambda path: read_bounded(path, _LARGEST).startswith(begin), force=force, note=console.note
        )
    found = []
    with console.bars() as progress:
        wanted = claim or [name for name in CLAIMS if full or name not in SLOW]
        for name in progress.track(wanted, "measuring"):
            found.append(measure(name, full))
    rows = table(found)
    if out is not None:
        write_text(out, _markdown(rows))
    if json:
        console.write_json([asdict(row) for row in found])
    else:
        console.table("Processor seconds, one thread", COLUMNS, rows, right=COLUMNS[1:])


def _markdown(rows: list[tuple[str, str, str, str, str, str]]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
