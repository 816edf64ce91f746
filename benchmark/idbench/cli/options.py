"""Options that several verbs share, each also an environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Results = Annotated[Path, typer.Option("--results", envvar="BENCH_RESULTS", help="Folder of the records.")]
Split = Annotated[str, typer.Option("--split", envvar="BENCH_SPLIT", help="Name or folder of a split.")]
Json = Annotated[bool, typer.Option("--json", envvar="BENCH_JSON", help="Print JSON instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Device = Annotated[str, typer.Option("--device", envvar="BENCH_DEVICE", help="auto, cpu, cuda:0, ...")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if it was done before.")]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", envvar="BENCH_TIME_LIMIT", min=1.0, help="Seconds that one run may take.")
]

RESULTS = Path("results")
TIME_LIMIT = 12 * 3600.0
