"""Loading what was published: pinned, offline from the cache, never another version; records say which commit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import refused
from tests.hub.conftest import Person, Server

SHOW = """
import sys
from idbench.splits import load_split
split = load_split(sys.argv[1])
photo = split.read_photo(split.identities[0].photos[0])
print(split.manifest.version, split.origin.revision, len(split.identities), len(photo))
"""


@pytest.fixture(scope="module")
def published(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`hub:lab/tiny@COMMIT`."""
    person = Person(server, tmp_path_factory.mktemp("publisher"), "hf_owner")
    return str(person.answer("data", "publish", "avatars-tiny", "--repo", "lab/tiny")["ref"])


def test_a_pinned_split_loads_offline_from_the_cache(server: Server, stranger: Person, published: str) -> None:
    assert "cannot be reached, and what is needed of it is not in the cache" in refused(
        stranger.bench("data", "audit", published, "--dry-run", HF_HUB_OFFLINE="1")
    )
    online = stranger.python(SHOW, published)
    assert online.split()[:3] == ["1", published.rpartition("@")[2], "72"]
    assert stranger.python(SHOW, published, HF_HUB_OFFLINE="1") == online
    assert stranger.python(SHOW, published, HF_ENDPOINT="http://127.0.0.1:9") == online


def test_commands_take_what_was_published_as_they_take_names(stranger: Person, published: str) -> None:
    linted = stranger.bench("data", "lint", published)
    assert linted.returncode == 0, linted.stderr
    assert "no findings" in linted.stdout
    shown = json.loads(stranger.bench("show", published, "--json").stdout)
    assert (shown["name"], shown["test identities"] + shown["calibration identities"]) == ("avatars-tiny", 72)


def test_a_tag_is_looked_up_and_never_guessed(stranger: Person, published: str) -> None:
    by_tag = stranger.python(SHOW, "hub:lab/tiny@v1")
    assert by_tag.split()[1] == published.rpartition("@")[2]
    sentence = refused(stranger.bench("data", "audit", "hub:lab/tiny@v1", "--dry-run", HF_HUB_OFFLINE="1"))
    assert "must be looked up" in sentence
    assert "Give the whole commit" in sentence


def test_never_another_version(server: Server, owner: Person, stranger: Person, published: str) -> None:
    """Another commit is cached, newer and complete: what was asked for is still the only answer."""
    owner.python("import huggingface_hub as h; h.HfApi().create_repo('lab/two', repo_type='dataset')")
    empty = server.head("lab/two")
    later = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/two")["ref"]
    stranger.python(SHOW, later)
    for online in ({}, {"HF_HUB_OFFLINE": "1"}):
        sentence = refused(stranger.bench("data", "audit", f"hub:lab/two@{empty}", "--dry-run", **online))
        assert empty in sentence
    assert "no such commit" in refused(stranger.bench("data", "audit", f"hub:lab/two@{'0' * 40}", "--dry-run"))


def test_the_name_must_be_whole(stranger: Person) -> None:
    for text, what in (
        ("hub:lab/tiny", "does not say which commit"),
        ("hub:tiny@v1", "is not the name of a data set"),
        ("hub:lab/tiny@", "is not a commit, tag or branch"),
        ("hub:lab/tiny@../main", "is not a commit, tag or branch"),
        ("hub:lab/nothing@v1", "There is no data set lab/nothing, or it is private"),
    ):
        assert what in refused(stranger.bench("data", "audit", text, "--dry-run")), text


def test_whatever_takes_a_split_takes_a_published_one(stranger: Person, published: str) -> None:
    shown = stranger.answer("show", published)
    assert (shown["name"], shown["candidate names"]) == ("avatars-tiny", 100)
    assert stranger.answer("data", "lint", published)["findings"] == []
    target = stranger.bench("show", f"{published}?file=epoch_1.pt&arch=RN50")
    assert "epoch_1.pt" in target.stdout
    missing = "hub:lab/nothing@" + "0" * 40
    for command in ("lint", "audit"):
        assert "or it is private and this account may not see it" in refused(stranger.bench("data", command, missing))


@pytest.mark.parametrize("name", ["data/photos.parquet", "manifest.json"])
def test_a_damaged_cache_is_fetched_again_or_refused(stranger: Person, published: str, name: str) -> None:
    whole = stranger.python(SHOW, published)
    (file,) = (stranger.home / "hf").glob(f"hub/datasets--lab--tiny/snapshots/*/{name}")
    blob = file.resolve()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-7] + b"damaged")
    sentence = refused(stranger.bench("data", "audit", published, "--dry-run", HF_HUB_OFFLINE="1"))
    assert "in the cache" in sentence or "incomplete or damaged" in sentence
    assert stranger.python(SHOW, published) == whole


def test_a_run_is_pinned_and_its_record_says_to_what(stranger: Person, published: str) -> None:
    run = ("run", "--method", "random", "--split", published, "--target", "avatars-a", "--corpus", "avatars-tiny-a")
    done = stranger.bench(*run)
    assert done.returncode == 0, done.stderr
    records = [json.loads(file.read_text()) for file in (stranger.cwd / "results").rglob("run.json")]
    assert "random" in {record["attack"]["name"] for record in records}
    assert {record["split"]["name"] for record in records} == {"avatars-tiny"}
    assert {record["split"]["commit"] for record in records} == {published.rpartition("@")[2]}

    plan = stranger.cwd / "plan.json"
    written = stranger.bench(*run, "--seed", "1", "--write-plan", str(plan))
    assert written.returncode == 0, written.stderr
    planned = [spec["split"] for spec in json.loads(plan.read_text())["runs"]]
    assert planned
    assert {(each["source"], each["commit"]) for each in planned} == {(published, published.rpartition("@")[2])}
    assert stranger.bench("run", "--plan", str(plan), HF_HUB_OFFLINE="1").returncode == 0


def test_datasets_opens_it(stranger: Person, published: str) -> None:
    code = """
import sys
from datasets import get_dataset_config_names, load_dataset
name, _, revision = sys.argv[1].removeprefix("hub:").partition("@")
print(sorted(get_dataset_config_names(name, revision=revision)))
print(len(load_dataset(name, "identities", split="full", revision=revision)))
print(load_dataset(name, "photos", split="full", revision=revision)[0]["image"].size)
"""
    lines = stranger.python(code, published).splitlines()
    assert lines[0] == "['identities', 'labels', 'names', 'photos', 'prompts', 'public_pairs']"
    assert lines[1:] == ["72", "(32, 32)"]


def test_verify_notices_what_was_exchanged(server: Server, owner: Person, published: str, tmp_path: Path) -> None:
    """Somebody with write access replaces a table behind the sums: everything is consistent for git, but wrong."""
    owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/exchanged")
    code = "import huggingface_hub as h; print(h.HfApi().upload_file(path_or_fileobj=b'PAR1 nonsense PAR1', "
    code += "path_in_repo='data/names.parquet', repo_id='lab/exchanged', repo_type='dataset').oid)"
    commit = owner.python(code)
    sentence = refused(owner.bench("data", "verify", f"lab/exchanged@{commit}"))
    assert "data/names.parquet differs from its SHA-256" in sentence
    assert "other content" in refused(owner.bench("data", "verify", published, "--against", "avatars"))
