"""`bench leaderboard host`: serve the board of a repository of results, and build it anew whenever that changes."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from idbench.cli import console
from idbench.errors import DataError, IdbenchError
from idbench.escaping import line
from idbench.progress import Progress, Silent
from idbench.storage import is_there, restored
from idbench.workplace import workplace

_LOOK = 0.2  # seconds between looks at the server


def host(
    source: Annotated[
        str,
        typer.Argument(envvar="BENCH_SOURCE", help="A repository of results: ORG/NAME on the Hub, or a folder."),
    ],
    port: Annotated[int, typer.Option(envvar="BENCH_PORT", min=1, max=65535, help="Port to listen on.")] = 7860,
    address: Annotated[str, typer.Option(envvar="BENCH_ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    every: Annotated[
        float, typer.Option(envvar="BENCH_EVERY", min=1.0, help="Seconds between looks at the repository.")
    ] = 300.0,
) -> None:
    """Serve the board of a repository of results, for containers: built anew whenever the repository changes.

    A build that fails leaves the board as it is; so does a repository that cannot be reached. /_stcore/health says that
    the server is up. Labels come from labels/ of the repository or from registered splits, maintainers' statements from
    attestations/.
    """
    from idbench_leaderboard.server import command

    if not source.strip():
        raise IdbenchError("No repository was named.", hint="Give ORG/NAME on the Hub, or a folder.")
    with workplace() as place:
        board = place / "board"
        shown = _renewed(source, "", board)
        if not shown:
            raise IdbenchError("The first build failed, so there is nothing to serve.", hint="The lines above say why.")
        console.say(f"idbench leaderboard of {source} at http://{address}:{port}")
        server = subprocess.Popen(command(board, port, address))  # noqa: S603  our own command
        try:
            looked = time.monotonic()
            while server.poll() is None:
                time.sleep(_LOOK)
                if time.monotonic() - looked >= every:
                    shown = _renewed(source, shown, board)
                    looked = time.monotonic()
        except KeyboardInterrupt:
            console.say("stopped")
            return
        finally:
            server.terminate()
            server.wait()
        if server.returncode == 0:  # a terminal sends Ctrl-C to the server too, and it may end before we hear of it
            console.say("stopped")
            return
        raise IdbenchError(f"The server ended with status {server.returncode}.", hint="Its last lines say why.")


def _renewed(source: str, shown: str, board: Path) -> str:
    """The revision that the board shows now: the newest, or the one before where that cannot be had."""
    try:
        revision = revision_of(source)
        if revision != shown or _shows_retracted(board):
            counted = build_from(source, revision, board, Silent())
            console.command(line(f"{counted} records count at {revision[:12]}"))
        return revision
    except IdbenchError as error:
        console.complain(error)
        return shown


def _shows_retracted(board: Path) -> bool:
    """Whether people were taken out since the board was built."""
    from idbench_leaderboard.board import Board

    try:
        Board(board).check_retractions()
    except DataError:
        return True
    return False


def revision_of(source: str) -> str:
    """What names the present state of a repository.

    Raises:
        IdbenchError: it cannot be asked.
    """
    folder = Path(source)
    if is_there(restored(folder)):
        from idbench.results.proposal import list_files

        entries = sorted((path, entry.size, _changed(folder / path)) for path, entry in list_files(folder).items())
        return hashlib.sha256(repr(entries).encode()).hexdigest()
    from idbench.hub import check_repo, history

    return history(check_repo(source), "main")[0]


def _changed(file: Path) -> int:
    try:
        return file.lstat().st_mtime_ns
    except OSError:
        return 0  # gone meanwhile: the next look sees another state


def build_from(source: str, revision: str, board: Path, progress: Progress) -> int:
    """Build the board of a repository at a revision; returns how many records count.

    Raises:
        IdbenchError: it cannot be fetched or built; an older board is left as it was.
    """
    from idbench.cli import board_inputs
    from idbench.results import collect
    from idbench.results.attestation import read_statements
    from idbench.results.proposal import ATTESTATIONS, LABELS, RUNS
    from idbench.storage import make_dir
    from idbench_leaderboard.building import build

    with _fetched(source, revision) as folder:
        runs = folder / RUNS if (folder / RUNS).is_dir() else make_dir(board.parent / "no-runs")
        found = collect([runs])
        labels = [folder / LABELS] if any((folder / LABELS).rglob("labels.json")) else []
        statements = [folder / ATTESTATIONS] if (folder / ATTESTATIONS).is_dir() else []
        given = board_inputs.gather(found.runs, [], labels, [], progress)
        built = build(
            found,
            given.labels,
            board,
            progress,
            targets=board_inputs.known_targets(),
            statements=read_statements(statements, [runs]),
            about=board_inputs.about(given.cards, found.runs),
            commit=revision[:40],
            force=True,
        )
    return built.runs


@contextmanager
def _fetched(source: str, revision: str) -> Iterator[Path]:
    if is_there(restored(Path(source))):
        yield Path(source)
        return
    from idbench.hub import HubRef, copy_of

    with workplace() as work:
        copy_of(HubRef(source, revision), work / "results")
        yield work / "results"
