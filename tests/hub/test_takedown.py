"""Taking people out: at once on this machine, in what is loaded anywhere else, and for good on the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from idbench.splits import load_split
from idbench.splits.manifest import MANIFEST_FILE, Withheld, manifest_text, read_manifest
from tests.conftest import refused
from tests.hub.conftest import Person, Server, serving

A = "avatars-tiny-a"
WHO = """
import sys
from idbench.splits import load_split
print(*[identity.id for identity in load_split(sys.argv[1]).identities])
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Hub for one test: whoever is taken out of a data set of `lab` is out of all that `lab` publishes later."""
    with serving(tmp_path / "server") as running:
        yield running


@pytest.fixture
def one(tiny: Path) -> str:
    """Who wants out."""
    return load_split(str(tiny)).identities[3].id


def _holders(server: Server, sha256: str) -> bool:
    return bool(server.ask(f"large/{sha256}"))


def test_out_of_a_split_on_this_machine_and_of_its_folder(owner: Person, one: str) -> None:
    before = owner.python(WHO, "avatars-tiny").split()
    assert one in before
    done = owner.bench("data", "retract", one, "--split", "avatars-tiny", "--reason", "asked")
    assert done.returncode == 0, done.stderr
    assert owner.python(WHO, "avatars-tiny").split() == [each for each in before if each != one]
    (line,) = [x for x in (owner.home / "retractions.txt").read_text().splitlines() if x.startswith("avatars-tiny")]
    assert line.endswith(", asked")
    assert owner.bench("data", "retract", one, "--split", "avatars-tiny").returncode == 0
    assert (owner.home / "retractions.txt").read_text().count(one) == 1

    # A builder that has never heard of it makes the person's rows again: the list still holds.
    assert owner.bench("data", "build", "avatars-tiny", "--out", "again").returncode == 0
    assert one not in owner.python(WHO, "again").split()


def test_the_list_travels_with_a_folder(owner: Person, stranger: Person, one: str) -> None:
    assert owner.bench("data", "build", "avatars-tiny", "--out", "mine").returncode == 0
    assert owner.bench("data", "retract", one, "--split", "mine").returncode == 0
    assert one not in stranger.python(WHO, str(owner.cwd / "mine")).split()


def test_records_from_before_are_scored_without_them(owner: Person, tiny: Path) -> None:
    split = load_split(str(tiny))
    member = next(i for i, one in enumerate(split.identities) if one.part == "test" and split.labels(A).member[i])
    judged = ("--target", "avatars-a", "--corpus", A, "--split", "avatars-tiny")
    assert owner.bench("run", "-m", "random", "-m", "blind-names", *judged).returncode == 0
    (record,) = (owner.cwd / "results").rglob("random-*")
    before = owner.answer("score", record.name[-16:])
    assert owner.bench("data", "retract", split.identities[member].id, "--split", "avatars-tiny").returncode == 0
    after = owner.answer("score", record.name[-16:])
    assert (before["n_members"], after["n_members"]) == (24, 23)
    assert before["n_nonmembers"] == after["n_nonmembers"]
    assert owner.bench("compare", "random", "blind-names", "--split", "avatars-tiny", "--corpus", A).returncode == 0


def test_a_typing_error_is_not_a_person_who_is_out(owner: Person) -> None:
    sentence = refused(owner.bench("data", "retract", "nobody", "--split", "avatars-tiny"))
    assert "has no identity 'nobody'" in sentence
    assert not (owner.home / "retractions.txt").exists()


@pytest.mark.parametrize("reason", ["two\nlines", "x" * 201])
def test_a_reason_is_one_short_line(owner: Person, one: str, reason: str) -> None:
    done = owner.bench("data", "retract", one, "--split", "avatars-tiny", "--reason", reason)
    assert "A reason is one line" in refused(done)


def test_off_the_hub_for_good(
    server: Server, owner: Person, reader: Person, stranger: Person, tiny: Path, tmp_path: Path, one: str
) -> None:
    first = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/out")["ref"]
    before = server.repository("lab/out")
    old = before["trees"][first.rpartition("@")[2]]
    code = "import huggingface_hub as h; a = h.HfApi(); a.create_branch('lab/out', branch='draft', repo_type='dataset')"
    owner.python(code)
    code = "import huggingface_hub as h; h.HfApi().upload_file(path_or_fileobj=b'x', path_in_repo='idea.txt', "
    reader.python(code + "repo_id='lab/out', repo_type='dataset', create_pr=True)")
    stranger.python(WHO, first)  # has a copy from before

    ask = ("data", "retract", one, "--split", "avatars-tiny", "--repo", "lab/out")
    shown = owner.bench(*ask)
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert "without 1 person who was taken out" in text
    assert "branches: draft" in text
    assert "1 pull-request ref," in text
    assert "repeat the command with --yes" in text
    assert server.repository("lab/out")["refs"].keys() >= before["refs"].keys()
    assert _holders(server, old["data/identities.parquet"])

    answer = owner.answer(*ask, "--yes")
    commit = answer["ref"].rpartition("@")[2]
    there = server.repository("lab/out")
    assert there["refs"] == {"refs/heads/main": commit, "refs/tags/v2": commit}
    assert set(there["trees"]) == {commit}  # one commit, nothing older
    assert there["pull_requests"] == {"1": "closed"}
    for path in ("identities", "labels", "photos"):
        assert not _holders(server, old[f"data/{path}.parquet"]), path

    assert owner.bench("data", "verify", answer["ref"]).returncode == 0
    assert one not in reader.python(WHO, answer["ref"]).split()
    assert "history erased" in refused(reader.bench("data", "verify", first))
    # The old copy leaves the person out once its machine hears of it, and remembers that without the network.
    assert one not in stranger.python(WHO, first).split()
    assert one not in stranger.python(WHO, first, HF_HUB_OFFLINE="1").split()

    # Nobody republishes: neither a machine that never heard of it, nor the command repeated.
    fresh = Person(server, tmp_path / "fresh", "hf_owner")
    again = fresh.answer("data", "publish", "avatars-tiny", "--repo", "lab/out")
    assert again["committed"] is False
    assert again["taken_out"] == [one]
    assert owner.answer(*ask, "--yes")["ref"] == answer["ref"]
    assert server.repository("lab/out") == there


def test_an_old_copy_is_not_published_elsewhere_by_the_same_owner(
    server: Server, owner: Person, tmp_path: Path, tiny: Path, one: str
) -> None:
    owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/first")
    owner.answer("data", "retract", one, "--split", "avatars-tiny", "--repo", "lab/first", "--yes")
    other = next(each.id for each in load_split(str(tiny)).identities if each.id != one)
    later = json.dumps({"schema_version": 99, "name": "avatars-tiny", "retracted": [other]})
    for name, content in (("other", "no JSON"), ("later", later)):
        code = "import sys, huggingface_hub as h; a = h.HfApi(); a.create_repo(sys.argv[1], repo_type='dataset'); "
        code += "a.upload_file(path_or_fileobj=sys.argv[2].encode(), path_in_repo='manifest.json', "
        owner.python(code + "repo_id=sys.argv[1], repo_type='dataset')", f"lab/{name}", content)
    fresh = Person(server, tmp_path / "fresh", "hf_owner")  # a machine that never heard of it
    shown = fresh.bench("data", "publish", "avatars-tiny", "--repo", "lab/second", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "without 2 people who were taken out" in " ".join(shown.stdout.split())
    answer = fresh.answer("data", "publish", "avatars-tiny", "--repo", "lab/second")
    assert (answer["tag"], answer["taken_out"]) == ("v2", sorted([one, other]))
    assert one not in fresh.python(WHO, answer["ref"]).split()


def test_no_row_about_them_is_published(server: Server, owner: Person, tiny: Path, one: str, tmp_path: Path) -> None:
    split = load_split(str(tiny))
    name = next(identity.name for identity in split.identities if identity.id == one)
    assert owner.bench("data", "retract", one, "--split", "avatars-tiny").returncode == 0
    answer = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/clean")
    assert (answer["tag"], answer["taken_out"]) == ("v2", [one])
    code = "import sys, huggingface_hub as h; n, _, r = sys.argv[1][4:].partition('@'); "
    code += "print(h.snapshot_download(n, repo_type='dataset', revision=r))"
    folder = Path(owner.python(code, answer["ref"]))
    from idbench.splits.tables import read_rows

    for table in split.manifest.rows:
        cells = [str(cell) for row in read_rows(folder, table) for cell in row]
        assert cells, table
        assert not [cell for cell in cells if cell == one or name in cell], table
    card = (folder / "README.md").read_text()
    assert card.count("## Taken out of this version") == 1
    assert "1 person of version 1 was taken out" in card


def test_an_erasure_that_broke_off_is_finished(server: Server, owner: Person, one: str) -> None:
    owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/broken")
    ask = ("data", "retract", one, "--split", "avatars-tiny", "--repo", "lab/broken", "--yes")
    with server.faults({"method": "POST", "path": "/lab/broken/lfs-files/batch", "status": 500, "message": "Later"}):
        assert "problem of its own" in refused(owner.bench(*ask))
    answer = owner.answer(*ask)
    commit = answer["ref"].rpartition("@")[2]
    there = server.repository("lab/broken")
    assert there["refs"] == {"refs/heads/main": commit, "refs/tags/v2": commit}
    assert set(there["trees"]) == {commit}


def test_a_folder_without_its_labels_cannot_be_cut(owner: Person, tiny: Path, tmp_path: Path, one: str) -> None:
    """The digest of the complete table binds whoever holds it: it cannot be computed anew from a part."""
    manifest = read_manifest(tiny)
    withheld = Withheld(part="test", rows=manifest.rows["labels"], digest=manifest.digests["labels"])
    folder = Path(shutil.copytree(tiny, tmp_path / "withheld"))
    (folder / MANIFEST_FILE).write_text(manifest_text(manifest.model_copy(update={"withheld": withheld})))
    assert owner.bench("data", "retract", one, "--split", str(folder)).returncode == 0
    sentence = refused(owner.bench("data", "publish", str(folder), "--repo", "lab/cut"))
    assert "nobody can be taken out of this folder" in sentence
