"""The workflow that checks pull requests: it runs nothing that a submitter wrote, and its commands are real ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.app.fictional import write_about
from tests.conftest import ROOT

from idbench.api import Silent
from idbench.results import collect
from idbench.results.proposal import record_place
from idbench.splits import load_split

FILE = ROOT.parent / "leaderboard" / "results_repository" / ".github" / "workflows" / "check.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return list(workflow["jobs"]["check"]["steps"])


def test_nothing_of_a_submitter_runs(workflow: dict[Any, Any]) -> None:
    assert set(workflow[True]) == {"pull_request_target", "workflow_dispatch"}, "YAML reads `on` as true"
    assert workflow["permissions"] == {"contents": "read"}
    for step in steps(workflow):
        # What a title or a branch is called would be pasted into the script before a shell reads it.
        assert "${{" not in step.get("run", ""), step
        for line in step.get("run", "").splitlines():
            assert not re.search(r"proposed/|pip install.*proposed|cd proposed", line), line
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
    assert "secrets." not in FILE.read_text(encoding="utf-8")


def run_git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_its_check_step_tells_good_from_bad(workflow: dict[Any, Any], tmp_path: Path) -> None:
    """The script as it stands there, with a checkout as the step before it leaves it."""
    proposed = tmp_path / "proposed"
    proposed.mkdir()
    (proposed / "README.md").write_text("results\n")
    run_git(proposed, "init", "-q")
    run_git(proposed, "add", ".")
    run_git(proposed, "commit", "-qm", "begin")
    base = run_git(proposed, "rev-parse", "HEAD")
    write_about(load_split("avatars-tiny", Silent()), tmp_path / "work")
    run = next(each for each in collect([tmp_path / "work"]).runs if each.record.attack.name == "keen")
    place = proposed / record_place(run)
    shutil.copytree(run.path, place)
    for name in ("setup.py", "conftest.py", "sitecustomize.py"):
        (proposed / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    run_git(proposed, "add", ".")
    run_git(proposed, "commit", "-qm", "propose")
    script = steps(workflow)[-1]["run"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "BASE": base, "HUB_PULL_REQUEST": ""}

    def check() -> subprocess.CompletedProcess[str]:
        command = ["bash", "-eo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    bad = check()
    assert bad.returncode == 1
    assert "setup.py: submissions add files below runs/ only" in bad.stdout
    assert not (tmp_path / "ran").exists()
    for name in ("setup.py", "conftest.py", "sitecustomize.py"):
        (proposed / name).unlink()
    good = check()
    assert good.returncode == 0, good.stdout + good.stderr
