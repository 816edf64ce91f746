"""What the routes share: who asks, what they may see, and the faults that a test orders."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import yaml
from starlette.requests import Request

from tests.hub.server.model import MAIN, TOKENS, HubError, Repository, Tree, may_write
from tests.hub.server.objects import Objects

LARGE = re.compile(r"\.(parquet|arrow|bin|zip|png|jpe?g|tar|gz)$")
LARGE_BYTES = 10 << 20


@dataclass
class Fault:
    """An answer that a test orders for the next requests of a kind; `moves` commits to main first instead.

    `hangs`: none is given, `before` or `after` the request is obeyed, until whoever asked is gone.
    """

    method: str
    path: str
    status: int = 0
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    moves: str = ""
    hangs: Literal["", "before", "after"] = ""


class Hub:
    """All repositories, and the log of what was asked."""

    def __init__(self, root: Path) -> None:
        self.objects = Objects(root)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.faults: list[Fault] = []
        self.calls: list[str] = []

    def first_tree(self) -> Tree:
        return {".gitattributes": self.objects.add_small(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")}

    def user(self, request: Request) -> str | None:
        header = request.headers.get("authorization", "")
        if not header:
            return None
        if (token := header.removeprefix("Bearer ")) not in TOKENS:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        return TOKENS[token]

    def signed_in(self, request: Request) -> str:
        user = self.user(request)
        if user is None:
            raise HubError(401, None, "Invalid username or password.")
        return user

    def visible(self, request: Request) -> Repository:
        """The repository that a request is about, for whoever may know that it exists."""
        kind, name = request.path_params["kind"], f"{request.path_params['ns']}/{request.path_params['name']}"
        user, found = self.user(request), self.repositories.get((kind, name))
        if found is None or (found.private and user not in found.granted and not may_write(user, found.namespace)):
            raise HubError(404 if user else 401, "RepoNotFound", "Repository not found")
        return found

    def readable(self, request: Request) -> Repository:
        """The repository, for whoever may read its files."""
        found, user = self.visible(request), self.user(request)
        if found.gated and user not in found.granted and not may_write(user, found.namespace):
            raise HubError(403 if user else 401, "GatedRepo", f"Access to {found.kind} {found.name} is restricted.")
        return found

    def writable(self, request: Request) -> Repository:
        """The repository, for whoever may write to it."""
        found, user = self.visible(request), self.user(request)
        if not may_write(user, found.namespace):
            raise HubError(403 if user else 401, None, "You don't have the required permissions")
        return found

    def card(self, tree: Tree) -> dict[str, Any] | None:
        if (blob := tree.get("README.md")) is None:
            return None
        found = re.match(r"---\n(.*?)\n---", self.objects.path(blob).read_text(encoding="utf-8"), re.S)
        return yaml.safe_load(found[1]) if found else None

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that is due for a request; a moved branch is moved here, and the request goes on."""
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                if not fault.moves:
                    return fault
                repository = self.repositories["dataset", fault.moves]
                head = repository.refs[MAIN]
                tree = repository.commits[head].tree | {"elsewhere.txt": self.objects.add_small(b"elsewhere\n")}
                repository.commit(MAIN, tree, "somebody else's commit", "owner", parent=head)
        return None


def revision(request: Request) -> str:
    return unquote(request.path_params.get("revision", "main"))


def base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def elsewhere(request: Request) -> str:
    """This server under another host name: clients follow redirects to the same host by themselves."""
    host = "localhost" if request.url.hostname != "localhost" else "127.0.0.1"
    return f"{request.url.scheme}://{host}:{request.url.port}"
