"""Workers forked off a process that has imported libraries: the same scores, and runs go on when it is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from tests.small_runs import tasks

from idbench.api import Silent
from idbench.limits import Limits
from idbench.processes import Process
from idbench.runner.execute import Executed, Options, execute
from idbench.runner.executor import Failed, LocalExecutor, Task
from idbench.runner.forkserver import ASKING, BLIND, ForkServer, ForkServers
from idbench.runner.grid import make_grid, specs
from idbench.runner.spec import Resolver, plan_defense
from idbench.splits import load_split
from idbench.targets import Defended
from idbench.targets.defended import defended_place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")


Servers = Callable[[], list[psutil.Process]]


@pytest.fixture(name="servers")
def started_servers() -> Servers:
    """The fork servers that the test started and that still run: other tests in this process share some, too."""

    def running() -> list[psutil.Process]:
        return [one for one in psutil.Process().children() if "idbench.runner.forking" in one.cmdline()]

    before = running()
    return lambda: [one for one in running() if one not in before]


def scores(done: Executed | Failed) -> dict[str, float]:
    assert isinstance(done, Executed), done
    table = done.run.scores()
    return dict(zip(table.identities, table.scores.tolist(), strict=True))


class Watched(ForkServer):
    """Remembers what it was asked for and whether it could start it."""

    def __init__(self, modules: Sequence[str] = ASKING) -> None:
        super().__init__(modules)
        self.started: list[bool] = []

    def start(self, folder: Path, writable: Sequence[Path], limits: Limits) -> Process | None:
        process = super().start(folder, writable, limits)
        self.started.append(process is not None)
        return process


def test_forked_workers_leave_the_scores_of_workers_that_import_by_themselves(tmp_path: Path, servers: Servers) -> None:
    wanted = tasks(("cosine", "idia"), (0,))
    seen: set[int] = set()

    def handed_out() -> Iterator[Task]:
        for task in wanted:
            yield task
            seen.update(server.pid for server in servers())

    forked = list(LocalExecutor(Resolver(Silent())).run(handed_out(), Options(tmp_path / "forked"), Silent()))
    assert len(seen) == 1, "all runs share one fork server"
    assert not servers(), "it ends with them"
    for done, task in zip(forked, wanted, strict=True):
        alone = execute(Resolver(Silent()).resolve(task.spec), Options(tmp_path / "alone"), Silent())
        assert scores(done) == scores(alone)


@pytest.mark.usefixtures("plugins")
def test_defenses_and_what_they_cost_are_measured_in_forked_workers_too(tmp_path: Path) -> None:
    defended = [plan_defense("null-space", None, {})]
    (spec,) = specs(
        make_grid(load_split("avatars-tiny"), ["cosine"], "avatars-a", [11], "avatars-tiny-a", defenses=defended)
    )
    resolved = Resolver(Silent()).resolve(spec)
    assert resolved.applying is not None
    weights = resolved.applying.target(spec.target).weights
    assert isinstance(weights, Defended)
    with Watched() as forks:
        forked = execute(resolved, Options(tmp_path / "forked", forks=ForkServers(forks)), Silent()).run
    assert forks.started == [True] * 4, "the defense, the attack, and the utility before and after"
    defended_place(weights).unlink()
    alone = execute(resolved, Options(tmp_path / "alone"), Silent()).run
    assert forked.record.defense is not None
    assert alone.record.defense is not None
    assert forked.record.defense.weights_sha256 == alone.record.defense.weights_sha256
    assert forked.record.defense.utility == alone.record.defense.utility != ()


def test_a_lost_fork_server_costs_no_run(tmp_path: Path, servers: Servers) -> None:
    first, second = tasks(("cosine", "idia"), (0,))
    with Watched() as forks:
        options = Options(tmp_path, forks=ForkServers(forks))
        assert scores(execute(Resolver(Silent()).resolve(first.spec), options, Silent()))
        (server,) = servers()
        server.kill()
        server.wait()
        assert scores(execute(Resolver(Silent()).resolve(second.spec), options, Silent()))
    assert forks.started == [True, False]


def test_blind_attacks_share_a_start_of_their_own_without_torch(tmp_path: Path, servers: Servers) -> None:
    wanted = tasks(("random", "blind-names"), (0,))
    with Watched() as forks, Watched(BLIND) as blind:
        for task in wanted:
            options = Options(tmp_path / "forked", forks=ForkServers(forks, blind))
            forked = execute(Resolver(Silent()).resolve(task.spec), options, Silent())
            alone = execute(Resolver(Silent()).resolve(task.spec), Options(tmp_path / "alone"), Silent())
            assert scores(forked) == scores(alone)
        (server,) = servers()
        assert not any("torch" in mapped.path for mapped in server.memory_maps())
    assert (forks.started, blind.started) == ([], [True, True])
    seen: set[int] = set()
    for _ in LocalExecutor(Resolver(Silent())).run(tasks(("random",), (1, 2)), Options(tmp_path), Silent()):
        seen.update(server.pid for server in servers())
    assert len(seen) == 1


def test_a_changed_environment_reaches_the_next_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tasks(("cosine", "idia"), (0,))
    with Watched() as forks:
        for task, threads in ((first, 1), (second, 2)):
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            done = execute(Resolver(Silent()).resolve(task.spec), Options(tmp_path, forks=ForkServers(forks)), Silent())
            assert done.run.record.environment.threads == threads
    assert forks.started == [True, True]
