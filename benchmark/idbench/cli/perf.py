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
    device: Annotated[str, typer.Option("--device", help="cpu, or a GPU: cuda, cuda:1, ...")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Write the table as Markdown, too.")] = None,
    force: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Measure idbench's fast paths against the straightforward ones, on one processor thread or on a GPU."""
    from idbench.errors import TargetError, UnknownNameError
    from idbench.outputs import check_file
    from idbench.performance import CLAIMS, Conditions, measure, table, usual_claims
    from idbench.runner.opening import choose_device
    from idbench.storage import read_bounded, write_text

    for name in claim or ():
        if name not in CLAIMS:
            raise UnknownNameError("claim", name, CLAIMS)
    if out is not None:
        begin = f"| {COLUMNS[0]} |".encode()
        out = check_file(
            out, "table", lambda path: read_bounded(path, _LARGEST).startswith(begin), force=force, note=console.note
        )
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise TargetError(f"Speed is measured on cpu and cuda, not on {device}.", hint="Use --device cuda.")
    how = Conditions(full, choose_device(device))
    found = []
    with console.bars() as progress:
        for name in progress.track(claim or usual_claims(how), "measuring"):
            found.append(measure(name, how))
    rows = table(found)
    if out is not None:
        write_text(out, _markdown(rows))
    if json:
        console.write_json([asdict(row) for row in found])
    else:
        title = f"Seconds by the clock, {found[0].hardware}" if how.on_gpu else "Processor seconds, one thread"
        console.table(title, COLUMNS, rows, right=COLUMNS[1:])


def _markdown(rows: list[tuple[str, str, str, str, str, str]]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
