"""Plug-ins that take what they can get: memory, processes, threads, open files, space on the disk."""

import os
import threading
import time
from collections.abc import Sequence

import numpy as np
from idbench.api import Access, Attack, Case, Context, Knowledge, MethodCard, MethodParams, Scores, TargetView

LONG = 30.0  # seconds: whoever watches looks more often


def card(name: str, access: Access = Access.NONE) -> MethodCard:
    return MethodCard(name=name, version="1", title=f"Sample: {name}", access=access, knowledge=Knowledge.NAME)


class Memory(Attack[MethodParams]):
    """Holds 3 GB, no more, for the tests run on small machines too."""

    card = card("sample-memory", Access.SIMILARITY)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        held = []
        for _ in range(30):
            held.append(np.ones(100_000_000, dtype=np.uint8))
            time.sleep(0.02)
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class Forks(Attack[MethodParams]):
    """Starts processes that do nothing, each in a session of its own."""

    card = card("sample-forks")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for _ in range(600):
            if os.fork() == 0:
                os.setsid()
                time.sleep(LONG)
                os._exit(0)
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class ForkBomb(Attack[MethodParams]):
    """Processes that start processes, as fast as they can, up to a number that a machine survives."""

    card = card("sample-fork-bomb", Access.SIMILARITY)

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for _ in range(9):  # 512 processes
            os.fork()
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class Threads(Attack[MethodParams]):
    """Starts threads that do nothing."""

    card = card("sample-threads")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for _ in range(1000):
            threading.Thread(target=time.sleep, args=(LONG,), daemon=True).start()
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class OpenFiles(Attack[MethodParams]):
    """Opens files and closes none."""

    card = card("sample-open-files")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(50_000)]
        return Scores(np.zeros(len(cases)) + len(opened))


class Fills(Attack[MethodParams]):
    """Writes 400 MB into its own folder, in files of 10 MB, or removed ones that it holds open."""

    card = card("sample-fills")
    hidden = False

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        held = []
        for i in range(40):
            path = context.cache / f"{i}.bin"
            held.append(path.open("wb"))
            held[-1].write(b"x" * 10_000_000)
            held[-1].flush()
            if self.hidden:
                path.unlink()
            time.sleep(0.01)
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class FillsHidden(Fills):
    card = card("sample-fills-hidden")
    hidden = True


class OneFile(Attack[MethodParams]):
    """Writes 400 MB into one file."""

    card = card("sample-one-file")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        with (context.cache / "one.bin").open("wb") as file:
            for _ in range(40):
                file.write(b"x" * 10_000_000)
        return Scores(np.zeros(len(cases)))


class EmptyFiles(Attack[MethodParams]):
    """Makes files that hold nothing: a disk has room for so many, too."""

    card = card("sample-empty-files")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for i in range(60_000):
            (context.cache / f"{i}").touch()
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class MemoryFiles(Attack[MethodParams]):
    """Holds 3 GB in files that lie in memory and belong to no folder; no process has them mapped."""

    card = card("sample-memory-files")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        for i in range(40):
            os.write(os.memfd_create(f"{i}"), b"x" * 75_000_000)
            time.sleep(0.02)
        time.sleep(LONG)
        return Scores(np.zeros(len(cases)))


class SaysSo(Attack[MethodParams]):
    """Ends with the status by which a supervisor says that a limit was exceeded."""

    card = card("sample-says-so")

    def score(self, target: TargetView, cases: Sequence[Case], context: Context) -> Scores:
        os._exit(121)
