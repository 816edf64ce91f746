"""`bench leaderboard check`: the checks of a submission, as those who merge it run them and anybody can run first."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options
from idbench.errors import IdbenchError
from idbench.escaping import line
from idbench.progress import Progress
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.results.checks import Gathered, References, Report
    from idbench.results.proposal import Proposal


def check(
    what: Annotated[
        str,
        typer.Argument(metavar="DIR|PR", help="A folder of records, or a pull request on the Hub: ORG/NAME#NUMBER."),
    ],
    base: Annotated[
        str | None,
        typer.Option(help="What it is added to: a folder, or a git revision of the checkout, e.g. origin/main."),
    ] = None,
    split: Annotated[
        list[Path] | None, typer.Option("--split", help="Folder of a split that is not registered. Repeatable.")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", help="A label file, or a folder with some. Default: labels/ of the base. Repeatable."),
    ] = None,
    attestations: Annotated[
        list[Path] | None,
        typer.Option("--attestations", help="What maintainers said. Default: attestations/ of the base. Repeatable."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Check what is proposed to a repository of results; no code of a submitter runs.

    Schema, hashes, coverage, versions, metrics, edits of others' records, duplicates, names that look alike,
    plausibility. Ends with status 1 if a check fails.
    """
    from idbench.results.checks import check as run_checks
    from idbench.results.checks import gather_records
    from idbench.submission import open_proposal

    with console.bars() as progress, open_proposal(what, base) as proposal:
        gathered = gather_records(proposal)
        known = known_for(proposal, gathered, split or [], labels or [], attestations or [], progress)
        report = run_checks(proposal, gathered, known)
    show_report(report, json=json)
    if not report.passed:
        raise typer.Exit(1)


def tables(
    repository: Annotated[Path, typer.Argument(help="A checkout of a repository of results.")],
    json: options.Json = False,
) -> None:
    """Write the two tables of a repository of results, which `datasets.load_dataset` opens, from its records.

    For its maintainers, after merging: data/runs.parquet with every record and whether it counts, data/scores.parquet
    with the scores of those that count.
    """
    from idbench.errors import StorageError
    from idbench.results.checks import gather_records
    from idbench.results.proposal import RUNS, Proposal
    from idbench.submission.tables import write_tables

    if not (repository / RUNS).is_dir():
        raise StorageError(f"{repository} has no folder {RUNS}.", hint="Give a checkout of a repository of results.")
    with console.bars() as progress:
        proposal = Proposal(repository, accepted=repository)
        known = known_for(proposal, gather_records(proposal), [], [], [], progress)
        made = write_tables(repository, known.labels, known.targets, known.statements)
    if json:
        console.write_json(asdict(made))
        return
    for each in made.unreadable:
        console.command(line(f"left out: {each.where}: {each.reason}"))
    console.say(f"{made.runs} runs, of which {made.counted} count with {made.scores} scores, in {repository / 'data'}")


def known_for(
    proposal: Proposal,
    gathered: Gathered,
    splits: list[Path],
    labels: list[Path],
    attestations: list[Path],
    progress: Progress,
) -> References:
    """What a proposal is compared with; of the proposal itself, nothing but its records is believed."""
    from idbench.cli import board_inputs
    from idbench.results.attestation import read_statements
    from idbench.results.checks import References
    from idbench.results.proposal import ATTESTATIONS, LABELS
    from idbench.runner.registry import ADAPTATIONS, ATTACKS, DEFENSES

    accepted = proposal.accepted or proposal.before
    if accepted is not None:
        labels = labels or [folder for folder in (accepted / LABELS,) if folder.is_dir()]
        attestations = attestations or [folder for folder in (accepted / ATTESTATIONS,) if folder.is_dir()]
    runs = [candidate.run for candidate in (*gathered.proposed, *gathered.accepted)]
    given = board_inputs.gather_labels(runs, splits, labels, progress)
    plugins = [*ATTACKS.plugins(), *DEFENSES.plugins(), *ADAPTATIONS.plugins()]
    return References(
        {(each.name, each.version): each for each in given},
        board_inputs.known_targets(),
        {plugin.name: plugin.distribution for plugin in plugins},
        read_statements(attestations, [proposal.records]),
        _codes(gathered),
    )


def _codes(gathered: Gathered) -> dict[str, str]:
    """The hash of the code of each proposed method that is installed here."""
    from idbench.runner.registry import ATTACKS, load_attack

    here = {plugin.name for plugin in ATTACKS.plugins()}
    found: dict[str, str] = {}
    for name in sorted({candidate.record.attack.name for candidate in gathered.proposed} & here):
        with suppress(IdbenchError):  # it cannot be imported here: nothing is said about its code
            found[name] = load_attack(name).code_sha256
    return found


def report_json(report: Report) -> dict[str, Any]:
    """A report as plain JSON."""
    return {
        "passed": report.passed,
        "records": list(report.records),
        "checks": [
            {
                "name": check.name,
                "asks": check.asks,
                "outcome": check.outcome.value,
                "findings": [
                    {"where": each.where, "severity": each.severity.value, "message": each.message}
                    for each in check.findings
                ],
            }
            for check in report.checks
        ],
    }


def show_report(report: Report, *, json: bool) -> None:
    """Print a report: one line for each check, then what was found."""
    if json:
        console.write_json(report_json(report))
        return
    rows = [(check.name, check.outcome.value, check.asks) for check in report.checks]
    proposed = counted(len(report.records), "record is proposed", "records are proposed")
    console.table(proposed, ("check", "outcome", "what it makes sure of"), rows)
    for made in report.checks:
        for each in made.findings:
            console.command(line(f"{each.severity.value}: {made.name}: {each.where}: {each.message}"))
    console.say(
        "All checks passed."
        if report.passed
        else f"{counted(len(report.failures), 'finding keeps', 'findings keep')} it out."
    )
