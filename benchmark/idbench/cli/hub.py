"""`bench data publish`, `verify` and `retract`: splits on the Hugging Face Hub, and people who want out of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from idbench.cli import console, options
from idbench.cli.text import typed
from idbench.errors import IdbenchError
from idbench.wording import counted

if TYPE_CHECKING:
    from idbench.hub import Erasure
    from idbench.splits import Split
    from idbench.splits.publishing import PublicationPlan

Repo = Annotated[str, typer.Option("--repo", help="The data set repository on the Hub, ORG/NAME.")]


def publish(
    split: Annotated[str, typer.Argument(help="A registered split, the folder of one, or hub:ORG/NAME@COMMIT.")],
    repo: Repo,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Propose it, for members to merge; continues one that is open.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="A repository that is made stays private.")] = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Publish a split: card, tables, Croissant and sums in one commit, read back, then tagged with its version.

    Splits of real people are gated: access must be asked for, and their names are in no preview. A published version
    never changes; people on a list of retractions are left out, which makes a new version.
    """
    from idbench.hub import check_account, check_repo, propose
    from idbench.hub import publish as send
    from idbench.splits import load_split
    from idbench.splits.publishing import planned

    check_repo(repo)
    check_account()  # before a split is built for nothing
    with console.bars() as progress:
        loaded = load_split(split, progress)
        with planned(loaded, repo, progress, private=private) as plan:
            if dry_run:
                _show_plan(plan, repo, json)
                return
            if pull_request:
                proposed = propose(plan.publication, repo, plan.head)
                outcome = {"ref": str(proposed.ref), "pull_request": proposed.number, "url": proposed.url}
                _print(json, outcome, f"{plan.publication.title} is in pull request {proposed.number}: {proposed.url}")
                return
            published = send(plan.publication, repo, plan.head, plan.published, private=private)
    done = "published" if published.committed else "was published already"
    outcome = {
        "ref": str(published.ref),
        "tag": plan.publication.tag,
        "committed": published.committed,
        "private": published.private,
        "gated": plan.publication.gated,
        "digest": plan.manifest.digest,
        "taken_out": list(plan.erased),
    }
    _print(
        json, outcome, f"{plan.publication.title} {done}, verified and tagged {plan.publication.tag}: {published.ref}"
    )
    if not json:
        if published.private:
            console.say("The repository is private: its settings on the Hub make it public.")
        console.next_steps(typed("bench", "run", "--method", "tuni", "--split", published.ref))


def verify(
    ref: Annotated[str, typer.Argument(metavar="REPO@COMMIT", help="hub:ORG/NAME@COMMIT; a tag is looked up first.")],
    against: Annotated[str | None, typer.Option(help="A split, or the folder of one, that it must equal.")] = None,
    json: options.Json = False,
) -> None:
    """Load a published split from an empty cache and compare every byte, every table and every photo."""
    from idbench.hub import parse_ref
    from idbench.splits import load_split
    from idbench.splits.publishing import verify_published

    parsed = parse_ref(ref)
    with console.bars() as progress:
        loaded = load_split(against, progress) if against else None
        found = verify_published(parsed, progress, loaded)
    outcome = {
        "ref": str(found.ref),
        "name": found.manifest.name,
        "version": found.manifest.version,
        "digest": found.manifest.digest,
        "files": found.files,
        "bytes": found.size,
        "photos": found.photos,
        "rows": found.manifest.rows_here,
    }
    _print(
        json,
        outcome,
        f"{found.ref} is {found.manifest.name} version {found.manifest.version}: {found.files} files of {found.size:,} "
        f"bytes, {found.photos:,} photos and {len(found.manifest.rows_here)} tables arrived as they were published.",
    )


def retract(
    identity: Annotated[list[str], typer.Argument(help="Ids of the people to take out, never their names.")],
    split: Annotated[str, typer.Option(help="Name or folder of the split that they are in.")],
    reason: Annotated[str, typer.Option(help="One line for the list, without names; none is needed.")] = "",
    repo: Annotated[
        str | None, typer.Option(help="Take them out of this repository on the Hub as well, and erase its history.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase on the Hub without showing first what goes.")] = False,
    json: options.Json = False,
    dry_run: options.DryRun = False,
) -> None:
    """Take people out of a split: at once on this machine, and for good on the Hub.

    They disappear from loading, runs, boards and exports. On the Hub a new version is published without any row about
    them; then every older commit, tag, branch, pull request and file is erased, which cannot be undone.
    """
    from idbench.hub import check_repo
    from idbench.splits import load_split

    if repo is not None:
        check_repo(repo)
    with console.bars() as progress:
        loaded = load_split(split, progress)
    _check_ids(loaded, identity)
    if dry_run:
        console.say(f"would take {_people(identity)} out of {loaded.manifest.name} on this machine")
    else:
        _list(loaded, split, identity, reason)
        if not json:
            console.say(f"{_people(identity)} of {loaded.manifest.name} taken out on this machine")
    if repo is not None:
        _erase(split, repo, identity, only_show=dry_run or not yes, json=json)
    elif not dry_run:
        outcome = {"split": loaded.manifest.name, "retracted": sorted(set(identity))}
        if json:
            console.write_json(outcome)


