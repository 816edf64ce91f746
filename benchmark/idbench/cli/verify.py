"""`bench verify`: run a submitted method again, locked in, on the same people and on people drawn anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from idbench.cli import console, options, text
from idbench.cli.attest import made
from idbench.errors import DataError, IdbenchError

if TYPE_CHECKING:
    from idbench.results import Run
    from idbench.results.attestation import Attestation, Level
    from idbench.runner.verifying import How, Remeasured, RepeatableRun, Verification
    from idbench.targets import TargetSpec

_GIB = 1 << 30
_MOST_GIB = 1 << 20  # more than any machine has, and still a number that the system's limits accept


def verify(
    run: Annotated[str, typer.Argument(help="A run: its path, or the beginning of its id.")],
    by: Annotated[str | None, typer.Option("--by", envvar="BENCH_BY", help="Name of the maintainer.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", envvar="BENCH_ATTESTATIONS", help="Write the attestation into this folder."),
    ] = None,
    only: Annotated[
        Literal["replay"] | None, typer.Option(help="replay: on the same people alone; nothing is drawn or trained.")
    ] = None,
    part: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of the people who are replayed; some methods need all.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Seed that chooses these people.")] = 0,
    secret_seed: Annotated[
        Path | None, typer.Option("--secret-seed", help="A file with the secret that new people are drawn from.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="The record's target, if it is not registered.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="The record's split, if it is not registered.")] = None,
    results: options.Results = options.RESULTS,
    device: options.Device = "auto",
    time_limit: options.TimeLimit = options.TIME_LIMIT,
    memory: Annotated[float, typer.Option(min=0.5, max=_MOST_GIB, help="GiB that the method may use.")] = 8.0,
    disk: Annotated[float, typer.Option(min=0.01, max=_MOST_GIB, help="GiB that it may write.")] = 2.0,
    processes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Processes that it may start.")] = 32,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Run a submitted method again in isolation, and say how far its record may be trusted.

    There it finds no labels and no network, and may write to a folder of its own only. First on the same people:
    are these the scores? Then on people drawn anew from a secret, with a target trained on them: does it do as well?
    Drawing and training take minutes, once; they are kept. --by and --to write the outcome as an attestation.
    """
    from idbench.results import find_run
    from idbench.runner.jail import LockLimits, can_lock
    from idbench.runner.verifying import How, minutes_of, subject_of_run, world_like
    from idbench.runner.verifying import verify as run_again
    from idbench.splits import load_split
    from idbench.storage import check_writable

    if (by is None) != (to is None):
        raise IdbenchError("An attestation needs a name and a folder.", hint="Give both --by and --to, or neither.")
    options.check_results(results)
    found = find_run(results, run)
    if by is not None and to is not None:
        _check_statement(found, by, to)
        if not dry_run:
            check_writable(to, "--to")
    limits = LockLimits(memory=int(memory * _GIB), disk=int(disk * _GIB), processes=processes)
    how = How(part, seed, device, time_limit, limits, results / "failed")
    with console.bars() as progress:
        opened = load_split(split or found.record.split.name, progress)
        subject = subject_of_run(found, opened, _target(found, target))
        why = ""
        secret = "" if only == "replay" else _secret(secret_seed)
        try:
            world = None if only == "replay" else world_like(subject, secret)
        except DataError as error:
            world, why = None, f"{error.message} {error.hint}"
        if why and not json:
            console.say(f"On the same people only: {why}")
        if world is not None and not json and (minutes := minutes_of(subject, world)):
            console.say(f"Drawing people anew and training on them takes about {minutes:.0f} minutes of one processor.")
        if not json and not can_lock():
            console.say(
                "NOT isolated: this system cannot lock a process in. The method runs as in `bench run`, "
                "under the limits given here."
            )
        if dry_run:
            return
        verified = run_again(subject, world, how, progress)
    written = _attest(found, verified, how, by, to)
    report = _as_json(subject, verified, why, written)
    if json:
        console.write_json(report)
    else:
        _say(subject, verified, why, written)
    if verified.level.rank == 0 or (verified.reproduction is not None and verified.reproduction.problem):
        raise typer.Exit(1)


