"""The same against the real Hub: off unless asked for, in a private repository that is deleted afterwards."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.conftest import Person, Server

pytestmark = pytest.mark.live_hub

ORGANIZATION = os.environ.get("BENCH_LIVE_HUB", "")
TOKEN = os.environ.get("HF_TOKEN", "")
ENDPOINT = "https://huggingface.co"


@pytest.fixture
def member(tmp_path: Path) -> Person:
    if not ORGANIZATION or not TOKEN:
        pytest.skip("set BENCH_LIVE_HUB to an organization, and HF_TOKEN to a token that may write there")
    return Person(Server(ENDPOINT), tmp_path / "member", TOKEN, xet=True)


@pytest.fixture
def repo(member: Person) -> Iterator[str]:
    name = f"{ORGANIZATION}/idbench-test-{secrets.token_hex(4)}"
    yield name
    code = "import sys, huggingface_hub as h; h.HfApi().delete_repo(sys.argv[1], repo_type='dataset', missing_ok=True)"
    subprocess.run([sys.executable, "-c", code, name], env=member.environment, check=True, timeout=120)


def test_from_publishing_to_taking_out(member: Person, repo: str, tmp_path: Path) -> None:
    publish = ("data", "publish", "avatars-tiny", "--repo", repo, "--private")
    first = member.answer(*publish)
    assert first["private"] is True
    assert member.answer(*publish)["ref"] == first["ref"]
    assert member.bench("data", "verify", first["ref"]).returncode == 0

    who = "import sys; from idbench.splits import load_split; print(load_split(sys.argv[1]).identities[3].id)"
    one = member.python(who, first["ref"])
    answer = member.answer("data", "retract", one, "--split", "avatars-tiny", "--repo", repo, "--yes")
    assert answer["tag"] == "v2"
    assert member.bench("data", "verify", answer["ref"]).returncode == 0
    stranger = Person(Server(ENDPOINT), tmp_path / "stranger", TOKEN)
    assert stranger.bench("data", "verify", first["ref"]).returncode != 0
