"""Options that several verbs share, each also an environment variable."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from idbench.errors import StorageError
from idbench.storage import expanded, is_there


def _can_be_a_folder(path: Path) -> Path:
    """The path with `~` replaced; refused where no folder can be."""
    path = expanded(path)
    nearest = next((place for place in (path, *path.parents) if is_there(place)), path)
    if is_there(nearest) and not nearest.is_dir():
        raise StorageError(f"{nearest} is a file, not a folder.", hint="Give a folder for the results (--results).")
    return path


Results = Annotated[
    Path,
    typer.Option("--results", envvar="BENCH_RESULTS", help="Folder of the records.", callback=_can_be_a_folder),
]
Split = Annotated[
    str, typer.Option("--split", envvar="BENCH_SPLIT", help="Name or folder of a split, or hub:ORG/NAME@COMMIT.")
]
RunsSplit = Annotated[
    str | None,
    typer.Option("--split", envvar="BENCH_SPLIT", help="Name or folder of the split; default: the one of the runs."),
]
Json = Annotated[bool, typer.Option("--json", envvar="BENCH_JSON", help="Print JSON instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Device = Annotated[str, typer.Option("--device", envvar="BENCH_DEVICE", help="auto, cpu, cuda:0, ...")]
Format = Annotated[
    Literal["text", "md", "csv", "latex"],
    typer.Option("--format", envvar="BENCH_FORMAT", help="How tables are printed: for the eye, or for a paper."),
]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if it was done before.")]
Overwrite = Annotated[
    bool, typer.Option("--force", help="Replace what is there, even what idbench did not write; says what that is.")
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", envvar="BENCH_TIME_LIMIT", min=1.0, help="Seconds that one run may take.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", envvar="BENCH_JOBS", min=1, max=1024, help="Runs side by side on this machine.")
]
ExecutorName = Annotated[
    Literal["local", "ray"],
    typer.Option("--executor", envvar="BENCH_EXECUTOR", help="Where runs are carried out: here, or on a Ray cluster."),
]
CpusPerRun = Annotated[
    float, typer.Option("--cpus-per-run", min=0.1, help="Processors of a Ray cluster that a run takes.")
]
GpusPerRun = Annotated[
    float, typer.Option("--gpus-per-run", min=0.0, help="GPUs of a Ray cluster that a run takes, e.g. 0.25.")
]

RESULTS = Path("results")
MAX_SEED = 2**63 - 1  # as in records; spelled out, for the command line starts without reading them


def check_results(results: Path) -> None:
    """Reject a results folder that does not exist, unless it is the default, which the first run creates.

    Raises:
        StorageError: the folder that was named does not exist.
    """
    if results != RESULTS and not is_there(results):
        raise StorageError(f"{results} does not exist.", hint="Give the folder that holds the results (--results).")


def results_again(results: Path) -> str:
    """The option that names this folder to another command, after a space; empty for the default folder."""
    default = os.environ.get("BENCH_RESULTS") or str(RESULTS)
    return "" if results == Path(default) else f" --results {shlex.quote(str(results))}"


TIME_LIMIT = 12 * 3600.0
