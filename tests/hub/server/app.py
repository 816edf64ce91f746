"""The application: routes, refusals as the Hub words them, and a door for tests to look inside and order faults."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.hub.server.community import Community
from tests.hub.server.hub import Fault, Hub
from tests.hub.server.model import HubError
from tests.hub.server.reading import Reading
from tests.hub.server.writing import Writing

_REPO = "/api/{kind}s/{ns}/{name}"


class Inside:
    """What only tests ask."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def state(self, request: Request) -> Response:
        return JSONResponse(
            {
                name: {
                    "private": repository.private,
                    "gated": repository.gated,
                    "refs": repository.refs,
                    "trees": {
                        sha: {path: blob.sha256 or blob.oid for path, blob in repository.commits[sha].tree.items()}
                        for sha in repository.reachable()
                    },
                    "titles": {sha: repository.commits[sha].title for sha in repository.reachable()},
                    "pull_requests": {num: each.status for num, each in repository.pull_requests.items()},
                    "xet": any(blob.xet for each in repository.commits.values() for blob in each.tree.values()),
                }
                for (_, name), repository in self.hub.repositories.items()
            }
        )

    async def calls(self, request: Request) -> Response:
        return JSONResponse(self.hub.calls)

    async def faults(self, request: Request) -> Response:
        self.hub.faults = [Fault(**fault) for fault in await request.json()]
        return JSONResponse({})

    async def blob(self, request: Request) -> Response:
        """Whether some bytes are still anywhere on the server."""
        return JSONResponse(self.hub.objects.large(request.path_params["sha256"]).exists())


def _routes(hub: Hub) -> list[Route]:
    read, write, talk, inside = Reading(hub), Writing(hub), Community(hub), Inside(hub)
    return [
        Route("/_test/state", inside.state),
        Route("/_test/calls", inside.calls),
        Route("/_test/faults", inside.faults, methods=["POST"]),
        Route("/_test/large/{sha256}", inside.blob),
        Route("/api/whoami-v2", read.whoami),
        Route("/api/validate-yaml", write.validate_yaml, methods=["POST"]),
        Route("/api/repos/create", write.create, methods=["POST"]),
        Route("/api/{kind}s", read.listing),
        Route(_REPO + "/settings", write.settings, methods=["PUT"]),
        Route(_REPO + "/user-access-request/grant", write.grant, methods=["POST"]),
        Route(_REPO + "/refs", read.refs),
        Route(_REPO + "/commits/{revision}", read.commits),
        Route(_REPO + "/revision/{revision}", read.info),
        Route(_REPO + "/tag/{revision}", write.tag, methods=["POST", "DELETE"]),
        Route(_REPO + "/branch/{revision}", write.branch, methods=["POST", "DELETE"]),
        Route(_REPO + "/preupload/{revision}", write.preupload, methods=["POST"]),
        Route(_REPO + "/commit/{revision}", write.commit, methods=["POST"]),
        Route(_REPO + "/super-squash/{revision}", write.squash, methods=["POST"]),
        Route(_REPO + "/lfs-files", write.large_files),
        Route(_REPO + "/lfs-files/batch", write.delete_large_files, methods=["POST"]),
        Route(_REPO + "/xet-{mode}-token/{revision}", write.xet_token),
        Route(_REPO + "/tree/{revision}", read.tree),
        Route(_REPO + "/tree/{revision}/{path:path}", read.tree),
        Route(_REPO + "/paths-info/{revision}", read.paths_info, methods=["POST"]),
        Route(_REPO + "/discussions", talk.listing),
        Route(_REPO + "/discussions/{num:int}", talk.details),
        Route(_REPO + "/discussions/{num:int}/status", talk.status, methods=["POST"]),
        Route(_REPO + "/discussions/{num:int}/merge", talk.merge, methods=["POST"]),
        Route(_REPO + "/discussions/{num:int}/ref", talk.delete_ref, methods=["DELETE"]),
        Route(_REPO, read.info),
        Route("/{kind}s/{ns}/{name}.git/info/lfs/objects/batch", write.batch, methods=["POST"]),
        Route("/_large/verify", write.verify, methods=["POST"]),
        Route("/_large/{sha256}", write.upload, methods=["PUT"]),
        Route("/_large/{sha256}", read.large),
        Route("/{kind}s/{ns}/{name}/resolve/{revision}/{path:path}", read.resolve),
    ]


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    headers = {"X-Error-Message": error.message} | ({"X-Error-Code": error.code} if error.code else {})
    return JSONResponse({"error": error.message}, error.status, headers)


async def _unheard(message: Message) -> None:
    """What a server says to a connection that does not carry it any more."""


def make_app(root: Path) -> ASGIApp:
    """The server, with its content below a folder."""
    hub = Hub(root)
    inner = Starlette(routes=_routes(hub), exception_handlers={HubError: _refuse})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        # The undecoded path: the slashes of refs%2Fpr%2F1 belong to one segment.
        path = scope["raw_path"].decode().split("?")[0]
        hub.calls.append(f"{scope['method']} {path}")
        fault = hub.fault(scope["method"], path)
        if fault is not None and fault.hangs:
            if fault.hangs == "after":
                await inner(dict(scope, path=path), receive, _unheard)
            hub.calls.append(f"hangs {path}")
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if fault is not None:
            headers = {"X-Error-Message": fault.message, **fault.headers}
            await JSONResponse({"error": fault.message}, fault.status, headers)(scope, receive, send)
            return
        await inner(dict(scope, path=path), receive, send)

    return app
