"""A grid on a Ray cluster of two machines, one of which is lost in the middle; and a driver that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.small_runs import CORPUS, tasks

from idbench.api import Silent
from idbench.errors import IdbenchError
from idbench.runner.execute import Executed, Options
from idbench.runner.executor import Task
from idbench.runner.on_ray import OnRay

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = pytest.mark.slow

STORE = 100 << 20  # bytes for what tasks hand on, a report each; Ray would take a third of the memory


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    # Ray's workers give way to everything else, and on a machine that runs other tests they would get no turn.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.timeout(900)
def test_a_lost_machine_costs_time_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    ray.init(address=cluster.address, log_to_driver=False)
    with pytest.raises(IdbenchError, match=r"A run needs 0\.5 GPUs; the Ray cluster has 0 in all"):
        list(OnRay(gpus=0.5).run(tasks(("random",)), Options(tmp_path), Silent()))
    wanted = tasks(("random",), tuple(range(6)))
    found = []
    for done in OnRay().run(wanted, Options(tmp_path), Silent()):
        found.append(done)
        if len(found) == 1:
            cluster.remove_node(second, allow_graceful=False)
    assert all(isinstance(done, Executed) for done in found)
    assert sorted(done.spec.run_id for done in found) == sorted(task.spec.run_id for task in wanted)
    assert len(list(tmp_path.rglob("run.json"))) == len(wanted)
    assert not list(tmp_path.rglob("*.partial"))
    broken = Task(wanted[0].spec.model_copy(update={"engine": 1}))
    (failed,) = OnRay().run([broken], Options(tmp_path), Silent())
    assert not isinstance(failed, Executed)
    assert "version 1 of the engine" in failed.error.message


@pytest.mark.timeout(900)
def test_a_killed_driver_loses_nothing_that_was_finished(cluster: Any, tmp_path: Path) -> None:
    results, seeds = tmp_path / "results", 6
    command = [sys.executable, "-m", "idbench.cli.main", "run", "-m", "random", "--split", "avatars-tiny"]
    command += ["--target", "avatars-a", "--corpus", CORPUS, "--seeds", str(seeds), "--executor", "ray"]
    command += ["--results", str(results), "--json"]
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as driver:
        while not list(results.rglob("run.json")):
            assert driver.poll() is None
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
    before = {path: path.read_bytes() for path in results.rglob("run.json")}
    assert len(before) > 0
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = {path: path.read_bytes() for path in results.rglob("run.json") if path.parent.name.startswith("random")}
    assert len(after) == seeds
    assert all(after.get(path, content) == content for path, content in before.items())