def _people(identities: Collection[str]) -> str:
    return counted(len(set(identities)), "person", "people")


def _check_ids(split: Split, identities: list[str]) -> None:
    from idbench.splits.retractions import check_known, mentioned

    known = mentioned(split.folder, split.manifest) | set(split.manifest.retracted)
    check_known(identities, known, split.manifest.name)


def _list(split: Split, given: str, identities: list[str], reason: str) -> None:
    """Put people on this machine's list, and on the one that travels with the folder that a person named."""
    from idbench.splits import split_names
    from idbench.splits.retractions import retract as put_on_list
    from idbench.splits.retractions import retract_in_folder

    put_on_list(split.manifest.name, identities, reason)
    if given not in split_names() and split.origin is None:
        retract_in_folder(split.folder, identities)


def _erase(split: str, repo: str, identities: list[str], *, only_show: bool, json: bool) -> None:
    """Publish the split without its retracted people, and erase what the repository held before."""
    from idbench.hub import check_account, erase_history, plan_erasure
    from idbench.hub import publish as send
    from idbench.splits.publishing import planned, reopened

    check_account()
    with console.bars() as progress:
        loaded = reopened(split, identities, progress)
        with planned(loaded, repo, progress, private=False) as plan:
            if plan.head is None:
                raise IdbenchError(f"There is no data set {repo} that this account may see.", hint="Check the name.")
            if only_show:
                _show_plan(plan, repo, json)
                _show_erasure(plan_erasure(repo, plan.publication.tag), repo)
                console.say("Nothing was changed on the Hub. It cannot be undone: repeat the command with --yes.")
                return
            send(plan.publication, repo, plan.head, plan.published, private=False)
            erased = erase_history(repo, plan.publication.tag)
    outcome = {
        "ref": str(erased.ref),
        "tag": plan.publication.tag,
        "taken_out": identities,
        "erased": asdict(erased.removed),
    }
    _print(json, outcome, f"{repo} holds nothing but {plan.publication.title} any more: {erased.ref}")
    if not json:
        console.say("Older versions stay in caches elsewhere; loading leaves these people out as soon as it is online.")


def _show_plan(plan: PublicationPlan, repo: str, json: bool) -> None:
    difference, gate = plan.difference, "gated" if plan.publication.gated else "open to everybody"
    if json:
        outcome: dict[str, Any] = {"repo": repo, "tag": plan.publication.tag, "gated": plan.publication.gated}
        outcome |= {"published": str(plan.published) if plan.published else None, "taken_out": list(plan.erased)}
        console.write_json(outcome | asdict(difference))
        return
    if plan.published is not None:
        console.say(f"{plan.publication.title} is there already: {plan.published}; nothing would be changed")
        return
    console.say(f"would publish {plan.publication.title} in {repo}, {gate}, and tag it {plan.publication.tag}")
    if plan.head is None:
        console.say(f"would make the repository {repo}")
    if plan.erased:
        console.say(f"without {_people(plan.erased)} who {'was' if len(plan.erased) == 1 else 'were'} taken out")
    for what in ("added", "changed", "removed", "unchanged"):
        for path in getattr(difference, what):
            console.say(f"{what:>9}  {path}")


def _show_erasure(erasure: Erasure, repo: str) -> None:
    tags, branches = ", ".join(erasure.tags) or "none", ", ".join(erasure.branches) or "none"
    console.say(
        f"would erase from {repo} all commits up to now, tags: {tags}, branches: {branches}, "
        f"{counted(len(erasure.pull_requests), 'pull-request ref', 'pull-request refs')}, and the large files of old "
        "commits"
    )


def _print(json: bool, outcome: dict[str, Any], sentence: str) -> None:
    """Say what was done: names of commits are copied, so lines are not wrapped."""
    if json:
        console.write_json(outcome)
    else:
        console.command(sentence)
