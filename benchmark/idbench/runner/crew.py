"""Runs side by side on this machine: each in a process of ours that carries out one run after the other."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from idbench.api import Progress
from idbench.errors import MethodError
from idbench.runner.execute import Executed, Options
from idbench.runner.executor import Failed, Task
from idbench.runner.remote import RunOrder, RunReport, ended, line_of

COMMAND = ("-P", "-m", "idbench.runner.remote")
"""What Python is given to become a member."""

_TRIES = 3
"""Members that a run is given to, one after the other, when they die: killed for lack of memory, say."""

_GRACE = 30.0
"""Seconds for a member to end its run's processes and itself when it is told to."""

_PARTING = 2.0
"""Seconds for a member's thread to come to its end, once its process has; one that is preparing a run is left to end
with this process, for that may take minutes and cannot be told to stop."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Carries out several runs at once; results come as they are finished.

    A member that dies is replaced and its run is tried again. Processors are shared evenly, unless `OMP_NUM_THREADS`
    says otherwise.

    Args:
        jobs: how many runs at once, at least 1.
    """

    jobs: int

    def run(self, tasks: Iterable[Task], options: Options, progress: Progress) -> Generator[Executed | Failed]:
        """See `idbench.runner.executor.Executor.run`."""
        work = _Work(iter(tasks), options)
        members = [_Member(work, threads_each(self.jobs)) for _ in range(self.jobs)]
        left = 0
        try:
            while left < len(members):
                message = work.messages.get()
                if isinstance(message, _Left):
                    left += 1
                    if message.error is not None:
                        raise message.error
                    continue
                task, report = message.task, message.report
                if report.description is None:
                    yield ended(report, task, options)
                else:
                    progress.update(report.done, report.total, f"{_short(task)}: {report.description}")
        finally:
            for member in members:
                member.close()
            for member in members:
                member.end()


def threads_each(jobs: int) -> int:
    """Threads of each of several runs on this machine's processors, at least 1."""
    return max(1, (os.cpu_count() or 1) // jobs)


def _short(task: Task) -> str:
    return f"{task.spec.attack.name} on {task.spec.target.name}"


@dataclass(frozen=True, slots=True)
class _Reported:
    """What the process that carries out a task reports of it."""

    task: Task
    report: RunReport


@dataclass(frozen=True, slots=True)
class _Left:
    """A member has no more to do, or met an error of our own."""

    error: BaseException | None


class _Work:
    """Tasks that are handed out one by one, and what is reported of them."""

    def __init__(self, tasks: Iterator[Task], options: Options) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self.options = options
        self.messages: queue.SimpleQueue[_Reported | _Left] = queue.SimpleQueue()

    def next(self) -> Task | None:
        """The next task; None when there are no more."""
        with self._lock:
            return next(self._tasks, None)


class _Member:
    """A thread that gives tasks to a process and passes on what the process reports."""

    def __init__(self, work: _Work, threads: int) -> None:
        self._work = work
        self._environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
        self._process: subprocess.Popen[str] | None = None
        self._told_to_end = False
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell the process to end what it does, and itself."""
        self._told_to_end = True
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()

    def end(self) -> None:
        """Wait for the end of the process, which was told to."""
        process = self._process
        if process is not None:
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(_PARTING)

    def _go(self) -> None:
        error: BaseException | None = None
        try:
            while not self._told_to_end and (task := self._work.next()) is not None:
                report = self._carried_out(task)
                if report is not None:
                    self._work.messages.put(_Reported(task, report))
        except BaseException as met:  # noqa: BLE001  the main thread raises it
            error = met
        self._work.messages.put(_Left(error))

    def _carried_out(self, task: Task) -> RunReport | None:
        """The last report on a task; None when there is none because everything is to end."""
        order = RunOrder.of(task, self._work.options)
        for _ in range(_TRIES):
            report = self._attempt(task, order)
            if report is not None or self._told_to_end:
                return report
        return RunReport(
            error=MethodError.__name__,
            message=f"{_short(task)} ended the process that carried it out, {_TRIES} times in a row.",
            hint="It may have run out of memory: use fewer --jobs.",
        )

    def _attempt(self, task: Task, order: RunOrder) -> RunReport | None:
        process = self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError, ValueError):
            process.stdin.write(line_of(order))
            process.stdin.flush()
            for line in process.stdout:
                try:
                    report = RunReport.model_validate_json(line)
                except ValidationError:  # cut off by its end
                    break
                if report.description is None:
                    return report
                self._work.messages.put(_Reported(task, report))
        process.wait()
        return None

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                [sys.executable, *COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=self._environment,
                start_new_session=True,  # an interrupt from the keyboard reaches us alone; we tell the members
            )
        return self._process
