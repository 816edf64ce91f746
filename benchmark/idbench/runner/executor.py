"""The one place where specs become records: on this machine, or behind the same interface on others."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from idbench.api import Progress
from idbench.errors import IdbenchError, MethodError, StorageError
from idbench.runner.execute import Executed, Options, execute
from idbench.runner.forkserver import ForkServers
from idbench.runner.spec import Resolver, RunSpec


@dataclass(frozen=True, slots=True)
class Task:
    """A run to be carried out.

    Args:
        spec: the run.
        force: carry it out even if there is a record.
    """

    spec: RunSpec
    force: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended without a record, and why."""

    spec: RunSpec
    error: IdbenchError


class Executor(Protocol):
    """Carries tasks out and yields each result as soon as it is finished, in whatever order.

    An implementation yields exactly one result for each task. It may carry tasks out side by side and on several
    machines: records appear by atomic rename in one results folder, and a lock there keeps a run from being done twice.
    """

    def run(self, tasks: Iterable[Task], options: Options, progress: Progress) -> Iterator[Executed | Failed]:
        """Carry tasks out.

        Args:
            tasks: may be long; taken one by one.
            options: how; the same for every task. Its `force` is not read: tasks have their own.
            progress: receives progress reports.

        Raises:
            StorageError: the results folder cannot be written, which every other run would meet too.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """One run after the other, each in a worker process of this machine.

    Args:
        resolver: finds splits and methods.
    """

    resolver: Resolver

    def run(self, tasks: Iterable[Task], options: Options, progress: Progress) -> Iterator[Executed | Failed]:
        """See `Executor.run`; results come in the order of the tasks."""
        with ForkServers() as forks:
            shared = replace(options, forks=options.forks or forks)
            for task in tasks:
                yield self._one(task, replace(shared, force=task.force), progress)

    def _one(self, task: Task, options: Options, progress: Progress) -> Executed | Failed:
        try:
            return execute(self.resolver.resolve(task.spec), options, progress)
        except StorageError:
            raise
        except IdbenchError as error:
            return Failed(task.spec, error)
        except Exception as error:  # noqa: BLE001  a bug met by one run must not take the others with it
            where = traceback.extract_tb(error.__traceback__)[-1]
            return Failed(
                task.spec,
                MethodError(
                    f"{type(error).__name__} in {where.name}: {error}.",
                    hint="This is a bug, in idbench or in the method: please report it.",
                ),
            )
