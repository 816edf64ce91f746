"""Runs side by side in processes of their own: the same records as one after the other, nothing twice, nothing lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.small_runs import tasks

from idbench.api import Reporter, Silent
from idbench.errors import StorageError
from idbench.results import read_run
from idbench.runner.crew import Crew
from idbench.runner.execute import Executed, Options
from idbench.runner.executor import Failed, LocalExecutor, Task
from idbench.runner.remote import RunOrder, carry_out
from idbench.runner.spec import Resolver


def values(done: Executed) -> dict[str, float]:
    table = read_run(done.run.path).scores()
    return dict(zip(table.identities, table.scores.tolist(), strict=True))


class Listening(Reporter):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def update(self, done: float, total: float, description: str) -> None:
        self.heard.append(description)


def test_a_crew_leaves_the_records_of_one_after_the_other(tmp_path: Path) -> None:
    wanted, progress = tasks(seeds=(0,)), Listening()
    alone = {
        done.spec.run_id: done
        for done in LocalExecutor(Resolver(Silent())).run(wanted, Options(tmp_path / "alone"), Silent())
        if isinstance(done, Executed)
    }
    crew = list(Crew(2).run(wanted, Options(tmp_path / "crew"), progress))
    assert sorted(done.spec.run_id for done in crew) == sorted(alone) == sorted(task.spec.run_id for task in wanted)
    for done in crew:
        assert isinstance(done, Executed)
        assert not done.reused
        mine, other = values(done), values(alone[done.spec.run_id])
        assert mine.keys() == other.keys()
        np.testing.assert_allclose(
            [mine[key] for key in sorted(mine)], [other[key] for key in sorted(other)], atol=1e-6
        )
    assert len(list((tmp_path / "crew").rglob("run.json"))) == len(wanted)
    assert progress.heard
    assert all(text.partition(": ")[0] in ("cosine on avatars-a", "random on avatars-a") for text in progress.heard)
    again = list(Crew(2).run(wanted, Options(tmp_path / "crew"), Silent()))
    assert [done.reused for done in again if isinstance(done, Executed)] == [True] * len(wanted)


def members() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        try:
            if "idbench.runner.remote" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_run_of_a_member_that_is_killed_is_tried_again(tmp_path: Path) -> None:
    wanted = tasks(("random",), (0, 1, 2, 3))
    killed: list[int] = []

    def handed_out() -> Iterator[Task]:
        yield from wanted[:2]
        killed.extend(process.pid for process in members())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        yield from wanted[2:]

    done = list(Crew(2).run(handed_out(), Options(tmp_path), Silent()))
    assert killed
    assert sorted(each.spec.run_id for each in done) == sorted(task.spec.run_id for task in wanted)
    assert all(isinstance(each, Executed) for each in done)
    assert len(list(tmp_path.rglob("run.json"))) == len(wanted)


def test_a_run_that_ends_every_member_fails_and_keeps_no_other_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (deadly, fine) = tasks(("random",))
    code = (
        "import os, sys\n"
        "from idbench.runner import remote\n"
        "honest = remote.carry_out\n"
        "def carry_out(order, *others):\n"
        f"    if order.spec.run_id == {deadly.spec.run_id!r}:\n"
        "        os._exit(9)\n"
        "    return honest(order, *others)\n"
        "remote.carry_out = carry_out\n"
        "sys.exit(remote.main())\n"
    )
    program = tmp_path / "member.py"
    program.write_text(code)
    monkeypatch.setattr("idbench.runner.crew.COMMAND", ("-P", str(program)))
    found = {each.spec.run_id: each for each in Crew(1).run([deadly, fine], Options(tmp_path / "results"), Silent())}
    assert isinstance(found[fine.spec.run_id], Executed)
    failed = found[deadly.spec.run_id]
    assert isinstance(failed, Failed)
    assert "ended the process that carried it out, 3 times in a row" in failed.error.message


def test_what_went_wrong_is_told_as_it_was(tmp_path: Path) -> None:
    (task,) = tasks(("random",), (0,))
    broken = Task(task.spec.model_copy(update={"engine": 1}))
    (failed,) = Crew(1).run([broken], Options(tmp_path), Silent())
    assert isinstance(failed, Failed)
    assert "version 1 of the engine" in failed.error.message
    assert failed.error.hint == "Plan it again with this version."


def test_a_results_folder_that_cannot_be_written_ends_everything(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StorageError):
        list(Crew(2).run(tasks(("random",)), Options(tmp_path / "results"), Silent()))
    assert not members()


def test_nothing_is_left_when_the_reader_stops_early(tmp_path: Path) -> None:
    others = set(psutil.Process().children(recursive=True))  # such as Python's own resource tracker
    running = Crew(2).run(tasks(("random",), (0, 1, 2, 3)), Options(tmp_path), Silent())
    next(running)
    assert members()
    running.close()
    assert not members()
    left = set(psutil.Process().children(recursive=True)) - others
    assert not [process for process in left if process.is_running()]


def test_whoever_stops_does_not_wait_for_a_run_that_is_being_prepared(tmp_path: Path) -> None:
    """Handing out a run may train a target first, for minutes, and no thread of ours can be told to stop that."""
    preparing, stopped, waited_for = threading.Event(), threading.Event(), threading.Event()

    def handed_out() -> Iterator[Task]:
        yield from tasks(("random",), (0,))
        preparing.set()
        if not stopped.wait(20):
            waited_for.set()

    running = Crew(2).run(handed_out(), Options(tmp_path), Silent())
    assert isinstance(next(running), Executed)
    assert preparing.wait(20)
    running.close()
    stopped.set()
    assert not waited_for.is_set()
    assert not members()


def test_an_order_is_plain_data(tmp_path: Path) -> None:
    (task,) = tasks(("random",), (0,))
    order = RunOrder.model_validate_json(RunOrder.of(task, Options(tmp_path)).model_dump_json())
    assert order.spec == task.spec
    assert carry_out(order, Resolver(Silent()), Silent()).error is None
    assert carry_out(order, Resolver(Silent()), Silent()).reused
