"""Sends records to a repository of results: as a pull request on the Hub, or as a commit in a plain git checkout.

Both begin alike: the records are put where they belong into a copy of the repository, so that the checks see what the
maintainers would see. Nothing leaves this machine before that.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from idbench.errors import DataError, HubError, IdbenchError, NoSuchRepository, RecordError
from idbench.escaping import line
from idbench.hub import HubRef, check_account, copy_of, history, open_request, propose_files
from idbench.results import Run
from idbench.results.proposal import RUNS, Proposal, is_method_name, record_place
from idbench.results.reading import shortened
from idbench.results.scores import SCORES
from idbench.results.store import METRICS, RECORD
from idbench.storage import storage_errors
from idbench.submission.git import commit_of, extract, git, git_text
from idbench.workplace import workplace

_PROPOSED: Final = "proposed"
_DESCRIPTION = "Made by `bench submit`. Maintainers: `bench leaderboard check`, then `bench verify`."


@dataclass(frozen=True, slots=True)
class Staged:
    """Records in a copy of a repository, ready to be checked and sent.

    Args:
        proposal: the copy, and what it began with.
        title: of the commit, and of the pull request.
        files: what is sent, by path in the repository.
        gone: paths of records of the same runs that an earlier submission of the same title brought.
        number: of the pull request that is continued; None opens one, or there is none.
        already: names of records that the pull request or branch holds besides.
        unknown: what could not be asked about the repository, in a sentence; empty unless nothing is sent.
    """

    proposal: Proposal
    title: str
    files: Mapping[str, Path]
    gone: tuple[str, ...]
    number: int | None
    already: tuple[str, ...]
    unknown: str = ""

    @property
    def size(self) -> int:
        """Bytes of what is sent."""
        return sum(file.stat().st_size for file in self.files.values())


@dataclass(frozen=True, slots=True)
class Sent:
    """Where the records are now.

    Args:
        where: for people: the address of a pull request, or a branch.
        commit: that holds them.
        changed: False if all of it was there already.
    """

    where: str
    commit: str
    changed: bool


def title_of(runs: Sequence[Run]) -> str:
    """What a submission is called; it decides which pull request a repeated one continues."""
    names = sorted({run.record.attack.name for run in runs})
    return line(f"Results: {', '.join(names)}"[:72])


@contextmanager
def staged_for_hub(runs: Sequence[Run], repo: str) -> Iterator[Staged]:
    """Records in a copy of a repository on the Hub, or of the pull request that this account opened for them before.

    Raises:
        HubError: there is no such repository, nobody is logged in, or the Hub cannot be asked.
        RecordError: a record's scores are not its own.
    """
    account, title = check_account(), title_of(runs)
    with workplace() as work:
        number = open_request(repo, title, account)
        yield _staged(runs, _copy(repo, number, work), title, number)


@contextmanager
def previewed_for_hub(runs: Sequence[Run], repo: str) -> Iterator[Staged]:
    """Records as `staged_for_hub` would put them, as far as can be known: for looking, not for sending.

    Without an account they are put into the main branch, as if no pull request were open; where the Hub cannot be asked
    or shows a stranger no such repository, into an empty folder. `Staged.unknown` says so.

    Raises:
        NoSuchRepository: the Hub shows this account none, so that nothing could be sent.
        RecordError: a record's scores are not its own.
        DataError: all of it is in the repository already.
    """
    title = title_of(runs)
    number: int | None = None
    unknown = ""
    with workplace() as work:
        try:
            number = open_request(repo, title, check_account())
        except NoSuchRepository:
            raise
        except HubError as error:
            unknown = f"Whether a pull request is open already is not known: {error.message}"
        try:
            proposal = _copy(repo, number, work)
        except HubError as error:
            reasons = " ".join(dict.fromkeys((*([unknown] if unknown else []), error.message)))
            unknown = f"The records were checked as if the repository were empty. {reasons}"
            proposal, number = _empty(work / "empty"), None
        yield replace(_staged(runs, proposal, title, number), unknown=unknown)


def _copy(repo: str, number: int | None, work: Path) -> Proposal:
    """A copy of a repository's main branch or of a pull request, and of where it began."""
    main = history(repo, "main")
    mine = main if number is None else history(repo, f"refs/pr/{number}")
    begin = next((commit for commit in mine if commit in set(main)), None)
    if begin is None:
        raise HubError(f"Pull request {number} of {repo} has nothing in common with its main branch.", hint="Close it.")
    places = {commit: work / commit for commit in {begin, main[0]}}
    for commit, place in places.items():
        copy_of(HubRef(repo, commit), place)
    root = work / _PROPOSED
    copy_of(HubRef(repo, mine[0]), root)
    return Proposal(root, places[begin], places[main[0]])


def _empty(work: Path) -> Proposal:
    """A repository that holds nothing yet."""
    root, before = work / _PROPOSED, work / "before"
    root.mkdir(parents=True)
    before.mkdir()
    return Proposal(root, before, before)


def send_to_hub(staged: Staged, repo: str) -> Sent:
    """Open the pull request, or bring the one that is open up to date: one commit.

    Raises:
        HubError: the Hub refuses.
        DataError: what arrived differs from what was sent.
    """
    made = propose_files(repo, staged.title, _DESCRIPTION, staged.files, staged.gone, staged.number)
    return Sent(made.url, made.ref.revision, made.committed)


