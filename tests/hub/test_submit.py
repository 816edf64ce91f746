"""Submitting: one commit, one pull request, checked before it is sent and again by whoever merges it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from idbench.api import Silent
from idbench.results import Run, collect, write_run
from idbench.results.proposal import record_place
from idbench.splits import load_split
from tests.app.fictional import write_about
from tests.conftest import refused
from tests.hub.conftest import Person, Server

CREATE = """
import sys, huggingface_hub as h
api = h.HfApi()
api.create_repo(sys.argv[1], repo_type="dataset")
api.upload_file(path_or_fileobj=b"# results\\n", path_in_repo="README.md", repo_id=sys.argv[1], repo_type="dataset")
"""
MERGE = """
import sys, huggingface_hub as h
h.HfApi().merge_pull_request(sys.argv[1], int(sys.argv[2]), repo_type="dataset")
"""
FETCH = """
import sys, huggingface_hub as h
print(h.snapshot_download(sys.argv[1], repo_type="dataset", revision=sys.argv[2]))
"""


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A record with drawn scores."""
    folder = tmp_path_factory.mktemp("results")
    write_about(load_split("avatars-tiny", Silent()), folder)
    return next(run for run in collect([folder]).runs if run.record.attack.name == "keen")


def files(server: Server, repo: str, ref: str) -> set[str]:
    there = server.repository(repo)
    return {path for path in there["trees"][there["refs"][ref]] if path.startswith("runs/")}


def test_a_submission_is_one_commit_in_one_pull_request(
    server: Server, owner: Person, reader: Person, honest: Run, tmp_path: Path
) -> None:
    owner.python(CREATE, "lab/results")
    before = server.repository("lab/results")
    shown = reader.bench("submit", str(honest.path), "--repo", "lab/results", "--dry-run")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "fiction 1.0, code eeeeeeeeeeee" in " ".join(shown.stdout.split())
    assert server.repository("lab/results") == before

    answer = reader.answer("submit", str(honest.path), "--repo", "lab/results")
    place = record_place(honest)
    assert set(answer["files"]) == {f"{place}/run.json", f"{place}/scores.parquet"}
    assert answer["where"].endswith("lab/results/discussions/1")
    assert files(server, "lab/results", "refs/pr/1") == set(answer["files"])
    assert files(server, "lab/results", "refs/heads/main") == set()
    assert len(server.repository("lab/results")["titles"]) == len(before["titles"]) + 1, "one commit"

    again = reader.answer("submit", str(honest.path), "--repo", "lab/results")
    assert (again["changed"], again["commit"], again["where"]) == (False, answer["commit"], answer["where"])

    # Run again elsewhere: the same run with other bytes takes the place of the first in the same pull request.
    table = honest.scores()
    record = honest.record.model_copy(update={"peak_memory_mb": 1.0})
    moved = write_run(tmp_path / "again", record, table)
    third = reader.answer("submit", str(moved.path), "--repo", "lab/results")
    assert third["where"] == answer["where"]
    assert files(server, "lab/results", "refs/pr/1") == {
        f"{record_place(moved)}/run.json",
        f"{record_place(moved)}/scores.parquet",
    }

    checked = owner.answer("leaderboard", "check", "lab/results#1")
    assert checked["passed"] is True
    assert len(checked["records"]) == 1
    owner.python(MERGE, "lab/results", "1")
    late = refused(reader.bench("submit", str(moved.path), "--repo", "lab/results"))
    assert "All of this is in the repository already" in late


def test_what_the_checks_refuse_is_not_sent(
    server: Server, owner: Person, reader: Person, honest: Run, tmp_path: Path
) -> None:
    owner.python(CREATE, "lab/strict")
    split = load_split("avatars-tiny", Silent())
    table = honest.scores()
    member = dict(zip((i.id for i in split.identities), split.labels(split.corpora[0]).member, strict=True))
    scores = np.array([float(member[identity]) for identity in table.identities])
    lying = write_run(tmp_path / "lying", honest.record, replace(table, scores=scores))
    done = reader.bench("submit", str(lying.path), "--repo", "lab/strict")
    assert "its scores are the labels of" in refused(done)
    assert "fail: plausibility" in done.stdout
    assert set(server.repository("lab/strict")["refs"]) == {"refs/heads/main"}
    shutil.copytree(lying.path, tmp_path / "changed")
    (tmp_path / "changed" / "scores.parquet").write_bytes(b"PAR1")
    sentence = refused(reader.bench("submit", str(tmp_path / "changed"), "--repo", "lab/strict"))
    assert "is not what the run wrote" in sentence


