"""A run carried out by another process of ours: the order that it is sent, and the report that comes back.

Both are JSON, so that the process may be on another machine. The report names the record's folder and does not hold the
record: processes share the results folder, where records appear by atomic rename and a lock keeps a run from being done
twice.

As a program, `python -P -m idbench.runner.remote`, it is one of a crew (`idbench.runner.crew`): orders come line by
line on standard input, what it says goes line by line to standard output, and it ends when the input does.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import interrupt_main
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from idbench import errors
from idbench.errors import IdbenchError, MethodError, StorageError
from idbench.processes import PipeProgress
from idbench.progress import Progress
from idbench.results import read_run
from idbench.runner.execute import Executed, Options, place_of
from idbench.runner.executor import Failed, LocalExecutor, Task
from idbench.runner.forkserver import ForkServers
from idbench.runner.spec import Resolver, RunSpec


class RunOrder(BaseModel):
    """What another process needs to carry out one run.

    Args:
        spec: the run.
        force: carry it out even if there is a record.
        results: folder of the records, absolute, the same wherever the order is carried out.
        device: `auto`, `cpu`, `cuda:0`, ...
        time_limit: seconds; None for no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: RunSpec
    force: bool
    results: Path
    device: str
    time_limit: float | None

    @classmethod
    def of(cls, task: Task, options: Options) -> RunOrder:
        """The order for a task."""
        return cls(
            spec=task.spec,
            force=task.force,
            results=options.results.resolve(),
            device=options.device,
            time_limit=options.time_limit,
        )


class RunReport(BaseModel):
    """How a run ended, or how far it is.

    Args:
        done, total, description: progress; a report with a description is not the last.
        reused: whether the record was there before.
        error: kind of the error that it ended with, as `idbench.errors` calls it; None: there is a record.
        message, hint: of the error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    done: float = 0.0
    total: float = 0.0
    description: str | None = None
    reused: bool = False
    error: str | None = None
    message: str = ""
    hint: str = ""


def carry_out(order: RunOrder, resolver: Resolver, progress: Progress, forks: ForkServers | None = None) -> RunReport:
    """Carry out a run; whatever goes wrong is in the report."""
    options = Options(order.results, order.device, order.time_limit, forks=forks)
    try:
        (result,) = LocalExecutor(resolver).run([Task(order.spec, order.force)], options, progress)
    except StorageError as error:
        return _refused(error)
    return _refused(result.error) if isinstance(result, Failed) else RunReport(reused=result.reused)


def _refused(error: IdbenchError) -> RunReport:
    return RunReport(error=type(error).__name__, message=error.message, hint=error.hint)


def ended(report: RunReport, task: Task, options: Options) -> Executed | Failed:
    """What a last report means here.

    Raises:
        StorageError: the results folder cannot be written, which every other run would meet too.
        RecordError: the record is not in this machine's results folder.
    """
    if report.error is None:
        return Executed(task.spec, read_run(place_of(task.spec, options.results)), report.reused)
    kind = getattr(errors, report.error, MethodError)
    error = kind(report.message, hint=report.hint) if issubclass(kind, IdbenchError) else MethodError(report.message)
    if isinstance(error, StorageError):
        raise error
    return Failed(task.spec, error)


class _Reports(PipeProgress):
    """Progress in the form of reports."""

    def _line(self, done: float, total: float, description: str) -> str:
        return line_of(RunReport(done=done, total=total, description=description))


def line_of(message: BaseModel) -> str:
    """An order or a report as it goes through a pipe."""
    return message.model_dump_json() + "\n"


def main() -> int:
    """Carry out orders until the input ends; a run under way is broken off then."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    orders = _Orders()
    progress = _Reports(out)
    resolver = Resolver(progress)
    try:
        with ForkServers() as forks:
            while (line := orders.next()) is not None:
                order = RunOrder.model_validate_json(line)
                out.write(line_of(carry_out(order, resolver, progress, forks)))
                out.flush()
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


class _Orders:
    """Lines of standard input. When it ends while a run is under way, the main thread is interrupted."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._change = threading.Condition()
        self._over = False
        self._busy = False
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> str | None:
        """The next order; None when there are no more."""
        with self._change:
            self._busy = False
            self._change.wait_for(lambda: self._lines or self._over)
            if not self._lines:
                return None
            self._busy = True
            return self._lines.pop(0)

    def _read(self) -> None:
        for line in sys.stdin:
            with self._change:
                self._lines.append(line)
                self._change.notify()
        with self._change:
            self._over = True
            self._change.notify()
            if self._busy:
                interrupt_main()


if __name__ == "__main__":
    sys.exit(main())
