"""The Hub that is not there, hangs, or says no: one sentence each, after one look, from real servers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.torch import save_file
from tests.unit.targets.conftest import SMALL, random_model, state_of

from idbench.storage import sha256_bytes

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """A Hub with one repository, `org/tiny`; others are missing, gated or broken by their names."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        file = self.path.rpartition("/")[2]
        if self.path == "/":
            self._answer(200, b"")
        elif "gated" in self.path:
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif "org/tiny/" not in self.path:
            self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif COMMIT not in self.path:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif file not in self.server.files:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            self._answer(
                200,
                self.server.files[file],
                {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256_bytes(self.server.files[file])}"'},
            )

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    path = tmp_path_factory.mktemp("hub") / "open_clip_model.safetensors"
    save_file(state_of(random_model(SMALL)), path)
    config = json.dumps({"model_cfg": SMALL, "preprocess_cfg": {"mean": [0.5], "resize_mode": "squash"}}).encode()
    server = Hub({"open_clip_model.safetensors": path.read_bytes(), "open_clip_config.json": config})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def silent_server() -> Iterator[tuple[str, list[object]]]:
    """Takes connections and never answers; how many were taken."""
    taken: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def take() -> None:
            try:
                while True:
                    taken.append(server.accept())
            except OSError:
                return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", taken


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def python(tmp_path: Path, endpoint: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Python with an own Hub, whose client reads its address once, when it is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "BENCH_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "400",
        **more,
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)


def verify(tmp_path: Path, endpoint: str, target: str) -> str:
    """What `bench target verify TARGET` finds."""
    done = python(tmp_path, endpoint, "-m", "idbench.cli.main", "target", "verify", target, "--json")
    (row,) = json.loads(done.stdout)
    assert done.stderr == ""  # no warnings of repeated requests
    assert row["ok"] is (done.returncode == 0)
    return str(row["found"])


FETCH = """
import sys
from idbench.errors import IdbenchError
from idbench.targets.download import hub_file
try:
    print(hub_file(sys.argv[1], sys.argv[2:3], revision=sys.argv[3]))
except IdbenchError as error:
    print(error)
"""


def fetch(tmp_path: Path, endpoint: str, repo: str, file: str, commit: str = COMMIT, **more: str) -> str:
    """What is said of a file, or where it is."""
    done = python(tmp_path, endpoint, "-c", FETCH, repo, file, commit, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_repository_is_fetched_once_with_its_configuration(tmp_path: Path, hub: Hub) -> None:
    found = verify(tmp_path, hub.url, f"hub:org/tiny@{COMMIT}")
    assert "mean 0.5" in found
    assert "squash" in found
    asked = len(hub.asked)
    place = fetch(tmp_path, hub.url, "org/tiny", "open_clip_model.safetensors")
    assert Path(place.strip()).read_bytes() == hub.files["open_clip_model.safetensors"]
    assert len(hub.asked) == asked  # what is at hand is used without asking


def test_without_names_only_what_is_on_this_machine_is_verified(tmp_path: Path, hub: Hub) -> None:
    asked = len(hub.asked)
    done = python(tmp_path, hub.url, "-m", "idbench.cli.main", "target", "verify", "--json")
    rows = {row["target"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert rows["avatars-a"]["ok"] is True
    assert rows["laion400m-vit-b-32"]["ok"] is None  # not a failure, and nothing is downloaded unasked
    assert "bench target verify laion400m-vit-b-32 downloads it" in rows["laion400m-vit-b-32"]["found"]
    assert len(hub.asked) == asked


def test_a_tag_without_a_network(tmp_path: Path) -> None:
    found = verify(tmp_path, closed_port(), "open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert "could not be fetched: http://127.0.0.1:" in found
    assert "does not answer (ConnectError)" in found
    assert "type 'file:PATH?arch=ViT-B-32&tag=laion2b_s34b_b79k'" in found


def test_what_to_type_instead_says_all_that_was_said(tmp_path: Path) -> None:
    """What it is trained on, and what it computes otherwise than its tag, are in nothing that is downloaded."""
    found = verify(tmp_path, closed_port(), "laion400m-vit-b-32")
    assert "type 'file:PATH?arch=ViT-B-32-quickgelu&tag=laion400m_e32&corpus=laion400m'" in found
    found = verify(tmp_path, closed_port(), "open_clip:ViT-B-32/openai?mean=0.5&quick_gelu=false&resize_mode=squash")
    options = "arch=ViT-B-32&tag=openai&quick_gelu=false&mean=0.5,0.5,0.5&resize_mode=squash"
    assert f"type 'file:PATH?{options}'" in found


def test_what_to_type_instead_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(SMALL))
    for options in (f"arch={tmp_path}/own.json", "like=avatars-a"):
        found = verify(tmp_path, closed_port(), f"hub:org/tiny@{COMMIT}?{options}")
        assert f"type file:PATH instead of hub:org/tiny@{COMMIT}, with the same options" in found


def test_nobody_listens(tmp_path: Path) -> None:
    answer = fetch(tmp_path, closed_port(), "org/tiny", "open_clip_config.json")
    assert "does not answer (ConnectError). Connect to the network once." in answer


def test_somebody_listens_and_never_answers(tmp_path: Path) -> None:
    with silent_server() as (url, taken):
        answer = fetch(tmp_path, url, "org/tiny", "open_clip_config.json")
        assert "does not answer (ReadTimeout)" in answer
        assert len(taken) == 1  # one look, no repetition


@pytest.mark.parametrize(
    ("repo", "commit", "file", "cause"),
    [
        ("org/none", COMMIT, "w.pt", "there is no repository org/none, or it is private"),
        ("org/gated", COMMIT, "w.pt", "access to org/gated must be granted first"),
        ("org/tiny", "f" * 40, "w.pt", "the repository has no such commit"),
        ("org/tiny", COMMIT, "w.pt", "org/tiny has no file w.pt"),
    ],
)
def test_the_hub_says_no(tmp_path: Path, hub: Hub, repo: str, commit: str, file: str, cause: str) -> None:
    asked = len(hub.asked)
    assert cause in fetch(tmp_path, hub.url, repo, file, commit)
    assert len(hub.asked) <= asked + 3


def test_the_environment_forbids_asking(tmp_path: Path, hub: Hub) -> None:
    asked = len(hub.asked)
    assert "HF_HUB_OFFLINE forbids it" in fetch(tmp_path, hub.url, "org/tiny", "w.pt", HF_HUB_OFFLINE="1")
    assert len(hub.asked) == asked