def test_who_may_not_or_names_nothing_is_told_so(server: Server, owner: Person, stranger: Person, honest: Run) -> None:
    path = str(honest.path)
    assert "not logged in" in refused(stranger.bench("submit", path, "--repo", "lab/none"))
    assert "lab/none" in refused(owner.bench("submit", path, "--repo", "lab/none"))
    assert "Give either --repo ORG/NAME or --checkout DIR" in refused(owner.bench("submit", path))
    assert "is not the name of a data set" in refused(owner.bench("submit", path, "--repo", "../../etc"))
    assert "no run" in refused(owner.bench("submit", "nowhere", "--repo", "lab/none"))


def test_a_dry_run_needs_no_account(server: Server, owner: Person, stranger: Person, honest: Run) -> None:
    owner.python(CREATE, "lab/seen")
    owner.python(CREATE, "lab/holds")
    path, place = str(honest.path), record_place(honest)
    for repo in ("lab/seen", "lab/none"):  # there and open to all; not there, or private
        done = stranger.bench("submit", path, "--repo", repo, "--dry-run")
        assert done.returncode == 0, done.stdout + done.stderr
        shown = " ".join((done.stdout + done.stderr).split())
        assert "fiction 1.0, code eeeeeeeeeeee" in shown
        assert "plausibility" in shown
        assert "not logged in" in shown
        assert "Nothing was sent" in shown
    answer = stranger.answer("submit", path, "--repo", "lab/none", "--dry-run")
    assert (answer["sent"], set(answer["files"])) == (False, {f"{place}/run.json", f"{place}/scores.parquet"})
    assert answer["report"]["passed"] is True
    assert "not logged in" in answer["unknown"]
    assert owner.answer("submit", path, "--repo", "lab/seen", "--dry-run")["unknown"] == ""

    # Without an account the state of an open repository still counts.
    sent = owner.answer("submit", path, "--repo", "lab/holds")
    owner.python(MERGE, "lab/holds", sent["where"].rsplit("/", 1)[1])
    late = refused(stranger.bench("submit", path, "--repo", "lab/holds", "--dry-run"))
    assert "All of this is in the repository already" in late


def test_a_dry_run_names_a_mistyped_repository(server: Server, owner: Person, honest: Run) -> None:
    """Who is logged in would be refused in earnest, and is refused beforehand."""
    owner.python(CREATE, "lab/typed")
    done = owner.bench("submit", str(honest.path), "--repo", "lab/tpyed", "--dry-run")
    assert "There is no data set lab/tpyed" in refused(done)


def test_a_dry_run_needs_no_network(server: Server, owner: Person, honest: Run) -> None:
    asked = [call for call in server.calls() if "/_test/" not in call]
    answer = owner.answer("submit", str(honest.path), "--repo", "lab/far", "--dry-run", HF_HUB_OFFLINE="1")
    assert answer["report"]["passed"] is True
    assert "HF_HUB_OFFLINE" in answer["unknown"]
    assert [call for call in server.calls() if "/_test/" not in call] == asked


def test_a_pull_request_of_a_stranger_is_looked_at_without_being_believed(
    server: Server, owner: Person, reader: Person, honest: Run
) -> None:
    """Somebody who does not use our command: edits, scripts, attestations and files beyond any size."""
    owner.python(CREATE, "lab/open")
    code = """
import huggingface_hub as h
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete
paths = ["attestations/forged.json", "runs/keen/evil.pkl", ".github/workflows/x.yml"]
operations = [*(Add(path, b"\\x80\\x04") for path in paths), Delete("README.md")]
h.HfApi().create_commit("lab/open", operations, repo_type="dataset", commit_message="hello", create_pr=True)
"""
    reader.python(code)
    done = owner.bench("leaderboard", "check", "lab/open#1", "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    where = {each["where"] for made in report["checks"] for each in made["findings"]}
    assert {"attestations/forged.json", "runs/keen/evil.pkl", ".github/workflows/x.yml", "README.md"} <= where
    big = """
import huggingface_hub as h
from huggingface_hub import CommitOperationAdd as Add
add = Add("runs/keen/0123456789abcdef-01234567/scores.parquet", b"0" * (65 << 20))
h.HfApi().create_commit("lab/open", [add], repo_type="dataset", commit_message="big", create_pr=True)
"""
    reader.python(big)
    assert "too much to be results" in refused(owner.bench("leaderboard", "check", "lab/open#2"))
    assert "lab/open" in refused(owner.bench("leaderboard", "check", "lab/open#99"))


def test_the_record_that_arrives_is_the_record(server: Server, owner: Person, reader: Person, honest: Run) -> None:
    owner.python(CREATE, "lab/arrives")
    answer = reader.answer("submit", str(honest.path), "--repo", "lab/arrives")
    folder = Path(owner.python(FETCH, "lab/arrives", answer["commit"])) / record_place(honest)
    assert (folder / "run.json").resolve().read_bytes() == (honest.path / "run.json").read_bytes()
    assert (folder / "scores.parquet").resolve().read_bytes() == (honest.path / "scores.parquet").read_bytes()