def _target(run: Run, given: str | None) -> TargetSpec | None:
    """The target of a run; None for a blind attack whose target is not registered."""
    from idbench.targets import list_targets, target_meant
    from idbench.targets.fetch import pin_target

    named = given or run.record.target.name
    if not run.record.attack.access and given is None and named not in [spec.name for spec in list_targets()]:
        return None
    return pin_target(target_meant(named))


def _secret(file: Path | None) -> str:
    from idbench.splits.avatars.redrawn import kept_secret
    from idbench.splits.withholding import read_secret

    return kept_secret() if file is None else read_secret(file)


def _check_statement(run: Run, by: str, to: Path) -> None:
    """Refuse what would make an attestation impossible, before hours of work and not after them."""
    from idbench.results.attestation import Level, check_apart

    check_apart(to, [run.path])
    _statement(run, Level.REPLAYED, by, "")


def _attest(run: Run, verified: Verification, how: How, by: str | None, to: Path | None) -> Path | None:
    """Write what was found, if it deserves an attestation and a maintainer is named."""
    from idbench.results.attestation import Level, write_statement

    if by is None or to is None or verified.level is Level.SELF_REPORTED:
        return None
    return write_statement(to, _statement(run, verified.level, by, note_of(verified, how)))


def _statement(run: Run, level: Level, by: str, note: str) -> Attestation:
    from idbench.results.attestation import Attestation, subject_of

    at = datetime.now(UTC).replace(microsecond=0)
    return made(Attestation, subject=subject_of(run), level=level, at=at, by=by.strip(), note=note)


def note_of(verified: Verification, how: How) -> str:
    """How it was checked, in an attestation."""
    from idbench.version import __version__

    replay = verified.replay
    lines = [
        f"bench verify, idbench {__version__}, {'' if verified.locked else 'not '}locked in, device {how.device}",
        f"replayed {replay.people} people (part {how.part:g}, seed {how.seed}): rank correlation "
        f"{replay.agreement.correlation:.4f}, largest difference {replay.agreement.difference:.2g} sd",
    ]
    if verified.reproduction is not None:
        again = verified.reproduction
        lines.append(
            f"world {again.world}: "
            + ", ".join(
                f"{one.what} {text.estimate(one.found)}, claimed {one.claimed.value:.3f}"
                for one in (again.auc, *again.rates)
            )
            + (f"; {again.problem}" if again.problem else "")
        )
    return "\n".join(lines)


def _as_json(subject: RepeatableRun, verified: Verification, why: str, written: Path | None) -> dict[str, Any]:
    again = verified.reproduction
    return {
        "run": subject.run.record.run_id,
        "level": verified.level.value,
        "locked": verified.locked,
        "replay": {
            "people": verified.replay.people,
            "correlation": verified.replay.agreement.correlation,
            "conflict": verified.replay.agreement.conflict,
        },
        "reproduction": None
        if again is None
        else {
            "world": again.world,
            **_numbers(again.auc),
            "tpr": [{"fpr": one.fpr, **_numbers(one)} for one in again.rates],
            "problem": again.problem,
        },
        "not_reproduced_because": verified.why_not or why,
        "attestation": None if written is None else written.as_posix(),
    }


def _say(subject: RepeatableRun, verified: Verification, why: str, written: Path | None) -> None:
    replay, again = verified.replay, verified.reproduction
    locked = "locked in" if verified.locked else f"NOT isolated: {verified.why_not}"
    same = replay.agreement.conflict or f"the same scores (rank correlation {replay.agreement.correlation:.4f})"
    rows = [("the method ran", locked), (f"on the same {replay.people} people", same)]
    if again is not None:
        for one in (again.auc, *again.rates):
            found = f"{one.what} {text.estimate(one.found)}; the record has {one.claimed.value:.3f}"
            rows.append((f"on people drawn anew ({again.world})", found))
        rows.append(("does it do as well?", again.problem or "yes"))
    elif verified.why_not or why:
        rows.append(("on people drawn anew", f"not tried: {verified.why_not or why}"))
    rows.append(("the record is", verified.level.value))
    console.table(f"{subject.run.record.attack.name} on {subject.run.record.target.name}", ("", ""), rows)
    if written is not None:
        console.say(f"wrote {written}")


def _numbers(one: Remeasured) -> dict[str, float]:
    return {
        "claimed": one.claimed.value,
        "found": one.found.value,
        "low": one.found.low,
        "high": one.found.high,
    }
