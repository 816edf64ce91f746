"""`bench cache`: what is cached between runs, and how space is freed."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer

from idbench.cli import console, options
from idbench.errors import IdbenchError

app = typer.Typer(help="Show what is cached between runs, and free space.", no_args_is_help=True)

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@app.command()
def info(json: options.Json = False) -> None:
    """Show how much of each kind is cached, and where."""
    from idbench.kept import free_space, kinds
    from idbench.storage import cache_dir

    found = kinds()
    if json:
        console.write_json(
            {"folder": str(cache_dir()), "free": free_space(), "kinds": [asdict(kind) for kind in found]}
        )
        return
    console.say(f"{cache_dir()}: {_amount(sum(kind.size for kind in found))}, {_amount(free_space())} free")
    console.table(
        "",
        ["kind", "files", "size", "what", "made again"],
        [
            [kind.name, f"{kind.files:,}", _amount(kind.size), kind.what, "quickly" if kind.quick else "slowly"]
            for kind in found
        ],
        right=["files", "size"],
    )


@app.command()
def clear(
    kind: Annotated[
        list[str] | None, typer.Argument(help="Kinds of cached data; default: all that are quick to recreate.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="SIZE", help="How much to keep, e.g. 2GB; the most recently used files stay."),
    ] = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Remove cached data; it is recreated when needed."""
    from idbench.kept import clear as clear_kinds

    most = None if keep is None else _bytes(keep)
    files, size = clear_kinds(kind or [], most, dry_run)
    if json:
        console.write_json({"files": files, "bytes": size, "removed": not dry_run})
        return
    console.say(f"{'would remove' if dry_run else 'removed'} {files:,} files, {_amount(size)}")


def _bytes(text: str) -> int:
    """E.g. `500MB`, `2 GiB`, `0`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?i?)B?\s*", text)
    if found is None or found[2] not in _UNITS:
        raise IdbenchError(f"{text!r} is not a size.", hint="Write e.g. 500MB, 2GB or 1.5GiB.")
    return int(float(found[1]) * _UNITS[found[2]])


def _amount(size: float) -> str:
    """E.g. `1.2 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
