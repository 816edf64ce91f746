"""Publishes a folder: one commit on a stated parent, read back, and tagged last; or the same as a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from idbench.errors import DataError, HubError
from idbench.hub.fetching import fetched_afresh
from idbench.hub.reference import KIND, HubRef, client, hub_errors, page
from idbench.hub.remote import Head, RemoteFile, read_head, remote_files
from idbench.hub.sums import files_in

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

_FILES = 10_000  # per folder; the Hub refuses more


@dataclass(frozen=True, slots=True)
class Publication:
    """A version to be put on the Hub.

    Args:
        folder: every file of it, `SHA256SUMS` included.
        title: of commit and pull request, e.g. "avatars version 1".
        tag: e.g. "v1"; it never moves.
        gated: whether access must be asked for.
    """

    folder: Path
    title: str
    tag: str
    gated: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What a commit would change; paths, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether everything is there already."""
        return not (self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is on the Hub, read back and tagged.

    Args:
        ref: pinned.
        committed: False where it was there already.
        private: whether only members see it.
    """

    ref: HubRef
    committed: bool
    private: bool


@dataclass(frozen=True, slots=True)
class Proposed:
    """A version that waits in a pull request.

    Args:
        ref: pinned.
        number: of the pull request.
        url: where it is discussed and merged.
        committed: False where it said the same already.
    """

    ref: HubRef
    number: int
    url: str
    committed: bool


def compare(folder: Path, files: Mapping[str, RemoteFile]) -> Difference:
    """What a commit that makes `files` those of `folder` would change."""
    here = files_in(folder)
    both = sorted(set(here) & set(files))
    same = {path for path in both if files[path].holds(here[path])}
    return Difference(
        added=tuple(sorted(set(here) - set(files))),
        changed=tuple(path for path in both if path not in same),
        removed=tuple(sorted(set(files) - set(here))),
        unchanged=tuple(path for path in both if path in same),
    )


def publish(
    publication: Publication, repo: str, head: Head | None, already: HubRef | None = None, *, private: bool
) -> Published:
    """Put a version on the main branch.

    A repository that is not there yet is made private, and shown to everybody only when all is there and verified.
    An interrupted attempt is continued: nothing is sent twice.

    Args:
        publication: what to put there.
        repo: `ORG/NAME`.
        head: what the decision to publish was taken on; if somebody commits meanwhile, nothing is changed.
        already: the commit that holds this version, where the caller knows one that says the same in other bytes.
        private: whether a repository that is made stays private; one that is there keeps its visibility.

    Raises:
        HubError: the Hub refuses, or the tag exists and means something else.
        DataError: what was read back differs from what was sent.
    """
    api, created = client(), head is None
    if head is None:
        with hub_errors(repo):
            api.create_repo(repo, repo_type=KIND, private=True)
        head = _there(repo)
    with hub_errors(repo):
        if publication.gated and not head.gated:  # before names arrive, not after
            api.update_repo_settings(repo, repo_type=KIND, gated="manual")
    if already is not None:
        with fetched_afresh(already):
            return Published(already, False, head.private)
    commit, committed = _commit(publication, repo, head)
    ref = verified(publication.folder, HubRef(repo, commit))
    with hub_errors(repo):
        if publication.tag not in head.tags:
            api.create_tag(repo, repo_type=KIND, tag=publication.tag, tag_message=publication.title, revision=commit)
        if created and not private:
            api.update_repo_settings(repo, repo_type=KIND, private=False)
    return Published(ref, committed, private if created else head.private)


def propose(publication: Publication, repo: str, head: Head | None) -> Proposed:
    """Put a version into a pull request: into the one that is open already, if this account opened one for it.

    Arguments and errors are those of `publish`; members merge it and then publish, which verifies and tags.
    """
    name = check_account()
    if head is None:
        raise HubError(f"There is no data set {repo} that this account may see.", hint="Leave out --pull-request.")
    if publication.gated and not head.gated:
        raise HubError(
            f"{repo} is open to everybody, and this split must not be.",
            hint="Its members have to enable access requests in its settings first.",
        )
    number = open_request(repo, publication.title, name)
    if number is not None:
        return _continue(publication, repo, number)
    difference = compare(publication.folder, head.files)
    if difference.empty:
        raise HubError(f"{repo} holds this version already.", hint="There is nothing to propose.")
    with hub_errors(repo):
        made = client().create_commit(
            repo, _operations(publication.folder, difference), repo_type=KIND, commit_message=publication.title,
            commit_description=_DESCRIPTION, parent_commit=head.commit, create_pr=True,
        )  # fmt: skip
    number = int(made.pr_num or 0)
    ref = verified(publication.folder, HubRef(repo, str(made.oid)))
    return Proposed(ref, number, f"{page(repo)}/discussions/{number}", True)


def open_request(repo: str, title: str, account: str) -> int | None:
    """The number of the newest open pull request of an account with a title; None if there is none.

    Raises:
        HubError: the Hub cannot be asked.
    """
    with hub_errors(repo):
        mine = client().get_repo_discussions(
            repo, repo_type=KIND, author=account, discussion_type="pull_request", discussion_status="open"
        )
        return max((each.num for each in mine if each.title == title), default=None)


def propose_files(
    repo: str, title: str, description: str, files: Mapping[str, Path], gone: Iterable[str], number: int | None
) -> Proposed:
    """Put some files into a pull request, and leave all others as they are.

    Args:
        repo: `ORG/NAME`.
        title: of the commit, and of the pull request if one is opened.
        description: what people read in it.
        files: what to put there, by path.
        gone: paths to remove; missing ones are passed over.
        number: of an open pull request that is continued; None opens one.

    Raises:
        HubError: the Hub refuses.
        DataError: what arrived differs from what was sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    revision = "main" if number is None else f"refs/pr/{number}"
    head = _there(repo, revision)
    sent = {path: file for path, file in files.items() if path not in head.files or not head.files[path].holds(file)}
    removed = [path for path in gone if path in head.files]
    commit = head.commit
    if sent or removed:
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path, file) for path, file in sent.items()),
            *(CommitOperationDelete(path) for path in removed),
        ]
        where = {"create_pr": True} if number is None else {"revision": revision}
        with hub_errors(repo):
            made = client().create_commit(
                repo, operations, repo_type=KIND, commit_message=title, commit_description=description,
                parent_commit=head.commit, **where,
            )  # fmt: skip
        commit, number = str(made.oid), number or int(made.pr_num or 0)
    elif number is None:
        raise HubError(f"{repo} holds all of this already.", hint="There is nothing to propose.")
    arrived = remote_files(repo, commit)
    for path, file in files.items():
        if path not in arrived or not arrived[path].holds(file):
            raise DataError(f"{path} in {repo} differs from what was sent.", hint="Repeat the command.")
    return Proposed(HubRef(repo, commit), number, f"{page(repo)}/discussions/{number}", bool(sent or removed))


