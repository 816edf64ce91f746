"""The half that writers use: repositories, settings, uploads, commits, tags, and what rewrites history."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import yaml
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.server.hub import LARGE, LARGE_BYTES, Hub, base, revision
from tests.hub.server.model import HubError, Repository, Tree, may_write, now

_PULL_REQUEST = re.compile(r"refs/pr/(\d+)")


class Writing:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def create(self, request: Request) -> Response:
        body, user = await request.json(), self.hub.signed_in(request)
        namespace = body.get("organization") or user
        if not may_write(user, namespace):
            raise HubError(403, None, f"You don't have the rights to create a repository under {namespace}")
        kind, name = body.get("type") or "model", f"{namespace}/{body['name']}"
        found = {"url": f"{base(request)}/{kind}s/{name}", "id": name}
        if (kind, name) in self.hub.repositories:
            headers = {"X-Error-Message": f"You already created this {kind} repo"}
            return JSONResponse(found | {"error": headers["X-Error-Message"]}, 409, headers)
        private = body.get("visibility") == "private" or bool(body.get("private"))
        self.hub.repositories[kind, name] = Repository(kind, name, private, user, self.hub.first_tree())
        return JSONResponse(found)

    async def settings(self, request: Request) -> Response:
        repository, body = self.hub.writable(request), await request.json()
        repository.gated = body.get("gated", repository.gated)
        if "visibility" in body:
            repository.private = body["visibility"] == "private"
        return JSONResponse({"private": repository.private, "gated": repository.gated})

    async def grant(self, request: Request) -> Response:
        self.hub.writable(request).granted.add((await request.json())["user"])
        return JSONResponse({})

    async def validate_yaml(self, request: Request) -> Response:
        found = re.match(r"---\r?\n(.*?)\r?\n---", (await request.json())["content"], re.S)
        errors = []
        try:
            if found and not isinstance(yaml.safe_load(found[1]), dict):
                errors.append({"message": "The metadata must be a mapping"})
        except yaml.YAMLError as error:
            errors.append({"message": f"Not YAML: {error}"})
        warnings = [] if found else [{"message": "empty or missing yaml metadata in repo card"}]
        return JSONResponse({"errors": errors, "warnings": warnings}, 400 if errors else 200)

    async def preupload(self, request: Request) -> Response:
        repository, files = self.hub.readable(request), (await request.json())["files"]
        tree = repository.commits[repository.refs[self._ref(repository, request)]].tree
        answers = []
        for file in files:
            large = file["size"] > LARGE_BYTES or LARGE.search(file["path"]) is not None
            old = tree.get(file["path"])
            answers.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": (old.sha256 or old.oid) if old else None,
                }
            )
        return JSONResponse({"files": answers})

    async def batch(self, request: Request) -> Response:
        self.hub.readable(request)
        self.hub.signed_in(request)
        objects: list[dict[str, Any]] = []
        for wanted in (await request.json())["objects"]:
            sha256 = wanted["oid"]
            answer: dict[str, Any] = {"oid": sha256, "size": wanted["size"]}
            if not self.hub.objects.large(sha256).exists():
                place = f"{base(request)}/_large/{sha256}?signature={self.hub.objects.sign(f'put {sha256}')}"
                verify = {"href": f"{base(request)}/_large/verify"}
                answer["actions"] = {"upload": {"href": place, "header": {}}, "verify": verify}
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")

    async def upload(self, request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        self.hub.objects.check(f"put {sha256}", request.query_params.get("signature", ""))
        self.hub.objects.add_large(sha256, await request.body())
        return Response()

    async def verify(self, request: Request) -> Response:
        body = await request.json()
        file = self.hub.objects.large(body["oid"])
        return Response(status_code=200 if file.exists() and file.stat().st_size == body["size"] else 404)

    async def xet_token(self, request: Request) -> Response:
        self.hub.readable(request)
        if request.path_params["mode"] == "write":
            self.hub.signed_in(request)
        expires, store = int(time.time()) + 3600, f"local://{self.hub.objects.xet}"
        headers = {"X-Xet-Cas-Url": store, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expires)}
        return JSONResponse({"casUrl": store, "exp": expires, "accessToken": "xet"}, headers=headers)

    async def commit(self, request: Request) -> Response:
        repository, user = self.hub.readable(request), self.hub.signed_in(request)
        ref, opens = self._ref(repository, request), "create_pr" in request.query_params
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        head = lines[0]["value"]
        parent, stated = repository.refs[ref], head.get("parentCommit")
        if stated and not parent.startswith(stated):
            if not opens:
                raise HubError(412, None, "A commit has happened since. Please refresh and try again.")
            parent = repository.resolve(stated)
        tree = await run_in_threadpool(self._apply, dict(repository.commits[parent].tree), lines[1:])
        place = f"{base(request)}/{repository.kind}s/{repository.name}"
        answer: dict[str, Any] = {"success": True, "hookOutput": ""}
        if opens:
            opened = repository.open_pull_request(head["summary"], head.get("description", ""), user, parent)
            ref, answer["pullRequestUrl"] = f"refs/pr/{opened.num}", f"{place}/discussions/{opened.num}"
        sha = repository.commit(ref, tree, head["summary"], user, head.get("description", ""), parent=parent)
        return JSONResponse(answer | {"commitUrl": f"{place}/commit/{sha}", "commitOid": sha})

    def _apply(self, tree: Tree, lines: list[dict[str, Any]]) -> Tree:
        for line in lines:
            value = line["value"]
            path = value["path"].rstrip("/")
            if line["key"] == "file":
                tree[path] = self.hub.objects.add_small(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                tree[path] = self.hub.objects.pointer(value["oid"])
            elif line["key"] == "deletedFile":
                if tree.pop(path, None) is None:
                    raise HubError(404, "EntryNotFound", "A file with this name doesn't exist")
            else:
                raise HubError(400, None, f"This server knows no operation {line['key']!r}")
        return tree

    def _ref(self, repository: Repository, request: Request) -> str:
        """Where a commit goes, for whoever may commit there: writers, authors of the pull request, proposers."""
        user, wanted = self.hub.signed_in(request), revision(request)
        found = _PULL_REQUEST.fullmatch(wanted)
        own = found is not None and repository.pull_requests[int(found[1])].author == user
        if not (may_write(user, repository.namespace) or own or "create_pr" in request.query_params):
            raise HubError(403, None, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repository.movable(wanted)

    async def tag(self, request: Request) -> Response:
        repository, name = self.hub.writable(request), revision(request)
        if request.method == "DELETE":
            if repository.refs.pop(f"refs/tags/{name}", None) is None:
                raise HubError(404, "RevisionNotFound", f"Unknown tag {name}")
            return Response()
        body = await request.json()
        ref = f"refs/tags/{body['tag']}"
        if ref in repository.refs:
            raise HubError(409, None, f"Tag {body['tag']} already exists")
        repository.refs[ref] = repository.resolve(name)
        return JSONResponse({})

    async def branch(self, request: Request) -> Response:
        repository, ref = self.hub.writable(request), f"refs/heads/{revision(request)}"
        if request.method == "DELETE":
            if repository.refs.pop(ref, None) is None:
                raise HubError(404, "RevisionNotFound", f"Unknown branch {ref}")
            return Response()
        start = json.loads(await request.body() or b"{}").get("startingPoint", "main")
        repository.refs[ref] = repository.resolve(start)
        return JSONResponse({})

    async def squash(self, request: Request) -> Response:
        repository, user = self.hub.writable(request), self.hub.signed_in(request)
        ref = repository.movable(revision(request))
        if not ref.startswith("refs/heads/"):
            raise HubError(400, None, "Only a branch can be squashed")
        tree = repository.commits[repository.refs[ref]].tree
        repository.commit(ref, tree, (await request.json())["message"], user, parent=None)
        return JSONResponse({})

    async def large_files(self, request: Request) -> Response:
        repository = self.hub.writable(request)
        found = {
            blob.sha256: {"fileOid": blob.sha256, "filename": path, "oid": blob.sha256, "size": blob.size,
                          "pushedAt": now(), "ref": None}
            for commit in repository.commits.values()
            for path, blob in commit.tree.items()
            if blob.sha256 is not None and self.hub.objects.large(blob.sha256).exists()
        }  # fmt: skip
        return JSONResponse(list(found.values()))

    async def delete_large_files(self, request: Request) -> Response:
        self.hub.writable(request)
        for sha256 in (await request.json())["deletions"]["sha"]:
            self.hub.objects.forget_large(sha256)
        return JSONResponse({})
