"""Take-down on the Hub: only the newest commit stays, and nothing that older ones held can be fetched any more."""

from __future__ import annotations

from dataclasses import dataclass

from idbench.errors import HubError
from idbench.hub.reference import KIND, HubRef, client, hub_errors
from idbench.hub.remote import Head, read_head

_MAIN = "main"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure would remove.

    Args:
        commits: older commits of the main branch.
        branches: other branches.
        tags: every tag but the one to keep.
        pull_requests: numbers whose refs hold old commits; open ones are closed.
        files: large files that only older commits hold.
    """

    commits: int
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    pull_requests: tuple[int, ...]
    files: int

    @property
    def empty(self) -> bool:
        """Whether nothing is left to erase."""
        return not (self.commits or self.branches or self.tags or self.pull_requests or self.files)


@dataclass(frozen=True, slots=True)
class Erased:
    """What is left: the one commit, and what was removed."""

    ref: HubRef
    removed: Erasure


def plan_erasure(repo: str, keep_tag: str) -> Erasure:
    """What `erase_history` would remove.

    Raises:
        HubError: the Hub cannot be asked.
    """
    head, api = _head(repo), client()
    with hub_errors(repo):
        refs = api.list_repo_refs(repo, repo_type=KIND, include_pull_requests=True)
        history = api.list_repo_commits(repo, repo_type=KIND, revision=_MAIN)
        kept = {file.sha256 for file in head.files.values()}
        orphans = [each for each in api.list_lfs_files(repo, repo_type=KIND) if each.file_oid not in kept]
    return Erasure(
        commits=len(history) - 1,
        branches=tuple(ref.name for ref in (*refs.branches, *refs.converts) if ref.name != _MAIN),
        tags=tuple(ref.name for ref in refs.tags if ref.name != keep_tag or ref.target_commit != head.commit),
        pull_requests=tuple(sorted(int(ref.ref.rsplit("/", 1)[1]) for ref in refs.pull_requests or ())),
        files=len(orphans),
    )


def erase_history(repo: str, keep_tag: str) -> Erased:
    """Squash the main branch into one commit, and delete every other branch, tag, pull-request ref and large file.

    Cannot be undone. Repeating it finishes an interrupted erasure.

    Args:
        repo: `ORG/NAME`.
        keep_tag: of the version that stays; it is set anew, since its commit gets another id.

    Raises:
        HubError: the Hub refuses. A data set with a DOI can never be erased: none is ever made for people.
    """
    planned, api = plan_erasure(repo, keep_tag), client()
    if planned.commits and _head(repo).tags.get(keep_tag) != _head(repo).commit:
        raise HubError(
            f"The main branch of {repo} has moved beyond {keep_tag}, the only version that may stay.",
            hint="Look at what was committed to it, publish a version that has it, and repeat.",
        )
    with hub_errors(repo):
        for number in planned.pull_requests:
            if api.get_discussion_details(repo, number, repo_type=KIND).status in ("open", "draft"):
                api.change_discussion_status(repo, number, "closed", repo_type=KIND)
            _delete_ref(repo, number)
        for tag in planned.tags:
            api.delete_tag(repo, repo_type=KIND, tag=tag)
        for branch in planned.branches:
            api.delete_branch(repo, repo_type=KIND, branch=branch)
        if planned.commits:
            api.super_squash_history(repo, repo_type=KIND, commit_message=f"{keep_tag}; history erased")
        head = _head(repo)
        kept = {file.sha256 for file in head.files.values()}
        orphans = [each for each in api.list_lfs_files(repo, repo_type=KIND) if each.file_oid not in kept]
        api.permanently_delete_lfs_files(repo, orphans, repo_type=KIND)
        if head.tags.get(keep_tag) != head.commit:
            if keep_tag in head.tags:
                api.delete_tag(repo, repo_type=KIND, tag=keep_tag)
            api.create_tag(repo, repo_type=KIND, tag=keep_tag, revision=head.commit)
    if left := _left(repo, keep_tag):
        raise HubError(f"Something of {repo} could not be erased: {left}.", hint="Repeat the command.")
    return Erased(HubRef(repo, head.commit), planned)


def _delete_ref(repo: str, number: int) -> None:
    """Delete the ref of a closed pull request; the client has no call for it, the Hub has."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    place = f"{client().endpoint}/api/datasets/{repo}/discussions/{number}/ref"
    hf_raise_for_status(get_session().delete(place, headers=build_hf_headers(library_name="idbench")))


def _left(repo: str, keep_tag: str) -> str:
    planned = plan_erasure(repo, keep_tag)
    return ", ".join(
        name for name in ("commits", "branches", "tags", "pull_requests", "files") if getattr(planned, name)
    ).replace("_", " ")


def _head(repo: str) -> Head:
    head = read_head(repo)
    if head is None:
        raise HubError(f"There is no data set {repo} that this account may see.", hint="Check the name and the token.")
    return head
