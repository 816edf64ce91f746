"""`bench leaderboard`: build a board from records, look at it, write it as a site."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idbench.cli import checking, console, hosting, options
from idbench.cli.text import typed
from idbench.errors import IdbenchError
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench_leaderboard.building import Built

app = typer.Typer(help="Build a board from records, look at it, write it as a site.", no_args_is_help=True)
app.command()(checking.check)
app.command()(checking.tables)
app.command()(hosting.host)

Board = Annotated[
    Path | None,
    typer.Argument(envvar="BENCH_BOARD", help="A folder that `build` wrote; without one, the reference results."),
]


@app.command()
def build(
    results: Annotated[list[Path], typer.Argument(help="Folders of records.", envvar="BENCH_RESULTS")],
    out: Annotated[Path, typer.Option(envvar="BENCH_BOARD", help="The folder to write; replaced as a whole.")],
    split: Annotated[
        list[Path] | None,
        typer.Option("--split", help="Folder of a split that is not registered; may be repeated."),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            "--labels", help="A file that `labels` wrote, or a folder with some: instead of the split. Repeatable."
        ),
    ] = None,
    public: Annotated[
        list[str] | None,
        typer.Option("--public", help="A split whose labels anybody may see; drawn people's always are. Repeatable."),
    ] = None,
    attestations: Annotated[
        list[Path] | None,
        typer.Option(
            "--attestations",
            envvar="BENCH_ATTESTATIONS",
            help="Folder of what maintainers attested and invalidated, apart from the results. Repeatable.",
        ),
    ] = None,
    force: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Compute every number from records and labels, and write a few parquet files and a manifest."""
    from idbench.cli import board_inputs
    from idbench.outputs import check_folder
    from idbench.results import collect
    from idbench.results.attestation import read_statements
    from idbench.runner.environment import environment
    from idbench_leaderboard.building import build as build_board

    inputs = [*results, *(split or []), *(labels or []), *(attestations or [])]
    check_folder(out, "board", inputs, force=force, note=console.note)
    with console.bars() as progress:
        statements = read_statements(attestations or [], results)
        found = collect(results)
        board_inputs.check_public(public or [], found.runs)
        gathered = board_inputs.gather(found.runs, split or [], labels or [], public or [], progress)
        built = build_board(
            found,
            gathered.labels,
            out,
            progress,
            targets=board_inputs.known_targets(),
            statements=statements,
            about=board_inputs.about(gathered.cards, found.runs),
            commit=environment("cpu").commit,
            force=force,
        )
    if json:
        console.write_json({**asdict(built), "path": built.path.as_posix()})
    else:
        _print(built)


def _print(built: Built) -> None:
    if built.rejected:
        rows = [(each.where, each.reason) for each in built.rejected]
        console.table(counted(len(rows), "record does not count", "records do not count"), ("record", "why"), rows)
    if built.ignored:
        rows = [(each.where, each.reason) for each in built.ignored]
        console.table(counted(len(rows), "attestation is ignored", "attestations are ignored"), ("file", "why"), rows)
    records = counted(built.runs, "record makes", "records make")
    entries, boards = counted(built.entries, "row", "rows"), counted(built.boards, "board", "boards")
    console.say(f"{records} {entries} on {boards}, in {built.path}")
    if not built.runs:
        console.say("The board is empty.")
        console.next_steps("bench run --method tuni")
    else:
        console.next_steps(typed("bench", "leaderboard", "serve", built.path))


@app.command()
def labels(
    split: Annotated[str, typer.Argument(help="A registered split, or its folder.", envvar="BENCH_SPLIT")],
    out: Annotated[Path, typer.Option(help="The file to write, e.g. leaderboard/reference/NAME-v1/labels.json.")],
    public: Annotated[bool, typer.Option(help="A board may show individual people, by their opaque ids.")] = False,
    force: options.Overwrite = False,
) -> None:
    """Write who is a member, by opaque id, so that a board can be built where the split cannot be opened.

    No name and no photo is in the file. Share it only where membership may be known.
    """
    from idbench.cli import board_inputs
    from idbench.outputs import check_file
    from idbench.splits import load_split
    from idbench_leaderboard.label_file import label_file, read_label_file, write_label_file

    place = check_file(out, "label file", lambda path: bool(read_label_file(path)), force=force, note=console.note)
    with console.bars() as progress:
        opened = load_split(split, progress)
        shown = public or board_inputs.fictional(opened)
        written = label_file(board_inputs.labels_of(opened, public=shown), board_inputs.split_card(opened, progress))
        write_label_file(place, written)
    console.say(f"{len(written.test) + len(written.calibration)} identities, {len(written.corpora)} corpora in {out}")
    console.next_steps(typed("bench", "leaderboard", "build", "results", "--labels", out, "--out", "board"))


@app.command()
def serve(
    board: Board = None,
    port: Annotated[int, typer.Option(envvar="BENCH_PORT", min=1, max=65535, help="Port to listen on.")] = 8501,
    address: Annotated[
        str, typer.Option(envvar="BENCH_ADDRESS", help="Address to listen on; 0.0.0.0 shows it to the network.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(envvar="BENCH_BROWSER", help="Open a browser window.")] = True,
) -> None:
    """Show a board in the browser. Ctrl-C ends it."""
    from idbench_leaderboard.board import Board as Opened
    from idbench_leaderboard.server import command

    path = _folder(board)
    Opened(path).check_retractions()  # what cannot be shown is rejected here, in one sentence
    _free(address, port)
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(address, address)  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    console.say(f"idbench leaderboard at {url}")
    try:
        with subprocess.Popen(command(path, port, address)) as server:  # noqa: S603  our own command
            try:
                if browser:
                    _open(url, host, port, server)
                status = server.wait()
            except BaseException:
                server.terminate()
                raise
    except KeyboardInterrupt:
        console.say("stopped")
        return
    if status > 0:
        raise IdbenchError(
            f"The server ended with status {status}.", hint="Its last lines above say why; try another --port."
        )


def _open(url: str, host: str, port: int, server: subprocess.Popen[bytes]) -> None:
    """Open a window once the server listens; where there is no screen, nothing."""
    import os
    import socket
    import time
    import webbrowser

    if sys.platform == "linux" and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        return  # else a browser for terminals would take this one over
    while server.poll() is None:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            webbrowser.open(url)
            return
        time.sleep(0.2)


def _free(address: str, port: int) -> None:
    import socket

    try:
        family, kind, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise IdbenchError(f"{address!r} is not an address of this machine.", hint="Give another --address.") from error
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as error:
            raise IdbenchError(
                f"Cannot listen on {address}, port {port}: {error.strerror}.", hint="Give another --port or --address."
            ) from error


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The folder to write; replaced as a whole.")],
    board: Board = None,
    force: options.Overwrite = False,
) -> None:
    """Write a site that opens from disk or from any web server: sortable tables, interactive charts, no network."""
    from idbench.outputs import check_folder
    from idbench_leaderboard.board import Board as Opened
    from idbench_leaderboard.site import export as export_site

    path = _folder(board)
    check_folder(out, "site", [path], force=force, note=console.note)
    with console.bars() as progress:
        pages = export_site(Opened(path), out, progress, force=force)
    console.say(f"{pages} pages in {out}")
    console.next_steps(typed("open", out / "index.html"))


def _folder(board: Path | None) -> Path:
    from idbench.storage import restored
    from idbench_leaderboard.manifest import REFERENCE

    return REFERENCE if board is None else restored(board)