@contextmanager
def staged_for_checkout(runs: Sequence[Run], checkout: Path, base: str | None) -> Iterator[Staged]:
    """Records in a second working tree of a git repository; the person's own is not touched.

    Args:
        runs: records.
        checkout: a folder of a git repository of results.
        base: what they are added to; None: what `origin` calls its main branch, else the current commit.

    Raises:
        IdbenchError: not a repository, no such revision, or the branch is in use.
        RecordError: a record's scores are not its own.
    """
    title = title_of(runs)
    accepted = commit_of(checkout, base or _main(checkout))
    branch = branch_of(title)
    there = bool(git_text(checkout, "branch", "--list", branch))
    begin = git_text(checkout, "merge-base", accepted, branch) if there else accepted
    with workplace() as work:
        _forget_lost(checkout)
        root, before = work / _PROPOSED, work / "before"
        start = [branch] if there else ["-b", branch, accepted]
        before.mkdir()
        extract(checkout, begin, before)
        newest = before
        if begin != accepted:
            newest = work / "accepted"
            newest.mkdir()
            extract(checkout, accepted, newest)
        git(checkout, "worktree", "add", "--quiet", *_at(root, start))
        try:
            yield _staged(runs, Proposal(root, before, newest), title, None)
        finally:
            git(checkout, "worktree", "remove", "--force", str(root))
            if not there and git_text(checkout, "rev-parse", branch) == accepted:
                git(checkout, "branch", "--quiet", "-D", branch)  # nothing was committed


def _forget_lost(checkout: Path) -> None:
    """Forget working trees whose process was killed: their folders are gone, and git would keep their branch."""
    for each in git_text(checkout, "worktree", "list", "--porcelain").splitlines():
        root = Path(each.removeprefix("worktree "))
        ours = each.startswith("worktree ") and root.name == _PROPOSED and root.parents[1].name.startswith("idbench-")
        if ours and not root.exists():
            git(checkout, "worktree", "remove", "--force", str(root))


def commit_to_checkout(staged: Staged) -> Sent:
    """Commit what was staged on its branch.

    Raises:
        IdbenchError: git refuses, for want of a name for the author, say.
    """
    root = staged.proposal.root
    git(root, "add", "--all", "--", RUNS)
    if not git_text(root, "status", "--porcelain", "--", RUNS):
        return Sent(branch_of(staged.title), git_text(root, "rev-parse", "HEAD"), changed=False)
    git(root, "commit", "--quiet", "-m", staged.title, "-m", _DESCRIPTION)
    return Sent(branch_of(staged.title), git_text(root, "rev-parse", "HEAD"), changed=True)


def branch_of(title: str) -> str:
    """The branch of a submission to a plain git repository."""
    names = re.sub(r"[^A-Za-z0-9_-]+", "-", title.removeprefix("Results: ")).strip("-")
    return f"results/{names or 'records'}"


def _at(root: Path, start: Sequence[str]) -> list[str]:
    """Arguments of `git worktree add` for a folder."""
    return [*start[:2], str(root), *start[2:]] if start[0] == "-b" else [str(root), *start]


def _main(checkout: Path) -> str:
    try:
        commit_of(checkout, "origin/HEAD")
    except IdbenchError:
        return "HEAD"
    return "origin/HEAD"


def _staged(runs: Sequence[Run], proposal: Proposal, title: str, number: int | None) -> Staged:
    """Copy the records to where they belong; what an earlier submission brought of the same runs goes."""
    if not (proposal.root / RUNS).is_dir() and (proposal.root / "manifest.json").exists():
        raise DataError("This is a published split, not a repository of results.", hint="Name another repository.")
    for run in runs:
        if not is_method_name(run.record.attack.name):  # it would be part of a path
            raise RecordError(
                f"{line(shortened(run.record.attack.name))!r} is not a method's name.",
                hint="Names have lower-case letters, digits and hyphens: run it under such a name.",
            )
    files: dict[str, Path] = {}
    gone: list[str] = []
    already = sorted({str(Path(path).parent) for path in proposal.added})
    for run in runs:
        run.scores()  # what is sent was not changed since the run
        place = record_place(run)
        for folder in (proposal.root / RUNS / run.record.attack.name).glob(f"{run.record.run_id}-*"):
            path = folder.relative_to(proposal.root).as_posix()
            if path != place and path in already:
                gone += [each.relative_to(proposal.root).as_posix() for each in sorted(folder.iterdir())]
                already.remove(path)
                shutil.rmtree(folder)
        for name in (RECORD, SCORES, *([METRICS] if run.summary() is not None else [])):
            files[f"{place}/{name}"] = _copied(run.path / name, proposal.root / place / name)
    here = {str(Path(path).parent) for path in files}
    if proposal.before is not None and all((proposal.before / path).exists() for path in files):
        raise DataError("All of this is in the repository already.", hint="There is nothing to send.")
    fresh = Proposal(proposal.root, proposal.before, proposal.accepted)
    return Staged(fresh, title, files, tuple(gone), number, tuple(each for each in already if each not in here))


def _copied(source: Path, out: Path) -> Path:
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out)
    return out
