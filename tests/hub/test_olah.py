"""What we publish, served by an independent server from a git repository: ours does not only agree with itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hub.conftest import Person, Server

OLAH = shutil.which("olah-cli", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

# It wants an older psutil than others do, so it lives in an environment of its own: pipx install olah.
pytestmark = pytest.mark.skipif(OLAH is None, reason="there is no olah-cli on the path")

SNAPSHOT = """
import sys, huggingface_hub
name, _, revision = sys.argv[1].removeprefix("hub:").partition("@")
print(huggingface_hub.snapshot_download(name, repo_type="dataset", revision=revision))
"""


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextmanager
def _olah(folder: Path) -> Iterator[Server]:
    """olah on a free port, with the git repositories below `folder/mirrors`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "olah.toml"
    config.write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{folder / "cache"}"\n'
        f'mirrors-path = ["{folder / "mirrors"}"]\n[accessibility]\noffline = true\n'
    )
    process = subprocess.Popen(
        [str(OLAH), "-c", str(config), "--port", str(port), "--repos-path", str(folder / "cache")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process)
        yield Server(address)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "olah ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("olah does not answer")


def test_an_independent_server_serves_what_we_publish(server: Server, owner: Person, tmp_path: Path) -> None:
    published = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/tiny")["ref"]
    mirror = tmp_path / "mirrors" / "datasets" / "lab" / "tiny"
    shutil.copytree(owner.python(SNAPSHOT, published), mirror, ignore=shutil.ignore_patterns(".*"))
    _git(mirror, "init", "-q", "-b", "main")
    _git(mirror, "add", "-A")
    _git(mirror, "commit", "-q", "-m", "avatars-tiny version 1")
    _git(mirror, "tag", "v1")
    commit = _git(mirror, "rev-parse", "HEAD")
    with _olah(tmp_path) as independent:
        person = Person(independent, tmp_path / "person", None)
        answer = person.answer("data", "verify", "hub:lab/tiny@v1")
        assert answer["ref"] == f"hub:lab/tiny@{commit}"
        ours = owner.answer("data", "verify", published)
        assert {name: answer[name] for name in answer if name != "ref"} == {
            name: ours[name] for name in ours if name != "ref"
        }
        show = (
            "import sys; from idbench.splits import load_split; s = load_split(sys.argv[1]); print(s.digest, s.origin)"
        )
        digest, origin = person.python(show, answer["ref"]).split()
    assert (digest, origin) == (ours["digest"], answer["ref"])
    assert person.python(show, answer["ref"], HF_HUB_OFFLINE="1").split() == [digest, origin]
