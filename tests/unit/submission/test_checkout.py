"""Submitting to a plain git checkout: a commit on a branch, and nothing of the person's own is touched."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.app.fictional import write_about
from tests.conftest import ROOT, Bench, refused

from idbench.api import Silent
from idbench.errors import RecordError
from idbench.results import Run, collect, read_run, write_run
from idbench.results.proposal import record_place
from idbench.splits import load_split
from idbench.submission.sending import branch_of, staged_for_checkout, title_of


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a repository of results, with work of its own that is not committed."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    (origin / "README.md").write_text("results\n")
    git(origin, "init", "-q", "-b", "main")
    for name, value in (("user.name", "tests"), ("user.email", "tests@example.org")):
        git(origin, "config", name, value)
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "begin")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    for name, value in (("user.name", "tests"), ("user.email", "tests@example.org")):
        git(clone, "config", name, value)
    (clone / "README.md").write_text("results, being edited\n")
    (clone / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (clone / ".git" / "hooks" / "pre-commit").chmod(0o755)
    return clone


@pytest.fixture
def honest(tmp_path: Path) -> Run:
    write_about(load_split("avatars-tiny", Silent()), tmp_path / "results")
    return next(run for run in collect([tmp_path / "results"]).runs if run.record.attack.name == "keen")


def test_a_branch_with_one_commit(checkout: Path, honest: Run, bench: Bench, tmp_path: Path) -> None:
    done = bench("submit", honest.record.run_id[:8], "--results", "results", "--checkout", "clone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Next: git -C clone push origin results/keen" in done.stdout
    place = record_place(honest)
    changed = git(checkout, "diff", "--name-status", "main..results/keen").splitlines()
    assert changed == [f"A\t{place}/run.json", f"A\t{place}/scores.parquet"]
    assert git(checkout, "rev-list", "--count", "main..results/keen") == "1"
    assert git(checkout, "branch", "--show-current") == "main"
    assert (checkout / "README.md").read_text() == "results, being edited\n"
    assert git(checkout, "worktree", "list").count("\n") == 0

    again = bench("submit", str(honest.path), "--checkout", "clone")
    assert "nothing is new on" in again.stdout
    moved = write_run(tmp_path / "again", honest.record.model_copy(update={"peak_memory_mb": 1.0}), honest.scores())
    assert bench("submit", str(moved.path), "--checkout", "clone").returncode == 0
    changed = git(checkout, "diff", "--name-only", "main..results/keen").splitlines()
    assert changed == [f"{record_place(moved)}/run.json", f"{record_place(moved)}/scores.parquet"]

    git(checkout, "push", "-q", "origin", "results/keen")
    git(checkout, "checkout", "-q", "-f", "results/keen")
    checked = bench("leaderboard", "check", "clone", "--base", "main")
    assert checked.returncode == 0, checked.stdout
    busy = refused(bench("submit", str(honest.path), "--checkout", "clone", "--base", "main"))
    assert "results/keen" in busy


def test_refusals_leave_nothing_behind(checkout: Path, honest: Run, bench: Bench, tmp_path: Path) -> None:
    text = (honest.path / "run.json").read_text().replace('"seed": 0', '"seed": 1')
    (honest.path / "run.json").write_text(text)
    done = bench("submit", str(honest.path), "--checkout", "clone")
    assert "its run id is" in refused(done)
    assert git(checkout, "branch", "--list", "results/*") == ""
    assert git(checkout, "worktree", "list").count("\n") == 0
    assert "git" in refused(bench("submit", str(honest.path), "--checkout", "results"))
    assert "nowhere" in refused(bench("submit", str(honest.path), "--checkout", "clone", "--base", "nowhere"))
    assert read_run(honest.path).record.seed == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from idbench.results import read_run
from idbench.submission.sending import staged_for_checkout

with staged_for_checkout([read_run(Path(sys.argv[1]))], Path(sys.argv[2]), None):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_submission_is_repeated(checkout: Path, honest: Run, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    bench.environment["TMPDIR"] = str(tmp_path / "tmp")
    command = [sys.executable, "-c", KILLED, str(honest.path), str(checkout)]
    killed = subprocess.run(command, env=bench.environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert git(checkout, "worktree", "list").count("\n") == 1
    done = bench("submit", str(honest.path), "--checkout", "clone")
    assert done.returncode == 0, done.stderr
    assert git(checkout, "rev-list", "--count", "main..results/keen") == "1"
    assert git(checkout, "worktree", "list").count("\n") == 0
    assert not list((tmp_path / "tmp").glob("idbench-*"))


ESCAPES = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    "name", [ESCAPES, "a\nb\n\nReviewed: yes", "..", "-x", "a b~^:?*[\\.lock", "\u202eneek", "x" * 300, "@{"]
)
def test_a_name_that_somebody_made_up_is_a_line_and_a_branch(name: str, honest: Run) -> None:
    attack = honest.record.attack.model_copy(update={"name": name})
    forged = Run(honest.path, honest.record.model_copy(update={"attack": attack}), honest.sha256)
    title = title_of([forged])
    assert len(title.splitlines()) == 1
    assert not set(title) & {"\x1b", "\u202e"}
    branch = branch_of(title)
    subprocess.run(["git", "check-ref-format", "--branch", branch], check=True, capture_output=True)
    assert branch.startswith("results/")


@pytest.mark.parametrize(
    "name", ["../../../../escaped", "a b", "-b", "x..y", "x.lock", "a" * 65, "", "A", "$(touch x)"]
)
def test_names_that_no_path_can_have_are_refused_before_anything_is_written(
    name: str, checkout: Path, honest: Run, tmp_path: Path
) -> None:
    """A record may be somebody else's: what it calls itself becomes a path, a branch and a title."""
    attack = honest.record.attack.model_copy(update={"name": name})
    run = Run(honest.path, honest.record.model_copy(update={"attack": attack}), honest.sha256)
    with pytest.raises(RecordError, match="is not a method's name"), staged_for_checkout([run], checkout, None):
        pass
    assert git(checkout, "branch", "--list", "results/*") == ""
    assert not list(tmp_path.rglob("escaped"))


def test_who_commits_is_asked_for(checkout: Path, honest: Run, bench: Bench, tmp_path: Path) -> None:
    for setting in ("user.name", "user.email"):
        git(checkout, "config", "--unset", setting)
    git(checkout, "config", "user.useConfigOnly", "true")
    bench.environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    assert "git config --global user.name" in bench("submit", str(honest.path), "--checkout", "clone").stderr


def test_a_repository_of_results_keeps_bytes_as_they_are(checkout: Path, honest: Run, bench: Bench) -> None:
    """Git turns line ends around where a machine or the repository asks for it; hashes are over bytes."""
    template = ROOT.parent / "leaderboard" / "results_repository" / ".gitattributes"
    (checkout / ".gitattributes").write_text("* text eol=crlf\n" + template.read_text(encoding="utf-8"))
    git(checkout, "add", ".gitattributes")
    git(checkout, "commit", "-q", "--no-verify", "-m", "as the template has it")
    assert bench("submit", str(honest.path), "--checkout", "clone", "--base", "HEAD").returncode == 0
    git(checkout, "checkout", "-q", "-f", "results/keen")
    assert (checkout / record_place(honest) / "run.json").read_bytes() == (honest.path / "run.json").read_bytes()
