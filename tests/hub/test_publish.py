"""Publishing: one commit on a stated parent, read back, tagged last; repeated, it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import refused
from tests.hub.conftest import Person, Server, serving


def test_a_split_is_published_verified_and_tagged(server: Server, owner: Person, tiny: Path) -> None:
    answer = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/first")
    there = server.repository("lab/first")
    commit = answer["ref"].rpartition("@")[2]
    assert answer["committed"] is True
    assert there["refs"] == {"refs/heads/main": commit, "refs/tags/v1": commit}
    assert len(there["titles"]) == 2  # the Hub's own first commit and ours
    assert there["private"] is False
    assert there["gated"] is False  # nobody in it exists
    files = set(there["trees"][commit])
    assert {"README.md", "manifest.json", "croissant.json", "SHA256SUMS", "data/photos.parquet"} <= files

    again = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/first")
    assert again["committed"] is False
    assert again["ref"] == answer["ref"]
    assert server.repository("lab/first") == there

    sentence = owner.bench("data", "verify", f"lab/first@{commit}", "--against", str(tiny))
    assert sentence.returncode == 0, sentence.stderr
    assert "216 photos and 6 tables arrived as they were published" in " ".join(sentence.stdout.split())


def test_a_dry_run_says_what_would_change_and_changes_nothing(server: Server, owner: Person) -> None:
    before = server.ask("state")
    shown = owner.bench("data", "publish", "avatars-tiny", "--repo", "lab/dry", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "would make the repository lab/dry" in shown.stdout
    assert "added  data/labels.parquet" in shown.stdout
    assert server.ask("state") == before


def test_a_branch_that_moves_meanwhile_is_left_alone(server: Server, owner: Person) -> None:
    owner.python("import huggingface_hub as h; h.HfApi().create_repo('lab/moved', repo_type='dataset')")
    with server.faults({"method": "POST", "path": "/lab/moved/commit/", "moves": "lab/moved"}):
        sentence = refused(owner.bench("data", "publish", "avatars-tiny", "--repo", "lab/moved"))
    assert "Somebody else committed to lab/moved meanwhile; nothing was changed" in sentence
    there = server.repository("lab/moved")
    assert set(there["trees"][there["refs"]["refs/heads/main"]]) == {".gitattributes", "elsewhere.txt"}
    assert "refs/tags/v1" not in there["refs"]


def test_what_broke_off_before_the_commit_is_finished(server: Server, owner: Person) -> None:
    """The large files arrive, the commit does not: nothing is to be seen, and the next time all is there."""
    broken = {"method": "POST", "path": "/lab/half/commit/", "status": 400, "message": "The connection broke"}
    with server.faults(broken):
        assert "The connection broke" in refused(owner.bench("data", "publish", "avatars-tiny", "--repo", "lab/half"))
    there = server.repository("lab/half")
    assert there["private"] is True  # nobody has seen anything yet
    assert "refs/tags/v1" not in there["refs"]
    uploads = len([call for call in server.calls() if call.startswith("PUT /_large/")])
    answer = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/half")
    assert answer["committed"] is True
    assert answer["private"] is True  # a repository that is there keeps its visibility
    assert len([call for call in server.calls() if call.startswith("PUT /_large/")]) == uploads


_STEPS = {
    "upload": ("PUT", "/_large/", "before"),
    "commit": ("POST", "/commit/main", "before"),
    "committed": ("POST", "/commit/main", "after"),
    "tag": ("POST", "/tag/", "before"),
    "tagged": ("POST", "/tag/", "after"),
}


@pytest.mark.parametrize(
    ("step", "xet"), [*((step, False) for step in _STEPS), ("commit", True), ("committed", True)]
)  # Xet sends large files to its own store, which is a folder here
def test_a_kill_leaves_nothing_half_published(tmp_path: Path, step: str, xet: bool) -> None:
    """At every step: while large files go up, before and after the commit is made, before and after the tag is."""
    with serving(tmp_path / "server") as server:  # one that has never seen these files: nobody sends them again
        _killed_and_finished(server, tmp_path, step, xet)


def _killed_and_finished(server: Server, tmp_path: Path, step: str, xet: bool) -> None:
    method, path, hangs = _STEPS[step]
    repo = f"lab/kill-{step}-{xet}"
    owner = Person(server, tmp_path / "owner", "hf_owner", xet=xet)
    publish = ("data", "publish", "avatars-tiny", "--repo", repo)
    place = path if step == "upload" else f"/{repo}{path}"
    with server.faults({"method": method, "path": place, "hangs": hangs}):
        owner.bench_killed(server, place, *publish)
    there = server.repository(repo)
    made = step not in ("upload", "commit")
    assert len(there["titles"]) == 1 + made  # the Hub's own first commit, and ours whole or not at all
    assert there["private"] is True  # until all is verified, nobody sees anything

    answer = owner.answer(*publish)
    commit = answer["ref"].rpartition("@")[2]
    there = server.repository(repo)
    assert answer["committed"] is not made
    assert there["refs"] == {"refs/heads/main": commit, "refs/tags/v1": commit}
    assert sorted(there["titles"].values()) == ["avatars-tiny version 1", "initial commit"]


def test_what_broke_off_before_the_tag_is_finished(server: Server, owner: Person) -> None:
    with server.faults({"method": "POST", "path": "/lab/untagged/tag/", "status": 500, "message": "Out of order"}):
        sentence = refused(owner.bench("data", "publish", "avatars-tiny", "--repo", "lab/untagged"))
    assert "The Hub has a problem of its own: Out of order" in sentence
    head = server.head("lab/untagged")
    assert "refs/tags/v1" not in server.repository("lab/untagged")["refs"]
    answer = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/untagged")
    assert answer["committed"] is False
    assert server.repository("lab/untagged")["refs"] == {"refs/heads/main": head, "refs/tags/v1": head}


def test_a_published_version_never_changes(server: Server, owner: Person, tiny: Path, tmp_path: Path) -> None:
    import shutil

    from idbench.splits.manifest import MANIFEST_FILE, manifest_text, read_manifest

    owner.answer("data", "publish", str(tiny), "--repo", "lab/fixed")
    before = server.repository("lab/fixed")
    other = Path(shutil.copytree(tiny, tmp_path / "other"))
    manifest = read_manifest(other).model_copy(update={"title": "Another title"})
    (other / MANIFEST_FILE).write_text(manifest_text(manifest))
    sentence = refused(owner.bench("data", "publish", str(other), "--repo", "lab/fixed"))
    assert "has a v1 already, with other content" in sentence
    assert server.repository("lab/fixed") == before


def test_a_repository_holds_one_split(owner: Person, server: Server) -> None:
    owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/one")
    renamed = owner.bench("data", "publish", "avatars", "--repo", "lab/one", "--dry-run")
    assert "holds the split avatars-tiny, not avatars" in refused(renamed)
    code = "import huggingface_hub as h; a = h.HfApi(); a.create_repo('lab/foreign', repo_type='dataset'); "
    code += "a.upload_file(path_or_fileobj=b'x', path_in_repo='notes.txt', repo_id='lab/foreign', repo_type='dataset')"
    owner.python(code)
    assert "not a split: notes.txt" in refused(owner.bench("data", "publish", "avatars-tiny", "--repo", "lab/foreign"))


def test_a_pull_request_is_continued_not_opened_again(server: Server, owner: Person, reader: Person) -> None:
    owner.python("import huggingface_hub as h; h.HfApi().create_repo('lab/asked', repo_type='dataset')")
    head = server.head("lab/asked")
    sentence = refused(reader.bench("data", "publish", "avatars-tiny", "--repo", "lab/asked"))
    assert "This account may not write to lab/asked" in sentence
    assert "--pull-request" in sentence

    first = reader.answer("data", "publish", "avatars-tiny", "--repo", "lab/asked", "--pull-request")
    again = reader.answer("data", "publish", "avatars-tiny", "--repo", "lab/asked", "--pull-request")
    assert first["pull_request"] == again["pull_request"] == 1
    assert first["ref"] == again["ref"]

    code = "import huggingface_hub as h; h.HfApi().upload_file(path_or_fileobj=b'x', path_in_repo='extra.txt', "
    code += "repo_id='lab/asked', repo_type='dataset', revision='refs/pr/1')"
    reader.python(code)
    repaired = reader.answer("data", "publish", "avatars-tiny", "--repo", "lab/asked", "--pull-request")
    there = server.repository("lab/asked")
    assert repaired["pull_request"] == 1
    assert there["pull_requests"] == {"1": "open"}
    assert "extra.txt" not in there["trees"][there["refs"]["refs/pr/1"]]
    assert there["refs"]["refs/heads/main"] == head

    owner.python("import huggingface_hub as h; h.HfApi().merge_pull_request('lab/asked', 1, repo_type='dataset')")
    merged = owner.answer("data", "publish", "avatars-tiny", "--repo", "lab/asked")
    assert merged["committed"] is False
    assert server.repository("lab/asked")["refs"]["refs/tags/v1"] == server.head("lab/asked")


def test_xet_carries_the_same_bytes(server: Server, tmp_path: Path) -> None:
    plain = Person(server, tmp_path / "plain", "hf_owner").answer(
        "data", "publish", "avatars-tiny", "--repo", "lab/plain"
    )
    person = Person(server, tmp_path / "xet", "hf_owner", xet=True)
    answer = person.answer("data", "publish", "avatars-tiny", "--repo", "lab/xet")
    there = server.repository("lab/xet")
    assert there["xet"] is True
    assert server.repository("lab/plain")["xet"] is False
    of_plain = server.repository("lab/plain")["trees"][plain["ref"].rpartition("@")[2]]
    assert there["trees"][answer["ref"].rpartition("@")[2]] == of_plain
    assert person.bench("data", "verify", answer["ref"]).returncode == 0


def test_refusals_are_one_sentence(server: Server, owner: Person, stranger: Person, tmp_path: Path) -> None:
    publish = ("data", "publish", "avatars-tiny", "--repo")
    assert "not logged in" in refused(stranger.bench(*publish, "lab/new"))
    wrong = Person(server, tmp_path / "wrong", "hf_wrong")
    assert "The Hub does not know this token" in refused(wrong.bench(*publish, "lab/new"))
    damaged = Person(server, tmp_path / "damaged", "hf_ö")
    assert "holds a character that no token has" in refused(damaged.bench(*publish, "lab/new"))
    assert "may not write to bob/new" in refused(owner.bench(*publish, "bob/new"))
    for name in ("new", "lab/new/more", "lab/../new", "", "lab/né"):
        assert "is not the name of a data set" in refused(owner.bench(*publish, name))
    slow = {"method": "GET", "path": "/api/whoami-v2", "status": 429, "headers": {"Retry-After": "77"}}
    with server.faults(slow):
        assert "asks to slow down for 77 seconds" in refused(owner.bench(*publish, "lab/new"))
    assert "HF_HUB_OFFLINE is set" in refused(owner.bench(*publish, "lab/new", HF_HUB_OFFLINE="1"))
    assert "lab/new" not in server.ask("state")
