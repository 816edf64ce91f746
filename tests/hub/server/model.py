"""Accounts, repositories, commits and pull requests of the test server, as plain objects in memory."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field

TOKENS = {"hf_owner": "owner", "hf_reader": "reader", "hf_bob": "bob"}
"""Who a token belongs to. Everybody may write to their own namespace and to those in `MEMBERS`."""

MEMBERS = {"lab": {"owner"}}
"""Who may write to an organization."""

MAIN = "refs/heads/main"


class HubError(Exception):
    """A refusal: HTTP status, the Hub's own code for clients, and a sentence."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def may_write(user: str | None, namespace: str) -> bool:
    return user is not None and (user == namespace or user in MEMBERS.get(namespace, ()))


@dataclass(frozen=True)
class Blob:
    """A file: its git object, its size, and where it is a large file its SHA-256 and perhaps its Xet hash."""

    oid: str
    size: int
    sha256: str | None = None
    xet: str | None = None


Tree = dict[str, Blob]


@dataclass(frozen=True)
class Commit:
    tree: Tree
    parent: str | None
    title: str
    message: str
    author: str
    date: str


@dataclass
class PullRequest:
    num: int
    title: str
    description: str
    author: str
    status: str = "open"
    merge_commit: str | None = None
    created: str = field(default_factory=now)


class Repository:
    """Refs, commits and pull requests of one repository."""

    def __init__(self, kind: str, name: str, private: bool, owner: str, first: Tree) -> None:
        self.kind, self.name, self.private = kind, name, private
        self.gated: str | bool = False
        self.granted = {owner}
        self.created = now()
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self.pull_requests: dict[int, PullRequest] = {}
        self.commit(MAIN, first, "initial commit", owner, parent=None)

    @property
    def namespace(self) -> str:
        return self.name.split("/")[0]

    def commit(self, ref: str, tree: Tree, title: str, author: str, message: str = "", *, parent: str | None) -> str:
        files = sorted((path, blob.oid) for path, blob in tree.items())
        content = json.dumps([parent, files, title, author, secrets.token_hex(4)])
        sha = hashlib.sha1(content.encode()).hexdigest()
        self.commits[sha] = Commit(dict(tree), parent, title, message, author, now())
        self.refs[ref] = sha
        return sha

    def movable(self, revision: str) -> str:
        """The full name of a branch or pull request that commits may go to."""
        for ref in (f"refs/heads/{revision}", revision):
            if ref in self.refs and not ref.startswith("refs/tags/"):
                return ref
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def resolve(self, revision: str) -> str:
        """The commit that a branch, tag, ref or (short) commit id means. Only what a ref leads to still exists."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.refs[ref]
        found = [sha for sha in self.reachable() if len(revision) >= 7 and sha.startswith(revision)]
        if len(found) != 1:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found[0]

    def reachable(self) -> set[str]:
        seen: set[str] = set()
        for sha in self.refs.values():
            here: str | None = sha
            while here is not None and here not in seen:
                seen.add(here)
                here = self.commits[here].parent
        return seen

    def history(self, sha: str) -> list[tuple[str, Commit]]:
        found, here = [], sha
        while here is not None:
            found.append((here, self.commits[here]))
            here = self.commits[here].parent
        return found

    def open_pull_request(self, title: str, description: str, author: str, base: str) -> PullRequest:
        opened = PullRequest(len(self.pull_requests) + 1, title, description, author)
        self.pull_requests[opened.num] = opened
        self.refs[f"refs/pr/{opened.num}"] = base
        return opened