_DESCRIPTION = "Made by `bench data publish`; `bench data verify` reads it back."


def _continue(publication: Publication, repo: str, number: int) -> Proposed:
    revision = f"refs/pr/{number}"
    head = _there(repo, revision)
    difference = compare(publication.folder, head.files)
    commit = head.commit if difference.empty else _send(publication, repo, head, difference, revision)
    ref = verified(publication.folder, HubRef(repo, commit))
    return Proposed(ref, number, f"{page(repo)}/discussions/{number}", not difference.empty)


def _commit(publication: Publication, repo: str, head: Head) -> tuple[str, bool]:
    """The commit that holds the version, made if it is not there, and whether it was made."""
    tagged = head.tags.get(publication.tag)
    if tagged is not None:
        there = compare(publication.folder, remote_files(repo, tagged))
        if there.empty:
            return tagged, False
        other = (*there.changed, *there.added, *there.removed)
        raise HubError(
            f"{repo} has a {publication.tag} already, with other content: {', '.join(other[:3])}.",
            hint="A published version never changes: raise the version.",
        )
    difference = compare(publication.folder, head.files)
    if difference.empty:
        return head.commit, False
    return _send(publication, repo, head, difference, "main"), True


def _send(publication: Publication, repo: str, head: Head, difference: Difference, revision: str) -> str:
    crowded = max(
        (sum(1 for _ in place.iterdir()) for place in publication.folder.rglob("*") if place.is_dir()), default=0
    )
    if crowded > _FILES:
        raise DataError(f"A folder of {crowded} files is more than the Hub takes.", hint=f"At most {_FILES} each.")
    with hub_errors(repo):
        made = client().create_commit(
            repo, _operations(publication.folder, difference), repo_type=KIND, commit_message=publication.title,
            commit_description=_DESCRIPTION, parent_commit=head.commit, revision=revision,
        )  # fmt: skip
    return str(made.oid)


def _operations(folder: Path, difference: Difference) -> list[CommitOperationAdd | CommitOperationDelete]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    here = files_in(folder)
    return [
        *(CommitOperationAdd(path, here[path]) for path in (*difference.added, *difference.changed)),
        *(CommitOperationDelete(path) for path in difference.removed),
    ]


def verified(folder: Path, ref: HubRef) -> HubRef:
    """A pinned publication whose every byte, fetched into an empty cache, is that of a folder.

    Raises:
        DataError: it differs.
    """
    with fetched_afresh(ref) as fresh:
        difference = compare(folder, fresh.files)
        if not difference.empty:
            other = (*difference.changed, *difference.added, *difference.removed)
            raise DataError(
                f"{fresh.ref} differs from what was sent: {', '.join(other[:3])}.",
                hint="It carries no tag. Repeat the command.",
            )
        return fresh.ref


def check_account() -> str:
    """The name of the account that is logged in.

    Raises:
        HubError: nobody is, or the token is wrong.
    """
    with hub_errors("The Hub"):
        return str(client().whoami()["name"])


def _there(repo: str, revision: str = "main") -> Head:
    head = read_head(repo, revision)
    if head is None:
        raise HubError(f"There is no data set {repo} that this account may see.", hint="Check the name and the token.")
    return head
