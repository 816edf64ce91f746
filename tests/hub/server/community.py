"""Pull requests: listed, read, closed, merged, and their refs deleted."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.server.hub import Hub
from tests.hub.server.model import MAIN, HubError, PullRequest, Repository, may_write


class Community:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def listing(self, request: Request) -> Response:
        repository, asked = self.hub.readable(request), request.query_params
        found = [
            each
            for each in repository.pull_requests.values()
            if asked.get("author") in (None, each.author)
            and asked.get("status", "all") in ("all", "open" if each.status in ("open", "draft") else "closed")
        ]
        return JSONResponse({"discussions": [_json(repository, e) for e in found], "count": len(found), "start": 0})

    async def details(self, request: Request) -> Response:
        repository = self.hub.readable(request)
        return JSONResponse(_json(repository, self._found(repository, request)))

    async def status(self, request: Request) -> Response:
        repository, user = self.hub.readable(request), self.hub.signed_in(request)
        found = self._found(repository, request)
        if not may_write(user, repository.namespace) and found.author != user:
            raise HubError(403, None, "Only the author and members may do this")
        found.status = (await request.json())["status"]
        return JSONResponse({"newStatus": _event(found, 1)})

    async def merge(self, request: Request) -> Response:
        repository, user = self.hub.writable(request), self.hub.signed_in(request)
        found, head = self._found(repository, request), repository.refs[MAIN]
        tree = repository.commits[repository.refs[f"refs/pr/{found.num}"]].tree
        title = f"{found.title} (#{found.num})"
        found.merge_commit = repository.commit(MAIN, tree, title, user, parent=head)
        found.status = "merged"
        return JSONResponse({"newStatus": _event(found, 1)})

    async def delete_ref(self, request: Request) -> Response:
        repository = self.hub.writable(request)
        found = self._found(repository, request)
        if found.status in ("open", "draft"):
            raise HubError(400, None, "Close or merge the pull request before its ref is deleted")
        if repository.refs.pop(f"refs/pr/{found.num}", None) is None:
            raise HubError(404, "RevisionNotFound", "The ref is deleted already")
        return JSONResponse({})

    def _found(self, repository: Repository, request: Request) -> PullRequest:
        number = request.path_params["num"]
        if number not in repository.pull_requests:
            raise HubError(404, None, "Discussion not found")
        return repository.pull_requests[number]


def _event(found: PullRequest, number: int) -> dict[str, Any]:
    return {
        "id": f"{found.num}-{number}",
        "type": "status-change",
        "createdAt": found.created,
        "author": {"name": found.author},
        "data": {"status": found.status},
    }


def _json(repository: Repository, found: PullRequest) -> dict[str, Any]:
    return {
        "num": found.num,
        "title": found.title,
        "author": {"name": found.author},
        "createdAt": found.created,
        "status": found.status,
        "repo": {"name": repository.name, "type": repository.kind},
        "isPullRequest": True,
        "filesWithConflicts": [],
        "events": [_event(found, 0)],
        "changes": {"base": MAIN, "mergeCommitId": found.merge_commit},
        "diff": "",
    }
