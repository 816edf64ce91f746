"""What lies in a repository on the Hub at one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from idbench.hub.reference import KIND, client, hub_errors
from idbench.storage import sha256_file, storage_errors

OWN = frozenset({".gitattributes"})
"""Files that the Hub makes and manages by itself."""

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the Hub lists it.

    Args:
        size: bytes.
        oid: SHA-1 of git's blob, a pointer's for large files.
        sha256: of the content; None for small files.
    """

    size: int
    oid: str
    sha256: str | None

    def holds(self, file: Path) -> bool:
        """Whether a file on this disk has exactly this content."""
        with storage_errors(file):
            size = file.stat().st_size
        if size != self.size:
            return False
        return sha256_file(file) == self.sha256 if self.sha256 else _git_oid(file, size) == self.oid


@dataclass(frozen=True, slots=True)
class Head:
    """A branch or pull request as it is now.

    Args:
        commit: its newest.
        files: by path, without those that the Hub keeps for itself.
        tags: commits by tag.
        private: whether only members see it.
        gated: whether access must be asked for.
    """

    commit: str
    files: Mapping[str, RemoteFile]
    tags: Mapping[str, str]
    private: bool
    gated: bool


def read_head(repo: str, revision: str = "main") -> Head | None:
    """What a repository holds now; None where there is none that this account may see.

    Raises:
        HubError: the Hub cannot be asked, or access must be asked for.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    api = client()
    with hub_errors(repo):
        try:
            info = api.repo_info(repo, repo_type=KIND, revision=revision)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return None
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo, repo_type=KIND).tags}
        commit = str(info.sha)
        return Head(commit, remote_files(repo, commit), tags, bool(info.private), bool(getattr(info, "gated", False)))


def sets_with(owner: str, file: str) -> dict[str, str]:
    """Data sets of an account or organization that hold a file, and the newest commit of each.

    Args:
        owner: whose; those that this account may not see are left out.
        file: a path in them.

    Raises:
        HubError: they cannot be listed.
    """
    with hub_errors(owner):
        listed = list(client().list_datasets(author=owner, full=True))
    return {each.id: str(each.sha) for each in listed if any(one.rfilename == file for one in each.siblings or ())}


def remote_files(repo: str, commit: str) -> dict[str, RemoteFile]:
    """The files of a repository at a commit, without those that the Hub keeps for itself.

    Raises:
        HubError: it cannot be listed.
    """
    from huggingface_hub.hf_api import RepoFile

    with hub_errors(repo):
        listed = list(client().list_repo_tree(repo, recursive=True, revision=commit, repo_type=KIND))
    return {
        each.path: RemoteFile(each.size, each.blob_id, each.lfs.sha256 if each.lfs else None)
        for each in listed
        if isinstance(each, RepoFile) and each.path not in OWN
    }


def _git_oid(file: Path, size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with storage_errors(file), file.open("rb") as opened:
        while block := opened.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
