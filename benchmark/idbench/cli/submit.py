"""`bench submit`: send records to a repository of results, once the checks of those who merge them have passed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options
from idbench.cli.checking import known_for, report_json, show_report
from idbench.cli.text import typed
from idbench.errors import IdbenchError
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.results import Run
    from idbench.submission.sending import Sent, Staged


def submit(
    runs: Annotated[list[str], typer.Argument(help="Runs: their paths, or the beginnings of their ids.")],
    repo: Annotated[
        str | None, typer.Option("--repo", help="The data set of results on the Hub, ORG/NAME: opens a pull request.")
    ] = None,
    checkout: Annotated[
        Path | None,
        typer.Option("--checkout", help="Or a git checkout of the results: commits on a branch."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="With --checkout: what to add to; default: the main branch of origin.")
    ] = None,
    results: options.Results = options.RESULTS,
    split: Annotated[
        list[Path] | None, typer.Option("--split", help="Folder of a split that is not registered. Repeatable.")
    ] = None,
    labels: Annotated[
        list[Path] | None, typer.Option("--labels", help="Label files; default: labels/ of the repository. Repeatable.")
    ] = None,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Send records to a repository of results: shows what is sent and which checks would fail, and refuses if one does.

    One commit, one pull request; repeated, it brings the same one up to date. What is sent: record, scores by opaque
    id, metrics. The method's code is named by distribution, version and hash; its card is in the record.
    """
    from idbench.results import find_run
    from idbench.results.checks import check as run_checks
    from idbench.results.checks import gather_records

    if (repo is None) == (checkout is None):
        raise IdbenchError("There is no destination.", hint="Give either --repo ORG/NAME or --checkout DIR.")
    options.check_results(results)
    found = [find_run(results, reference) for reference in dict.fromkeys(runs)]
    stage = _previewed if dry_run else _staged
    with console.bars() as progress, stage(found, repo, checkout, base) as staged:
        gathered = gather_records(staged.proposal)
        known = known_for(staged.proposal, gathered, split or [], labels or [], [], progress)
        report = run_checks(staged.proposal, gathered, known)
        if not json:
            _show(staged, found)
            show_report(report, json=False)
        outcome: dict[str, Any] = {
            "title": staged.title,
            "files": sorted(staged.files),
            "report": report_json(report),
            "unknown": staged.unknown,
        }
        if not report.passed:
            if json:
                console.write_json({**outcome, "sent": False})
            raise IdbenchError(
                f"Nothing was sent: {counted(len(report.failures), 'finding', 'findings')} would keep it out.",
                hint=f"The first: {report.failures[0].where}: {report.failures[0].message}.",
            )
        sent = None if dry_run else _send(staged, repo)
    if json:
        more = {} if sent is None else {"where": sent.where, "commit": sent.commit, "changed": sent.changed}
        console.write_json({**outcome, "sent": sent is not None, **more})
    elif sent is None:
        console.say("Nothing was sent: --dry-run.")
    else:
        _say(sent, checkout)


def _staged(
    runs: Sequence[Run], repo: str | None, checkout: Path | None, base: str | None
) -> AbstractContextManager[Staged]:
    """Records where they are sent from."""
    from idbench.submission.sending import staged_for_checkout, staged_for_hub

    if checkout is not None:
        return staged_for_checkout(runs, checkout, base)
    return staged_for_hub(runs, _hub_repo(repo, base))


def _previewed(
    runs: Sequence[Run], repo: str | None, checkout: Path | None, base: str | None
) -> AbstractContextManager[Staged]:
    """Records as they would be sent; neither an account nor the network is needed."""
    from idbench.submission.sending import previewed_for_hub, staged_for_checkout

    if checkout is not None:
        return staged_for_checkout(runs, checkout, base)
    return previewed_for_hub(runs, _hub_repo(repo, base))


def _hub_repo(repo: str | None, base: str | None) -> str:
    from idbench.hub import check_repo

    if base is not None:
        raise IdbenchError("--base belongs to --checkout.", hint="A pull request begins at the main branch.")
    assert repo is not None
    return check_repo(repo)


def _send(staged: Staged, repo: str | None) -> Sent:
    from idbench.submission.sending import commit_to_checkout, send_to_hub

    return commit_to_checkout(staged) if repo is None else send_to_hub(staged, repo)


def _show(staged: Staged, runs: Sequence[Run]) -> None:
    rows = [
        (
            run.record.run_id[:8],
            run.record.attack.name,
            f"{run.record.attack.distribution}, code {run.record.attack.code_sha256[:12]}",
            f"{run.record.split.name} v{run.record.split.version}",
            run.record.target.name,
            str(run.record.seed),
        )
        for run in runs
    ]
    console.table(staged.title, ("run", "method", "from", "split", "target", "seed"), rows, spare=("seed", "from"))
    files = counted(len(staged.files), "file", "files")
    console.say(f"{files} of {staged.size:,} bytes: records, scores by opaque id, metrics; no names.")
    if staged.unknown:
        console.say(staged.unknown)
    if staged.already:
        console.say(f"The pull request holds {len(staged.already)} other records, which stay in it.")


def _say(sent: Sent, checkout: Path | None) -> None:
    if checkout is None:
        done = "Sent" if sent.changed else "It was all there already"
        console.command(f"{done}: {sent.where}")
        return
    done = f"committed {sent.commit[:12]} on" if sent.changed else "nothing is new on"
    console.say(f"{done} the branch {sent.where} of {checkout}; your working tree is as it was")
    console.next_steps(typed("git", "-C", checkout, "push", "origin", sent.where))
