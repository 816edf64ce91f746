"""Runs as tasks of a Ray cluster: a grid on as many machines as there are, each run retried where its machine is lost.

Machines share the results folder under the same path. Records appear there by atomic rename and a lock keeps a run from
being done twice, so that a lost machine costs its runs' time, and a lost driver nothing: asked for again, the grid goes
on with what has no record.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from idbench.api import Progress, Silent
from idbench.errors import IdbenchError, MethodError
from idbench.runner.execute import Executed, Options
from idbench.runner.executor import Failed, Task
from idbench.runner.remote import RunOrder, RunReport, carry_out, ended
from idbench.runner.spec import Resolver

_RETRIES = 5
"""Times that Ray starts a run again whose process or machine was lost."""

_AHEAD = 2
"""Tasks that wait in the cluster for each of its processors, so that none has to wait for us."""


@dataclass(frozen=True, slots=True)
class OnRay:
    """Carries tasks out on a Ray cluster: the one of `RAY_ADDRESS`, or one on this machine that ends with us.

    Args:
        processors: of each run.
        gpus: of each run, a fraction where several fit one; 0 for none.
    """

    processors: float = 1.0
    gpus: float = 0.0

    def run(self, tasks: Iterable[Task], options: Options, progress: Progress) -> Iterator[Executed | Failed]:
        """See `idbench.runner.executor.Executor.run`.

        Raises:
            IdbenchError: Ray is not installed, or no machine of the cluster has what a run needs.
        """
        ray = _ray()
        started = not ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=False)
        try:
            self._check(ray.cluster_resources())
            remote = ray.remote(num_cpus=self.processors, num_gpus=self.gpus, max_retries=_RETRIES)(in_cluster)
            yield from _carried_out(ray, remote, iter(tasks), options, progress)
        finally:
            if started:
                ray.shutdown()

    def _check(self, there: dict[str, float]) -> None:
        """Ray itself waits without a word for a machine that has enough."""
        for what, needed, name in (("CPU", self.processors, "processors"), ("GPU", self.gpus, "GPUs")):
            if there.get(what, 0.0) < needed:
                raise IdbenchError(
                    f"A run needs {needed:g} {name}; the Ray cluster has {there.get(what, 0.0):g} in all.",
                    hint="Ask for less (--cpus-per-run, --gpus-per-run), or add machines with `ray start`.",
                )


def in_cluster(order: str) -> str:
    """Carry out an order on whatever machine this is: JSON in, JSON out."""
    return carry_out(RunOrder.model_validate_json(order), Resolver(Silent()), Silent()).model_dump_json()


def _carried_out(
    ray: Any, remote: Any, tasks: Iterator[Task], options: Options, progress: Progress
) -> Iterator[Executed | Failed]:
    waiting: dict[Any, Task] = {}
    done = 0
    try:
        while True:
            room = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(waiting)
            for task in itertools.islice(tasks, max(0, room)):
                waiting[remote.remote(RunOrder.of(task, options).model_dump_json())] = task
            if not waiting:
                return
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=1.0)
            for one in ready:
                task = waiting.pop(one)
                done += 1
                progress.update(done, done + len(waiting), "runs in the cluster")
                yield _result(ray, one, task, options)
    finally:
        for one in waiting:
            ray.cancel(one, force=True)


def _result(ray: Any, reference: Any, task: Task, options: Options) -> Executed | Failed:
    try:
        report = RunReport.model_validate_json(ray.get(reference))
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0]
        return Failed(
            task.spec,
            MethodError(
                f"The cluster lost {task.spec.attack.name} on {task.spec.target.name}: {reason}",
                hint="Repeat the command; finished runs are kept.",
            ),
        )
    return ended(report, task, options)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise IdbenchError("Ray is not installed.", hint="Run: pip install 'idbench[ray]'") from error
    return ray
