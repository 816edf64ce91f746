"""`bench attest` and `bench invalidate`: what maintainers say of records, in files of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from idbench.cli import console, options
from idbench.cli.text import typed
from idbench.errors import IdbenchError

if TYPE_CHECKING:
    from idbench.results.attestation import Statement, Subject

S = TypeVar("S", bound="Statement")

Runs = Annotated[list[str], typer.Argument(help="Runs: their paths, or the beginnings of their ids.")]
By = Annotated[str, typer.Option("--by", envvar="BENCH_BY", help="Name of the maintainer.")]
To = Annotated[
    Path, typer.Option("--to", envvar="BENCH_ATTESTATIONS", help="Folder of the attestations, apart from the results.")
]


def attest(
    runs: Runs,
    level: Annotated[
        Literal["replayed", "reproduced"],
        typer.Option(help="replayed: run again, same scores. reproduced: did as well on newly drawn people."),
    ],
    by: By,
    to: To,
    note: Annotated[str, typer.Option(help="How it was checked.")] = "",
    results: options.Results = options.RESULTS,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Say how a record was checked, bound to the bytes of record and scores."""
    from idbench.results.attestation import Attestation, Level

    def say(subject: Subject) -> Statement:
        return made(Attestation, subject=subject, level=Level(level), at=_now(), by=by.strip(), note=note.strip())

    _state(runs, results, to, say, json=json, dry_run=dry_run)


def invalidate(
    runs: Runs,
    reason: Annotated[str, typer.Option(help="Why it no longer counts; the board shows it.")],
    by: By,
    to: To,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Take a record off the board and keep the reason; the record stays where it is, unedited."""
    from idbench.results.attestation import Invalidation

    def say(subject: Subject) -> Statement:
        return made(Invalidation, subject=subject, at=_now(), by=by.strip(), reason=reason.strip())

    _state(runs, results, to, say, json=json, dry_run=dry_run)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def made(kind: type[S], **values: Any) -> S:
    """A statement from the options of the command line.

    Raises:
        IdbenchError: a text is missing, too long or cannot be stored.
    """
    from pydantic import ValidationError

    try:
        statement = kind(**values)
        statement.model_dump_json().encode()
    except (ValidationError, ValueError) as error:
        wrong = error.errors()[0] if isinstance(error, ValidationError) else None
        what = f"--{wrong['loc'][0]}: {wrong['msg']}" if wrong else "a text cannot be stored as UTF-8"
        raise IdbenchError(f"The statement is not valid: {what}.", hint="Give another text.") from error
    return statement


def _state(
    references: list[str], results: Path, to: Path, say: Callable[[Subject], Statement], *, json: bool, dry_run: bool
) -> None:
    """Write the same statement about several records: all of them or none."""
    from idbench.results import find_run
    from idbench.results.attestation import check_apart, statement_path, subject_of, write_statement

    check_apart(to, [results])
    statements = []
    for reference in references:
        run = find_run(results, reference)
        check_apart(to, [run.path])
        run.scores()  # a statement about scores holds for those that belong to the record
        statements.append(say(subject_of(run)))
    paths = [statement_path(to, each) if dry_run else write_statement(to, each) for each in statements]
    if json:
        console.write_json(
            [
                {"path": path.as_posix(), "written": not dry_run, **each.model_dump(mode="json")}
                for path, each in zip(paths, statements, strict=True)
            ]
        )
        return
    for path, each in zip(paths, statements, strict=True):
        console.say(f"{'would write' if dry_run else 'wrote'} {path} about the run {each.subject.run_id}")
    console.next_steps(typed("bench", "leaderboard", "build", results, "--attestations", to, "--out", "board"))
