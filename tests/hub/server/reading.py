"""The half that readers use: information, listings, files."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response

from tests.hub.server.hub import Hub, base, elsewhere, revision
from tests.hub.server.model import Blob, HubError, Repository, Tree, may_write

_CARD = "README.md"


class Reading:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def whoami(self, request: Request) -> Response:
        user = self.hub.signed_in(request)
        return JSONResponse({"type": "user", "name": user, "fullname": user, "orgs": [], "auth": {}})

    async def info(self, request: Request) -> Response:
        repository = self.hub.visible(request)
        sha = repository.resolve(revision(request))
        commit, wanted = repository.commits[sha], "blobs" in request.query_params
        return JSONResponse(
            {
                "id": repository.name,
                "author": repository.namespace,
                "sha": sha,
                "lastModified": commit.date,
                "createdAt": repository.created,
                "private": repository.private,
                "gated": repository.gated,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "cardData": self.hub.card(commit.tree),
                "siblings": [_sibling(path, blob, wanted) for path, blob in commit.tree.items()],
            }
        )

    async def listing(self, request: Request) -> Response:
        user, author = self.hub.user(request), request.query_params["author"]
        return JSONResponse(
            [
                {
                    "id": each.name,
                    "author": each.namespace,
                    "sha": (sha := each.resolve("main")),
                    "private": each.private,
                    "siblings": [_sibling(path, blob, False) for path, blob in each.commits[sha].tree.items()],
                }
                for (kind, _), each in self.hub.repositories.items()
                if (kind, each.namespace) == (request.path_params["kind"], author)
                and (not each.private or user in each.granted or may_write(user, author))
            ]
        )

    async def refs(self, request: Request) -> Response:
        repository = self.hub.visible(request)
        kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/"}
        if "include_prs" in request.query_params:
            kinds["pullRequests"] = "refs/pr/"
        return JSONResponse({kind: _refs(repository, prefix) for kind, prefix in kinds.items()})

    async def commits(self, request: Request) -> Response:
        repository = self.hub.readable(request)
        return JSONResponse(
            [
                {"id": sha, "title": each.title, "message": each.message, "date": each.date,
                 "authors": [{"user": each.author}]}
                for sha, each in repository.history(repository.resolve(revision(request)))
            ]
        )  # fmt: skip

    async def tree(self, request: Request) -> Response:
        repository = self.hub.readable(request)
        tree = repository.commits[repository.resolve(revision(request))].tree
        path = unquote(request.path_params.get("path", "")).strip("/")
        prefix = f"{path}/" if path else ""
        if path and path not in _folders(tree):
            raise HubError(404, "EntryNotFound", f"{path} does not exist")
        deep = request.query_params.get("recursive", "").lower() == "true"
        inside = [p for p in (*_folders(tree), *tree) if p.startswith(prefix) and (deep or "/" not in p[len(prefix) :])]
        return JSONResponse([_entry(p, tree) for p in inside])

    async def paths_info(self, request: Request) -> Response:
        repository = self.hub.readable(request)
        tree = repository.commits[repository.resolve(revision(request))].tree
        raw = await request.body()
        paths = json.loads(raw)["paths"] if raw[:1] == b"{" else parse_qs(raw.decode()).get("paths", [])
        return JSONResponse([_entry(p, tree) for p in paths if p in tree or p in _folders(tree)])

    async def resolve(self, request: Request) -> Response:
        path = unquote(request.path_params["path"])
        # The card of a gated repository can be read by everybody: it says how to ask for access.
        repository = self.hub.visible(request) if path == _CARD else self.hub.readable(request)
        sha = repository.resolve(revision(request))
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        blob = repository.commits[sha].tree.get(path)
        if blob is None:
            missing = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return Response(status_code=404, headers=headers | missing)
        if blob.sha256 is None:
            return FileResponse(self.hub.objects.path(blob), headers=headers | {"ETag": f'"{blob.oid}"'})
        linked = {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"', "ETag": f'"{blob.oid}"'}
        if blob.xet is not None:
            route = f"{base(request)}/api/{repository.kind}s/{repository.name}/xet-read-token/{sha}"
            linked |= {"X-Xet-Hash": blob.xet, "X-Xet-Refresh-Route": route, "Link": f'<{route}>; rel="xet-auth"'}
        signature = self.hub.objects.sign(f"get {blob.sha256}")
        place = f"{elsewhere(request)}/_large/{blob.sha256}?signature={signature}"
        return RedirectResponse(place, 302, headers=headers | linked)

    async def large(self, request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        self.hub.objects.check(f"get {sha256}", request.query_params.get("signature", ""))
        if not self.hub.objects.large(sha256).exists():
            raise HubError(404, None, "Deleted")
        return FileResponse(self.hub.objects.large(sha256))


def _sibling(path: str, blob: Blob, details: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": path}
    if details:
        found |= {"size": blob.size, "blobId": blob.oid}
        if blob.sha256 is not None:
            found["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 130}
    return found


def _refs(repository: Repository, prefix: str) -> list[dict[str, str]]:
    return [
        {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha}
        for ref, sha in repository.refs.items()
        if ref.startswith(prefix)
    ]


def _folders(tree: Tree) -> list[str]:
    parts = [path.split("/") for path in tree]
    return sorted({"/".join(part[:depth]) for part in parts for depth in range(1, len(part))})


def _entry(path: str, tree: Tree) -> dict[str, Any]:
    blob = tree.get(path)
    if blob is None:
        return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
    found: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": blob.size}
    if blob.sha256 is not None:
        found["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
    return found | ({"xetHash": blob.xet} if blob.xet else {})
