"""Written plans: `bench run --write-plan`, then `--plan --only` in processes that know nothing of each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Bench, refused

TINY = ("--split", "avatars-tiny", "--target", "avatars-a", "--corpus", "avatars-tiny-a")


def ids(bench: Bench, *arguments: str) -> dict[str, str]:
    """Run id by method."""
    done = bench("run", "--plan", "plan.json", "--dry-run", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return {row["method"]: row["run"] for row in json.loads(done.stdout)}


@pytest.fixture
def planned(bench: Bench) -> Bench:
    done = bench("run", "-m", "cosine", *TINY, "--write-plan", "plan.json")
    assert done.returncode == 0, done.stderr
    return bench


def test_a_plan_is_carried_out_run_by_run_and_the_grid_finds_the_records(planned: Bench, tmp_path: Path) -> None:
    known = ids(planned)
    assert set(known) == {"cosine", "random", "blind-names", "blind-photos"}
    assert not (tmp_path / "results").exists()
    for method in ("random", "cosine"):
        done = planned("run", "--plan", "plan.json", "--only", known[method])
        assert done.returncode == 0, done.stderr
    assert "over random" in done.stdout  # the blind attack that has a record by now
    records = {json.loads(path.read_text())["run_id"] for path in tmp_path.rglob("run.json")}
    assert records == {known["random"], known["cosine"]}
    rest = planned("run", "-m", "cosine", *TINY)
    assert "read from" in rest.stdout
    states = {
        row["method"]: row["state"]
        for row in json.loads(planned("run", "--plan", "plan.json", "--dry-run", "--json").stdout)
    }
    assert set(states.values()) == {"done"}


def test_two_processes_that_take_the_same_run_do_it_once(planned: Bench, tmp_path: Path) -> None:
    run = ids(planned)["cosine"]
    both = [planned.start("run", "--plan", "plan.json", "--only", run) for _ in range(2)]
    ended = [process.communicate(timeout=280) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sorted("read from" in out for out, _ in ended) == [False, True]
    assert len(list(tmp_path.rglob("run.json"))) == 1


def test_options_that_do_not_go_together_are_refused(planned: Bench, tmp_path: Path) -> None:
    assert "No method to run" in refused(planned("run"))
    assert "Add --plan FILE" in refused(planned("run", "--only", "ab"))
    assert "--plan has its methods" in refused(planned("run", "-m", "random", "--plan", "plan.json"))
    assert "means none of the runs" in refused(planned("run", "--plan", "plan.json", "--only", "zz"))
    (tmp_path / "broken.json").write_text("{")
    assert "is not a plan" in refused(planned("run", "--plan", "broken.json"))


def test_a_failed_run_of_a_plan_is_reported_after_the_others(bench: Bench) -> None:
    done = bench("run", "-m", "sample-raises", "-m", "random", *TINY, "--write-plan", "plan.json")
    assert done.returncode == 0, done.stderr
    done = bench("run", "--plan", "plan.json")
    assert "1 of 4 runs failed. sample-raises on avatars-a" in refused(done)
    assert "random on avatars-a" in done.stdout


@pytest.mark.timeout(600)
def test_the_example_for_slurm_carries_out_a_plan_with_a_process_of_submitit_for_each_run(
    planned: Bench, tmp_path: Path
) -> None:
    """The script that docs/machines.md prints; submitit starts local processes in the place of Slurm's."""
    pytest.importorskip("submitit", reason="the extra `dev` was installed before submitit belonged to it")
    text = (Path(__file__).parents[2] / "docs" / "machines.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(# submit\.py.*?)```", text, re.DOTALL)
    local = script.replace('AutoExecutor(folder="slurm-logs")', 'AutoExecutor(folder="slurm-logs", cluster="local")')
    assert local != script
    (tmp_path / "submit.py").write_text(local, encoding="utf-8")
    known = ids(planned)
    environment = planned.environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "submit.py", "plan.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == str([0] * len(known)), done.stdout
    records = {json.loads(path.read_text())["run_id"] for path in tmp_path.rglob("run.json")}
    assert records == set(known.values())
    assert planned("run", "--plan", "plan.json").returncode == 0
