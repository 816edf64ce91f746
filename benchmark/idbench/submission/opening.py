"""Opens what is proposed: a folder, a checkout and the revision that it began with, or a pull request on the Hub."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idbench.errors import DataError, HubError, IdbenchError, StorageError
from idbench.hub import PREFIX, HubRef, check_repo, copy_of, history, remote_files
from idbench.results.proposal import LARGEST_FILE, MOST_FILES, Proposal
from idbench.storage import is_there
from idbench.submission.git import commit_of, extract, git_text
from idbench.workplace import workplace

_PULL_REQUEST = re.compile(rf"(?:{PREFIX})?(?P<repo>[^#@\s]+/[^#@\s]+)#(?P<number>[1-9]\d{{0,8}})")
_LARGEST_PROPOSAL = 1 << 30
"""Bytes that one pull request may add."""


@contextmanager
def open_proposal(what: str, base: str | None = None) -> Iterator[Proposal]:
    """What is proposed, for as long as the block lasts.

    Args:
        what: a folder, or `ORG/NAME#NUMBER` for a pull request on the Hub.
        base: what it is added to: a folder, or a revision of the git repository that `what` is a checkout of; None:
            everything in the folder is proposed. A pull request begins where it left the main branch.

    Raises:
        StorageError: there is no such folder.
        HubError: the pull request cannot be fetched.
        IdbenchError: git has no such revision.
        DataError: it is too large to be looked at.
    """
    found = _PULL_REQUEST.fullmatch(what)
    root = Path(what)
    with workplace() as work:
        if found is not None and not is_there(root):
            if base is not None:
                raise IdbenchError("A pull request has a base of its own.", hint="Leave --base out.")
            yield _pull_request(found["repo"], int(found["number"]), work)
            return
        if not is_there(root) or not root.is_dir():
            raise StorageError(
                f"{what} is not a folder.", hint="Give a folder of records, or a pull request: ORG/NAME#NUMBER."
            )
        yield _folder(root, base, work)


def _folder(root: Path, base: str | None, work: Path) -> Proposal:
    if base is None:
        return Proposal(root)
    if is_there(Path(base)) and Path(base).is_dir():
        if Path(base).resolve() == root.resolve():
            raise IdbenchError(f"{base} is compared with itself.", hint="Give what was there before with --base.")
        return Proposal(root, Path(base))
    commit = commit_of(root, base)
    begin = git_text(root, "merge-base", commit, "HEAD")
    before = _extracted(root, begin, work / "before")
    accepted = before if begin == commit else _extracted(root, commit, work / "accepted")
    return Proposal(root, before, accepted)


def _extracted(root: Path, commit: str, out: Path) -> Path:
    out.mkdir()
    try:
        extract(root, commit, out)
    except (tarfile.TarError, OSError) as error:
        raise StorageError(f"The files of {commit[:12]} cannot be written: {error}.", hint="Check the disk.") from error
    return out


def _pull_request(repo: str, number: int, work: Path) -> Proposal:
    """A pull request as it is now, next to the main branch where it began and as it is now."""
    check_repo(repo)
    proposed, main = history(repo, f"refs/pr/{number}"), history(repo, "main")
    known = set(main)
    begin = next((commit for commit in proposed if commit in known), None)
    if begin is None:
        raise HubError(f"Pull request {number} of {repo} has nothing in common with its main branch.", hint="Close it.")
    _refuse_flood(repo, number, proposed[0], begin)
    places = {commit: work / commit for commit in {proposed[0], begin, main[0]}}
    for commit, place in places.items():
        copy_of(HubRef(repo, commit), place)
    return Proposal(places[proposed[0]], places[begin], places[main[0]])


def _refuse_flood(repo: str, number: int, commit: str, begin: str) -> None:
    """Look at the sizes before anything is fetched."""
    old, new = remote_files(repo, begin), remote_files(repo, commit)
    more = [file.size for path, file in new.items() if old.get(path) != file]
    if len(new) > MOST_FILES or sum(more) > _LARGEST_PROPOSAL or max(more, default=0) > LARGEST_FILE:
        raise DataError(
            f"Pull request {number} of {repo} brings {len(more):,} files of {sum(more):,} bytes, the largest of "
            f"{max(more, default=0):,}: too much to be results.",
            hint=f"At most {LARGEST_FILE:,} bytes a file and {_LARGEST_PROPOSAL:,} in all.",
        )
